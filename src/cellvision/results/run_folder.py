"""Write the results of a run to its folder: predictions, tables, audit and record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import atomic_io
from cellvision.data.split_names import is_test, is_training
from cellvision.interfaces.control import controls, overridden
from cellvision.results.claimed_folder import RESUME, release_folder
from cellvision.results.class_scores import never_predicted
from cellvision.results.environment import (
    copy_local_plugins,
    decoder_requirements,
    plugin_requirements,
    recipe_requirement,
)
from cellvision.results.image_sketches import write_sketches
from cellvision.results.metadata import Environment, LeakRecord, RunMetadata, Timings
from cellvision.results.prediction_files import write_predictions
from cellvision.results.run import Run, load_run
from cellvision.results.scores import Score

if TYPE_CHECKING:
    from pathlib import Path

    from cellvision.data.prepared import PreparedData
    from cellvision.experiment import Experiment
    from cellvision.interfaces.control import Control


@dataclass(frozen=True, eq=False)
class RunPredictions:
    """The predictions of a run.

    Attributes
    ----------
    probabilities : numpy.ndarray
        Probabilities of all images, shape (images, classes).
    loss : callable
        Returns the mean loss of labels and probabilities.
    averaged : numpy.ndarray or None
        Probabilities of which those of held-out images are means over orientations; None if
        they were not computed.
    """

    probabilities: np.ndarray
    loss: Callable[[np.ndarray, np.ndarray], float]
    averaged: np.ndarray | None = None


@dataclass(frozen=True)
class TrainingRecord:
    """How a run was trained, as ``run.json`` records it; see `RunMetadata`."""

    seed: int
    environment: Environment
    timings: Timings
    warnings: Sequence[str] = ()
    restarted_seeds: tuple[int, ...] = ()
    kept_epoch: int | None = None
    solved: bool = False
    interrupted: bool = False


def write_run(
    folder: Path, prepared: PreparedData, predictions: RunPredictions, training: TrainingRecord
) -> Run:
    """Write predictions, audit and record of a run; ``run.json`` is written last.

    Parameters
    ----------
    folder
        A claimed folder, which holds the history and the model.
    prepared
        The images. Their warnings precede those of the training.
    predictions
        The predictions of all images.
    training
        How the run was trained.
    """
    write_predictions(folder, prepared.catalog, predictions.probabilities)
    atomic_io.text(folder / "audit.json", prepared.audit.to_json_text())
    if prepared.control is None:
        write_sketches(folder, prepared.audit, prepared.sketches)
    metadata = _metadata(folder, prepared, predictions, training)
    atomic_io.text(folder / "run.json", metadata.to_json())
    if not training.interrupted:
        (folder / RESUME).unlink(missing_ok=True)
        release_folder(folder)
    return load_run(folder)


def _metadata(
    folder: Path, prepared: PreparedData, predictions: RunPredictions, training: TrainingRecord
) -> RunMetadata:
    experiment = with_seed(prepared.experiment, training.seed)
    scores = _scores(prepared, predictions.loss, predictions.probabilities)
    return RunMetadata(
        experiment=experiment.model_dump(mode="json"),
        plugins={
            **recipe_requirement(experiment),
            **plugin_requirements((experiment, prepared.control)),
            **decoder_requirements(prepared.catalog.table["image"]),
        },
        local_plugins=copy_local_plugins(experiment, prepared.control, folder / "plugins"),
        environment=training.environment,
        seed=training.seed,
        restarted_seeds=training.restarted_seeds,
        kept_epoch=training.kept_epoch,
        solved=training.solved,
        interrupted=training.interrupted,
        **_control_fields(prepared.control, prepared.caveat),
        class_names=prepared.catalog.class_names,
        intensity_zero=prepared.zero,
        intensity_scale=prepared.one,
        group_column=prepared.catalog.group_column,
        batch_column=prepared.catalog.batch_column,
        counts=prepared.catalog.counts(),
        **_digests(prepared),
        scores=scores,
        tta_scores={}
        if predictions.averaged is None
        else _scores(
            prepared, predictions.loss, predictions.averaged, without=prepared.training_split
        ),
        timings=training.timings,
        leaks=tuple(LeakRecord.model_validate(leak.to_json()) for leak in prepared.audit.leaks),
        warnings=(*prepared.warnings, *training.warnings, *_never_predicted(scores)),
    )


def _never_predicted(scores: Mapping[str, Score]) -> list[str]:
    return [
        line
        for split, score in scores.items()
        if is_test(split)
        for line in never_predicted(split, score.classes)
    ]


def _digests(prepared: PreparedData) -> dict[str, Any]:
    """Identify the test sets and all images; empty for a control, whose labels may differ."""
    if prepared.control is not None:
        return {}
    splits = [split for split in prepared.catalog.splits() if is_test(split)]
    by_split = {split: prepared.digest(prepared.rows(split)) for split in splits}
    return {
        "test_sets": {split: digest for split, digest in by_split.items() if digest is not None},
        "all_images": prepared.digest(np.arange(len(prepared.labels))),
    }


def _control_fields(control: Control | None, caveat: str) -> dict[str, Any]:
    """Return the record's fields about a control; its settings if it changed the images."""
    if control is None:
        return {}
    return {
        "control": controls.name_of(type(control)),
        "control_caveat": caveat,
        "image_control": control.model_dump(mode="json")
        if "change_image" in overridden(control)
        else None,
    }


def with_seed(experiment: Experiment, seed: int) -> Experiment:
    """Return the experiment with another seed."""
    training = experiment.training.model_copy(update={"seed": seed})
    return experiment.model_copy(update={"training": training})


def _scores(
    prepared: PreparedData,
    mean_loss: Callable[[np.ndarray, np.ndarray], float],
    probabilities: np.ndarray,
    without: str | None = None,
) -> dict[str, Score]:
    groups = prepared.catalog.table["group"].to_numpy()
    has_groups = prepared.catalog.group_column is not None
    scores = {}
    for split in prepared.catalog.splits():
        if split == without:
            continue
        rows = prepared.rows(split)
        labels = prepared.labels[rows]
        scores[split] = Score.from_predictions(
            labels,
            probabilities[rows],
            groups[rows] if has_groups else None,
            mean_loss(labels, probabilities[rows]),
            # Recalls on training images say nothing about new ones.
            class_names=() if is_training(split) else prepared.catalog.class_names,
        )
    return scores
