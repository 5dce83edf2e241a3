"""Every error that cellvision raises on purpose.

::

    CellvisionError                 exit 1   the work failed
    ├── InvalidInput (ValueError)   exit 2   the input cannot be used
    │   ├── ExperimentError                  an experiment file, a setting or an option
    │   │   └── CallError (TypeError)        an argument that a function does not have, or lacks
    │   ├── CatalogError                     the table of images
    │   ├── UnreadableImage                  one file that cannot be decoded
    │   ├── UnreadableImages                 all such files, listed
    │   ├── PreprocessingError               pixels that do not fit the preprocessing settings
    │   ├── SplitError                       groups that cannot be split as requested
    │   ├── FolderError (OSError)            a folder that is missing, in use or not a run
    │   │   └── ResumeError                  unfinished work that cannot be resumed
    │   ├── ArchitectureError                a network that cannot be built for this input
    │   └── PluginError
    │       ├── UnknownPlugin                no installed distribution provides this name
    │       ├── PluginConflict               two distributions provide this name
    │       ├── BrokenPlugin                 the plugin is installed but cannot be imported
    │       └── PluginContractError          the plugin imports but breaks its contract
    ├── TrainingError                        a run that fails in the backend or in a plugin
    ├── ConversionError                      a network that another engine cannot reproduce
    ├── ReportError                          reports that cannot be written, such as on a full disk
    └── LeakError                   exit 3   splits that share groups or images

Each error has two lines: what went wrong, and how to fix it. `InvalidInput` is also a
`ValueError`, `FolderError` also an `OSError` and `CallError` also a `TypeError`, so code that
knows nothing of cellvision can catch them.
"""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Any, ClassVar

from cellvision.plurals import counted

_MOST_LINES = 3
"""Lines of a traceback that a notebook shows."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""Escape sequences with which Keras colours its messages."""

_KERAS_CAUSE = "Exception encountered: "
"""What Keras writes before the cause of a layer that cannot be loaded."""


class CellvisionError(Exception):
    """Base class of all errors; raised directly when the work itself failed.

    Parameters
    ----------
    what
        One line: what went wrong, naming the file, row or value.
    hint
        One line: how to fix it. Empty if there is nothing to suggest.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n{self.hint}" if self.hint else self.what

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows in place of the whole traceback.

        IPython calls it. What a person wrote is shown; frames inside libraries explain nothing.
        """
        lines = [*_written_lines(self.__traceback__), f"{type(self).__name__}: {self}"]
        cause = self.__cause__
        if cause is not None:
            frames = traceback.extract_tb(cause.__traceback__)
            where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
            lines.append(f"Caused by {summarize(cause)}{where}")
        return lines

    def __reduce__(self) -> tuple[type[CellvisionError], tuple[object, ...]]:
        # That of OSError, which FolderError inherits, would lose `what` and `hint`.
        return type(self), (self.what, self.hint)


class InvalidInput(CellvisionError, ValueError):
    """The input cannot be used."""

    exit_code = 2


class ExperimentError(InvalidInput):
    """An experiment file, a setting or a command-line option is wrong."""


class CallError(ExperimentError, TypeError):
    """A function was called with an argument that it does not have, or without one it needs."""


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
        super().__init__(f"{_in_one_line(file)}: {reason}", hint)
        self.file = file
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableImage], tuple[str, str, str]]:
        return type(self), (self.file, self.reason, self.hint)


class UnreadableImages(InvalidInput):
    """Several images of a data set cannot be decoded; the message lists all of them."""

    def __init__(self, faults: Sequence[UnreadableImage], hint: str = "") -> None:
        lines = "".join(f"\n  {fault.what}" for fault in faults)
        super().__init__(
            f"{counted(len(faults), 'file')} cannot be read:{lines}",
            hint or "Repair or remove them, or skip them: --set preprocessing.on_unreadable=skip",
        )
        self.faults = tuple(faults)

    def __reduce__(
        self,
    ) -> tuple[type[UnreadableImages], tuple[tuple[UnreadableImage, ...], str]]:
        return type(self), (self.faults, self.hint)


def _in_one_line(name: str) -> str:
    """Return a file's name with its line ends escaped: they would look like further messages."""
    return name.replace("\r", "\\r").replace("\n", "\\n")


class PreprocessingError(InvalidInput):
    """Pixels do not fit the preprocessing settings (channels, intensity range, bit depth)."""


class SplitError(InvalidInput):
    """Groups cannot be split as requested."""


class FolderError(InvalidInput, OSError):
    """A folder is missing, already in use, or not what it should be."""


class ResumeError(FolderError):
    """An unfinished run or study cannot be resumed.

    It has other settings, images or plugins, or its state is damaged. No process is running in
    its folder, so a caller that needs none of it may remove the folder and start again.
    """


class ArchitectureError(InvalidInput):
    """A network cannot be built for this input."""


class PluginError(InvalidInput):
    """A name does not lead to a usable class."""


class UnknownPlugin(PluginError):
    """No installed distribution provides this name."""


class PluginConflict(PluginError):
    """Two distributions provide this name."""


class BrokenPlugin(PluginError):
    """The plugin is installed but importing it fails; the cause is chained."""


class PluginContractError(PluginError):
    """The plugin imports but is not what its entry-point group requires."""


class TrainingError(CellvisionError):
    """A run fails in Keras, its backend or the code of a plugin; the cause is chained."""


class ConversionError(CellvisionError):
    """A network cannot be converted, or gives different numbers after conversion."""


class ReportError(CellvisionError):
    """Reports cannot be written, such as on a full disk; the results are complete.

    Attributes
    ----------
    finished : Run, Study, AuditReport or None
        What the reports are about.
    """

    finished: Any = None


class LeakError(CellvisionError):
    """Splits share a group or an image, so scores would be optimistic."""

    exit_code = 3


def first_line(error: BaseException) -> str:
    r"""Return the line of an error's message that says what went wrong.

    That is the first line, but the one after Keras' "Exception encountered when calling ..." and
    "... Error encountered:", the cause alone if Keras cannot load a layer, and the first fault of a
    pydantic ValidationError. The class name if there is no message.

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
    while len(lines) > 1 and (
        lines[0].startswith("Exception encountered when calling")
        or lines[0].endswith("Error encountered:")
    ):
        lines = lines[1:]  # one may follow the other
    if lines and "could not be deserialized" in lines[0] and _KERAS_CAUSE in lines[0]:
        # Keras puts the whole configuration of the network before and after the cause.
        return lines[0].rpartition(_KERAS_CAUSE)[2].partition(" Full object config:")[0]
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


def _written_lines(trace: TracebackType | None) -> list[str]:
    """Return the last lines of a traceback that belong to no library: a cell, or a plugin."""
    lines = []
    for frame, number in traceback.walk_tb(trace):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package.startswith(("cellvision", "IPython", "pydantic")):
            continue
        code = frame.f_code
        text = linecache.getline(code.co_filename, number, frame.f_globals).strip()
        place = "Cell" if package == "__main__" else code.co_filename
        lines.append(f"{place}, line {number}: {text}")
    return lines[-_MOST_LINES:]
