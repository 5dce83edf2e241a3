"""Warnings about classes that a network never predicts, and the worst class of a test set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellvision_reporters.figures.phrasing import format_percent, plural

if TYPE_CHECKING:
    from cellvision import Run


def never_predicted(run: Run, split: str) -> list[str]:
    """Return one sentence for each class with images in a split that is never predicted there.

    Parameters
    ----------
    run
        The run.
    split
        Name of a split.
    """
    rows = run.predictions_of(split)
    counts = rows["label"].value_counts()
    predicted = set(rows["predicted"])
    return [
        f"{split}: class {name!r} is never predicted ({counts[name]} images of it are wrong). "
        "Balanced accuracy and the table of classes show it; accuracy hides it."
        for name in run.class_names
        if name in counts.index and name not in predicted
    ]


def worst_class(runs: Sequence[Run], split: str) -> str | None:
    """Name the class with the lowest recall in a split, the mean over runs.

    Parameters
    ----------
    runs
        Runs on the same images.
    split
        Name of the split.

    Returns
    -------
    str or None
        Such as ``treated: 12 of 20 images right (60 %)``; None if the split has no images.
    """
    rows = runs[0].predictions_of(split)
    if rows.empty:
        return None
    totals = rows["label"].value_counts()
    rights = dict.fromkeys((name for name in runs[0].class_names if name in totals.index), 0)
    for run in runs:
        answers = run.predictions_of(split)
        for name, right in (answers["label"] == answers["predicted"]).groupby(answers["label"]):
            rights[str(name)] += int(right.sum())
    worst = min(rights, key=lambda name: rights[name] / totals[name])
    percent = format_percent(rights[worst] / len(runs) / totals[worst])
    images = plural(int(totals[worst]), "image")
    if len(runs) > 1:
        return f"{worst}: {percent} of {images} right, mean of {plural(len(runs), 'run')}"
    return f"{worst}: {rights[worst]} of {images} right ({percent})"
