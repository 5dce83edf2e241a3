"""``cellvision export``: write a run's network for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellvision.cli.run_images import RunImages
from cellvision.cli.values import split_change


def run(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of a finished run.")],
    format: Annotated[  # noqa: A002 - the option's name
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Format to write: the name of an installed exporter, such as onnx; see "
            "cellvision plugins.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="File or folder to write. Default: model with the suffix of the format, such as "
            "model.onnx, in the run's folder.",
        ),
    ] = None,
    changes: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the exporter. Repeat for several.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    run_images: RunImages = None,
) -> None:
    """Export a run's network for other programs.

    Checks that the exported network predicts the same.
    """
    from cellvision.backends.startup import raise_if_no_backend
    from cellvision.cli.text import printable
    from cellvision.inference.export import export
    from cellvision.interfaces.exporter import exporters
    from cellvision.results.run import load_run

    raise_if_no_backend()
    settings = dict(split_change(change, "--set KEY=VALUE") for change in changes)
    exporter = exporters.create(format, **settings)
    print(printable(export(load_run(run_dir, images=run_images), exporter, out)))
