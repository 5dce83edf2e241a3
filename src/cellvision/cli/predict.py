"""``cellvision predict``: classify new images with a run's network."""

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
        str, typer.Argument(metavar="RUN_DIR", help="Folder of a finished run, or its address.")
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES_OR_FOLDER", help="Images, folders of images, or their addresses."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE.csv", help="CSV file to write.", show_default=False),
    ],
    engine: Annotated[
        Literal["auto", "keras", "onnxruntime", "openvino"],
        typer.Option(
            "--engine",
            help="Program that computes the predictions: keras; onnxruntime or openvino, if "
            "installed, for which the network is converted once; auto picks the fastest.",
        ),
    ] = "auto",
) -> None:
    """Classify new images with a run's network.

    Writes a CSV file with image, predicted class and the probability of each class.
    """
    from cellvision.cli.text import printable
    from cellvision.inference.predict import predict_blocks
    from cellvision.results.run import load_run

    counts: Counter[str] = Counter()

    def count(block: pd.DataFrame) -> None:
        counts.update(block["predicted"])

    result = predict_blocks(load_run(run_dir), images, out, count, engine=engine, progress=True)
    rate = result.images / result.seconds
    print(f"computed by {result.engine} in float32, {rate:,.0f} images/s", file=sys.stderr)
    for name, number in counts.most_common():
        print(f"{number:6d}  {printable(name)}")
    print(printable(out))
