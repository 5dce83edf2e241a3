"""``cellvision demo``: the whole way, on images that it makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")
    ] = Path("cellvision-demo"),
) -> None:
    """Train on an easy and on an impossible problem and tell which one was learned."""
    from cellvision.backends.startup import start_backend
    from cellvision.demo import demo

    start_backend()
    print(demo(out, progress=True))
