"""Which images a picture shows: a fixed choice, even over classes, true to the accuracy."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from cellvision import errors

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run


def _order(image: str) -> int:
    # A checksum of the name: neither the order of files nor chance decides.
    return zlib.crc32(image.encode("utf-8", "surrogatepass"))


def even_over_classes(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Choose `count` rows, from each class (`label`) as many as from any other, as far as it has.

    The choice depends on nothing but the images' names.
    """
    shuffled = rows.assign(_order=rows["image"].map(_order)).sort_values(["_order", "image"])
    turn = shuffled.groupby("label").cumcount()
    chosen = shuffled.assign(_turn=turn).sort_values(["_turn", "_order", "image"]).head(count)
    return chosen.drop(columns=["_order", "_turn"]).sort_values(["label", "image"])


def true_to_accuracy(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Choose rows so that right and wrong answers keep their share.

    Where there are any, at least one wrong and one right answer are shown.

    Parameters
    ----------
    rows
        With `image`, `label` and `predicted`.
    count
        How many to choose.
    """
    import pandas as pd

    count = min(count, len(rows))
    correct = rows["label"] == rows["predicted"]
    right, wrong = rows[correct], rows[~correct]
    wrong_count = round(count * len(wrong) / max(len(rows), 1))
    if len(wrong) and count > 1:
        wrong_count = max(wrong_count, 1)
    if len(right) and count > 1:
        wrong_count = min(wrong_count, count - 1)
    wrong_count = min(max(wrong_count, count - len(right)), len(wrong))
    chosen = [
        even_over_classes(right, count - wrong_count),
        even_over_classes(wrong, wrong_count),
    ]
    shown = pd.concat(chosen)
    return (
        shown.assign(_right=shown["label"] == shown["predicted"])
        .sort_values(["label", "_right", "image"], ascending=[True, False, True])
        .drop(columns="_right")
    )


def splits_shown(run: Run, asked: str | None) -> list[str]:
    """The splits that a reporter shows: the one asked for, or every test set.

    Where there is no test set, the validation split, and else the training split.
    """
    evaluated = set(run.predictions["split"]) & set(run.scores)
    if asked is not None:
        if asked not in evaluated:
            raise errors.ExperimentError(
                f"there is no split {asked!r}", f"One of {', '.join(sorted(evaluated))}"
            )
        return [asked]
    found = [split for split in run.test_splits if split in evaluated]
    others = (run.validation_split, run.training_split)
    return found or [split for split in others if split is not None and split in evaluated][:1]
