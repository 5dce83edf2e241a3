"""The page of an audit: what the images are, before any training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cellvision_reporters.figures.banners import leak_banner
from cellvision_reporters.figures.phrasing import capitalise, format_groups, plural
from cellvision_reporters.page.content import AUDIT_SECTIONS, FileLink, Table, file_links, sections
from cellvision_reporters.page.details import (
    Detail,
    failed_reporters,
    leak_lines,
    reporter_settings,
    unread_files,
)
from cellvision_reporters.page.template import FILE_NAME, render

if TYPE_CHECKING:
    from cellvision import Audit
    from cellvision.results.audits import AuditReport

_MOST_ROWS = 100
"""Most rows of the tables of sizes and batches, and most near-duplicates."""


def audit_page(report: AuditReport) -> str:
    """Return the page as HTML."""
    audit, reports = report.audit, report.folder / "reports"
    dataset = audit.images.dataset
    source = str(getattr(dataset, "path", None) or type(dataset).__name__)
    shown = [each for each in report.artifacts if each.path != reports / FILE_NAME]
    return render(
        "audit.html",
        heading=f"Audit of {PurePosixPath(source.replace(chr(92), '/')).name}",
        subtitle=source,
        headline=_headline(audit),
        leak=leak_banner(audit),
        warnings=[*audit.warnings, *failed_reporters(report.reports)],
        sections=sections(shown, reports, AUDIT_SECTIONS),
        details=list(_details(audit)),
        links=[FileLink("The audit as JSON", "../audit.json"), *file_links(shown, reports)],
        reporters=reporter_settings(report.reports),
    )


def _headline(audit: Audit) -> str:
    images = sum(sum(by_class.values()) for by_class in audit.counts.values())
    groups = format_groups(sum(audit.groups.values()), audit.group_column)
    classes = len(audit.class_names)
    return (
        f"{plural(images, 'image')} in {classes} class{'es' if classes != 1 else ''} and "
        f"{plural(len(audit.counts), 'split')}; {groups}."
    )


def _details(audit: Audit) -> Iterator[Detail]:
    yield Detail("Images by class and split", [("", _counts(audit))])
    yield Detail("Sizes, channels and pixel types", [("", _sizes(audit))])
    if audit.batch is not None:
        title = f"{capitalise(audit.batch.counted)} by class and batch ({audit.batch.column})"
        yield Detail(title, [("", _batches(audit))])
    if audit.leaks:
        yield Detail("Leaks", lists=[("", leak_lines(audit))])
    if audit.near_duplicates:
        yield Detail("Near-duplicates across splits", [("", _near_duplicates(audit))])
    unread = unread_files(audit)
    if unread.rows:
        yield Detail("Files that were not used", [("", unread)])


def _counts(audit: Audit) -> Table:
    rows = [
        (name, *(str(by_class[name]) for by_class in audit.counts.values()))
        for name in audit.class_names
    ]
    total = ("all images", *(str(sum(by_class.values())) for by_class in audit.counts.values()))
    groups = (f"groups ({audit.group_column or 'unknown'})", *map(str, audit.groups.values()))
    return Table(("class", *audit.counts), (*rows, total, groups))


def _sizes(audit: Audit) -> Table:
    """Return one row per size, number of channels, pixel type and file format."""
    labels = audit.images.table.set_index("image")["label"].to_dict()
    kinds: Counter[tuple[str, ...]] = Counter()
    classes: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for file in audit.files:
        if file.status != "read" or file.shape is None:
            continue
        height, width, channels = file.shape
        suffix = PurePosixPath(file.file).suffix.lower().lstrip(".") or "–"
        kind = (f"{height} × {width}", str(channels), str(file.dtype), str(file.bit_depth), suffix)
        kinds[kind] += 1
        classes[kind][labels.get(file.file, "–")] += 1
    rows = tuple(
        (*kind, str(count), ", ".join(f"{n} {name}" for name, n in classes[kind].most_common(8)))
        for kind, count in kinds.most_common(_MOST_ROWS)
    )
    head = ("height × width", "channels", "pixel type", "bits", "file", "images", "classes")
    return Table(head, rows, len(kinds) - len(rows))


def _batches(audit: Audit) -> Table:
    assert audit.batch is not None
    counts = audit.batch.counts
    rows = tuple(
        (batch, *(str(by_class[name]) for name in audit.class_names))
        for batch, by_class in list(counts.items())[:_MOST_ROWS]
    )
    return Table((audit.batch.column, *audit.class_names), rows, len(counts) - len(rows))


def _near_duplicates(audit: Audit) -> Table:
    rows = tuple(
        (pair.image, pair.other, f"{pair.split} and {pair.other_split}")
        for pair in audit.near_duplicates[:_MOST_ROWS]
    )
    return Table(("image", "looks like", "splits"), rows, len(audit.near_duplicates) - len(rows))
