"""The tables of an answer file, and how a new file is written."""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from cellvision import atomic_io, errors
from cellvision.labelling.plan import ImageToLabel, Plan, Role, plan_to_json
from cellvision.results.claimed_folder import naming_folder

_MAGIC = b"SQLite format 3\0"
_APPLICATION = 0x63764C62  # "cvLb"
_VERSION = 2

_HEADER_BYTES = 100
_IN_HEADER = {60: _VERSION, 68: _APPLICATION}
"""Values by offset: https://www.sqlite.org/fileformat.html#the_database_header"""

_TABLES = """
create table metadata (name text primary key, value text not null);
create table images (
    number integer primary key, role text not null, image text not null, split text not null,
    group_name text, label text, digest text not null
);
create table examples (id text primary key, image integer not null references images);
create table orders (number integer primary key, seed integer not null, page text unique);
create table showings (
    id text primary key, order_number integer not null references orders,
    position integer not null, image integer not null references images, repeat integer not null,
    unique (order_number, position)
);
create table raters (
    number integer primary key, key text unique not null, name text unique not null,
    order_number integer not null references orders, since text not null
);
create table answers (
    number integer primary key, rater integer not null references raters,
    showing text not null references showings, answer text, seconds real not null,
    time text not null, withdrawn text
);
create unique index one_answer on answers (rater, showing) where withdrawn is null;
"""

IMAGE_COLUMNS = "images.image, split, group_name, label, digest"
"""Columns of an `ImageToLabel`, in order."""


def is_database(path: Path) -> bool:
    """Return whether a file is an SQLite database of any kind."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def check_version(path: Path) -> None:
    """Check that a database is an answer file of this version, without opening it in SQLite.

    A connection could change a database of another program, and leave files beside it.

    Raises
    ------
    errors.FolderError
        It is not, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        raise errors.FolderError(
            f"{path}: {error.strerror or error}", "Check its permissions."
        ) from error
    for offset, value in _IN_HEADER.items():
        if header[offset : offset + 4] != value.to_bytes(4, "big"):
            raise errors.FolderError(
                f"{path}: this database was not written by this version of cellvision label",
                "Name another file",
            )


def create_file(path: Path, plan: Plan) -> None:
    """Write a new answer file, whole or not at all.

    Only its owner can read it, because it holds the true labels.

    Raises
    ------
    errors.InvalidInput
        A name is not valid Unicode text.
    errors.CellvisionError
        The file cannot be written.
    """
    images = list(_images_with_roles(plan))
    for _, image in images:
        _check_text(image)
    try:
        with naming_folder(path.parent), atomic_io.path(path) as temporary:
            temporary.touch(0o600)
            _fill(temporary, plan, images)
    except sqlite3.Error as error:
        raise errors.CellvisionError(
            f"{path}: cannot be written: {error}", "Check the free disk space."
        ) from error


def _fill(path: Path, plan: Plan, images: Sequence[tuple[Role, ImageToLabel]]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"pragma application_id={_APPLICATION}")
        connection.execute(f"pragma user_version={_VERSION}")
        connection.executescript(_TABLES)
        metadata = {"plan": plan_to_json(plan), "token": secrets.token_urlsafe(18)}
        connection.executemany(
            "insert into metadata values (?, ?)",
            [(name, json.dumps(value)) for name, value in metadata.items()],
        )
        connection.executemany(
            "insert into images (role, image, split, group_name, label, digest)"
            " values (?, ?, ?, ?, ?, ?)",
            [
                (role, image.image, image.split, image.group, image.label, image.digest)
                for role, image in images
            ],
        )
        connection.executemany(
            "insert into examples values (?, ?)",
            [
                ("e" + secrets.token_hex(12), number)
                for number, (role, _) in enumerate(images, 1)
                if role == "example"
            ],
        )
        connection.commit()


def _images_with_roles(plan: Plan) -> Iterator[tuple[Role, ImageToLabel]]:
    """All images; those to label come first, so that their row is their index plus one."""
    yield from (("label", image) for image in plan.images)
    yield from (("practice", image) for image in plan.practice)
    yield from (("example", image) for image in plan.examples)


def _check_text(image: ImageToLabel) -> None:
    for text in (image.image, image.split, image.group or "", image.label or ""):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise errors.InvalidInput(
                f"{text!r}: this name is not valid Unicode text", "Rename the file or folder"
            ) from None
