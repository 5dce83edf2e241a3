"""The answer file: an SQLite database of what was shown and what raters answered."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from cellvision import errors
from cellvision.data.missing_path import why_missing
from cellvision.labelling import answers, presentations
from cellvision.labelling.answers import Answer
from cellvision.labelling.database import Database
from cellvision.labelling.database_schema import (
    IMAGE_COLUMNS,
    check_version,
    create_file,
    is_database,
)
from cellvision.labelling.moved_images import with_images_at
from cellvision.labelling.plan import ImageToLabel, Plan, Role, plan_from_json
from cellvision.labelling.raters import RaterProgress, enrol, key_of, progress_of
from cellvision.labelling.returned_answers import ReturnedAnswer, insert_returned
from cellvision.labelling.validation import (
    InvalidAnswerError,
    SubmittedAnswer,
    check_answer,
    check_rater,
    utc_now,
)
from cellvision.results.moved_images import Place

_TOKEN = re.compile(r"[\w-]{20,100}", re.ASCII)


class Store:
    """An answer file; its methods may be called from any thread.

    Parameters
    ----------
    path
        An existing answer file.
    images, run_images
        Where its images, and those of its run, are now; None: where they were at its start.

    Raises
    ------
    errors.FolderError
        It is missing or not an answer file.
    """

    def __init__(self, path: Path, images: Place = None, run_images: Place = None) -> None:
        self.path = path
        self._places = images, run_images
        if not path.exists():
            raise errors.FolderError(
                f"{path}: {why_missing(path)}", "Name the file given to cellvision label --out."
            )
        if not is_database(path):
            raise errors.FolderError(
                f"{path}: this is not an answer file",
                "Name a file that cellvision label --out created",
            )
        check_version(path)
        self._database = Database(path)

    @classmethod
    def create(cls, path: Path, plan: Plan) -> Store:
        """Write a new answer file and open it; see `create_file`."""
        create_file(path, plan)
        return cls(path)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and remove the log beside it."""
        self._database.close()

    def metadata(self, name: str) -> Any:
        """Return an entry of the metadata; None if it is missing.

        Raises
        ------
        errors.FolderError
            It is not JSON.
        """
        with self._database.read() as connection:
            row = connection.execute(
                "select value from metadata where name = ?", (name,)
            ).fetchone()
        try:
            return None if row is None else json.loads(row[0])
        except (TypeError, ValueError, RecursionError) as error:
            raise self._damaged(name) from error

    def set_metadata(self, name: str, value: Any) -> None:
        """Store an entry of the metadata."""
        with self._database.write() as connection:
            connection.execute(
                "insert or replace into metadata values (?, ?)", (name, json.dumps(value))
            )

    def token(self) -> str:
        """Return the first part of every path of the page.

        Raises
        ------
        errors.FolderError
            It is not one that `create_file` made: others could guess it.
        """
        token = self.metadata("token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise self._damaged("token")
        return token

    def port(self) -> int | None:
        """Return the port of the last page; None if there was none."""
        port = self.metadata("port")
        return port if isinstance(port, int) and 0 < port < 2**16 else None

    def _damaged(self, part: str) -> errors.FolderError:
        return errors.FolderError(
            f"{self.path}: this answer file is damaged, or another program wrote it ({part})",
            "Restore it from a copy, or name another file",
        )

    def plan(self) -> Plan:
        """Return the labelling plan, with the images where they are now.

        Raises
        ------
        errors.FolderError
            The file does not hold one, or images are missing.
        """
        with self._database.read() as connection:
            rows = connection.execute(
                f"select role, {IMAGE_COLUMNS} from images order by number"  # noqa: S608
            ).fetchall()
        images: dict[Role, list[ImageToLabel]] = {"label": [], "practice": [], "example": []}
        try:
            for role, *values in rows:
                images[role].append(ImageToLabel(*values))
            plan = plan_from_json(self.metadata("plan"), images)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise self._damaged("plan") from error
        return with_images_at(plan, *self._places)

    @cached_property
    def _plan(self) -> Plan:
        return self.plan()

    # --- images --------------------------------------------------------------------------

    def add_page(self) -> str:
        """Draw an order for a page without a server, and return the page's name."""
        name = "p" + secrets.token_hex(8)
        with self._database.write() as connection:
            presentations.draw_order(connection, self._plan, name)
        return name

    def page_showings(self, page: str) -> list[tuple[str, ImageToLabel, bool]]:
        """Return the presentations of a page in order: id, image, whether it is practice."""
        with self._database.read() as connection:
            return presentations.page_showings(connection, page)

    def examples(self) -> list[tuple[str, ImageToLabel]]:
        """Return the example images: id and image, in class order."""
        with self._database.read() as connection:
            return presentations.example_images(connection)

    def image_behind(self, key: str) -> tuple[ImageToLabel, str] | None:
        """Return the image and its role behind a random id; None if the id is unknown."""
        with self._database.read() as connection:
            return presentations.image_behind(connection, key)

    # --- raters and answers --------------------------------------------------------------

    def begin(self, name: str) -> RaterProgress:
        """Start a rater's session, or resume it: names are compared without case.

        Raises
        ------
        InvalidAnswerError
            The name is not valid.
        """
        name = check_rater(name)
        with self._database.write() as connection:
            key = key_of(connection, name)
            if key is None:
                key = enrol(connection, name, presentations.draw_order(connection, self._plan))
            return progress_of(connection, key)

    def progress(self, key: str) -> RaterProgress:
        """Return a rater's progress.

        Raises
        ------
        InvalidAnswerError
            There is no such rater.
        """
        with self._database.read() as connection:
            return progress_of(connection, key)

    def raters(self) -> list[RaterProgress]:
        """Return the progress of all raters."""
        with self._database.read() as connection:
            keys = [key for (key,) in connection.execute("select key from raters order by number")]
            return [progress_of(connection, key) for key in keys]

    def answer(self, key: str, showing: str, answer: str | None, seconds: float) -> RaterProgress:
        """Store an answer; it is on disk when this returns.

        The same answer sent again, as by a page that missed the first reply, counts once.

        Raises
        ------
        StaleAnswerError
            It is not the rater's current image.
        InvalidAnswerError
            The rater, the class or the time is not valid.
        """
        submitted = SubmittedAnswer(showing, answer, seconds, utc_now())
        submitted = check_answer(submitted, self._plan.class_names)
        with self._database.write() as connection:
            answers.record_current(connection, key, submitted)
            return progress_of(connection, key)

    def withdraw(self, key: str) -> RaterProgress:
        """Withdraw the rater's last answer; the file keeps it, marked. Practice stays.

        Raises
        ------
        InvalidAnswerError
            There is no such rater.
        """
        with self._database.write() as connection:
            answers.withdraw_last(connection, key)
            return progress_of(connection, key)

    def import_answers(self, returned: Sequence[ReturnedAnswer]) -> int:
        """Store answers that pages without a server returned: all of them, or none.

        Answers that are stored already are skipped, so that a table may be imported twice.

        Returns
        -------
        int
            Number of new answers.

        Raises
        ------
        InvalidAnswerError
            One of them is not valid; the message names its row.
        """
        with self._database.write() as connection:
            count = 0
            for row in returned:
                try:
                    count += insert_returned(connection, row, self._plan.class_names)
                except InvalidAnswerError as error:
                    what, hint = error.args
                    raise InvalidAnswerError(f"row {row.number}: {what}", hint) from None
        return count

    def answers(self) -> list[Answer]:
        """List all answers that count, by rater and position: no practice, none withdrawn."""
        with self._database.read() as connection:
            return answers.list_answers(connection)
