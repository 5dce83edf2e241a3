"""``cellvision predict``: classes and probabilities of new images."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    import pandas as pd


def run(
    run_dir: Annotated[
        str, typer.Argument(metavar="RUN_DIR", help="A finished run's folder, or its address.")
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES_OR_FOLDER", help="Images, or folders of them, or their addresses."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE.csv", help="Where to write.", show_default=False),
    ],
    engine: Annotated[
        Literal["auto", "keras", "onnxruntime", "openvino"],
        typer.Option(
            "--engine",
            help="What computes the predictions: keras; onnxruntime or openvino, where "
            "installed, with the network converted for them once; or auto for what is soonest "
            "done.",
        ),
    ] = "auto",
) -> None:
    """Classify new images with a run's network; writes image, predicted and probabilities."""
    from cellvision.inference.predict import predict_blocks
    from cellvision.results.run import load_run

    counts: Counter[str] = Counter()

    def count(block: pd.DataFrame) -> None:
        counts.update(block["predicted"])

    done = predict_blocks(load_run(run_dir), images, out, count, engine=engine, progress=True)
    rate = done.images / done.seconds
    print(f"computed by {done.engine} in float32, {rate:,.0f} images/s", file=sys.stderr)
    for name, number in counts.most_common():
        print(f"{number:6d}  {name}")
    print(out)
