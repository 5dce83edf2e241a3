"""What a run can do whose plugins are not installed, and how it says what to install."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import cellvision as cv
from cellvision import errors
from cellvision.progress import Display
from cellvision.results.reporting import make_reports
from cellvision.results.run import Run

MISSING = {
    "cellvision.architectures:lost_net": "lab-nets==0.3",
    "cellvision.splitters:lost_folds": "lab-folds==0.2",
}

INSTALL = 'python -m pip install "lab-folds==0.2" "lab-nets==0.3"'


def without_plugins(run: Run, **changes: Any) -> Run:
    """Return the run as if its architecture and its splitter were no longer installed."""
    metadata = run.metadata
    experiment: Mapping[str, Any] = {
        **metadata.experiment,
        "architecture": {"type": "lost_net"},
        "split": {"splitter": {"type": "lost_folds", "column": "donor"}, "fold": 1},
        **changes,
    }
    plugins = {**metadata.plugins, **MISSING}
    return Run(
        run.folder, metadata.model_copy(update={"experiment": experiment, "plugins": plugins})
    )


def report(run: Run, reporter: cv.Reporter) -> list[errors.CellvisionError]:
    return make_reports(run, [reporter], Display())[1]


class Needy(cv.Reporter):
    """Needs the experiment."""

    def run(self, run: Run, folder: Path) -> Sequence[cv.Artifact]:
        assert run.experiment
        return []


def test_a_reporter_that_needs_a_missing_plugin_says_how_to_install_it(example_run: Run) -> None:
    cv.reporters.register("needy", Needy)
    try:
        (fault,) = report(without_plugins(example_run), Needy())
    finally:
        cv.reporters.unregister("needy")
    assert "lost_net (lab-nets==0.3)" in fault.what
    assert INSTALL in fault.hint
    assert f"then: cellvision report {example_run.folder}" in fault.hint


def test_augmented_images_need_the_augmenters_alone(example_run: Run) -> None:
    image = example_run.predictions["image"].iloc[0]
    run = without_plugins(example_run, augmenters=[{"type": "flip"}])
    assert run.augmented_input([image]).shape == run.network_input([image]).shape


def test_missing_augmenters_are_named(example_run: Run) -> None:
    run = without_plugins(example_run, augmenters=[{"type": "lost_flip"}])
    run.metadata.plugins["cellvision.augmenters:lost_flip"] = "lab-flips==0.1"
    image = run.predictions["image"].iloc[0]
    with pytest.raises(errors.UnknownPlugin, match="lost_flip"):
        run.augmented_input([image])


def test_reading_a_record_says_how_to_install_its_plugins(
    example_run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = without_plugins(example_run)
    record = tmp_path / "run.json"
    record.write_text(json.dumps(run.metadata.model_dump(mode="json", by_alias=True)))
    with pytest.raises(errors.UnknownPlugin, match="lost_net"):
        cv.load_experiment(record)
    assert INSTALL in caplog.text


def test_the_page_shows_the_splitter_and_the_recipe(example_run: Run) -> None:
    changes = {"recipe": "small", "recipe_settings": {"epochs": 7}}
    run = without_plugins(example_run, **changes)
    assert report(run, cv.reporters.create("html")) == []
    page = (run.folder / "reports" / "report.html").read_text(encoding="utf-8")
    assert "lost_folds (column = donor)" in page
    assert "small (epochs = 7)" in page
