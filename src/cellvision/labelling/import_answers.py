"""Read the tables that pages without a server save, as CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.csv_cells import unescape_cell
from cellvision.labelling.returned_answers import ReturnedAnswer
from cellvision.labelling.validation import InvalidAnswerError, SubmittedAnswer, shorten

if TYPE_CHECKING:
    from cellvision.labelling.store import Store

COLUMNS = ("page", "rater", "showing", "answer", "seconds", "time")

_HINT = "Ask for the table as the page saved it"

_LARGEST = 2**26
"""Bytes of a table; a row has about a hundred."""


def import_answers(store: Store, path: Path) -> int:
    """Add the answers of a table to the answer file its page was made from: all, or none.

    Parameters
    ----------
    store
        The answer file.
    path
        A CSV file, or a JSON list of objects, with the columns `COLUMNS`. An empty answer (JSON
        null) means "cannot say".

    Returns
    -------
    int
        Number of new answers.

    Raises
    ------
    errors.InvalidInput
        The table cannot be read, or a row is not valid; the message names it.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise errors.InvalidInput(f"{path}: this is not a regular file", _HINT)
    try:
        if path.stat().st_size > _LARGEST:
            raise InvalidAnswerError(f"it has more than {_LARGEST} bytes", _HINT)
        text = path.read_bytes().decode("utf-8-sig")
        rows = _json_rows(text) if text.lstrip()[:1] in ("[", "{") else _csv_rows(text)
        return store.import_answers([_parse(number, row) for number, row in rows])
    except OSError as error:
        raise errors.InvalidInput(f"{path}: {error.strerror or error}", _HINT) from None
    except UnicodeDecodeError:
        raise errors.InvalidInput(f"{path}: it is not UTF-8 text", _HINT) from None
    except InvalidAnswerError as error:
        what, hint = error.args
        raise errors.InvalidInput(f"{path}: {what}; nothing was imported", hint) from None


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # Spreadsheets in many countries write semicolons.
    header = text.splitlines()[0] if text.strip() else ""
    delimiter = ";" if header.count(";") > header.count(",") else ","
    # Not strict: a spreadsheet may leave text behind a closing quote.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: list[str] = []
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise InvalidAnswerError(f"row {number}: not valid CSV ({error})", _HINT) from None
        if not columns:
            columns = [name.strip() for name in cells]
            _check_columns(columns)
        elif not any(cells):
            continue
        elif len(cells) != len(columns):
            raise InvalidAnswerError(
                f"row {number}: it has {len(cells)} cells, expected {len(columns)}", _HINT
            )
        else:
            yield number, dict(zip(columns, map(unescape_cell, cells), strict=True))
    if number <= 2:
        raise InvalidAnswerError("there is no answer in it", _HINT)


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        rows = json.loads(text, parse_int=float)
    except (ValueError, RecursionError) as error:
        raise InvalidAnswerError(f"it is not valid JSON ({error})", _HINT) from None
    if not isinstance(rows, list) or not rows:
        raise InvalidAnswerError("expected a JSON list of answers", _HINT)
    for number, row in enumerate(rows, 2):
        if not isinstance(row, dict):
            raise InvalidAnswerError(f"row {number}: expected a JSON object", _HINT)
        _check_columns(list(row))
        yield number, row


def _check_columns(columns: list[str]) -> None:
    for name in COLUMNS:
        if columns.count(name) != 1:
            problem = "there is no column" if name not in columns else "there are two columns"
            raise InvalidAnswerError(f"{problem} {name!r}", _HINT)


def _parse(number: int, row: Mapping[str, Any]) -> ReturnedAnswer:
    texts = {name: row[name] for name in ("page", "rater", "showing", "time")}
    texts["answer"] = "" if row["answer"] is None else row["answer"]
    for name, text in texts.items():
        if not isinstance(text, str) or not _is_unicode(text):
            raise InvalidAnswerError(f"row {number}: {name} is not text", _HINT)
    try:
        # Spreadsheets in many countries write a decimal comma.
        seconds = float(str(row["seconds"]).replace(",", "."))
    except ValueError:
        raise InvalidAnswerError(
            f"row {number}: seconds is {shorten(str(row['seconds']))}", _HINT
        ) from None
    submitted = SubmittedAnswer(texts["showing"], texts["answer"] or None, seconds, texts["time"])
    return ReturnedAnswer(number, texts["page"], texts["rater"], submitted)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
