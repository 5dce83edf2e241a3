"""The machinery of checks: what counts as one, and how one fault stays one failure."""

from __future__ import annotations

import functools
import sysconfig
import tempfile
import traceback
import unittest
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from cellvision import errors
from cellvision.testing.result import CheckFailed

T = TypeVar("T")


def conformance_check(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """Mark a method as a check; it fails if it ends without a call of `Checks.require`."""

    @functools.wraps(check)
    def counted(self: Checks) -> None:
        self._requirements, self._current, self.notes = 0, check.__name__, ()
        check(self)
        if not self._requirements:
            raise CheckFailed(
                f"{check.__name__} checked nothing",
                "Give an example that it can examine: one with images, files or settings.",
            )

    counted._of_the_kit = True  # type: ignore[attr-defined]
    return counted


class Checks:
    """Base class of all checks.

    Attributes
    ----------
    name : str
        Name of the plugin, or ``"distribution:name"``.
    example : Mapping
        Settings of a small, fast, typical component. Override `settings` instead if they need
        files.
    invalid_settings : Mapping
        For some settings, a value that must be refused, such as ``{"dense": 0}``. Values of a
        wrong type are tried anyway.
    expected_failures : Mapping
        Checks that this plugin fails on purpose, each with the reason. An expected failure that
        passes counts as a failure.
    """

    name: ClassVar[str] = ""
    example: ClassVar[Mapping[str, Any]] = {}
    invalid_settings: ClassVar[Mapping[str, Any]] = {}
    expected_failures: ClassVar[Mapping[str, str]] = {}

    notes: Sequence[str] = ()
    """What the check that ran last advises, although it passed."""

    _results: ClassVar[dict[str, Any]]
    _requirements = 0
    _current = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._results = {}
        for check, reason in cls.expected_failures.items():
            if check not in cls.checks():
                raise TypeError(f"{cls.__name__}.expected_failures: there is no check {check!r}")
            if not reason.strip():
                raise TypeError(f"{cls.__name__}.expected_failures: {check} needs a reason")

    @classmethod
    def checks(cls) -> tuple[str, ...]:
        """Return the names of all checks, in the order in which they run."""
        return tuple(
            name
            for base in reversed(cls.__mro__)
            for name, value in vars(base).items()
            if getattr(value, "_of_the_kit", False)
        )

    def require(self, condition: object, what: str, hint: str) -> None:
        """Fail the check unless the condition holds.

        Raises
        ------
        CheckFailed
            The condition is false.
        """
        self._requirements += 1
        if not condition:
            raise CheckFailed(what, hint)

    def note(self, advice: str) -> None:
        """Add a line of advice to a check that passes."""
        self.notes = (*self.notes, advice)

    def once(self, what: str, owner: str, compute: Callable[[], T]) -> T:
        """Compute something that several checks need, once per class.

        If it fails, the check `owner` fails and the others are skipped: one fault is one failure.

        Parameters
        ----------
        what
            What is computed, such as ``"build()"``; begins the message of a failure.
        owner
            Name of the check that a failure belongs to.
        compute
            The computation.
        """
        if what not in self._results:
            self._results[what] = _outcome(what, compute)
        result = self._results[what]
        if not isinstance(result, CheckFailed):
            return result  # type: ignore[no-any-return]
        if self._current == owner:
            self._requirements += 1
            raise result
        raise unittest.SkipTest(f"needs {owner} to pass first")

    @property
    def folder(self) -> Path:
        """Temporary folder for the files of this class."""
        if "folder" not in self._results:
            folder = tempfile.TemporaryDirectory(prefix="cellvision-", ignore_cleanup_errors=True)
            self._results["folder"] = folder
        return Path(self._results["folder"].name)

    @conformance_check
    def test_kit_is_whole(self) -> None:
        """No check of the kit is replaced or removed."""
        for check in self.checks():
            inherited = [vars(base)[check] for base in type(self).__mro__ if check in vars(base)]
            self.require(
                getattr(inherited[0], "_of_the_kit", False)
                and inherited[0].__module__.startswith("cellvision.testing"),
                f"{type(self).__name__} replaces {check}",
                "Leave the check as it is; list it in expected_failures with the reason.",
            )


def _outcome(what: str, compute: Callable[[], T]) -> T | CheckFailed:
    try:
        return compute()
    except unittest.SkipTest:
        raise
    except CheckFailed as failure:
        return failure
    except Exception as error:  # noqa: BLE001 - plugin code may raise anything
        hint = getattr(error, "hint", "") or line_of(error)
        unexpected = CheckFailed(f"{what}: {errors.summarize(error)}", hint)
        unexpected.__cause__ = error
        return unexpected


_PACKAGE = Path(__file__).parents[1]

_LIBRARIES = ("jax", "jaxlib", "keras", "numpy", "pandas", "pydantic", "scipy", "tensorflow")


def line_of(error: BaseException) -> str:
    """Return a hint that names the line of the plugin at which an error was raised.

    That is the innermost line that belongs neither to cellvision nor to a library.
    """
    root, standard = (Path(sysconfig.get_paths()[name]) for name in ("purelib", "stdlib"))
    roots = (_PACKAGE, *(root / name for name in _LIBRARIES))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        is_standard = file.is_relative_to(standard) and not file.is_relative_to(root)
        if is_standard or frame.filename.startswith("<") or any(map(file.is_relative_to, roots)):
            continue
        return f"See line {frame.lineno} of {file.parent.name}/{file.name}."
    return "Run cellvision check --debug to see the traceback."


def formatted(error: BaseException) -> str:
    """Return the traceback of an error, with its causes."""
    return "".join(traceback.format_exception(error))
