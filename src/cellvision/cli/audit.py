"""``cellvision audit``: what is in the images, before a network sees them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from cellvision.cli import experiments

if TYPE_CHECKING:
    from cellvision.data.audit import Audit

_SHOWN = 20


def run(
    source: experiments.Source,
    changes: experiments.Set = [],  # noqa: B006 - Typer copies it
    as_json: Annotated[bool, typer.Option("--json", help="Print one object for machines.")] = False,
) -> None:
    """Read every file and tell what is there; exit code 3 where splits leak."""
    from cellvision.data.audit import audit
    from cellvision.data.leaks import raise_if_leaking
    from cellvision.progress import displayed

    experiment = experiments.read(source, changes)
    with displayed(None) as display:
        found = audit(experiment, display.decoded)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        _show(found)
    raise_if_leaking(found.leaks)


def _show(found: Audit) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    unit = found.group_column or "units unknown: images"
    counts = Table("class", *map(escape, found.counts), box=None)
    for name in found.class_names:
        counts.add_row(escape(name), *(str(by_class[name]) for by_class in found.counts.values()))
    totals = (str(sum(by_class.values())) for by_class in found.counts.values())
    counts.add_row("all images", *totals, style="bold")
    counts.add_row(f"units ({escape(unit)})", *(str(n) for n in found.groups.values()))
    console.print(counts)
    read = [file for file in found.files if file.status == "read"]
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
        files = [file for file in found.files if file.status == status]
        if files:
            console.print(f"\n{len(files)} files {status}:", style="bold")
        for file in files[:_SHOWN]:
            console.print(f"  {escape(file.file)}: {escape(file.reason)}")
        if len(files) > _SHOWN:
            console.print(f"  and {len(files) - _SHOWN} more (--json lists every file)")
    if found.warnings:
        console.print("\nMind:", style="bold yellow")
    for warning in found.warnings:
        console.print(f"  {escape(warning)}")
