"""``cellvision evaluate``: score a run's network on labelled images that came later."""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from cellvision.cli.output_folder import removed_if_empty, shown_without_reports
from cellvision.cli.prediction_options import (
    Engine,
    ExperimentName,
    ModelDir,
    SkipUnreadable,
    TestTimeAugmentation,
)
from cellvision.cli.train import Out

if TYPE_CHECKING:
    from cellvision.results.evaluation import Evaluation, TestRecord


def run(
    model_dir: ModelDir,
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER",
            help="Labelled images: FOLDER/<class>/*, a table, or their address. Several are "
            "evaluated one by one.",
        ),
    ],
    out: Out,
    engine: Engine = "auto",
    tta: TestTimeAugmentation = False,
    experiment: ExperimentName = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="Read FOLDER through this data set. Default: as the training images were read.",
        ),
    ] = None,
    skip_unreadable: SkipUnreadable = None,
) -> None:
    """Score the network of a run, or the networks of a study, on new labelled images.

    Writes a folder with scores, predictions and reports; of several FOLDERs, a subfolder of DIR
    for each.
    """
    from cellvision.backends.startup import raise_if_no_backend
    from cellvision.evaluation.evaluate import evaluate_labelled
    from cellvision.evaluation.labelled_images import labelled_images, names_of
    from cellvision.inference.predict import networks_of
    from cellvision.inference.prediction_options import PredictionOptions
    from cellvision.inference.shared_engine import SharedEngine
    from cellvision.results.claimed_folder import raise_if_in_use
    from cellvision.results.opening import open_results

    raise_if_no_backend()
    targets = [out] if len(folders) == 1 else [_below(out, name) for name in names_of(folders)]
    for target in targets:
        raise_if_in_use(target)
    model = open_results(model_dir)
    runs = networks_of(model, experiment)
    # All labels are read before the first prediction: a wrong class is found at once.
    sources = [labelled_images(runs[0], folder, dataset) for folder in folders]
    options = PredictionOptions(
        engine, tta, experiment=experiment, skip_unreadable=skip_unreadable, progress=True
    )
    total = sum(len(images.catalog) for images in sources)
    shared = SharedEngine(runs, engine, total, tta=tta)
    for target, images in zip(targets, sources, strict=True):
        with removed_if_empty(target), shown_without_reports(_show, target):
            evaluation = evaluate_labelled(model, runs, images, target, options, shared)
        _show(evaluation, target)


def _below(out: str, name: str) -> str:
    from cellvision.remote import is_address

    return f"{out.rstrip('/')}/{name}" if is_address(out) else str(PurePath(out) / name)


def _show(evaluation: Evaluation, out: str) -> None:
    """Print what computed, the warnings, the scores, and where the report is."""
    from cellvision.cli.text import printable
    from cellvision.cli.train import show

    record = evaluation.record
    averaged = f", {record.averaged}" if record.averaged else ""
    print(f"computed by {record.engine} in float32{averaged}", file=sys.stderr)
    for split, test in record.tests.items():
        print(printable(f"{split}: {_test_text(test)}"))
    show(evaluation, out)


def _test_text(test: TestRecord) -> str:
    """State the p-value of a permutation test, before and after adjustment."""
    text, adjusted = f"{test.unadjusted_p:.2g}", f"{test.p:.2g}"
    also = "" if adjusted == text else f", adjusted for test sets and looks {adjusted}"
    return f"permutation test p = {text}{also}"
