"""The option that says where the images of a run are now."""

from __future__ import annotations

from typing import Annotated

import typer

RunImages = Annotated[
    str | None,
    typer.Option(
        "--run-images",
        metavar="FOLDER",
        help="Where the images of the run are now, if they were moved since the training.",
        show_default=False,
    ),
]
