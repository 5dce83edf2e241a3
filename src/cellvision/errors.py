"""Everything cellvision raises on purpose.

::

    CellvisionError                 exit 1   the work failed
    ├── InvalidInput                exit 2   what was given cannot be used
    │   ├── ExperimentError                  an experiment file, field or option
    │   ├── CatalogError                     the table of images
    │   ├── UnreadableImage                  one file that cannot be decoded
    │   ├── UnreadableImages                 all of them, listed
    │   ├── PreprocessingError                      pixels that do not fit the preprocessing's settings
    │   ├── SplitError                       units that cannot be split as asked
    │   ├── FolderError                      a folder that is missing, taken or not a run
    │   ├── ArchitectureError                a network that cannot be built for this input
    │   └── PluginError
    │       ├── UnknownPlugin                nobody offers this name
    │       ├── PluginConflict               two distributions offer this name
    │       ├── BrokenPlugin                 it is installed and cannot be imported
    │       └── PluginContractError          it imports and does not keep the contract
    ├── ConversionError                      a network that another program cannot compute alike
    └── LeakError                   exit 3   splits that share units or images

Each error is one line of *what* and one line of *how to mend it*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class CellvisionError(Exception):
    """The root of the tree; by itself: the work failed.

    Parameters
    ----------
    what
        One line: what went wrong, naming the file, row or value.
    hint
        One line: the way out. Empty where there is none to offer.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n{self.hint}" if self.hint else self.what


class InvalidInput(CellvisionError):
    """What was given cannot be used."""

    exit_code = 2


class ExperimentError(InvalidInput):
    """An experiment file, one of its fields, or an option on the command line."""


class CatalogError(InvalidInput):
    """The table of images breaks a rule; the message names the rows."""


class UnreadableImage(InvalidInput):
    """One file cannot be decoded.

    Attributes
    ----------
    file : str
        The file, as the caller named it.
    reason : str
        Why, in one line.
    """

    def __init__(self, file: str, reason: str, hint: str = "") -> None:
        super().__init__(f"{file}: {reason}", hint)
        self.file = file
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableImage], tuple[str, str, str]]:
        return type(self), (self.file, self.reason, self.hint)


class UnreadableImages(InvalidInput):
    """Some images of a data set cannot be decoded; all of them are listed."""

    def __init__(self, faults: Sequence[UnreadableImage]) -> None:
        listed = "".join(f"\n  {fault.file}: {fault.reason}" for fault in faults)
        super().__init__(
            f"{len(faults)} file(s) cannot be read:{listed}",
            "Mend or remove them, or go on without them: --set preprocessing.on_unreadable=skip",
        )
        self.faults = tuple(faults)

    def __reduce__(
        self,
    ) -> tuple[type[UnreadableImages], tuple[tuple[UnreadableImage, ...]]]:
        return type(self), (self.faults,)


class PreprocessingError(InvalidInput):
    """Pixels that do not fit the preprocessing's settings (channels, range, bit depth)."""


class SplitError(InvalidInput):
    """Units that cannot be split as asked."""


class FolderError(InvalidInput):
    """A folder that is missing, already taken, or not what it should be."""


class ArchitectureError(InvalidInput):
    """A network that cannot be built for this input."""


class PluginError(InvalidInput):
    """A name that leads to no usable class."""


class UnknownPlugin(PluginError):
    """No installed distribution offers this name."""


class PluginConflict(PluginError):
    """Two distributions offer this name."""


class BrokenPlugin(PluginError):
    """The plugin is installed, but importing it fails; the cause is chained."""


class PluginContractError(PluginError):
    """The plugin imports, but is not what its entry-point group promises."""


class ConversionError(CellvisionError):
    """A network that cannot be had in another format, or does not give the same numbers there."""


class LeakError(CellvisionError):
    """Splits share a unit or an image, so a score on them would flatter."""

    exit_code = 3
