"""Numbers with their nouns and verbs, for messages: 1 file is, 2 files are."""

from __future__ import annotations

from collections.abc import Collection, Sequence

_LISTED = 3
"""Names that a message lists."""

_PLURALS = {"is": "are", "has": "have", "was": "were", "does": "do"}


def counted(number: int, noun: str, verb: str = "") -> str:
    """Return a number with its noun, and with the verb that follows.

    Parameters
    ----------
    number
        How many.
    noun
        In the singular; see `plural`.
    verb
        In the singular, such as ``is`` or ``differs``; empty for none.

    Examples
    --------
    >>> counted(1, "file", "is"), counted(2, "file", "is"), counted(0, "leak")
    ('1 file is', '2 files are', '0 leaks')
    """
    words = f"{number} {noun}" if number == 1 else f"{number} {plural(noun)}"
    return f"{words} {agreed(number, verb)}" if verb else words


def plural(noun: str) -> str:
    """Return the plural of a regular noun, such as the name of a column.

    Examples
    --------
    >>> [plural(noun) for noun in ("well", "batch", "biopsy", "day", "wells")]
    ['wells', 'batches', 'biopsies', 'days', 'wells']
    """
    if noun.endswith(("ss", "x", "z", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("s"):
        return noun
    if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou"):
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def agreed(number: int, verb: str) -> str:
    """Return a verb of the third person that agrees with a number.

    Examples
    --------
    >>> agreed(1, "differs"), agreed(2, "differs"), agreed(2, "has")
    ('differs', 'differ', 'have')
    """
    if number == 1:
        return verb
    return _PLURALS.get(verb, verb.removesuffix("s"))


def number_range(numbers: Collection[int]) -> str:
    """Return whole numbers as one if they are equal, else from the least to the most.

    Examples
    --------
    >>> number_range([7, 7]), number_range([9, 7, 8]), number_range([])
    ('7', '7 to 9', '')
    """
    ends = sorted({min(numbers), max(numbers)}) if numbers else []
    return " to ".join(map(str, ends))


def abbreviated(names: Sequence[str]) -> str:
    """List the first few names.

    Examples
    --------
    >>> abbreviated(["a.tif", "b.tif"]), abbreviated(["a", "b", "c", "d"])
    ('a.tif; b.tif', 'a; b; c; ...')
    """
    return "; ".join(names[:_LISTED]) + ("; ..." if len(names) > _LISTED else "")


def byte_size(count: int) -> str:
    """Return a number of bytes in the largest unit of which there is at least one.

    Examples
    --------
    >>> byte_size(4_400_000_000), byte_size(368_640), byte_size(0)
    ('4.4 GB', '368.6 kB', '0 bytes')
    """
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return counted(count, "byte")
