"""Turns artifacts into sections of the page: embedded figures, tables and texts, and links."""

from __future__ import annotations

import csv
import itertools
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cellvision import Artifact, errors, io
from cellvision_reporters.page.picture import Picture, picture_of

_MOST_ROWS = 200
"""Most rows of a table on the page."""

_LONG_CELL = 40
"""Length of a cell that is a sentence."""

_ABBREVIATIONS = frozenset({"auc", "f1", "mcc", "roc", "sd"})

_NUMBER = re.compile(r"[-−+]?[0-9][0-9,.]*(e[-+]?[0-9]+)?( ?%)?|–")
"""A cell that holds a number, or none."""

_SECTIONS = (
    (100, "The answer in numbers"),
    (200, "Examples and errors"),
    (300, "Training"),
    (400, "Controls"),
)
"""Order up to which artifacts belong to each section; the others are in the last one."""

AUDIT_SECTIONS = ((100, "Contact sheets"), (200, "Intensities"))
"""The same for the page of an audit."""

_LAST = "More reports"


@dataclass(frozen=True)
class FileLink:
    """A link to a file.

    Attributes
    ----------
    title : str
        Its text.
    href : str
        Address relative to the page.
    """

    title: str
    href: str


@dataclass(frozen=True)
class Table:
    """A table on the page.

    Attributes
    ----------
    head : tuple of str
        Column headings.
    rows : tuple of tuple of str
        The rows.
    omitted : int
        Number of rows that are not shown.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    omitted: int = 0

    @property
    def aligned_right(self) -> tuple[bool, ...]:
        """Whether each column holds numbers, whose digits are to stand below each other."""
        cells_of = (self.head, *self.rows) if self.head else self.rows
        columns = zip(*cells_of, strict=True)
        numeric = [all(map(_NUMBER.fullmatch, cells[1:])) for cells in columns]
        return tuple(bool(self.head) and n > 0 and right for n, right in enumerate(numeric))


@dataclass(frozen=True)
class Item:
    """One artifact on the page.

    Attributes
    ----------
    title, caption : str
        From the artifact.
    link : FileLink
        Link to the file.
    picture : Picture or None
        An embedded figure and its caption.
    table : Table or None
        An embedded table.
    html : str
        Embedded text, already converted to HTML.
    fault : str
        Why the file cannot be shown.
    """

    title: str
    caption: str
    link: FileLink
    picture: Picture | None = None
    table: Table | None = None
    html: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes
    ----------
    title, anchor : str
        Heading, and its anchor for links.
    items : tuple of Item
        What is shown.
    before_details : bool
        Whether it comes before the details of data, settings and methods.
    """

    title: str
    anchor: str
    items: tuple[Item, ...]
    before_details: bool


def sections(
    artifacts: Sequence[Artifact],
    reports: Path,
    titles: Sequence[tuple[int, str]] = _SECTIONS,
) -> list[Section]:
    """Group figures, tables and texts into sections.

    Parameters
    ----------
    artifacts
        In the order of the page.
    reports
        Folder of the page.
    titles
        Order up to which artifacts belong to each section, with its title.
    """
    embedded = [each for each in artifacts if each.kind in ("figure", "table", "text")]
    grouped = itertools.groupby(embedded, key=lambda each: _section_title(each.order, titles))
    return [
        Section(
            title,
            re.sub(r"[^a-z]+", "-", title.lower()),
            tuple(item_of(artifact, reports) for artifact in group),
            title != _LAST,
        )
        for title, group in grouped
    ]


def _section_title(order: int, titles: Sequence[tuple[int, str]]) -> str:
    return next((title for limit, title in titles if order < limit), _LAST)


def file_links(artifacts: Sequence[Artifact], reports: Path) -> list[FileLink]:
    """Return links to artifacts that are not embedded, and to the files of tables."""
    linked = [each for each in artifacts if each.kind in ("page", "data", "table")]
    return [_link(each, reports) for each in linked]


