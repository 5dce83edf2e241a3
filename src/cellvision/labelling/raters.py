"""Raters and their progress."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass

from cellvision.labelling.validation import InvalidAnswerError, utc_now


@dataclass(frozen=True)
class RaterProgress:
    """Progress of a rater.

    Attributes
    ----------
    key : str
        Identifies the rater in the page's requests.
    name : str
        The name the rater entered.
    phase : {"practice", "test", "done"}
        Purpose of the current image.
    done, total : int
        Images answered in this phase, and in total.
    showing, following : str or None
        Ids of the current presentation and the next one.
    """

    key: str
    name: str
    phase: str
    done: int
    total: int
    showing: str | None
    following: str | None


@dataclass(frozen=True)
class Rater:
    """A row of the table of raters."""

    number: int
    name: str
    order: int


def rater_with_key(connection: sqlite3.Connection, key: str) -> Rater:
    """Look a rater up.

    Raises
    ------
    InvalidAnswerError
        There is no such rater.
    """
    row = connection.execute(
        "select number, name, order_number from raters where key = ?", (key,)
    ).fetchone()
    if row is None:
        raise InvalidAnswerError("there is no such rater", "Enter your name again")
    return Rater(*row)


def key_of(connection: sqlite3.Connection, name: str) -> str | None:
    """Return the key of the rater of this name, ignoring case; None if there is none."""
    for key, known in connection.execute("select key, name from raters"):
        if known.casefold() == name.casefold():
            return str(key)
    return None


def enrol(connection: sqlite3.Connection, name: str, order: int) -> str:
    """Add a rater and return the new key."""
    key = secrets.token_hex(8)
    connection.execute(
        "insert into raters (key, name, order_number, since) values (?, ?, ?, ?)",
        (key, name, order, utc_now()),
    )
    return key


def progress_of(connection: sqlite3.Connection, key: str) -> RaterProgress:
    """Compute the progress of a rater.

    Raises
    ------
    InvalidAnswerError
        There is no such rater.
    """
    rater = rater_with_key(connection, key)
    unanswered = connection.execute(
        "select showings.id, role from showings"
        " join images on images.number = showings.image"
        " left join answers on showing = showings.id and rater = ? and withdrawn is null"
        " where order_number = ? and answers.number is null order by position limit 2",
        (rater.number, rater.order),
    ).fetchall()
    (practice, total) = connection.execute(
        "select coalesce(sum(role = 'practice'), 0), count(*) from showings"
        " join images on images.number = showings.image where order_number = ?",
        (rater.order,),
    ).fetchone()
    (answered,) = connection.execute(
        "select count(*) from answers where rater = ? and withdrawn is null", (rater.number,)
    ).fetchone()
    current, following = ([showing for showing, _ in unanswered] + [None, None])[:2]
    if unanswered and unanswered[0][1] == "practice":
        return RaterProgress(key, rater.name, "practice", answered, practice, current, following)
    phase = "test" if unanswered else "done"
    done = answered - practice
    return RaterProgress(key, rater.name, phase, done, total - practice, current, following)
