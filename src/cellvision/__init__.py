"""Train networks on microscopy images and find out whether they learn or memorise.

``__init__.pyi`` lists the public names, once, for Python, editors and type checkers. Each is
imported on first use, so ``import cellvision`` is fast and imports neither keras nor tensorflow.
"""

import lazy_loader

from cellvision.backends.processor import enable_onednn

__version__ = "0.1.0"

enable_onednn()  # TensorFlow reads the variable when it is imported

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
