"""``cellvision recipe``: the experiment that a recipe chooses for a folder, as a file to edit."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated, Literal

import typer

from cellvision.cli import experiments


def run(
    source: experiments.Source,
    recipe: experiments.RecipeName = None,
    changes: experiments.Set = [],  # noqa: B006 - Typer copies it
    form: Annotated[
        Literal["toml", "yaml", "json"], typer.Option("--format", help="Format of the file.")
    ] = "toml",
) -> None:
    """Print the experiment that a recipe chooses, complete and ready to edit."""
    from cellvision.experiment import format_experiment

    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is not of the file
        experiment = experiments.read_with_recipe(source, changes, recipe)
    typer.echo(format_experiment(experiment, form), nl=False)
