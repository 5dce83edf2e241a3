"""``cellvision predict``: classes and probabilities of new images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    run_dir: Annotated[
        str, typer.Argument(metavar="RUN_DIR", help="A finished run's folder, or its address.")
    ],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES_OR_FOLDER", help="Images, or folders of them.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE.csv", help="Where to write.", show_default=False),
    ],
) -> None:
    """Classify new images with a run's network; writes image, predicted and probabilities."""
    from cellvision.training.backend import start_quietly
    from cellvision.training.predict import predict
    from cellvision.training.run import load_run

    start_quietly()
    table = predict(load_run(run_dir), images, out, progress=True)
    for name, count in table["predicted"].value_counts().items():
        print(f"{count:6d}  {name}")
    print(out)
