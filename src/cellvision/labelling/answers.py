"""Answers in an answer file: recording, withdrawing and listing them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from cellvision.labelling.raters import progress_of, rater_with_key
from cellvision.labelling.validation import InvalidAnswerError, SubmittedAnswer, utc_now


class StaleAnswerError(InvalidAnswerError):
    """The answer is for an image other than the rater's current one."""


@dataclass(frozen=True)
class Answer:
    """One answer, as the exported table lists it.

    Attributes
    ----------
    image, split : str
        As in the data set.
    group, label : str or None
        As in the data set; None if unknown.
    rater : str
        Name of the rater.
    answer : str or None
        The class; None for "cannot say".
    seconds : float
        Time from the image's appearance to the answer.
    repeat : int
        1 for the first presentation of the image, 2 for the second.
    time : str
        When it was given, ISO 8601 in UTC.
    """

    image: str
    split: str
    group: str | None
    label: str | None
    rater: str
    answer: str | None
    seconds: float
    repeat: int
    time: str


def record_current(connection: sqlite3.Connection, key: str, submitted: SubmittedAnswer) -> None:
    """Record the answer to a rater's current image; the same answer again changes nothing.

    Raises
    ------
    StaleAnswerError
        It is not the current image, or it has another answer.
    InvalidAnswerError
        There is no such rater.
    """
    rater = rater_with_key(connection, key)
    if is_recorded(connection, rater.number, submitted):
        return
    if progress_of(connection, key).showing != submitted.showing:
        raise StaleAnswerError("this is not the current image", "Continue with the current image")
    insert_answer(connection, rater.number, submitted)


def is_recorded(connection: sqlite3.Connection, rater: int, submitted: SubmittedAnswer) -> bool:
    """Return whether an answer is recorded already.

    Raises
    ------
    StaleAnswerError
        Another answer is recorded.
    """
    row = connection.execute(
        "select answer from answers where rater = ? and showing = ? and withdrawn is null",
        (rater, submitted.showing),
    ).fetchone()
    if row is not None and row[0] != submitted.answer:
        earlier, later = (answer or "cannot say" for answer in (row[0], submitted.answer))
        raise StaleAnswerError(
            f"this image was answered {earlier!r} before, and {later!r} now",
            "Undo the earlier answer first",
        )
    return row is not None


def insert_answer(connection: sqlite3.Connection, rater: int, submitted: SubmittedAnswer) -> None:
    """Insert an answer, which must have been checked."""
    connection.execute(
        "insert into answers (rater, showing, answer, seconds, time) values (?, ?, ?, ?, ?)",
        (rater, submitted.showing, submitted.answer, submitted.seconds, submitted.time),
    )


def withdraw_last(connection: sqlite3.Connection, key: str) -> None:
    """Mark a rater's last answer as withdrawn; practice answers stay."""
    connection.execute(
        "update answers set withdrawn = ? where number = ("
        " select answers.number from answers"
        " join showings on showings.id = showing"
        " join images on images.number = showings.image"
        " where rater = ? and withdrawn is null and role = 'label'"
        " order by position desc limit 1)",
        (utc_now(), rater_with_key(connection, key).number),
    )


def list_answers(connection: sqlite3.Connection) -> list[Answer]:
    """List all answers that count, by rater and position: no practice, none withdrawn."""
    rows = connection.execute(
        "select images.image, split, group_name, label, raters.name, answer, seconds, repeat,"
        " time from answers join raters on raters.number = rater"
        " join showings on showings.id = showing"
        " join images on images.number = showings.image"
        " where withdrawn is null and role = 'label' order by raters.number, position"
    ).fetchall()
    return [Answer(*row) for row in rows]
