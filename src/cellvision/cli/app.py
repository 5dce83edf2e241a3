"""The verbs, assembled into one command."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cellvision.cli import (
    audit,
    check,
    demo,
    evaluate,
    export,
    label,
    migrate,
    new_plugin,
    plan,
    plugins,
    predict,
    prepare,
    recipe,
    report,
    schema,
    study,
    train,
)
from cellvision.cli.verbs import VerbGroup

_HELP = "Can a network tell these microscopy images apart, and is it learning or memorising?"


def command() -> Any:
    """Build the command: an object of Click, or of the copy of Click inside Typer."""
    app = typer.Typer(
        cls=VerbGroup,
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: brackets in it are text
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_global_options)
    for verb in (
        *(demo, audit, recipe, train, study, plan, label, predict, evaluate, export, report),
        *(plugins, check, schema, new_plugin, migrate),
    ):
        app.command(verb.__name__.rpartition(".")[2].replace("_", "-"))(verb.run)
    prepare.app.rich_markup_mode = None
    app.add_typer(prepare.app, name="prepare")
    return typer.main.get_command(app)


def _print_version(*, requested: bool) -> None:
    if requested:
        import importlib_metadata

        typer.echo(f"cellvision {importlib_metadata.version('cellvision')}")
        raise typer.Exit


def _global_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error. Works in any position."),
    ] = False,
    trace_plugins: Annotated[
        bool,
        typer.Option(
            "--trace-plugins",
            help="Say at the end which plugins were imported, and how long each took. Works in "
            "any position.",
        ),
    ] = False,
    plugin: Annotated[
        list[str],
        typer.Option(
            "--plugin",
            metavar="FILE",
            help="Load plugins from a Python file. Repeat for several. Works in any position.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
) -> None:
    # All options are handled before this is called.
    del version, debug, trace_plugins, plugin
