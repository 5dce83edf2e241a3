"""Answers that a page without a server returned, checked as the server checks its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from cellvision.labelling.answers import StaleAnswerError, insert_answer, is_recorded
from cellvision.labelling.raters import enrol, key_of, rater_with_key
from cellvision.labelling.validation import (
    InvalidAnswerError,
    SubmittedAnswer,
    check_answer,
    check_rater,
    shorten,
)


@dataclass(frozen=True)
class ReturnedAnswer:
    """One row of a returned table.

    Attributes
    ----------
    number : int
        Row of the table; the header is row 1.
    page : str
        Name of the page.
    rater : str
        Name of the rater.
    submitted : SubmittedAnswer
        The answer.
    """

    number: int
    page: str
    rater: str
    submitted: SubmittedAnswer


def insert_returned(
    connection: sqlite3.Connection, returned: ReturnedAnswer, class_names: Sequence[str]
) -> bool:
    """Check one answer and insert it unless it is recorded; return whether it is new.

    Raises
    ------
    InvalidAnswerError
        The rater or answer is not valid, the page or image does not belong to this file, or the
        rater has answered otherwise.
    """
    name = check_rater(returned.rater)
    submitted = check_answer(returned.submitted, class_names)
    order = _order_of(connection, returned.page)
    key = key_of(connection, name) or enrol(connection, name, order)
    rater = rater_with_key(connection, key)
    if rater.order != order:
        raise InvalidAnswerError(
            f"{rater.name} has answered on another page already", "Change the name in the table"
        )
    row = connection.execute(
        "select 1 from showings where id = ? and order_number = ?", (submitted.showing, order)
    ).fetchone()
    if row is None:
        raise InvalidAnswerError(
            f"the image {shorten(submitted.showing)} is not on that page",
            "Restore the table as the page saved it",
        )
    try:
        if is_recorded(connection, rater.number, submitted):
            return False
    except StaleAnswerError as error:
        raise InvalidAnswerError(
            f"{rater.name}: {error.args[0]}", "Keep one of the tables, or change the name in one"
        ) from None
    insert_answer(connection, rater.number, submitted)
    return True


def _order_of(connection: sqlite3.Connection, page: str) -> int:
    row = connection.execute("select number from orders where page = ?", (page,)).fetchone()
    if row is None:
        raise InvalidAnswerError(
            f"the page {shorten(page)} was not made from this answer file",
            "Name the answer file that the page was made from",
        )
    return int(row[0])
