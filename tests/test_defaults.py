"""The default plugins are those of this project, even if another distribution has the name."""

from __future__ import annotations

from pathlib import Path

import pytest

import cellvision as cv
from cellvision import errors
from cellvision.studies.folds import folds_by, left_out_column, requested_splitter
from cellvision.testing import Isolation, SyntheticImages, example_plugins

SOURCE = '''
"""Plugins of {0}."""
from pathlib import Path

import cellvision as cv
from cellvision.testing import SyntheticImages, SyntheticNetwork

class Folder(SyntheticImages):
    """Images of a folder."""

    path: Path = Path()
    """The folder."""

class Net(SyntheticNetwork):
    """A network."""

class Folds(cv.Splitter):
    """Folds."""

    k: int = 5
    """How many."""

    column: str = "group"
    """Of which column."""

    def folds(self, catalog):
        """None."""
        return []

class Figure(cv.Reporter):
    """A figure."""

    def figure(self, results):
        """Say whose it is."""
        return "{0}"
'''


def install(isolation: Isolation, distribution: str) -> None:
    module = f"fake_{distribution.replace('-', '_')}"
    figures = ("confusion", "panel", "curves", "mistakes", "boxplot", "sheet", "intensities")
    entries = {
        "architecture": {"deep": f"{module}:Net"},
        "dataset": {"folder": f"{module}:Folder"},
        "splitter": dict.fromkeys(("group_k_fold", "leave_one_out"), f"{module}:Folds"),
        "reporter": dict.fromkeys(figures, f"{module}:Figure"),
    }
    ours = {"folder": "datasets", "group_k_fold": "splitters", "confusion": "reporters"}
    if distribution == "cellvision":
        for kind, names in entries.items():
            home = ours.get(next(iter(names)), f"{kind}s")
            isolation.install(f"cellvision-{home}", {kind: names})
        distribution = "cellvision-modules"
        entries = {}
    isolation.install(distribution, entries, {module: SOURCE.format(distribution)})


@pytest.fixture
def rivals(isolated_registries: Isolation) -> None:
    install(isolated_registries, "cellvision")
    install(isolated_registries, "lab-rival")


@pytest.mark.usefixtures("rivals")
def test_a_rival_changes_no_default(tmp_path: Path) -> None:
    for registry, name in ((cv.datasets, "folder"), (cv.splitters, "group_k_fold")):
        with pytest.raises(errors.PluginConflict):
            registry.get(name)
    with example_plugins():
        by_path = cv.Experiment(dataset=tmp_path, reporters=())
        assert type(by_path.dataset).__module__ == "fake_cellvision"
        assert type(by_path.architecture).__module__ == "fake_cellvision"
        settings = cv.Experiment(
            dataset=SyntheticImages(), architecture={}, reporters=()
        ).architecture
        assert type(settings).__module__ == "fake_cellvision"
    for splitter in (requested_splitter(3, None, None), requested_splitter(None, "dose", None)):
        assert type(splitter).__module__ == "fake_cellvision"


@pytest.mark.usefixtures("rivals")
def test_folds_are_named_by_what_the_splitter_says_and_not_by_a_setting() -> None:
    with example_plugins():
        splitter = cv.splitters.create("lab-rival:group_k_fold", column="dose")
        experiment = cv.Experiment(
            dataset=SyntheticImages(), reporters=(), split=cv.Split(splitter=splitter)
        )
    assert left_out_column(experiment) is None
    assert folds_by(experiment, "well", None) == "well"


@pytest.mark.usefixtures("rivals")
def test_a_rival_draws_no_figure_of_ours() -> None:
    from cellvision.interfaces.plots import AuditPlots, RunPlots, StudyPlots

    run, study, audit = RunPlots(None), StudyPlots(None), AuditPlots(None)  # type: ignore[arg-type]
    drawn = [run.curves(), study.box(), audit.intensities()]
    assert drawn == ["cellvision-modules"] * 3
    with pytest.raises(errors.PluginConflict):
        run("curves")
    assert run("lab-rival:curves") == "lab-rival"
