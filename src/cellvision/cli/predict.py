"""``cellvision predict``: classify new images with a run's network."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellvision import errors
from cellvision.cli.prediction_options import (
    Engine,
    ExperimentName,
    ModelDir,
    SkipUnreadable,
    TestTimeAugmentation,
)
from cellvision.cli.run_images import RunImages

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.interfaces.dataset import Dataset
    from cellvision.results.run import Run
    from cellvision.results.study import Study


def run(
    model_dir: ModelDir,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES_OR_FOLDER", help="Images, folders of images, or their addresses."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Table to write: a CSV file, or an Excel workbook (.xlsx).",
            show_default=False,
        ),
    ],
    engine: Engine = "auto",
    tta: TestTimeAugmentation = False,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="Also predict groups of images, such as wells: a column of groups.csv in the "
            "folder of images, or 'folder'. Writes FILE_by_COLUMN beside the table.",
        ),
    ] = None,
    experiment: ExperimentName = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="Read IMAGES_OR_FOLDER through this data set, such as bioio, instead of as files.",
        ),
    ] = None,
    skip_unreadable: SkipUnreadable = None,
    sort_into: Annotated[
        Path | None,
        typer.Option(
            "--sort-into", metavar="DIR", help="Copy the images into DIR/<predicted class>."
        ),
    ] = None,
    contact_sheet: Annotated[
        Path | None,
        typer.Option(
            "--contact-sheet",
            metavar="FILE.png",
            help="Draw thumbnails of the most probable images of each class.",
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Add sets that hold the class of 90 % of images, answers that are right in 90 %, "
            "and with --by a flag for groups unlike the training images. Needs groups. "
            "Not with --tta.",
        ),
    ] = False,
    run_images: RunImages = None,
) -> None:
    """Classify new images with the network of a run, or with all networks of a study.

    Writes a table with image, predicted class and the probability of each class.
    """
    from cellvision.backends.startup import raise_if_no_backend
    from cellvision.cli.text import printable
    from cellvision.inference.predict import predict_blocks
    from cellvision.inference.prediction_options import PredictionOptions
    from cellvision.results.opening import open_results

    raise_if_no_backend()
    counts: Counter[str] = Counter()

    def count(block: pd.DataFrame) -> None:
        counts.update(block["predicted"])

    options = PredictionOptions(
        engine,
        tta,
        by,
        experiment,
        skip_unreadable,
        sort_into,
        contact_sheet,
        progress=True,
        trust=trust,
    )
    model = open_results(model_dir, run_images)
    source = _dataset(model, dataset, images) or images
    summary = predict_blocks(model, source, out, count, options)
    rate = summary.images / max(summary.seconds, 1e-9)
    averaged = f", {summary.model}" if summary.model else ""
    print(
        f"computed by {summary.engine} in float32{averaged}, {rate:,.0f} images/s", file=sys.stderr
    )
    for name, number in counts.most_common():
        print(f"{number:6d}  {printable(name)}")
    for path in summary.files:
        print(printable(str(path)))


def _dataset(model: Run | Study, name: str | None, sources: list[str]) -> Dataset | None:
    """Create the data set that is named, or that recognises the path; None to read files."""
    from cellvision.cli.text import printable
    from cellvision.inference.recognised_source import dataset_like, recognised_source
    from cellvision.results.study import Study

    run = model.experiments[0].runs[0] if isinstance(model, Study) else model
    if name is None:
        found = recognised_source(sources, run)
        if found is not None:
            origin = found.registry.origin_of(type(found))
            print(printable(f"{sources[0]}: read by {origin}"), file=sys.stderr)
        return found
    if len(sources) != 1:
        raise errors.ExperimentError(
            f"--dataset {name} reads one path, not {len(sources)}", "Name one folder or file."
        )
    return dataset_like(run, name, sources[0])
