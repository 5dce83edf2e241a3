"""Export the answers as a table, one row per answer."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import atomic_io, errors
from cellvision.csv_cells import format_table
from cellvision.data.file_search import PROVENANCE_TABLES

if TYPE_CHECKING:
    from cellvision.labelling.answers import Answer
    from cellvision.labelling.store import Store

COLUMNS = ("image", "split", "group", "label", "rater", "answer", "seconds", "repeat", "time")
"""``answer`` is empty for "cannot say"; ``repeat`` is 1 or 2; ``time`` is UTC."""


def export_answers(store: Store, target: Path) -> list[Answer]:
    """Write all answers that count, without practice and withdrawn answers.

    Returns
    -------
    list of Answer
        What was written.

    Raises
    ------
    errors.InvalidInput
        There is no answer yet, or `target` is no file for a table.
    """
    check_target(target)
    answers = answers_or_error(store)
    atomic_io.text(target, format_table(COLUMNS, map(astuple, answers)))
    return answers


def check_target(target: Path) -> None:
    """Refuse a file that no table of answers belongs in: an image, or the answer file itself.

    Raises
    ------
    errors.InvalidInput
        It is not named ``.csv``, or it is a table that says where images come from.
    """
    if target.suffix.lower() != ".csv":
        raise errors.InvalidInput(
            f"{target}: the answers are written as a CSV file", "Name one, such as answers.csv"
        )
    if target.name in PROVENANCE_TABLES and target.exists():
        raise errors.InvalidInput(
            f"{target}: this table says where images come from", "Name another file"
        )


def answers_or_error(store: Store) -> list[Answer]:
    """Return the answers that count.

    Raises
    ------
    errors.InvalidInput
        There is no answer yet.
    """
    answers = store.answers()
    if not answers:
        raise errors.InvalidInput(
            f"{store.path}: there is no answer yet",
            f"To label images: cellvision label {store.path}",
        )
    return answers
