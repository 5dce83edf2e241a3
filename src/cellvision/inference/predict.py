"""Predict classes and probabilities of new images, with the network of a run or of a study."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.inference.image_reader import dataset_images
from cellvision.inference.image_search import (
    ImageFile,
    Source,
    find_images,
    raise_if_among_images,
)
from cellvision.inference.prediction_job import (
    PredictionJob,
    PredictionSummary,
)
from cellvision.inference.prediction_options import PredictionOptions
from cellvision.inference.prediction_table import check_table_path
from cellvision.inference.recognised_source import recognised_source
from cellvision.inference.trust import fit_trust
from cellvision.interfaces.dataset import Dataset
from cellvision.locks import folder_lock
from cellvision.plurals import abbreviated, counted
from cellvision.results.opening import open_results
from cellvision.results.run import Run
from cellvision.results.study import Study

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)


def predict(
    model: Run | Study | str | os.PathLike[str],
    images: Source | Sequence[Source] | Dataset,
    out: str | os.PathLike[str] | None = None,
    *,
    engine: str = "auto",
    tta: bool = False,
    by: str | None = None,
    experiment: str | None = None,
    skip_unreadable: bool | None = None,
    sort_into: str | os.PathLike[str] | None = None,
    contact_sheet: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    trust: bool = False,
) -> pd.DataFrame:
    """Classify new images with the network of a run, or with all networks of a study.

    Images are decoded as the run's data set decodes them (``mono``, projections, ...), and go
    through the run's preprocessing. The network computes in float32, whatever it was trained
    in. All engines give the same probabilities, to 0.001 and usually to 0.000001.

    Warnings are logged if images differ from those of the training in size, channels, bit depth
    or intensity.

    Parameters
    ----------
    model
        A finished run or study, or its folder. For a study, the probabilities of its runs are
        averaged; the score of that ensemble is in `Study.ensembles`.
    images
        Files or folders, which are searched to any depth, or addresses of them, such as
        ``s3://bucket/new``, which are copied into the cache first. Or a data set, whose images
        are read as it reads them.
    out
        CSV file or Excel workbook (``.xlsx``) for the table, written whole or not at all.
    engine
        What computes: ``"keras"``, ``"onnxruntime"``, ``"openvino"``, or ``"auto"`` for the
        fastest. The second and third need their packages; they convert the network once, compare
        it with Keras on some images, and keep it in the cache. ``"auto"`` uses an existing
        conversion, converts if Keras would take more than four seconds, and uses Keras
        otherwise and on a GPU.
    tta
        Average over flips and quarter turns of each image (test-time augmentation): eight times
        the work. Only for images whose orientation means nothing.
    by
        Column of ``groups.csv`` (or of the data set's catalog) that names groups such as wells.
        The probabilities of each group's images are averaged; the table of groups is
        ``attrs["groups"]``, and is written beside `out` as ``<out>_by_<column>.csv``.
    experiment
        Name of the study's experiment; needed if it has several.
    skip_unreadable
        Leave out unreadable files with a warning instead of raising an error. None: as the run's
        preprocessing says.
    sort_into
        New folder to copy the images into, one subfolder per class.
    contact_sheet
        PNG file for thumbnails of the most probable images of each class.
    progress
        Show progress; None shows it on a terminal and in a notebook only.
    trust
        Say how far the predictions can be trusted, from groups that were held out: out of fold in
        a cross-validated study, else in the validation split. Adds the columns ``prediction_set``
        and ``answer`` (None: better not to answer), and, with `by`, ``p_unlike`` and ``unlike`` to
        the table of groups. A part that has too few groups is left out with a warning. Not with
        `tta`: the held-out predictions were not averaged over orientations.

    Returns
    -------
    pandas.DataFrame
        One row per image, in order: ``image``, `by` if given, ``predicted``, ``p_<class>``...,
        and ``model`` if several predictions were averaged. ``attrs["engine"]`` names the engine.

    Raises
    ------
    errors.FolderError
        There is no such file or no image, or an output cannot be written.
    errors.UnreadableImages
        Files cannot be read; all are listed.
    errors.PreprocessingError
        Images have a different pixel type than those of the training, or unsuitable channels.
    errors.ExperimentError
        An option does not fit the model or the images, or groups are too few for `trust`.
    errors.ConversionError
        A requested engine cannot compute this network, or computes different probabilities.
    """
    import pandas as pd

    options = PredictionOptions(
        engine, tta, by, experiment, skip_unreadable, sort_into, contact_sheet, progress, trust
    )
    blocks: list[pd.DataFrame] = []
    summary = predict_blocks(open_results(model), images, out, blocks.append, options)
    table = pd.concat(blocks, ignore_index=True)
    table.attrs["engine"] = summary.engine
    if summary.groups is not None:
        table.attrs["groups"] = summary.groups.to_dict(orient="list")
    return table


def predict_blocks(
    model: Run | Study,
    images: Source | Sequence[Source] | Dataset,
    out: str | os.PathLike[str] | None,
    on_block: Callable[[pd.DataFrame], None],
    options: PredictionOptions | None = None,
) -> PredictionSummary:
    """Classify any number of images without holding their pixels or their table.

    Each processor has a thread that reads some images, predicts them, and reads the next.

    Parameters
    ----------
    model, images, out
        As for `predict`, which also documents what is raised.
    on_block
        Called with each block of rows, in order.
    options
        Further options.
    """
    options = options or PredictionOptions()
    runs = networks_of(model, options.experiment)
    trust = None
    if options.trust:
        trust = fit_trust(model, options.experiment, flag_groups=options.by is not None)
    target = None if out is None else Path(out)
    for output in (options.sort_into, options.contact_sheet):
        if output is not None:
            raise_if_among_images(Path(output), images)
    images = images if isinstance(images, Dataset) else recognised_source(images, runs[0]) or images
    with _opened(images) as (files, dataset):
        if target is not None:
            check_table_path(target, files, dataset)
        outputs = (out, options.sort_into, options.contact_sheet)
        with ExitStack() as locks:
            for path in sorted({os.fspath(path) for path in outputs if path is not None}):
                locks.enter_context(folder_lock(path, "predict"))
            summary = PredictionJob(runs, files, dataset, options, trust).run(target, on_block)
    for warning in summary.warnings:
        _log.warning("%s", warning)
    return summary


def networks_of(model: Run | Study, experiment: str | None) -> tuple[Run, ...]:
    """Return the runs to average: one, or those of one experiment of a study.

    Parameters
    ----------
    model
        The run or study.
    experiment
        Name of the study's experiment; None: the only one.

    Raises
    ------
    errors.ExperimentError
        The name is missing, or there is no such experiment.
    """
    if isinstance(model, Run):
        if experiment is not None:
            raise errors.ExperimentError(
                "a run has one experiment, which needs no name", "Omit --experiment."
            )
        return (model,)
    names = model.names
    if experiment is None and len(names) > 1:
        raise errors.ExperimentError(
            f"{model.folder}: this study has several experiments",
            f"Choose one: --experiment {names[0]!r} (of {', '.join(map(repr, names))})",
        )
    name = names[0] if experiment is None else experiment
    for candidate in model.experiments:
        if candidate.name == name:
            return candidate.networks
    raise errors.ExperimentError(
        f"{model.folder}: there is no experiment {name!r}", f"Choose from: {', '.join(names)}"
    )


@contextmanager
def _opened(
    images: Source | Sequence[Source] | Dataset,
) -> Iterator[tuple[Sequence[ImageFile], Dataset | None]]:
    """List the images to predict, and the data set that reads them, if it is given."""
    if isinstance(images, Dataset):
        yield dataset_images(images), images
        return
    with find_images(images) as search:
        if search.skipped:
            listed = abbreviated(search.skipped)
            _log.warning(
                "%s skipped, being no image: %s",
                counted(len(search.skipped), "file", "is"),
                listed,
            )
        yield search.images, None
