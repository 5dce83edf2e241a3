"""A file that a reporter made, described for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ArtifactKind = Literal["figure", "table", "text", "page", "data"]
"""How an artifact is shown: as an image, a table, Markdown text, a link to a page, or a link."""


@dataclass(frozen=True)
class Artifact:
    """One result of a reporter.

    The HTML page shows every artifact of a run or study, built-in and third-party alike.

    Attributes
    ----------
    path : pathlib.Path
        The file, below the folder that the reporter was given.
    title : str
        Heading, a few words.
    kind : {"figure", "table", "text", "page", "data"}
        ``figure``: PNG, SVG or JPEG image; ``table``: CSV; ``text``: Markdown; ``page``: HTML
        of its own; ``data``: any other file. Figures, tables and text are shown in the page,
        the others are linked.
    caption : str
        One or two sentences that say what is shown, with n and interval.
    order : int
        Position on the page: lower comes first. 0 to 99 the answer, 100 to 199 examples,
        200 to 299 training, 300 to 399 controls, 400 and above everything else.
    """

    path: Path
    title: str
    kind: ArtifactKind
    caption: str = ""
    order: int = 400
