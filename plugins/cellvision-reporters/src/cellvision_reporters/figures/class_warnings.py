"""Warnings about classes that a network never predicts, and the worst class of a test set."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def worst_class(run: Run, split: str) -> tuple[str, int, int] | None:
    """Return the class with the lowest recall in a split.

    Returns
    -------
    tuple of (str, int, int) or None
        The class, how many of its images are right, and how many there are; None if the split
        has no images.
    """
    rows = run.predictions_of(split)
    if rows.empty:
        return None
    right = rows["label"] == rows["predicted"]
    totals = {name: int((rows["label"] == name).sum()) for name in run.class_names}
    rights = {name: int((right & (rows["label"] == name)).sum()) for name in run.class_names}
    present = [name for name, total in totals.items() if total]
    worst = min(present, key=lambda name: rights[name] / totals[name])
    return worst, rights[worst], totals[worst]
