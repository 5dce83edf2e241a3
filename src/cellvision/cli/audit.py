"""``cellvision audit``: what the images contain, before a network sees them."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellvision import errors
from cellvision.cli import experiments
from cellvision.cli.output_folder import removed_if_empty
from cellvision.plurals import counted

if TYPE_CHECKING:
    from rich.console import Console

    from cellvision.data.audit import Audit, FileRecord

_SHOWN = 20
_SAME_REASON = 3
"""Most files with one reason that get a line each."""


def run(
    source: experiments.Source,
    changes: experiments.Set = [],  # noqa: B006 - Typer copies it
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Write a page with contact sheets, histograms and tables to this folder: a new "
            "or empty one, or that of an earlier audit.",
            show_default=False,
        ),
    ] = None,
    recipe: experiments.RecipeName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Read every image and report what is in the data.

    Exit code 2 if no image can be read, 3 if splits leak.
    """
    from cellvision.data.leaks import raise_if_leaking
    from cellvision.results.audits import audit, raise_if_not_for_audit

    if out is not None:
        raise_if_not_for_audit(out)
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is not of the report
        experiment = experiments.read_for_audit(source, changes, recipe)
        with contextlib.nullcontext() if out is None else removed_if_empty(out):
            report = audit(experiment, out=out)
    if as_json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        _show(report)
        _show_page(out)
    _raise_if_nothing_read(report)
    raise_if_leaking(report.leaks)


def _raise_if_nothing_read(report: Audit) -> None:
    refused = sum(file.status == "refused" for file in report.files)
    if not any(file.status == "read" for file in report.files):
        raise errors.CatalogError(
            f"none of {counted(refused, 'image')} can be read",
            "The report says why, for each file",
        )


def _show_page(out: str | None) -> None:
    """Print where the page is."""
    from cellvision.cli.text import printable
    from cellvision.remote import is_address

    if out is not None:
        page = Path(out) / "reports" / "report.html"
        print(printable(page if page.is_file() and not is_address(out) else out))


def _show(report: Audit) -> None:
    from rich.console import Console

    from cellvision.cli.text import as_markup

    console = Console(highlight=False)
    _show_counts(console, report)
    _show_batches(console, report)
    _show_images(console, report)
    for status in ("refused", "skipped"):
        files = [file for file in report.files if file.status == status]
        if files:
            noun = "file" if len(files) == 1 else "files"
            console.print(f"\n{len(files)} {noun} {status}:", style="bold")
        lines = list(_reasons(files))
        for line in lines[:_SHOWN]:
            console.print(f"  {as_markup(line)}")
        if len(lines) > _SHOWN:
            console.print(f"  and {len(lines) - _SHOWN} more (--json lists every file)")
    if report.warnings:
        console.print("\nWarnings:", style="bold yellow")
    for warning in report.warnings:
        console.print(f"  {as_markup(warning)}")


def _reasons(files: Sequence[FileRecord]) -> Iterator[str]:
    """Return a line for each file, and one for all files with the same reason if they are many."""
    by_reason: dict[str, list[str]] = {}
    for file in files:
        by_reason.setdefault(file.reason, []).append(file.file)
    for reason, names in by_reason.items():
        if len(names) > _SAME_REASON:
            shown = ", ".join(names[:_SAME_REASON])
            yield f"{len(names)} files, such as {shown}: {reason}"
        else:
            yield from (f"{name}: {reason}" for name in names)


def _show_counts(console: Console, report: Audit) -> None:
    from rich.table import Table

    from cellvision.cli.text import as_markup

    group = report.group_column or "unknown: images"
    table = Table(box=None)
    table.add_column("class", no_wrap=True)
    for split in report.counts:
        table.add_column(as_markup(split), overflow="fold")
    for name in report.class_names:
        counts = (str(by_class[name]) for by_class in report.counts.values())
        table.add_row(as_markup(name), *counts)
    totals = (str(sum(by_class.values())) for by_class in report.counts.values())
    table.add_row("all images", *totals, style="bold")
    table.add_row(f"groups ({as_markup(group)})", *(str(n) for n in report.groups.values()))
    console.print(table)


def _show_batches(console: Console, report: Audit) -> None:
    from rich.table import Table

    from cellvision.cli.text import as_markup

    batch = report.batch
    if batch is None:
        return
    table = Table(box=None)
    table.add_column(as_markup(batch.column), no_wrap=True)
    for name in report.class_names:
        table.add_column(as_markup(name), overflow="fold")
    for name, by_class in list(batch.counts.items())[:_SHOWN]:
        table.add_row(as_markup(name), *(str(by_class[label]) for label in report.class_names))
    console.print(f"\n{batch.counted.capitalize()} of each class in each batch:", style="bold")
    console.print(table)
    if len(batch.counts) > _SHOWN:
        console.print(f"  and {len(batch.counts) - _SHOWN} more (--json lists every batch)")


def _show_images(console: Console, report: Audit) -> None:
    read = [file for file in report.files if file.status == "read"]
    console.print(f"\n{counted(len(read), 'image')} read:", style="bold")
    kinds = Counter((file.shape, file.dtype, file.bit_depth) for file in read)
    for (shape, dtype, bits), count in kinds.most_common(_SHOWN):
        size = " × ".join(map(str, shape or ()))
        console.print(f"  {count:6d}  {size}  {dtype}, {counted(bits or 0, 'bit')} per sample")
    if len(kinds) > _SHOWN:
        console.print(f"  and {len(kinds) - _SHOWN} more kinds (--json lists every file)")
    if read:
        low = min(file.low for file in read if file.low is not None)
        high = max(file.high for file in read if file.high is not None)
        console.print(f"  intensities {low:g} to {high:g}")
