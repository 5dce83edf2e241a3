"""Reads an expert's answers, as ``cellvision label --export`` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors, io

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run

CANNOT_SAY = ""
"""The answer of an expert who cannot say the class."""

_COLUMNS = ("image", "split", "label", "rater", "answer", "repeat")


def _delimiter(path: Path) -> str:
    """Return what separates the columns: spreadsheets write semicolons in many countries."""
    with path.open(encoding="utf-8-sig") as file:
        return io.most_frequent_delimiter(file.readline())


def read_answers(path: Path, rater: str | None = None) -> pd.DataFrame:
    """Read a table of answers.

    Parameters
    ----------
    path
        The CSV file.
    rater
        Name of one rater; None for all.

    Raises
    ------
    errors.InvalidInput
        The file is missing or invalid, or has no answers by that rater.
    """
    import pandas as pd

    hint = "Make the table with cellvision label FILE --export"
    try:
        table = io.unescape_frame(
            pd.read_csv(
                path,
                sep=_delimiter(path),
                dtype=dict.fromkeys((*_COLUMNS[:5], "group"), str),
                keep_default_na=False,
                na_values=[],
            )
        )
    except OSError as error:
        raise errors.InvalidInput(f"{path}: {error.strerror or error}", hint) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise errors.InvalidInput(f"{path}: {' '.join(str(error).split())}", hint) from None
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing or table.empty:
        reason = f"the column {missing[0]!r} is missing" if missing else "it has no answers"
        raise errors.InvalidInput(f"{path}: {reason}", hint)
    if table["repeat"].dtype.kind != "i" or (table["repeat"] < 1).any():
        raise errors.InvalidInput(
            f"{path}: the column 'repeat' has other values than 1, 2, ...",
            "Write 1 for the first time that a rater saw an image",
        )
    if rater is not None:
        table = _of_rater(table, path, rater)
    duplicates = table[table.duplicated(["rater", "split", "image", "repeat"])]
    if not duplicates.empty:
        row = duplicates.iloc[0]
        raise errors.InvalidInput(
            f"{path}: {row['rater']} answered {row['image']!r} more than once",
            "Export the table again",
        )
    return table


def _of_rater(table: pd.DataFrame, path: Path, rater: str) -> pd.DataFrame:
    selected = table[table["rater"] == rater]
    if selected.empty:
        names = ", ".join(dict.fromkeys(table["rater"]))
        raise errors.InvalidInput(f"{path}: no answers by {rater!r}", f"Raters: {names}")
    return selected


def join_answers(answers: pd.DataFrame, run: Run, split: str) -> pd.DataFrame:
    """Join a rater's first answers with a run's predictions of the same images.

    Parameters
    ----------
    answers
        The answers of one rater.
    run
        The run.
    split
        Name of the test set. Answers to other splits count if the run pools folds.

    Returns
    -------
    pandas.DataFrame
        The run's predictions with a column ``answer``, empty for "cannot say"; one row per image
        that both judged.

    Raises
    ------
    errors.InvalidInput
        True labels or classes differ, so the answers belong to other images.
    """
    first = answers[answers["repeat"] == 1]
    # Folds test every image, whatever split it had when it was labelled.
    if not run.cross_validated:
        first = first[first["split"] == split]
    predictions = run.predictions
    predictions = predictions[predictions["split"] == split]
    columns = first[["image", "label", "answer"]].rename(columns={"label": "_label"})
    joined = predictions.merge(columns, on="image", validate="one_to_one")
    joined = joined.sort_values("image", ignore_index=True)
    differing = joined[joined["label"] != joined["_label"]]
    if not differing.empty:
        row = differing.iloc[0]
        raise errors.InvalidInput(
            f"{row['image']!r} is {row['label']!r} in the run and {row['_label']!r} in the answers",
            "Pass the answers to the images of this run",
        )
    unknown = sorted(set(joined["answer"]) - set(run.class_names) - {CANNOT_SAY})
    if unknown:
        raise errors.InvalidInput(
            f"the answers contain the class {unknown[0]!r}, which the run does not have",
            f"Classes of the run: {', '.join(run.class_names)}",
        )
    return joined.drop(columns="_label")
