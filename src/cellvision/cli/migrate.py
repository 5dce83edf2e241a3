"""``cellvision migrate``: current names for renamed settings and plugins in an experiment file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="EXPERIMENT", help="Experiment file: .toml, .yaml or .json.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write here instead of into the file, which is otherwise kept as FILE.old.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Replace former names of settings and plugins in an experiment file by the current ones."""
    from cellvision.cli.text import printable
    from cellvision.migration import migrate_file

    changes = migrate_file(file, out)
    for former, current in changes:
        print(printable(f"{former} -> {current}"))
    if not changes:
        print("all names are current")
