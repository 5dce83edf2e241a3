"""Describe a file that a reporter wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ArtifactKind = Literal["figure", "table", "text", "page", "data"]
"""How to show an artifact: as an image, table or Markdown text, or as a link to a page or file."""


@dataclass(frozen=True)
class Artifact:
    """A file that a reporter wrote, with what is needed to show it.

    The HTML page shows the artifacts of all reporters, built-in and third-party alike.

    Attributes
    ----------
    path : pathlib.Path
        The file, inside the folder passed to the reporter.
    title : str
        Heading of a few words.
    kind : {"figure", "table", "text", "page", "data"}
        ``figure``: PNG, SVG, JPEG or PDF; ``table``: CSV; ``text``: Markdown; ``page``: a
        self-contained HTML page; ``data``: any other file. The HTML page embeds figures, tables
        and texts, and links to the others.
    caption : str
        One or two sentences that describe the content, with n and interval.
    order : int
        Position on the page: lower comes first. 0 to 99 the answer, 100 to 199 examples,
        200 to 299 training, 300 to 399 controls, 400 and above everything else.

    Examples
    --------
    >>> from pathlib import Path
    >>> Artifact(Path("reports/errors.csv"), "Wrong answers", "table", order=150).kind
    'table'
    """

    path: Path
    title: str
    kind: ArtifactKind
    caption: str = ""
    order: int = 400
