"""What an expert answered, as ``cellvision label --export`` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run

_COLUMNS = ("image", "split", "label", "rater", "answer", "repeat")


def read_answers(path: Path, rater: str | None = None) -> pd.DataFrame:
    """Read a table of answers; of one rater only, where one is named.

    Raises
    ------
    errors.InvalidInput
        The table is missing, is no table of answers, or has none of that rater.
    """
    import pandas as pd

    hint = "Make it with cellvision label FILE --export"
    try:
        table = pd.read_csv(
            path,
            dtype=dict.fromkeys((*_COLUMNS[:5], "group"), str),
            keep_default_na=False,
            na_values=[],
        )
    except OSError as error:
        raise errors.InvalidInput(f"{path}: {error.strerror or error}", hint) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise errors.InvalidInput(f"{path}: {' '.join(str(error).split())}", hint) from None
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing or table.empty:
        what = f"there is no column {missing[0]!r}" if missing else "there is no answer in it"
        raise errors.InvalidInput(f"{path}: {what}", hint)
    if rater is not None:
        known = list(dict.fromkeys(table["rater"]))
        table = table[table["rater"] == rater]
        if table.empty:
            raise errors.InvalidInput(
                f"{path}: there is no answer of {rater!r}", f"Raters: {', '.join(known)}"
            )
    twice = table.duplicated(["rater", "split", "image", "repeat"])
    if twice.any():
        row = table[twice].iloc[0]
        raise errors.InvalidInput(
            f"{path}: {row['rater']} answered {row['image']!r} more than once",
            "Export the table anew",
        )
    return table


def same_images(answers: pd.DataFrame, run: Run, split: str) -> pd.DataFrame:
    """Join a rater's first answers with a run's predictions of the same images.

    Parameters
    ----------
    answers
        Of one rater.
    run
        Whose predictions.
    split
        Whose images.

    Returns
    -------
    pandas.DataFrame
        A run's predictions with a column ``answer``, one row an image that both have judged.

    Raises
    ------
    errors.InvalidInput
        The true labels or the classes differ: the answers are about other images.
    """
    first = answers[(answers["split"] == split) & (answers["repeat"] == 1)]
    predictions = run.predictions[run.predictions["split"] == split]
    told = first[["image", "label", "answer"]].rename(columns={"label": "_label"})
    joined = predictions.merge(told, on="image", validate="one_to_one")
    joined = joined.sort_values("image", ignore_index=True)
    other = joined[joined["label"] != joined["_label"]]
    if not other.empty:
        row = other.iloc[0]
        raise errors.InvalidInput(
            f"{row['image']!r} is {row['label']!r} in the run and {row['_label']!r} in the answers",
            "Name the answers to the images of this run",
        )
    unknown = sorted(set(joined["answer"]) - set(run.class_names))
    if unknown:
        raise errors.InvalidInput(
            f"the answers have a class {unknown[0]!r}, which the run has not",
            f"Its classes: {', '.join(run.class_names)}",
        )
    return joined.drop(columns="_label")
