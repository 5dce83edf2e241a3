"""Text from outside (file names, classes, settings), made safe to print on a terminal."""

from __future__ import annotations


def printable(text: object) -> str:
    r"""Return text with everything escaped that a terminal would obey instead of show.

    Control characters and escape sequences, line breaks, bidirectional overrides, and the bytes
    of a file name that are not UTF-8 become ``\x1b``, ``\n``, ``\u202e`` and ``\udcff``. Letters
    of every script and the spaces between words stay.

    Examples
    --------
    >>> printable("plate\x1b[2J 1")
    'plate\\x1b[2J 1'
    >>> printable("細胞 µm")
    '細胞 µm'
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in plain
    )


def printable_lines(text: object) -> str:
    """Return text as `printable` does, but keep its line breaks."""
    return "\n".join(printable(line) for line in str(text).split("\n"))


def as_markup(text: object) -> str:
    """Return printable text in which rich sees no markup, such as ``[/red]`` in a class name."""
    from rich.markup import escape

    escaped = escape(printable(text))
    # A backslash at the end would escape the markup that follows it.
    return f"{escaped}\u200b" if escaped.endswith("\\") else escaped
