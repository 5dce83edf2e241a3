"""``cellvision new-plugin``: a complete distribution to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def run(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="What it will be called in experiments: small letters, digits and _.",
            show_default=False,
        ),
    ],
    kind: Annotated[
        Literal["architecture", "augmenter", "dataset", "reporter"],
        typer.Option("--kind", help="Which interface it is of.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where its folder is made.")
    ] = Path(),
) -> None:
    """Make a plugin: a distribution with a small example that works, its tests and its CI."""
    from cellvision.new_plugin import render

    made = render(name, kind, out)
    print(made)
    print(f"Next: cd {made} && python -m pip install -e '.[test]' && python -m pytest")
