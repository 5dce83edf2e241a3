"""Export the answers as a table, one row per answer."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import atomic_io, errors
from cellvision.csv_cells import format_table

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
        There is no answer yet.
    """
    answers = answers_or_error(store)
    atomic_io.text(target, format_table(COLUMNS, map(astuple, answers)))
    return answers


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
