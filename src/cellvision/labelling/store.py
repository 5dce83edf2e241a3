"""The file of answers: an SQLite database that holds what was asked and what was answered.

An answer is on the disk before anybody is told that it is kept (``synchronous=FULL``). The
rollback journal is used rather than a write-ahead log, so that after every answer the one file
holds everything and can be copied. The journal is truncated and not deleted: SQLite syncs that,
whereas a deleted journal could come back after a power cut and take the answer with it, unless
the folder is synced as well, which takes three times as long.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cellvision import atomic_io, errors
from cellvision.labelling import plan
from cellvision.labelling.order import even_over_classes, shuffled
from cellvision.labelling.plan import Item, Plan

_MAGIC = b"SQLite format 3\0"
_APPLICATION = 0x63764C62  # "cvLb"
_VERSION = 1

_TABLES = """
create table facts (name text primary key, value text not null);
create table images (
    number integer primary key, image text not null, split text not null, unit text,
    label text not null, digest text not null, practice integer not null
);
create table orders (number integer primary key, seed integer not null, page text unique);
create table showings (
    id text primary key, of_order integer not null references orders, place integer not null,
    image integer not null references images, repeat integer not null,
    unique (of_order, place)
);
create table raters (
    number integer primary key, key text unique not null, name text unique not null,
    of_order integer not null references orders, since text not null
);
create table answers (
    number integer primary key, rater integer not null references raters,
    showing text not null references showings, answer text not null, seconds real not null,
    time text not null, withdrawn text
);
create unique index one_answer on answers (rater, showing) where withdrawn is null;
"""

_LONGEST_NAME = 80
_LONGEST_TIME = 86400.0


@dataclass(frozen=True)
class State:
    """How far a rater is.

    Attributes
    ----------
    key : str
        Names the rater in the page's requests.
    name : str
        As given.
    phase : {"practice", "test", "done"}
        What the current image is for.
    done, total : int
        Images answered in this phase, and all of it.
    showing, following : str or None
        The current image and the one after it.
    """

    key: str
    name: str
    phase: str
    done: int
    total: int
    showing: str | None
    following: str | None


@dataclass(frozen=True)
class Answer:
    """One answer, as it is written to a table."""

    image: str
    split: str
    group: str | None
    label: str
    rater: str
    answer: str
    seconds: float
    repeat: int
    time: str


@dataclass(frozen=True)
class Returned:
    """One answer that was given on a page without a server."""

    showing: str
    answer: str
    seconds: float
    time: str


class Stale(errors.InvalidInput):
    """An answer to an image that is not the rater's current one."""


