"""The pytest plugin: fixtures, expected failures, and the count of the checks that ran.

pytest imports this in every session where cellvision is installed, so it imports nothing heavy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cellvision.testing.isolation import Isolation

_PROPERTY = "cellvision_checks"
_RAN = pytest.StashKey[dict[str, set[str]]]()
_DEFINED = pytest.StashKey[dict[str, int]]()
_MISSING = pytest.StashKey[list[str]]()


@pytest.fixture
def isolated_registries(tmp_path: Path) -> Iterator[Isolation]:
    """Registries that know nothing of what is installed, but what the test installs by hand."""
    from cellvision.testing.isolation import isolated

    folder = tmp_path / "site-packages"
    folder.mkdir()
    with isolated(folder) as isolation:
        yield isolation


@pytest.fixture
def example_run(tmp_path: Path) -> Iterator[Any]:
    """A finished run of three classes and two epochs, in a folder of its own."""
    from cellvision.testing import examples

    with examples.example_plugins():
        yield examples.example_run(tmp_path / "run")


@pytest.fixture
def example_study(tmp_path: Path) -> Iterator[Any]:
    """A finished study of two runs, in a folder of its own."""
    from cellvision.testing import examples

    with examples.example_plugins():
        yield examples.example_study(tmp_path / "study")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the checks that are expected to fail, and tell how many there are to be."""
    cls = getattr(item, "cls", None)
    method = getattr(item, "originalname", item.name)
    if cls is None or not hasattr(cls, "expected_failures"):
        return
    if not getattr(getattr(cls, method, None), "_of_the_kit", False):
        return
    of = item.nodeid.rpartition("::")[0]
    item.user_properties.append((_PROPERTY, [of, method, len(cls.checks())]))
    reason = cls.expected_failures.get(method)
    if reason is not None:
        item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    ran: dict[str, set[str]] = defaultdict(set)
    config.stash[_RAN] = ran
    config.stash[_DEFINED] = {}
    config.stash[_MISSING] = []
    config.pluginmanager.register(_Count(config), "cellvision-count")


class _Count:
    """Counts reports, which also come from the workers of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == _PROPERTY and report.when == "call":
                assert isinstance(value, list)
                of, method, defined = value
                self.config.stash[_RAN][of].add(method)
                self.config.stash[_DEFINED][of] = defined


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a class of checks ran in part, though nobody asked for a part."""
    config = session.config
    if hasattr(config, "workerinput") or session.shouldstop or session.shouldfail:
        return
    option = config.option
    narrowed = (
        option.keyword
        or option.markexpr
        or getattr(option, "lf", False)
        or getattr(option, "deselect", None)
        or getattr(option, "stepwise", False)
        or any("::" in argument for argument in config.args)
    )
    if narrowed or session.exitstatus in (
        pytest.ExitCode.INTERRUPTED,
        pytest.ExitCode.INTERNAL_ERROR,
    ):
        return
    for of, defined in config.stash[_DEFINED].items():
        ran = len(config.stash[_RAN][of])
        if ran < defined:
            config.stash[_MISSING].append(f"{of}: {ran} checks ran of {defined}")
    if config.stash[_MISSING]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell which checks did not run."""
    missing = config.stash[_MISSING]
    if missing:
        terminalreporter.section("cellvision: checks that did not run", red=True)
        for line in missing:
            terminalreporter.line(line)
