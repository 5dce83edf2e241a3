"""Inference: predictions on new images, and export of networks to other formats.

``__init__.pyi`` lists the names that exporters of other distributions may use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
