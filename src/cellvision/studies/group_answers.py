"""Answers for groups, which a verdict has in addition to the accuracy of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision.results.scores import Score
from cellvision.studies.ensemble import mean_predictions

if TYPE_CHECKING:
    from cellvision.results.run import Run


def group_answers(runs: Sequence[Run], split: str) -> dict[str, Any]:
    """Score the answers for groups, from mean probabilities over runs; empty if unknown.

    Parameters
    ----------
    runs
        Runs of one experiment.
    split
        Name of the test set.
    """
    if runs[0].group_column is None:
        return {}
    table, probabilities = mean_predictions(runs)
    rows = (table["split"] == split).to_numpy()
    numbers = {name: number for number, name in enumerate(runs[0].class_names)}
    score = Score.from_predictions(
        table.loc[rows, "label"].map(numbers).to_numpy(np.int64),
        probabilities[rows],
        table.loc[rows, "group"].to_numpy(),
        0.0,
        units=runs[0].independent_units(table.loc[rows, "image"]),
        cross_validated=runs[0].cross_validated,
    )
    names = ("group_accuracy", "group_accuracy_low", "group_accuracy_high")
    return {name: getattr(score, name) for name in (*names, "groups_scored", "groups_left_out")}
