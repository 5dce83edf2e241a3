"""The ensemble of an experiment's runs: the mean of their probabilities, scored like a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.split_names import is_training
from cellvision.results.metadata import EnsembleRecord
from cellvision.results.scores import Score, cross_entropy

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.results.run import Run
    from cellvision.results.study import StudyExperiment


def ensemble_records(experiments: Sequence[StudyExperiment]) -> tuple[EnsembleRecord, ...]:
    """Score the ensemble of each experiment that has at least two runs.

    Parameters
    ----------
    experiments
        Experiments of a study. Their runs have been evaluated on the same images.
    """
    return tuple(
        EnsembleRecord(
            experiment=experiment.name,
            runs=tuple(run.folder.name for run in experiment.runs),
            scores=ensemble_scores(experiment.runs),
        )
        for experiment in experiments
        if len(experiment.runs) > 1
    )


def ensemble_scores(runs: Sequence[Run]) -> dict[str, Score]:
    """Return the score of the mean probabilities of several runs, by split.

    The loss is the cross-entropy.

    Parameters
    ----------
    runs
        Runs of one experiment.

    Raises
    ------
    errors.FolderError
        The runs were evaluated on different images.
    """
    table, probabilities = mean_predictions(runs)
    numbers = {name: number for number, name in enumerate(runs[0].class_names)}
    labels = table["label"].map(numbers).to_numpy(np.int64)
    scores = {}
    for split in [name for name in runs[0].scores if name in set(table["split"])]:
        rows = (table["split"] == split).to_numpy()
        scores[split] = Score.from_predictions(
            labels[rows],
            probabilities[rows],
            table.loc[rows, "group"].to_numpy() if runs[0].group_column is not None else None,
            cross_entropy(labels[rows], probabilities[rows]),
            units=runs[0].independent_units(table.loc[rows, "image"]),
            class_names=() if is_training(split) else runs[0].class_names,
            cross_validated=runs[0].cross_validated,
        )
    return scores


def mean_predictions(runs: Sequence[Run]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the images of the first run, and the mean probabilities of all runs.

    Returns
    -------
    table : pandas.DataFrame
        Columns image, split, group and label.
    probabilities : numpy.ndarray
        Shape (images, classes), float64.
    """
    first = runs[0].predictions
    columns = [f"p_{name}" for name in runs[0].class_names]
    total = np.zeros((len(first), len(columns)))
    for run in runs:
        table = run.predictions.set_index("image")
        if len(table) != len(first) or not first["image"].isin(table.index).all():
            raise errors.FolderError(
                f"{run.folder}: its images are not those of the study's other runs",
                "Remove the runs that were trained on other images, and run the study again.",
            )
        total += table.loc[first["image"], columns].to_numpy(np.float64)
    return first[["image", "split", "group", "label"]], total / len(runs)
