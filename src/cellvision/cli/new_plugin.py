"""``cellvision new-plugin``: start a plugin as a complete distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def run(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of the plugin in experiments: lower-case letters, digits and _.",
            show_default=False,
        ),
    ],
    kind: Annotated[
        Literal[
            "architecture",
            "augmenter",
            "control",
            "dataset",
            "exporter",
            "recipe",
            "reporter",
            "splitter",
        ],
        typer.Option("--kind", help="Interface of the plugin.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Directory to create the plugin in.")
    ] = Path(),
) -> None:
    """Create a new plugin from a template.

    The result is a complete distribution: a small working example, its tests and its CI.
    """
    import shlex

    from cellvision.new_plugin import render

    folder = str(render(name, kind, out))
    print(folder)
    print(
        f"Next: cd {shlex.quote(folder)} && python -m pip install -e '.[test]' && python -m pytest"
    )
