"""Checks that every plugin must pass: for its author to inherit, and for its users to run.

An author subclasses the checks of the interface in a test file of the plugin::

    from cellvision.testing import ArchitectureChecks

    class TestDeep(ArchitectureChecks):
        name = "deep"
        example = {"dense": 50}

and runs pytest. A user runs ``cellvision check deep``, or `check` in Python. ``__init__.pyi``
lists the public names; each is imported on first use, so that pytest starts no slower where
cellvision is installed.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
