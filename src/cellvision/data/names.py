"""Names in tables: one spelling for what looks alike, missing values, and lists for messages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# fmt: off
MISSING = frozenset(
    {
        "", "na", "n/a", "n.a.", "#n/a", "#na", "#n/a n/a", "<na>", "nan", "-nan", "nat",
        "none", "null", "nil", "#null!", "#ref!", "#name?", "#value!", "#div/0!", "?", "??",
        "???", "-", "--", "---", "\u2013", "\u2014", ".", "unknown", "missing", "n.d.", "tbd",
        "undefined", "(blank)", "#num!", "not available", "not applicable", "n/d", "#nv",
        "#wert!", "#bezug!", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind", "+nan", "...",
        "not determined", "not recorded", "unspecified", "empty", "(empty)", "????", "n.a",
        "n.d", "k.a", "unk", "undef", "tba", "blank", "no data", "not known", "#getting_data",
        "\\n",
    }
)
# fmt: on
"""Words, in lower case, by which spreadsheets, pandas and people say that a value is missing."""

_UNSPACED = frozenset(word.replace(" ", "") for word in MISSING)
_ERROR_OF_SPREADSHEET = re.compile(r"#[a-z/_0]+[!?]|err:\d+")
_AROUND = " .'\"`()[]<>{}\u2018\u2019\u201c\u201d"
"""Signs around a word that leave its meaning as it is: "(none)", '"NA"', "n. a."."""

_NUMBER = re.compile(r"[+-]?\d+[.,]\d*|[+-]?[.,]\d+|[+-]?\d([.,]\d+)?e[+-]\d{1,2}")
_LETTER = r"[^\W\d_]"
# A separator beside a letter carries no meaning ("P 7", "plate-7"); between digits it does.
_SIGNS = r"[\s_.:#-]+"
_SEPARATOR = re.compile(rf"(?<={_LETTER}){_SIGNS}(?=\w)|(?<=\d){_SIGNS}(?={_LETTER})")
_BRACKETS = str.maketrans(dict.fromkeys("()[]{}", " "))
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_FRACTION_OF_ZERO = re.compile(r"(?<![\d.,])(\d+)[.,]0+$")
_PLUS = re.compile(r"\+(?=\d)")
_QUOTED = re.compile(r"(['\"`\u2018\u201c])(.+)['\"`\u2019\u201d]")
_AT_ENDS = "._,;: \t\r\n"
"""Signs that carry no meaning at the ends of a name; plus, minus and prime do ("CD4-", "A'")."""
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
"""Dashes and the minus sign, which word processors write for a hyphen."""

_LOOK_ALIKES = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456",
    "abekmhopctyxi",
)
"""Cyrillic letters whose capitals look like Latin ones, as in a well \u04101."""


def normalize_name(value: Any) -> str | None:
    """Return a name as text without surrounding blanks, in Unicode NFC; None if it is empty."""
    return unicodedata.normalize("NFC", str(value)).strip() or None


def normalize_names(column: pd.Series) -> pd.Series:
    """Normalise every name of a column; missing values become None."""
    import pandas as pd

    # Not astype(str) or map, which turn missing values into a word or into NaN.
    known = column.notna()
    names = [
        normalize_name(value) if is_known else None
        for value, is_known in zip(column, known, strict=True)
    ]
    return pd.Series(names, index=column.index, name=column.name, dtype=object)


def is_missing(name: str | None) -> bool:
    """Whether a name says that the value is missing.

    Examples
    --------
    >>> [is_missing(name) for name in (None, "NA", "#N/A", "?", "N7")]
    [True, True, True, True, False]
    """
    if name is None:
        return True
    text = _folded(name).strip()
    if text in MISSING or _ERROR_OF_SPREADSHEET.fullmatch(text):
        return True
    return "".join(text.strip(_AROUND).split()) in _UNSPACED


def canonical_name(name: str) -> str:
    """Return the form in which two spellings of one name are equal.

    Ignored are upper and lower case, width and script of characters that look alike, invisible
    characters, the kind of dash, blanks, ``_``, ``-``, ``.``, ``:`` and ``#`` beside a letter,
    brackets, quotes and punctuation at the ends, leading zeros, a decimal comma, a fraction of
    zero and an exponent. Parts separated by ``/`` are treated one by one.

    Examples
    --------
    >>> canonical_name("7.0") == canonical_name("007") == canonical_name("7")
    True
    >>> canonical_name("P 07"), canonical_name("p7.0"), canonical_name("1-2")
    ('p7', 'p7', '1-2')
    """
    text = _folded(name).translate(_DASHES)
    if not text.isascii():
        text = "".join(map(_ascii_digit, text)).translate(_LOOK_ALIKES)
    return "/".join(map(_canonical_part, text.split("/")))


def visible_name(name: str) -> str:
    """Return a name in lower case as people see it: with single blanks and nothing invisible."""
    return " ".join(_folded(name).translate(_DASHES).split())


def _folded(name: str) -> str:
    """Return a name in lower case, in ordinary width and without invisible characters."""
    text = unicodedata.normalize("NFKC", name).casefold()
    if text.isascii():
        return text
    return "".join(letter for letter in text if unicodedata.category(letter) != "Cf")


def _ascii_digit(letter: str) -> str:
    """Return the digit 0 to 9 for that of another script."""
    return str(unicodedata.decimal(letter)) if letter.isdecimal() else letter


def _canonical_part(text: str) -> str:
    text = text.strip()
    quoted = _QUOTED.fullmatch(text)
    text = quoted[2].strip() if quoted else text.removeprefix("'")  # of a spreadsheet
    if _PLUS.match(text):
        text = text[1:]
    if _NUMBER.fullmatch(text):
        number = f"{Decimal(text.replace(',', '.')):f}"
        return (number.rstrip("0").rstrip(".") if "." in number else number) or "0"
    text = text.translate(_BRACKETS).strip(_AT_ENDS)
    text = text.removeprefix("#") if text[1:].isdigit() else text
    return _LEADING_ZEROS.sub("", _SEPARATOR.sub("", _FRACTION_OF_ZERO.sub(r"\1", text)))


def natural_order(name: str) -> tuple[object, ...]:
    """Sort key that orders names as people do: s2 before s10, folder by folder.

    Only the digits 0 to 9 form numbers. The library natsort also reads ², ٣ and their like as
    numbers and so gives another order for such names.

    Examples
    --------
    >>> sorted(["b10.png", "b9.png", "a/2"], key=natural_order)
    ['a/2', 'b9.png', 'b10.png']
    """
    parts = []
    for part in name.casefold().split("/"):
        runs = re.split(r"([0-9]+)", part)  # every second one is a number
        parts.append([int(run) if index % 2 else run for index, run in enumerate(runs)])
    return (parts, name)


def quote_list(values: Sequence[str], most: int = 5) -> str:
    """Return the first few values, quoted, and how many more there are."""
    shown = ", ".join(repr(value) for value in values[:most])
    return f"{shown} and {len(values) - most} more" if len(values) > most else shown
