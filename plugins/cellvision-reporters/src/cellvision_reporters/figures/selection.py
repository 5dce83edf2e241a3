"""Selects the images that a figure shows, by their names alone."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from cellvision import errors

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run


def _hash(image: str) -> int:
    # A checksum of the name: neither the order of files nor a random number decides.
    return zlib.crc32(image.encode("utf-8", "surrogatepass"))


def balanced_sample(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Select up to `count` rows, the same number from each class (`label`) as far as possible.

    The selection depends on nothing but the names of the images.

    Parameters
    ----------
    rows
        With the columns ``image`` and ``label``.
    count
        Number of rows.
    """
    shuffled = rows.assign(_hash=rows["image"].map(_hash)).sort_values(["_hash", "image"])
    turn = shuffled.groupby("label").cumcount()
    selected = shuffled.assign(_turn=turn).sort_values(["_turn", "_hash", "image"]).head(count)
    return selected.drop(columns=["_hash", "_turn"]).sort_values(["label", "image"])


def stratified_sample(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Select rows so that right and wrong answers keep their proportion within each class.

    Each class gets the same number of images as far as possible, and at least one if there is
    room. A class with wrong answers shows at least one of them if it shows two images or more.

    Parameters
    ----------
    rows
        With the columns ``image``, ``label`` and ``predicted``.
    count
        Number of rows.
    """
    import pandas as pd

    quota = balanced_sample(rows, min(count, len(rows)))["label"].value_counts()
    parts = [
        _proportional(rows[rows["label"] == label], int(number)) for label, number in quota.items()
    ]
    selected = pd.concat(parts) if parts else rows.head(0)
    return (
        selected.assign(_right=selected["label"] == selected["predicted"])
        .sort_values(["label", "_right", "image"], ascending=[True, False, True])
        .drop(columns="_right")
    )


def _proportional(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Select rows of one class with right and wrong answers in proportion."""
    import pandas as pd

    correct = rows["label"] == rows["predicted"]
    right, wrong = rows[correct], rows[~correct]
    wrong_count = round(count * len(wrong) / len(rows))
    if len(wrong) and count > 1:
        wrong_count = max(wrong_count, 1)
    if len(right) and count > 1:
        wrong_count = min(wrong_count, count - 1)
    wrong_count = min(max(wrong_count, count - len(right)), len(wrong))
    return pd.concat(
        [balanced_sample(right, count - wrong_count), balanced_sample(wrong, wrong_count)]
    )


def shown_splits(run: Run, split: str | None, *, fallback: bool = True) -> list[str]:
    """Return the splits that a reporter shows.

    Parameters
    ----------
    run
        The run.
    split
        Name of one split; None for every test set.
    fallback
        Whether a run without test sets shows its validation split, or else its training split.

    Raises
    ------
    errors.ExperimentError
        The run has no split of that name.
    """
    evaluated = set(run.predictions["split"]) & set(run.scores)
    if split is not None:
        if split not in evaluated:
            raise errors.ExperimentError(
                f"there is no split {split!r}", f"Choose one of {', '.join(sorted(evaluated))}"
            )
        return [split]
    tests = [name for name in run.test_splits if name in evaluated]
    others = (run.validation_split, run.training_split) if fallback else ()
    return tests or [name for name in others if name is not None and name in evaluated][:1]
