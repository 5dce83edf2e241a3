"""Running the checks without pytest."""

from __future__ import annotations

import inspect
import unittest
from collections.abc import Callable, Mapping
from typing import Any

from cellvision import errors
from cellvision.testing.architecture import ArchitectureChecks
from cellvision.testing.augmenter import AugmenterChecks
from cellvision.testing.component import ComponentChecks
from cellvision.testing.dataset import DatasetChecks
from cellvision.testing.reporter import ReporterChecks
from cellvision.testing.result import CheckFailed, CheckResult

KINDS: dict[str, type[ComponentChecks]] = {
    "architecture": ArchitectureChecks,
    "augmenter": AugmenterChecks,
    "dataset": DatasetChecks,
    "reporter": ReporterChecks,
}


def check(
    kind: str,
    name: str,
    example: Mapping[str, Any] | None = None,
    *,
    expected_failures: Mapping[str, str] | None = None,
    told: Callable[[CheckResult], None] = lambda _: None,
) -> list[CheckResult]:
    """Run all checks on a plugin that is installed, or registered in this process.

    Parameters
    ----------
    kind
        ``architecture``, ``augmenter``, ``dataset`` or ``reporter``.
    name
        The plugin's name, or ``"distribution:name"``.
    example
        Settings to check it with; by default its own defaults.
    expected_failures
        As for `ComponentChecks`.
    told
        Called with each result as soon as it is known.

    Returns
    -------
    list of CheckResult
        One for every check of the interface.

    Raises
    ------
    errors.UnknownPlugin
        Nobody offers the name.
    errors.ExperimentError
        The example's settings are wrong.

    Examples
    --------
    >>> from cellvision.testing import check
    >>> results = check("augmenter", "flip")  # doctest: +SKIP
    >>> {result.outcome for result in results}  # doctest: +SKIP
    {'passed'}
    """
    if kind not in KINDS:
        raise errors.ExperimentError(
            f"no kind of plugin is called {kind!r}", f"One of {', '.join(KINDS)}"
        )
    base = KINDS[kind]
    try:
        # A wrong example is the asker's fault, all else is for the checks to tell.
        base.registry.create(name, **(example or {}))
    except (errors.UnknownPlugin, errors.ExperimentError):
        raise
    except Exception:  # noqa: BLE001, S110 - see above
        pass
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
        told(results[-1])
    if len(results) != len(base.checks()) or not results:
        raise AssertionError(f"{len(results)} checks ran of {len(base.checks())}")
    return results


def _one(checks: ComponentChecks, method: str) -> CheckResult:
    run = getattr(checks, method)
    name, demand = method.removeprefix("test_"), (inspect.getdoc(run) or "").partition("\n")[0]
    announced = checks.expected_failures.get(method)
    try:
        run()
    except unittest.SkipTest as skipped:
        return CheckResult(name, demand, "skipped", str(skipped))
    except Exception as error:  # noqa: BLE001 - a stranger's code
        if announced is not None:
            return CheckResult(name, demand, "expected", announced)
        if isinstance(error, CheckFailed):
            return CheckResult(name, demand, "failed", error.what, error.hint)
        what = f"{errors.summarize(error)}"
        return CheckResult(name, demand, "failed", what, "Try it in Python to see the traceback")
    if announced is not None:
        return CheckResult(
            name, demand, "failed", "it passes, and was expected to fail", "Expect it no more"
        )
    return CheckResult(name, demand, "passed")