def is_store(path: Path) -> bool:
    """Whether a file is a database of any kind."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


class Store:
    """A file of answers that exists.

    Every call opens the file anew, so that calls may come from any thread, and so that a second
    program that looks into it is never shut out.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    errors.FolderError
        It is missing, or not a file of answers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not is_store(path):
            raise errors.FolderError(
                f"{path}: this is no file of answers", "Name one that cellvision label --out made"
            )
        with self._open() as db:
            (application,) = db.execute("pragma application_id").fetchone()
            (version,) = db.execute("pragma user_version").fetchone()
        if application != _APPLICATION or version != _VERSION:
            raise errors.FolderError(
                f"{path}: this database was not written by this version of cellvision label",
                "Name another file",
            )

    @classmethod
    def create(cls, path: Path, made: Plan) -> Store:
        """Write a new file; readable by its owner only, since it holds the true labels."""
        with atomic_io.path(path) as temporary:
            temporary.touch(0o600)
            db = sqlite3.connect(temporary)
            try:
                db.execute(f"pragma application_id={_APPLICATION}")
                db.execute(f"pragma user_version={_VERSION}")
                db.executescript(_TABLES)
                facts = {"plan": plan.to_json(made), "token": secrets.token_urlsafe(18)}
                db.executemany(
                    "insert into facts values (?, ?)",
                    [(name, json.dumps(value)) for name, value in facts.items()],
                )
                db.executemany(
                    "insert into images (image, split, unit, label, digest, practice)"
                    " values (?, ?, ?, ?, ?, ?)",
                    [
                        (item.image, item.split, item.group, item.label, item.digest, practice)
                        for practice, items in ((0, made.items), (1, made.practice))
                        for item in items
                    ],
                )
                db.commit()
            finally:
                db.close()
        return cls(path)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        except sqlite3.Error as error:
            raise errors.FolderError(f"{self.path}: {error}", "Is it on this disk?") from error
        try:
            db.execute("pragma synchronous=full")
            db.execute("pragma journal_mode=truncate")
            db.execute("pragma foreign_keys=on")
            yield db
        except sqlite3.DatabaseError as error:
            raise errors.FolderError(
                f"{self.path}: {error}", "Is the disk full, or the file damaged or in use?"
            ) from error
        finally:
            db.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; what is written is on the disk when the block is left."""
        with self._open() as db:
            db.execute("begin immediate")
            try:
                yield db
            except BaseException:
                db.execute("rollback")
                raise
            db.execute("commit")

    def fact(self, name: str) -> Any:
        """A fact about the file; None where it is not known."""
        with self._open() as db:
            row = db.execute("select value from facts where name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set_fact(self, name: str, value: Any) -> None:
        """Write a fact down."""
        with self._writing() as db:
            db.execute("insert or replace into facts values (?, ?)", (name, json.dumps(value)))

    def tidy(self) -> None:
        """Remove the empty journal beside the file."""
        with self._open() as db:
            db.execute("pragma journal_mode=delete")

    def plan(self) -> Plan:
        """What is asked."""
        with self._open() as db:
            rows = db.execute(
                "select practice, image, split, unit, label, digest from images order by number"
            ).fetchall()
        items: dict[int, list[Item]] = {0: [], 1: []}
        for practice, *values in rows:
            items[practice].append(Item(*values))
        return plan.from_json(self.fact("plan"), items[0], items[1])

    # --- orders and raters ---------------------------------------------------------------

    def page(self) -> str:
        """Draw an order for a page without a server, and give the name of that page."""
        name = "p" + secrets.token_hex(8)
        made = self.plan()
        with self._writing() as db:
            self._draw(db, made, name)
        return name

    def showings(self, page: str) -> list[tuple[str, Item, bool]]:
        """The images of a page in their order: id, image, whether it is for practice."""
        with self._open() as db:
            rows = db.execute(
                "select showings.id, images.practice, images.image, split, unit, label, digest"
                " from showings join images on images.number = showings.image"
                " join orders on orders.number = of_order where page = ? order by place",
                (page,),
            ).fetchall()
        return [(showing, Item(*values), bool(practice)) for showing, practice, *values in rows]

    def begin(self, name: str) -> State:
        """Let a rater begin, or go on: the name, however capitalised, tells who it is."""
        name = unicodedata.normalize("NFC", " ".join(name.split()))
        if not name or len(name) > _LONGEST_NAME:
            raise errors.InvalidInput(
                f"a rater's name has 1 to {_LONGEST_NAME} letters, not {len(name)}",
                "Give a name or initials",
            )
        made = self.plan()
        with self._writing() as db:
            key = _key_of(db, name)
            if key is None:
                key = self._enrol(db, name, self._draw(db, made))
            return self._state(db, key)

    def _enrol(self, db: sqlite3.Connection, name: str, order: int) -> str:
        key = secrets.token_hex(8)
        db.execute(
            "insert into raters (key, name, of_order, since) values (?, ?, ?, ?)",
            (key, name, order, _now()),
        )
        return key

    def _draw(self, db: sqlite3.Connection, made: Plan, page: str | None = None) -> int:
        """Draw an order from its own seed and write it down, image by image."""
        (orders,) = db.execute("select count(*) from orders").fetchone()
        seed = made.rules.seed + orders
        rng = np.random.default_rng(seed)
        order = shuffled(len(made.items), made.rules.repeats, rng)
        practice = even_over_classes(
            [item.label for item in made.practice], made.rules.practice, rng
        )
        # The images to label come first in the table.
        shown = [(len(made.items) + image, 1) for image in practice] + order
        number = db.execute("insert into orders (seed, page) values (?, ?)", (seed, page)).lastrowid
        db.executemany(
            "insert into showings (id, of_order, place, image, repeat) values (?, ?, ?, ?, ?)",
            [
                ("s" + secrets.token_hex(12), number, place, image + 1, repeat)
                for place, (image, repeat) in enumerate(shown)
            ],
        )
        assert number is not None
        return number

    # --- answers -------------------------------------------------------------------------

    def state(self, key: str) -> State:
        """How far a rater is.

        Raises
        ------
        errors.InvalidInput
            There is no such rater.
        """
        with self._open() as db:
            return self._state(db, key)

    def _state(self, db: sqlite3.Connection, key: str) -> State:
        rater, name, order = _rater(db, key)
        open_ones = db.execute(
            "select showings.id, practice from showings"
            " join images on images.number = showings.image"
            " left join answers on showing = showings.id and rater = ? and withdrawn is null"
            " where of_order = ? and answers.number is null order by place limit 2",
            (rater, order),
        ).fetchall()
        (practice, total) = db.execute(
            "select total(practice), count(*) from showings"
            " join images on images.number = showings.image where of_order = ?",
            (order,),
        ).fetchone()
        (answered,) = db.execute(
            "select count(*) from answers where rater = ? and withdrawn is null", (rater,)
        ).fetchone()
        practice = int(practice)
        ids = [showing for showing, _ in open_ones] + [None, None]
        if open_ones and open_ones[0][1]:
            return State(key, name, "practice", answered, practice, ids[0], ids[1])
        phase = "test" if open_ones else "done"
        return State(key, name, phase, answered - practice, total - practice, ids[0], ids[1])

    def answer(self, key: str, showing: str, answer: str, seconds: float) -> State:
        """Keep an answer; when this returns it is on the disk.

        The same answer given again, as by a page that did not hear of the first, counts once.

        Raises
        ------
        Stale
            It is not the rater's current image.
        errors.InvalidInput
            No such rater or class, or a time that cannot be.
        """
        self._check(answer, seconds)
        with self._writing() as db:
            rater = _rater(db, key)[0]
            before = _answer_of(db, rater, showing)
            if before is None:
                if self._state(db, key).showing != showing:
                    raise Stale("this is not the current image", "Go on with the current one")
                _keep(db, rater, Returned(showing, answer, seconds, _now()))
            elif before != answer:
                raise Stale(f"it was called {before!r} before", "Take that back first")
            return self._state(db, key)

    def withdraw(self, key: str) -> State:
        """Take the last answer back; it stays in the file, marked. Practice is not taken back."""
        with self._writing() as db:
            rater = _rater(db, key)[0]
            db.execute(
                "update answers set withdrawn = ? where number = ("
                " select answers.number from answers"
                " join showings on showings.id = showing"
                " join images on images.number = showings.image"
                " where rater = ? and withdrawn is null and practice = 0"
                " order by place desc limit 1)",
                (_now(), rater),
            )
            return self._state(db, key)

    @cached_property
    def _class_names(self) -> list[str]:
        return list(self.fact("plan")["class_names"])

    def _check(self, answer: str, seconds: float) -> None:
        names = self._class_names
        if answer not in names:
            raise errors.InvalidInput(
                f"there is no class {answer!r}", f"Classes: {', '.join(names)}"
            )
        if not 0 <= seconds <= _LONGEST_TIME:
            raise errors.InvalidInput(f"an answer took {seconds} s", "Give 0 s to a day")

    def shown(self, showing: str) -> tuple[Item, bool] | None:
        """The image behind an id and whether it is for practice; None where there is none."""
        with self._open() as db:
            row = db.execute(
                "select practice, images.image, split, unit, label, digest from showings"
                " join images on images.number = showings.image where showings.id = ?",
                (showing,),
            ).fetchone()
        return None if row is None else (Item(*row[1:]), bool(row[0]))

    def take_in(self, page: str, name: str, given: Sequence[Returned]) -> int:
        """Keep answers that were given on a page without a server.

        Those that are there already are passed over, so that the same table may be given twice.

        Returns
        -------
        int
            How many are new.

        Raises
        ------
        errors.InvalidInput
            The page or an image is not of this file, there is no such class, or the rater has
            other answers already.
        """
        for each in given:
            self._check(each.answer, each.seconds)
        name = unicodedata.normalize("NFC", " ".join(name.split()))
        new = 0
        with self._writing() as db:
            row = db.execute("select number from orders where page = ?", (page,)).fetchone()
            if row is None:
                raise errors.InvalidInput(
                    f"the page {page!r} was not made from {self.path}", "Name the file it is of"
                )
            key = _key_of(db, name)
            if key is None:
                key = self._enrol(db, name, row[0])
            rater, _, order = _rater(db, key)
            if order != row[0]:
                raise errors.InvalidInput(
                    f"{name} has answered on another page already", "Change the name in the table"
                )
            of_page = {
                showing
                for (showing,) in db.execute("select id from showings where of_order = ?", row)
            }
            for each in given:
                if each.showing not in of_page:
                    raise errors.InvalidInput(
                        f"the image {each.showing!r} is not on that page", "Restore the table"
                    )
                before = _answer_of(db, rater, each.showing)
                if before is None:
                    _keep(db, rater, each)
                    new += 1
                elif before != each.answer:
                    raise errors.InvalidInput(
                        f"{name} called the image {each.showing!r} {before!r} before, "
                        f"and {each.answer!r} now",
                        "Keep one of the tables; or change the name in it",
                    )
        return new

    def answers(self) -> list[Answer]:
        """All answers that count, without those of practice, by rater and in their order."""
        with self._open() as db:
            rows = db.execute(
                "select images.image, split, unit, label, raters.name, answer, seconds, repeat,"
                " time from answers join raters on raters.number = rater"
                " join showings on showings.id = showing"
                " join images on images.number = showings.image"
                " where withdrawn is null and practice = 0 order by raters.number, place"
            ).fetchall()
        return [Answer(*row) for row in rows]

    def raters(self) -> list[State]:
        """How far each rater is."""
        with self._open() as db:
            keys = [key for (key,) in db.execute("select key from raters order by number")]
            return [self._state(db, key) for key in keys]


def _rater(db: sqlite3.Connection, key: str) -> tuple[int, str, int]:
    row = db.execute("select number, name, of_order from raters where key = ?", (key,)).fetchone()
    if row is None:
        raise errors.InvalidInput("there is no such rater", "Give your name again")
    number, name, order = row
    return int(number), str(name), int(order)


def _key_of(db: sqlite3.Connection, name: str) -> str | None:
    """The key of a rater, whose name is compared without regard to capital letters."""
    for key, known in db.execute("select key, name from raters"):
        if known.casefold() == name.casefold():
            return str(key)
    return None


def _answer_of(db: sqlite3.Connection, rater: int, showing: str) -> str | None:
    row = db.execute(
        "select answer from answers where rater = ? and showing = ? and withdrawn is null",
        (rater, showing),
    ).fetchone()
    return None if row is None else str(row[0])


def _keep(db: sqlite3.Connection, rater: int, given: Returned) -> None:
    db.execute(
        "insert into answers (rater, showing, answer, seconds, time) values (?, ?, ?, ?, ?)",
        (rater, given.showing, given.answer, given.seconds, given.time),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
