"""The verbs, put together."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cellvision.cli import (
    audit,
    check,
    demo,
    export,
    label,
    new_plugin,
    plugins,
    predict,
    prepare,
    recipe,
    report,
    schema,
    study,
    train,
)

_HELP = "Can a network tell these microscopy images apart, and is it learning or memorising?"


def command() -> Any:
    """Build the command, of a class of Click's, whichever copy of that Typer brings along."""
    app = typer.Typer(
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_whole)
    for verb in (
        *(demo, audit, recipe, train, study, label, predict, export, report, plugins),
        *(check, schema, new_plugin),
    ):
        app.command(verb.__name__.rpartition(".")[2].replace("_", "-"))(verb.run)
    app.add_typer(prepare.app, name="prepare")
    return typer.main.get_command(app)


def _version(asked: bool) -> None:
    if asked:
        import importlib_metadata

        typer.echo(f"cellvision {importlib_metadata.version('cellvision')}")
        raise typer.Exit


def _whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; anywhere in the line.")
    ] = False,
) -> None:
    # Both options have done their work before this is called.
    del version, debug
