"""Run the checks without pytest."""

from __future__ import annotations

import inspect
import shutil
import unittest
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cellvision import errors
from cellvision.testing.architecture import ArchitectureChecks
from cellvision.testing.augmenter import AugmenterChecks
from cellvision.testing.component import ComponentChecks
from cellvision.testing.conformance import Checks, formatted, line_of
from cellvision.testing.control import ControlChecks
from cellvision.testing.dataset import DatasetChecks
from cellvision.testing.decoder import DecoderChecks
from cellvision.testing.exporter import ExporterChecks
from cellvision.testing.recipe import RecipeChecks
from cellvision.testing.reporter import ReporterChecks
from cellvision.testing.result import CheckFailed, CheckResult
from cellvision.testing.splitter import SplitterChecks

KINDS: dict[str, type[ComponentChecks]] = {
    "architecture": ArchitectureChecks,
    "augmenter": AugmenterChecks,
    "control": ControlChecks,
    "dataset": DatasetChecks,
    "exporter": ExporterChecks,
    "recipe": RecipeChecks,
    "reporter": ReporterChecks,
    "splitter": SplitterChecks,
}


def check(
    kind: str,
    name: str,
    example: Mapping[str, Any] | None = None,
    *,
    expected_failures: Mapping[str, str] | None = None,
    on_result: Callable[[CheckResult], None] = lambda _: None,
) -> list[CheckResult]:
    """Run all checks on a plugin that is installed or registered in this process.

    Parameters
    ----------
    kind
        ``architecture``, ``augmenter``, ``control``, ``dataset``, ``decoder``, ``exporter``,
        ``recipe``, ``reporter`` or ``splitter``.
    name
        Name of the plugin, or ``"distribution:name"``.
    example
        Settings to check it with. Default: those of the plugin. A decoder is checked with a file
        of its format: ``{"path": "frame.raw"}``.
    expected_failures
        As for `ComponentChecks`.
    on_result
        Called with each result as soon as it is known.

    Returns
    -------
    list of CheckResult
        One per check of the interface.

    Raises
    ------
    errors.UnknownPlugin
        No installed distribution provides the name.
    errors.ExperimentError
        The example's settings are wrong, or a decoder gets no file.

    Examples
    --------
    >>> from cellvision.testing import check
    >>> results = check("augmenter", "flip")  # doctest: +SKIP
    >>> {result.outcome for result in results}  # doctest: +SKIP
    {'passed'}
    """
    base = _checks_of(kind, name, example or {})
    attributes = {
        "name": name,
        "example": dict(example or {}),
        "expected_failures": dict(expected_failures or {}),
        "__module__": __name__,
    }
    checks = type(f"Checks of {name}", (base,), attributes)()
    results = []
    for method in checks.checks():
        results.append(_one(checks, method))
        on_result(results[-1])
    if len(results) != len(base.checks()) or not results:
        raise AssertionError(f"{len(results)} checks ran of {len(base.checks())}")
    return results


def _checks_of(kind: str, name: str, example: Mapping[str, Any]) -> type[Checks]:
    """Return the checks of a plugin; raise an error if the example is wrong."""
    if kind == "decoder":
        return _decoder_checks(name, example)
    if kind not in KINDS:
        raise errors.ExperimentError(
            f"no kind of plugin is called {kind!r}", f"Choose one of {', '.join(KINDS)}, decoder."
        )
    try:
        # A wrong example is an error of the caller; the checks report all other faults.
        KINDS[kind].registry.create(name, **example)
    except (errors.UnknownPlugin, errors.ExperimentError):
        raise
    except Exception:  # noqa: BLE001, S110 - see above
        pass
    return KINDS[kind]


def _decoder_checks(name: str, example: Mapping[str, Any]) -> type[DecoderChecks]:
    """Return the checks of a decoder, with a copy of a file as their example."""
    file = Path(str(example.get("path", "")))
    unknown = sorted(set(example) - {"path"})
    what = ""
    if unknown:
        what = f"decoder {name!r} has no setting {unknown[0]!r}"
    elif "path" not in example:
        what = f"decoder {name!r} is checked with a file"
    elif not file.is_file():
        what = f"{file}: no such file to check decoder {name!r} with"
    if what:
        raise errors.ExperimentError(
            what,
            f"Name a small file of the format: --set path=image.{name}; its author can write one "
            "in a test: see cellvision.testing.DecoderChecks",
        )

    class ChecksWithFile(DecoderChecks):
        """Checks of a decoder with a file that is given."""

        def write_example(self, folder: Path) -> Path:
            return Path(shutil.copy(file, folder))

    return ChecksWithFile


def _one(checks: Checks, method: str) -> CheckResult:
    run = getattr(checks, method)
    name, demand = method.removeprefix("test_"), (inspect.getdoc(run) or "").partition("\n")[0]
    expected = checks.expected_failures.get(method)
    try:
        run()
    except unittest.SkipTest as skipped:
        return CheckResult(name, demand, "skipped", str(skipped))
    except CheckFailed as failure:
        if expected is not None:
            return CheckResult(name, demand, "expected", expected)
        cause = "" if failure.__cause__ is None else formatted(failure.__cause__)
        return CheckResult(name, demand, "failed", failure.what, failure.hint, cause)
    except Exception as error:  # noqa: BLE001 - plugin code may raise anything
        if expected is not None:
            return CheckResult(name, demand, "expected", expected)
        hint = getattr(error, "hint", "") or line_of(error)
        return CheckResult(name, demand, "failed", errors.summarize(error), hint, formatted(error))
    if expected is not None:
        return CheckResult(
            name,
            demand,
            "failed",
            "it passes although it was expected to fail",
            "Remove it from expected_failures.",
        )
    return CheckResult(name, demand, "passed", "; ".join(checks.notes))
