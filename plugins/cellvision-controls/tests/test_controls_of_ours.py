"""What our controls predict, permute and train, on images whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cellvision_controls.intensity import intensity_summaries

import cellvision as cv
from cellvision.testing import (
    SyntheticImages,
    example_control_data,
    example_experiment,
    example_plugins,
    isolated,
)


def with_batches(batches: list[str], labels: list[str], training: int) -> cv.ControlData:
    """One image per group; the first ones are for training."""
    data = example_control_data(groups=len(batches), images=1)
    splits = ["train"] * training + ["test"] * (len(batches) - training)
    table = data.table.assign(batch=batches, label=labels, split=splits)
    return replace(data, table=table)


def predicted(data: cv.ControlData) -> list[str]:
    probabilities = cv.controls.create("batch").predict(data, 0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    return [data.class_names[number] for number in probabilities.argmax(axis=1)]


def test_batch_names_the_commonest_class_of_other_training_groups() -> None:
    labels = ["control", "control", "treated", "treated", "treated", "control", "treated"]
    data = with_batches(["p1"] * 3 + ["p2"] * 2 + ["p1", "p3"], labels, training=5)
    # An image's own group has no vote: where the others are even, the proportions of all training
    # groups decide (3 of 5 are treated), as they do for plate 3, which has no training group.
    own_left_out = ["treated", "treated", "control", "treated", "treated"]
    assert predicted(data) == [*own_left_out, "control", "treated"]


def test_batch_gives_every_group_one_vote() -> None:
    data = example_control_data(groups=4, images=5)
    # Group 0 has five control images, groups 1 and 2 one treated image each; group 3 is tested.
    kept = [0, 1, 2, 3, 4, 5, 10, 15]
    table = data.table.iloc[kept].reset_index(drop=True)
    labels = ["control"] * 5 + ["treated"] * 3
    splits = ["train"] * 7 + ["test"]
    table = table.assign(batch="p1", label=labels, split=splits)
    data = replace(data, table=table, pixels=data.pixels[kept])
    assert predicted(data)[-1] == "treated"


@pytest.mark.parametrize(
    ("batches", "reason"),
    [([None, None], "unknown"), (["p1", None], "a single batch"), (["p1", "p2"], "")],
)
def test_batch_needs_two_batches(batches: list[str | None], reason: str) -> None:
    table = example_control_data(groups=2, images=1).table.assign(batch=batches)
    said = cv.controls.create("batch").unavailable(table)
    assert (reason in said) if reason else not said


def test_intensity_recognizes_brightness_and_nothing_else() -> None:
    data = example_control_data()
    control = cv.controls.create("intensity")
    held_out = np.setdiff1d(np.arange(len(data.table)), data.training_rows)
    right = control.predict(data, 0).argmax(axis=1) == data.labels
    assert right[held_out].mean() == 1
    shuffled = np.sort(data.pixels.reshape(len(data.pixels), -1))[:, ::-1].copy()
    same = replace(data, pixels=shuffled.reshape(data.pixels.shape))
    np.testing.assert_allclose(control.predict(same, 0), control.predict(data, 0), atol=1e-6)


def test_summaries_of_intensity() -> None:
    image = np.arange(101, dtype=np.uint16).reshape(1, 101, 1, 1)
    expected = [50, np.std(np.arange(101)), 1, 5, 25, 50, 75, 95, 99]
    np.testing.assert_allclose(intensity_summaries(image)[0], expected)


def test_permutations_stay_what_they_were() -> None:
    """Studies of earlier versions without batches resume with the same labels."""
    data = example_control_data(groups=8, images=1)
    data = replace(data, table=data.table.assign(split="train", batch=None))
    drawn = {
        name: "".join(label[0] for label in cv.controls.create(name).change_labels(data, 3))
        for name in ("permuted_groups", "permuted_images")
    }
    labels = data.table["label"].to_numpy(dtype=object)
    for number, name in enumerate(drawn):
        expected = np.random.default_rng((3, number)).permutation(labels)
        assert drawn[name] == "".join(label[0] for label in expected)


def test_texture_replaces_network_and_training_alone() -> None:
    experiment = example_experiment(
        augmenters=[cv.augmenters.create("flip")],
        training=cv.Training(epochs=7, seed=5, class_weights="balanced", label_smoothing=0.1),
    )
    changed = cv.controls.create("texture", l2=0.01).change_experiment(experiment)
    assert changed.architecture == cv.architectures.create("scattering", l2=0.01)
    assert changed.augmenters == ()
    assert changed.training.seed == 5
    assert changed.training.class_weights == "balanced"
    assert changed.training.label_smoothing is None
    for part in ("dataset", "split", "preprocessing", "reporters"):
        assert getattr(changed, part) == getattr(experiment, part)
    again = cv.controls.create("texture").change_experiment(changed)
    assert again == changed


def test_a_frozen_encoder_is_any_network_that_is_named() -> None:
    network = {"type": "encoder", "path": "encoder.onnx", "scaling": "imagenet"}
    control = cv.controls.create("frozen_encoder", architecture=network)
    changed = control.change_experiment(example_experiment())
    assert changed.architecture == cv.architectures.create(
        "encoder", path="encoder.onnx", scaling="imagenet"
    )
    assert control.change_experiment(changed) == changed
    assert control.meaning().kind == "lower rung"
    assert not control.enabled_by_default  # it needs a file


def test_without_its_architecture_texture_says_what_to_install(tmp_path: Path) -> None:
    control = cv.controls.create("texture")
    with (
        isolated(tmp_path),
        pytest.raises(cv.errors.UnknownPlugin, match="scattering") as caught,
    ):
        control.change_experiment(example_experiment())
    assert "cellvision" in caught.value.hint


@pytest.mark.slow
def test_the_ladder_and_the_batch_in_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = SyntheticImages(names=("control", "treated"), batch="group")
    rungs = ["batch", "texture", "intensity"]
    with example_plugins():
        study = cv.study(
            example_experiment(dataset=images), 2, tmp_path / "study", controls=rungs, progress=True
        )
        run = study.controls["texture"][0]
        assert run.experiment.architecture == cv.architectures.create("scattering")
    assert {name: len(runs) for name, runs in study.controls.items()} == dict.fromkeys(rungs, 1)
    # Each line names its run, also that of a network that is solved in one step.
    assert "(texture, seed 0)  epoch 1/1" in capsys.readouterr().err
    assert [control.control for control in study.verdicts[0].controls] == [
        "batch",
        "intensity",
        "texture",
    ]
    assert not study.controls["batch"][0].history.size
    assert study.controls["texture"][0].model().output_shape == (None, 2)


def test_background_says_where_cells_fill_the_images() -> None:
    """It has a caveat where that holds for at least half of the classes."""
    control = cv.controls.create("background")
    data = example_control_data(groups=8, images=2)
    rng = np.random.default_rng(0)
    empty = rng.normal(100, 3, (len(data.table), 64, 64, 1)).astype(np.float32)
    spots, full = empty.copy(), empty.copy()
    spots[:, 24:40, 24:40] += 1000
    full[:, 2:, :] += 1000
    first = (data.labels == 0)[:, None, None, None]
    assert control.caveat(replace(data, pixels=spots)) == ""
    assert control.caveat(replace(data, pixels=empty)) == ""
    both = control.caveat(replace(data, pixels=full))
    assert both == (
        "cells with their margins fill the images (median 100% of 'control', 100% of 'treated')"
    )
    half = control.caveat(replace(data, pixels=np.where(first, full, spots)))
    assert half == "cells with their margins fill the images (median 100% of 'control')"
