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
from cellvision.testing import example_experiment, example_plugins

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


def with_recipe(run: Run, requirement: str, name: str = "lost_recipe") -> Run:
    """Return the run as if a recipe of this distribution had made its experiment."""
    experiment = {**run.metadata.experiment, "recipe": name, "recipe_plugin": requirement}
    plugins = {**run.metadata.plugins, f"cellvision.recipes:{name}": requirement}
    return Run(
        run.folder, run.metadata.model_copy(update={"experiment": experiment, "plugins": plugins})
    )


def test_a_missing_recipe_is_named_and_not_needed(
    example_run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = with_recipe(example_run, "lab-recipes==0.4")
    assert run.experiment.recipe == "lost_recipe"
    record = tmp_path / "run.json"
    record.write_text(json.dumps(run.metadata.model_dump(mode="json", by_alias=True)))
    assert cv.load_experiment(record).recipe_plugin == "lab-recipes==0.4"
    for message in caplog.messages:
        assert "the recipe 'lost_recipe' (lab-recipes==0.4)" in message
        assert "it is not needed" in message
    assert len(caplog.messages) == 2


def test_another_version_of_the_recipe_is_named(
    example_run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    assert with_recipe(example_run, "cellvision-recipes==0.0.3", "page").experiment
    (message,) = caplog.messages
    assert "made with other versions: cellvision-recipes 0.0.3, now 0." in message


def test_a_run_records_the_recipe_of_its_experiment(tmp_path: Path) -> None:
    experiment = example_experiment(recipe="page", recipe_plugin="cellvision-recipes==0.1.0")
    with example_plugins():
        run = cv.train(experiment, tmp_path / "run")
    assert run.metadata.plugins["cellvision.recipes:page"] == "cellvision-recipes==0.1.0"
    assert report(run, cv.reporters.create("html")) == []
    page = (run.folder / "reports" / "report.html").read_text(encoding="utf-8")
    assert "cellvision-recipes==0.1.0" in page


def test_a_recipe_of_a_local_file_is_copied_into_the_run(tmp_path: Path) -> None:
    path = tmp_path / "brief_recipe.py"
    path.write_text(BRIEF)
    file = cv.load_plugins(path)
    with example_plugins():
        images = example_experiment().dataset
        settings: Mapping[str, Any] = {"preprocessing": {"size": [12, 12]}, "reporters": []}
        experiment = cv.experiment_from_recipe(images, "brief", settings)
        run = cv.train(experiment, tmp_path / "run")
    assert run.metadata.plugins["cellvision.recipes:brief"] == "brief_recipe.py"
    assert run.metadata.local_plugins == {"brief_recipe.py": file.digest}
    assert (run.folder / "plugins" / "brief_recipe.py").read_text() == BRIEF


BRIEF = '''"""A recipe of a file."""

import cellvision as cv


class Brief(cv.Recipe):
    """Trains for one epoch."""

    def experiment(self, facts):
        """Choose the settings."""
        network = {"type": "perceptron"}
        return {"architecture": network, "training": {"epochs": 1, "batch_size": 4}}
'''


def test_the_error_names_the_distribution_to_install(example_run: Run, tmp_path: Path) -> None:
    run = without_plugins(example_run)
    record = tmp_path / "run.json"
    record.write_text(json.dumps(run.metadata.model_dump(mode="json", by_alias=True)))
    with pytest.raises(errors.UnknownPlugin) as caught:
        cv.load_experiment(record)
    assert caught.value.what.endswith("'lab-nets:lost_net': lab-nets is not installed")
    assert caught.value.hint == "Install it: python -m pip install lab-nets"


def test_a_plugin_of_the_same_name_is_no_substitute(
    example_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = example_run.metadata
    experiment: Mapping[str, Any] = {**metadata.experiment, "augmenters": [{"type": "flip"}]}
    plugins = {**metadata.plugins, "cellvision.augmenters:flip": "lab-flips==0.3"}
    metadata = metadata.model_copy(update={"experiment": experiment, "plugins": plugins})
    record = tmp_path / "run.json"
    record.write_text(json.dumps(metadata.model_dump(mode="json", by_alias=True)))
    with pytest.raises(errors.UnknownPlugin, match=r"flip \(lab-flips==0.3\)"):
        assert Run(example_run.folder, metadata).experiment
    with pytest.raises(errors.UnknownPlugin, match="lab-flips is not installed") as caught:
        cv.load_experiment(record)
    assert "choose 'cellvision-augmenters:flip'" in caught.value.hint
    monkeypatch.setenv("CELLVISION_PREFER", "cellvision-augmenters:flip")
    assert Run(example_run.folder, metadata).experiment == cv.load_experiment(record)
