"""Names from outside (classes, files, warnings) as plain text in Markdown."""

from __future__ import annotations

import re

_FORMATTING = re.compile(r"[\\`*\[\]<>|]|(?<![^\W_])_|_(?![^\W_])|^#")
"""Signs that Markdown formats by; ``_`` within a word, such as ``plate_1``, is text."""


def escape_markdown(text: object) -> str:
    r"""Return text that Markdown shows as it is: no link, picture, table, emphasis or HTML.

    Line ends become blanks.

    Examples
    --------
    >>> print(escape_markdown("[click](javascript:x) <b>plate_1</b> a|b"))
    \[click\](javascript:x) \<b\>plate_1\</b\> a\|b
    """
    return _FORMATTING.sub(r"\\\g<0>", " ".join(str(text).split()))