def _link(artifact: Artifact, reports: Path) -> FileLink:
    name = artifact.path.relative_to(reports).as_posix()
    return FileLink(artifact.title, urllib.parse.quote(name))


def lead_picture(artifacts: Sequence[Artifact]) -> tuple[Artifact | None, list[Artifact]]:
    """Split off the picture that stands beside the answer: the first figure in the page's order.

    Returns
    -------
    picture : Artifact or None
        None if there is no figure.
    others : list of Artifact
        The other artifacts, in their order.
    """
    figures = [each for each in artifacts if each.kind == "figure"]
    picture = min(figures, key=lambda each: each.order, default=None)
    return picture, [each for each in artifacts if each is not picture]


def item_of(artifact: Artifact, reports: Path) -> Item:
    """Return an artifact as the page shows it.

    Parameters
    ----------
    artifact
        A figure, a table or a text.
    reports
        Folder of the page.
    """
    link = _link(artifact, reports)
    try:
        if artifact.kind == "table":
            return Item(artifact.title, artifact.caption, link, table=read_table(artifact.path))
        if artifact.kind == "text":
            text = artifact.path.read_text(encoding="utf-8")
            return Item(artifact.title, artifact.caption, link, html=_markdown_to_html(text))
        if not artifact.path.stat().st_size:
            raise ValueError("the file is empty")
        return Item(artifact.title, artifact.caption, link, picture=picture_of(artifact))
    except (OSError, ValueError, csv.Error) as error:
        reason = errors.first_line(error)
        return Item(artifact.title, artifact.caption, link, fault=f"Cannot be shown: {reason}")


def read_table(path: Path) -> Table:
    """Read a CSV file for display: numbers rounded, empty columns left out.

    Parameters
    ----------
    path
        The file.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        head = next(reader, [])
        rows = list(itertools.islice(reader, _MOST_ROWS))
        omitted = sum(1 for _ in reader)
    head = [io.unescape_cell(cell) for cell in head]
    rows = [[*row, *[""] * (len(head) - len(row))][: len(head)] for row in rows]
    rows = [[io.unescape_cell(cell) for cell in row] for row in rows]
    columns = [index for index in range(len(head)) if _is_shown([row[index] for row in rows])]
    decimals = _have_decimals(head, rows)
    return Table(
        tuple(_heading(head[index]) for index in columns),
        tuple(
            tuple(_rounded(row[index], decimals=decimals[index]) for index in columns)
            for row in rows
        ),
        omitted,
    )


def _have_decimals(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bool]:
    """Whether each column has decimals, or the quantity whose limits it contains."""
    quantities = [column.removesuffix("_low").removesuffix("_high") for column in head]
    decimal = {
        quantity
        for index, quantity in enumerate(quantities)
        if any("." in row[index] for row in rows)
    }
    return [quantity in decimal for quantity in quantities]


def _heading(column: str) -> str:
    """Return the name of a column as text; abbreviations in capitals."""
    words = column.replace("_", " ").split(" ")
    return " ".join(word.upper() if word in _ABBREVIATIONS else word for word in words)


def _is_shown(cells: Sequence[str]) -> bool:
    """Leave out empty columns, and columns with the same long sentence in every row."""
    return any(cells) and (len(set(cells)) > 1 or len(cells[0]) < _LONG_CELL)


def _rounded(cell: str, *, decimals: bool) -> str:
    """Round to three decimals, or three digits if small; whole numbers only among decimals."""
    pattern = r"-?\d+(\.\d+)?(e[-+]?\d+)?" if decimals else r"-?\d+\.\d+(e[-+]?\d+)?"
    if not re.fullmatch(pattern, cell):
        return cell or "–"
    value = float(cell)
    return f"{value:.3f}" if abs(value) >= 0.001 or value == 0 else f"{value:.3g}"


def _markdown_to_html(text: str) -> str:
    """Convert Markdown; HTML in it stays text, and images are not loaded."""
    from markdown_it import MarkdownIt

    converter = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    return str(converter.render(text))
