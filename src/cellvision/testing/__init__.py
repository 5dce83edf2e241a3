"""Checks that every plugin must pass, for its author to inherit and its user to ask for.

An author subclasses the class of checks of the interface, in a test file of the plugin::

    from cellvision.testing import ArchitectureChecks

    class TestDeep(ArchitectureChecks):
        name = "deep"
        example = {"dense": 50}

and runs pytest. A user runs ``cellvision check deep``, or `check` from Python. The names here
are imported when they are first used, so that pytest does not start more slowly for those who
have cellvision installed and test something else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellvision.testing.architecture import ArchitectureChecks
    from cellvision.testing.augmenter import AugmenterChecks
    from cellvision.testing.dataset import DatasetChecks
    from cellvision.testing.examples import (
        SyntheticImages,
        SyntheticNetwork,
        example_experiment,
        example_plugins,
        example_run,
        example_study,
        write_images,
    )
    from cellvision.testing.isolation import Isolation, isolated
    from cellvision.testing.reporter import ReporterChecks
    from cellvision.testing.result import CheckFailed, CheckResult
    from cellvision.testing.runner import check

_HOMES = {
    "ArchitectureChecks": "architecture",
    "AugmenterChecks": "augmenter",
    "CheckFailed": "result",
    "CheckResult": "result",
    "DatasetChecks": "dataset",
    "Isolation": "isolation",
    "SyntheticImages": "examples",
    "SyntheticNetwork": "examples",
    "ReporterChecks": "reporter",
    "check": "runner",
    "example_experiment": "examples",
    "example_plugins": "examples",
    "example_run": "examples",
    "example_study": "examples",
    "isolated": "isolation",
    "write_images": "examples",
}

__all__ = [
    "ArchitectureChecks",
    "AugmenterChecks",
    "CheckFailed",
    "CheckResult",
    "DatasetChecks",
    "Isolation",
    "ReporterChecks",
    "SyntheticImages",
    "SyntheticNetwork",
    "check",
    "example_experiment",
    "example_plugins",
    "example_run",
    "example_study",
    "isolated",
    "write_images",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
