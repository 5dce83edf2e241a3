"""``cellvision schema``: print the JSON Schema that editors use."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cellvision import atomic_io, errors


def run(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Plugin, such as deep or architecture:deep."),
    ] = None,
    experiment: Annotated[
        bool, typer.Option("--experiment", help="Schema of experiment files; the default.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write to this file instead of standard output."
        ),
    ] = None,
) -> None:
    """Print a JSON Schema for editors.

    It describes experiment files, or the settings of one plugin.
    """
    from cellvision.schema import component_schema, experiment_schema, named

    if name is not None and experiment:
        raise errors.ExperimentError(
            "NAME and --experiment exclude each other", "Give one of them."
        )
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is not of the schema
        schema = experiment_schema() if name is None else component_schema(*named(name))
    text = json.dumps(schema, indent=2, ensure_ascii=False)
    if out is None:
        print(text)
    else:
        atomic_io.text(out, text + "\n")
