"""``cellvision audit``: what the images contain, before a network sees them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from cellvision.cli import experiments

if TYPE_CHECKING:
    from rich.console import Console

    from cellvision.data.audit import Audit

_SHOWN = 20


def run(
    source: experiments.Source,
    changes: experiments.Set = [],  # noqa: B006 - Typer copies it
    as_json: Annotated[bool, typer.Option("--json", help="Print one object for machines.")] = False,
) -> None:
    """Read every file and report what it contains; exit code 3 if splits leak."""
    from cellvision.data.audit import audit
    from cellvision.data.leaks import raise_if_leaking

    experiment = experiments.read(source, changes)
    report = audit(experiment)
    if as_json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        _show(report)
    raise_if_leaking(report.leaks)


def _show(report: Audit) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    group = report.group_column or "unknown: images"
    counts = Table("class", *map(escape, report.counts), box=None)
    for name in report.class_names:
        counts.add_row(escape(name), *(str(by_class[name]) for by_class in report.counts.values()))
    totals = (str(sum(by_class.values())) for by_class in report.counts.values())
    counts.add_row("all images", *totals, style="bold")
    counts.add_row(f"groups ({escape(group)})", *(str(n) for n in report.groups.values()))
    console.print(counts)
    _show_batches(console, report)
    read = [file for file in report.files if file.status == "read"]
    console.print(f"\n{len(read)} images read:", style="bold")
    kinds = Counter((file.shape, file.dtype, file.bit_depth) for file in read)
    for (shape, dtype, bits), count in kinds.most_common(_SHOWN):
        size = " × ".join(map(str, shape or ()))
        console.print(f"  {count:6d}  {size}  {dtype}, {bits} bits a sample")
    if len(kinds) > _SHOWN:
        console.print(f"  and {len(kinds) - _SHOWN} more kinds (--json lists every file)")
    if read:
        low = min(file.low for file in read if file.low is not None)
        high = max(file.high for file in read if file.high is not None)
        console.print(f"  intensities {low:g} to {high:g}")
    for status in ("refused", "skipped"):
        files = [file for file in report.files if file.status == status]
        if files:
            console.print(f"\n{len(files)} files {status}:", style="bold")
        for file in files[:_SHOWN]:
            console.print(f"  {escape(file.file)}: {escape(file.reason)}")
        if len(files) > _SHOWN:
            console.print(f"  and {len(files) - _SHOWN} more (--json lists every file)")
    if report.warnings:
        console.print("\nWarnings:", style="bold yellow")
    for warning in report.warnings:
        console.print(f"  {escape(warning)}")


def _show_batches(console: Console, report: Audit) -> None:
    from rich.markup import escape
    from rich.table import Table

    batch = report.batch
    if batch is None:
        return
    table = Table(escape(batch.column), *map(escape, report.class_names), box=None)
    for name, by_class in list(batch.counts.items())[:_SHOWN]:
        table.add_row(escape(name), *(str(by_class[label]) for label in report.class_names))
    console.print(f"\n{batch.counted.capitalize()} of each class in each batch:", style="bold")
    console.print(table)
    if len(batch.counts) > _SHOWN:
        console.print(f"  and {len(batch.counts) - _SHOWN} more (--json lists every batch)")
