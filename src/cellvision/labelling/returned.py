"""The tables that pages without a server save."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.labelling.store import Returned

if TYPE_CHECKING:
    from cellvision.labelling.store import Store

COLUMNS = ("page", "rater", "showing", "answer", "seconds", "time")


def take_in(store: Store, table: Path) -> int:
    """Add the answers of a table to the file that its page was made from.

    Returns
    -------
    int
        How many are new.

    Raises
    ------
    errors.InvalidInput
        The table cannot be read, or does not belong to the file.
    """
    hint = "Ask for the table as the page saved it"
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise errors.InvalidInput(f"{table}: {reason}", hint) from None
    # A spreadsheet in some countries writes semicolons.
    first = text.partition("\n")[0]
    rows = list(csv.DictReader(text.splitlines(), delimiter=";" if ";" in first else ","))
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise errors.InvalidInput(f"{table}: there is no column {missing[0]!r}, or no row", hint)
    by_rater: dict[tuple[str, str], list[Returned]] = {}
    for number, row in enumerate(rows, 2):
        try:
            seconds = float(row["seconds"].replace(",", "."))
        except (ValueError, AttributeError):
            raise errors.InvalidInput(
                f"{table}: row {number}: seconds is {row['seconds']!r}", hint
            ) from None
        given = Returned(row["showing"], row["answer"], seconds, row["time"])
        by_rater.setdefault((row["page"], row["rater"]), []).append(given)
    try:
        return sum(store.take_in(page, name, given) for (page, name), given in by_rater.items())
    except errors.InvalidInput as error:
        raise errors.InvalidInput(f"{table}: {error.what}", error.hint) from None
