"""The answers as a table, one row an answer."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import atomic_io, errors

if TYPE_CHECKING:
    from cellvision.labelling.store import Store

COLUMNS = ("image", "split", "group", "label", "rater", "answer", "seconds", "repeat", "time")
"""``repeat`` is 1 for the first showing of an image and 2 for its second; ``time`` is UTC."""


def export(store: Store, target: Path) -> int:
    """Write all answers, without those of practice and those that were taken back.

    Returns
    -------
    int
        How many there are.

    Raises
    ------
    errors.InvalidInput
        There is none.
    """
    answers = store.answers()
    if not answers:
        raise errors.InvalidInput(
            f"{store.path}: nobody has answered yet", f"cellvision label {store.path} goes on"
        )
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(astuple(answer) for answer in answers)
    atomic_io.text(target, buffer.getvalue())
    return len(answers)
