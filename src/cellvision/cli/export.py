"""``cellvision export``: a run's network for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def run(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A finished run's folder.")],
    format: Annotated[  # noqa: A002 - the option's name
        Literal["onnx", "openvino", "litert", "saved_model"],
        typer.Option("--format", help="What it is written as.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="The file, or the folder of a saved_model. Default: model.onnx, model.xml, "
            "model.tflite or model_saved_model in the run's folder.",
        ),
    ] = None,
) -> None:
    """Write a run's network for other programs, and check that it predicts the same there."""
    from cellvision.inference.export import export
    from cellvision.results.run import load_run

    print(export(load_run(run_dir), format, out))
