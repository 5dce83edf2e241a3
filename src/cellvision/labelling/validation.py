"""Checks of what raters send, the same for the server and for returned tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cellvision import errors
from cellvision.csv_cells import FORMULA_START

MAX_NAME = 80
"""Longest rater's name, in characters."""

MAX_SECONDS = 86400.0
"""Longest time that an answer may take."""

_MAX_TIME = 40
_QUOTED = 60
"""Characters of a text that a message quotes."""

_JOINERS = "\u200c\u200d"
"""Format characters that names in some scripts need."""


class InvalidAnswerError(errors.InvalidInput):
    """A rater's name or answer is not valid; the message may be shown to the rater."""


@dataclass(frozen=True)
class SubmittedAnswer:
    """One answer as a page sends it.

    Attributes
    ----------
    showing : str
        Id of the presentation.
    answer : str or None
        The class; None for "cannot say".
    seconds : float
        Time from the image's appearance to the answer.
    time : str
        When it was given, ISO 8601 in UTC.
    """

    showing: str
    answer: str | None
    seconds: float
    time: str


def check_rater(name: str) -> str:
    """Validate a rater's name and return it in normal form (NFC, single spaces).

    Raises
    ------
    InvalidAnswerError
        It is empty, too long, has control characters, or starts like a spreadsheet formula.
    """
    hint = "Enter a name or initials"
    if len(name) > 10 * MAX_NAME:
        raise InvalidAnswerError(f"a name of {len(name)} characters is too long", hint)
    normal = unicodedata.normalize("NFC", " ".join(name.split()))
    if not 1 <= len(normal) <= MAX_NAME:
        raise InvalidAnswerError(
            f"a rater's name has 1 to {MAX_NAME} characters, not {len(normal)}", hint
        )
    if any(_is_control(character) for character in normal):
        raise InvalidAnswerError("a rater's name must not contain control characters", hint)
    if normal[0] in FORMULA_START:
        raise InvalidAnswerError(f"a rater's name must not start with {normal[0]!r}", hint)
    return normal


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co") and (
        character not in _JOINERS
    )


def check_answer(submitted: SubmittedAnswer, class_names: Sequence[str]) -> SubmittedAnswer:
    """Validate an answer and return it with its time in normal form.

    Raises
    ------
    InvalidAnswerError
        The class is unknown, or a time is not valid.
    """
    if submitted.answer is not None and submitted.answer not in class_names:
        raise InvalidAnswerError(
            f"there is no class {shorten(submitted.answer)}", f"Classes: {', '.join(class_names)}"
        )
    if not 0 <= submitted.seconds <= MAX_SECONDS:  # also refuses NaN
        raise InvalidAnswerError(
            f"seconds is {submitted.seconds}, expected 0 to {MAX_SECONDS:g}", "Correct the value"
        )
    time = check_time(submitted.time)
    return SubmittedAnswer(submitted.showing, submitted.answer, float(submitted.seconds), time)


def check_time(text: str) -> str:
    """Validate an ISO 8601 time with its offset, and return it in UTC to the millisecond.

    Raises
    ------
    InvalidAnswerError
        It is not such a time.

    Examples
    --------
    >>> check_time("2026-01-01T10:00:00.5+01:00")
    '2026-01-01T09:00:00.500+00:00'
    """
    try:
        time = datetime.fromisoformat(text) if len(text) <= _MAX_TIME else None
        if time is not None and time.tzinfo is not None:
            return time.astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        pass
    raise InvalidAnswerError(
        f"time is {shorten(text)}, expected ISO 8601 such as 2026-01-31T12:00:00Z",
        "Restore the value",
    )


def utc_now() -> str:
    """Return the current time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def shorten(text: str) -> str:
    """Quote a text for a message; line breaks and lone surrogates appear as escapes."""
    return repr(text) if len(text) <= _QUOTED else f"{text[:_QUOTED]!r}..."
