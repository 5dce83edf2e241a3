"""The pytest plugin: fixtures, expected failures, and the number of checks that ran.

pytest imports it in every session if cellvision is installed, so it imports nothing heavy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cellvision.results.run import Run
    from cellvision.results.study import Study
    from cellvision.testing.isolation import Isolation

_PROPERTY = "cellvision_checks"
_RAN = pytest.StashKey[dict[str, set[str]]]()
_DEFINED = pytest.StashKey[dict[str, int]]()
_MISSING = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def cellvision_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Cache, state and downloads of cellvision in temporary folders, not in the user's own.

    Name it in the setting ``usefixtures`` of pytest to use it in every test.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CACHE", "STATE", "DATA"):
            patch.setenv(f"CELLVISION_{name}", str(tmp_path_factory.mktemp(name.lower())))
        yield


@pytest.fixture
def isolated_registries(tmp_path: Path) -> Iterator[Isolation]:
    """Registries that see no installed plugins, only those that the test installs."""
    from cellvision.testing.isolation import isolated

    folder = tmp_path / "site-packages"
    folder.mkdir()
    with isolated(folder) as isolation:
        yield isolation


@pytest.fixture
def example_run(tmp_path: Path) -> Iterator[Run]:
    """A finished run of three classes and two epochs, in a temporary folder."""
    from cellvision.testing import examples

    with examples.example_plugins():
        yield examples.example_run(tmp_path / "run")


@pytest.fixture
def example_study(tmp_path: Path) -> Iterator[Study]:
    """A finished study of two runs, in a temporary folder."""
    from cellvision.testing import examples

    with examples.example_plugins():
        yield examples.example_study(tmp_path / "study")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the checks that are expected to fail, and record how many checks a class has."""
    cls = getattr(item, "cls", None)
    method = getattr(item, "originalname", item.name)
    if cls is None or not hasattr(cls, "expected_failures"):
        return
    if not getattr(getattr(cls, method, None), "_of_the_kit", False):
        return
    class_id = item.nodeid.rpartition("::")[0]
    item.user_properties.append((_PROPERTY, [class_id, method, len(cls.checks())]))
    reason = cls.expected_failures.get(method)
    if reason is not None:
        item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def pytest_configure(config: pytest.Config) -> None:
    """Start counting, and register the markers ``slow`` and ``exhaustive``."""
    config.addinivalue_line("markers", "slow: takes more than about ten seconds")
    config.addinivalue_line("markers", "exhaustive: slow, and run before a release only")
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
                class_id, method, defined = value
                self.config.stash[_RAN][class_id].add(method)
                self.config.stash[_DEFINED][class_id] = defined


_WHOLE_CLASSES = ("", "not slow", "not slow and not exhaustive")
"""Selections that leave out classes of checks only as a whole."""


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session if a class of checks ran only in part although whole files were selected."""
    config = session.config
    if hasattr(config, "workerinput") or session.shouldstop or session.shouldfail:
        return
    option = config.option
    narrowed = (
        option.keyword
        or option.markexpr
        not in ("", "not slow", "not slow and not exhaustive")  # whole classes are slow
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
    for class_id, defined in config.stash[_DEFINED].items():
        ran = len(config.stash[_RAN][class_id])
        if ran < defined:
            config.stash[_MISSING].append(f"{class_id}: {ran} checks ran of {defined}")
    if config.stash[_MISSING]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """List the classes whose checks did not all run."""
    missing = config.stash[_MISSING]
    if missing:
        terminalreporter.section("cellvision: checks that did not run", red=True)
        for line in missing:
            terminalreporter.line(line)
