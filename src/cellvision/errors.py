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

import re
from collections.abc import Sequence
from typing import ClassVar

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""Escape sequences with which Keras colours its messages."""


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


def first_line(error: BaseException) -> str:
    r"""Return the line of an error's message that says what went wrong.

    That is the first line, but the second of Keras' "Exception encountered when calling ...", and
    the first fault of a pydantic ValidationError. The class name if there is no message.

    Examples
    --------
    >>> first_line(ValueError("bad shape\nTraceback of the library")), first_line(KeyError())
    ('bad shape', 'KeyError')
    """
    if type(error).__name__ == "ValidationError" and callable(getattr(error, "errors", None)):
        fault = error.errors()[0]  # type: ignore[attr-defined]
        setting = ".".join(str(part) for part in fault["loc"])
        return f"{setting}: {fault['msg']}" if setting else str(fault["msg"])
    lines = [_COLOURS.sub("", line).strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line]
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):
        return lines[1]
    return lines[0] if lines else type(error).__name__


def summarize(error: BaseException) -> str:
    r"""Return an error of another library in one line: its class and `first_line`.

    Examples
    --------
    >>> summarize(ValueError("bad shape\nTraceback of the library")), summarize(KeyError())
    ('ValueError: bad shape', 'KeyError')
    """
    line, name = first_line(error), type(error).__name__
    return line if line == name else f"{name}: {line}"
