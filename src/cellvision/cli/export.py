"""``cellvision export``: convert a run's network for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def run(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of a finished run.")],
    format: Annotated[  # noqa: A002 - the option's name
        Literal["onnx", "openvino", "litert", "saved_model"],
        typer.Option("--format", help="Format to write.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="File, or folder for saved_model. Default: model.onnx, model.xml, "
            "model.tflite or model_saved_model in the run's folder.",
        ),
    ] = None,
) -> None:
    """Convert a run's network for other programs.

    Checks that the converted network predicts the same.
    """
    from cellvision.cli.text import printable
    from cellvision.inference.export import export
    from cellvision.results.run import load_run

    print(printable(export(load_run(run_dir), format, out)))
