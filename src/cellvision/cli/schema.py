"""``cellvision schema``: JSON Schema for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cellvision import atomic_io, errors


def run(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A plugin, such as deep or architecture:deep."),
    ] = None,
    experiment: Annotated[
        bool, typer.Option("--experiment", help="Of experiment files; this is the default.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write it to a file instead."),
    ] = None,
) -> None:
    """Print the JSON Schema of experiment files, or of one plugin's settings."""
    from cellvision.schema import component_schema, experiment_schema, named

    if name is not None and experiment:
        raise errors.ExperimentError(
            "give either a plugin's name or --experiment, not both", "Leave one of them out"
        )
    found = experiment_schema() if name is None else component_schema(*named(name))
    text = json.dumps(found, indent=2, ensure_ascii=False)
    if out is None:
        print(text)
    else:
        atomic_io.text(out, text + "\n")
