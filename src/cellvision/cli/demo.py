"""``cellvision demo``: the whole workflow on synthetic images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellvision.cli.output_folder import removed_if_empty


def run(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="New or empty folder for the results.")
    ] = Path("cellvision-demo"),
) -> None:
    """Train on synthetic images.

    One problem can be learned and one cannot; the page shows which one was.
    """
    from cellvision.backends.startup import start_backend
    from cellvision.cli.text import printable
    from cellvision.demo import demo

    with removed_if_empty(out):
        start_backend()
        print(printable(demo(out, progress=True)))
