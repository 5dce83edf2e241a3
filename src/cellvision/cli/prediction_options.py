"""The options that ``cellvision predict`` and ``cellvision evaluate`` share."""

from __future__ import annotations

from typing import Annotated

import typer

ModelDir = Annotated[
    str,
    typer.Argument(
        metavar="RUN_OR_STUDY_DIR",
        help="Folder of a finished run or study, or its address. The runs of a study are averaged.",
    ),
]

Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="Program that computes the predictions: keras; onnxruntime or openvino, if "
        "installed, for which the network is converted once; auto picks the fastest.",
    ),
]

TestTimeAugmentation = Annotated[
    bool,
    typer.Option(
        "--tta", help="Average over flips and quarter turns of each image: eight times slower."
    ),
]

ExperimentName = Annotated[
    str | None,
    typer.Option("--experiment", metavar="NAME", help="Experiment of a study with several."),
]

SkipUnreadable = Annotated[
    bool | None,
    typer.Option(
        "--skip-unreadable/--no-skip-unreadable",
        help="Leave out unreadable files. Default: as the run did.",
        show_default=False,
    ),
]
