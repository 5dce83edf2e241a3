"""Predict classes and probabilities of new images, with the network of a run or of a study."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.image_stats import in_threads
from cellvision.inference.averaging import AveragingEngine
from cellvision.inference.engines import Engine
from cellvision.inference.engines.selection import Choice, choose_engine
from cellvision.inference.image_groups import GroupAnswers, dataset_groups, file_groups
from cellvision.inference.image_reader import ImageReader, InputImage, dataset_images
from cellvision.inference.image_search import ImageFile, Source, find_images
from cellvision.inference.prediction_table import PredictionTable, check_table_path, table_file
from cellvision.inference.sorting import ClassFolders, ContactSheet, thumbnail
from cellvision.interfaces.dataset import Dataset
from cellvision.locks import folder_lock
from cellvision.progress import displayed
from cellvision.results.run import Run
from cellvision.results.study import Study
from cellvision.results.tables import write_table

if TYPE_CHECKING:
    import pandas as pd

_CHUNK = 16
"""Images that a thread reads and predicts at a time, unless an engine prefers more."""

_LISTED = 3
"""Files that a warning lists by name."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictionOptions:
    """How to predict; the fields are documented at `predict`."""

    engine: Choice = "auto"
    tta: bool = False
    by: str | None = None
    experiment: str | None = None
    skip_unreadable: bool | None = None
    sort_into: str | os.PathLike[str] | None = None
    contact_sheet: str | os.PathLike[str] | None = None
    progress: bool | None = None


@dataclass(frozen=True)
class PredictionSummary:
    """How predictions were made.

    Attributes
    ----------
    images : int
        Number of predicted images.
    engine : str
        Engine with its version.
    model : str
        What was averaged; empty for a single network and orientation.
    seconds : float
        From the first image read to the last row written, without starting the engine.
    groups : pandas.DataFrame or None
        One row per group, if answers for groups were requested.
    files : tuple of pathlib.Path
        Files and folders that were written.
    warnings : tuple of str
        What a reader of the predictions should know.
    """

    images: int
    engine: str
    model: str
    seconds: float
    groups: pd.DataFrame | None = None
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


def predict(
    model: Run | Study,
    images: Source | Sequence[Source] | Dataset,
    out: str | os.PathLike[str] | None = None,
    *,
    engine: Choice = "auto",
    tta: bool = False,
    by: str | None = None,
    experiment: str | None = None,
    skip_unreadable: bool | None = None,
    sort_into: str | os.PathLike[str] | None = None,
    contact_sheet: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
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
        A finished run. For a study, the probabilities of its runs are averaged; the score of
        that ensemble is in `Study.ensembles`.
    images
        Files or folders, which are searched to any depth, or addresses of them, such as
        ``s3://bucket/new``, which are copied into the cache first. Or a data set, whose images
        are read as it reads them.
    out
        CSV file for the table, written whole or not at all.
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
        Show progress on standard error; None shows it on a terminal only.

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
        An option does not fit the model or the images.
    errors.ConversionError
        A requested engine cannot compute this network, or computes different probabilities.
    """
    import pandas as pd

    options = PredictionOptions(
        engine, tta, by, experiment, skip_unreadable, sort_into, contact_sheet, progress
    )
    blocks: list[pd.DataFrame] = []
    summary = predict_blocks(model, images, out, blocks.append, options)
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
    runs = _networks(model, options.experiment)
    target = None if out is None else Path(out)
    with _opened(images) as (files, dataset):
        if target is not None:
            check_table_path(target, files)
        with nullcontext() if target is None else folder_lock(target, "predict"):
            job = _Job(runs, files, dataset, options)
            return job.run(target, on_block)


def _networks(model: Run | Study, experiment: str | None) -> tuple[Run, ...]:
    """Return the runs to average: one, or those of one experiment of a study."""
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
            return candidate.runs
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
    with find_images(images) as found:
        if found.skipped:
            _log.warning(
                "%d file(s) are not images and are skipped: %s",
                len(found.skipped),
                _some(found.skipped),
            )
        yield found.images, None


@dataclass(frozen=True, eq=False)
class _Result:
    """The outcome for one image."""

    image: ImageFile
    thumbnail: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    fault: errors.UnreadableImage | None = None


@dataclass
class _Outputs:
    """Everything that receives the predictions, one image after the other."""

    table: PredictionTable
    groups: GroupAnswers | None
    folders: ClassFolders | None
    sheet: ContactSheet | None
    class_names: Sequence[str]
    faults: list[errors.UnreadableImage] = field(default_factory=list)

    def add(self, result: _Result) -> None:
        if result.fault is not None:
            self.faults.append(result.fault)
            return
        assert result.probabilities is not None
        self.table.add(result.image.name, result.probabilities)
        if self.groups is not None:
            self.groups.add(result.image.name, result.probabilities)
        if self.sheet is not None and result.thumbnail is not None:
            self.sheet.add(result.thumbnail, result.probabilities)
        if self.folders is not None:
            name = self.class_names[int(result.probabilities.argmax())]
            self.folders.add(result.image.path, name)


class _Job:
    """One call of `predict`: its reader, engine and outputs."""

    def __init__(
        self,
        runs: Sequence[Run],
        images: Sequence[ImageFile],
        dataset: Dataset | None,
        options: PredictionOptions,
    ) -> None:
        self.run_of_record = runs[0]
        self.images = images
        self.options = options
        self.groups = self._groups(dataset)
        if dataset is not None and options.sort_into is not None:
            raise errors.ExperimentError(
                "images of a data set are not files that can be copied", "Omit --sort-into."
            )
        self.folders = (
            None
            if options.sort_into is None
            else ClassFolders(Path(options.sort_into), self.class_names)
        )
        self.reader = ImageReader(self.run_of_record, dataset)
        sample = self.reader.sample(images)
        self.engine, self.model = _engine(runs, sample, len(images), options)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.run_of_record.class_names

    @property
    def strict(self) -> bool:
        """Whether an unreadable file is an error."""
        if self.options.skip_unreadable is not None:
            return not self.options.skip_unreadable
        return self.run_of_record.preprocessing.on_unreadable == "error"

    def _groups(self, dataset: Dataset | None) -> GroupAnswers | None:
        by = self.options.by
        if by is None:
            return None
        groups = file_groups(self.images, by) if dataset is None else dataset_groups(dataset, by)
        return GroupAnswers(by, groups, self.class_names)

    def run(self, out: Path | None, on_block: Callable[[pd.DataFrame], None]) -> PredictionSummary:
        start = time.perf_counter()
        with ExitStack() as stack:
            file = stack.enter_context(table_file(out))
            table = PredictionTable(
                self.class_names,
                file,
                on_block,
                group_column=self.options.by,
                groups=None if self.groups is None else self.groups.groups,
                model=self.model,
            )
            sheet = None if self.options.contact_sheet is None else ContactSheet(self.class_names)
            outputs = _Outputs(table, self.groups, self.folders, sheet, self.class_names)
            self._predict_all(outputs)
            self._raise_if_unreadable(outputs.faults)
            table.flush()
        seconds = time.perf_counter() - start
        written = self._write_rest(out, outputs)
        return PredictionSummary(
            len(self.images) - len(outputs.faults),
            f"{self.engine.name} {self.engine.version}",
            self.model,
            seconds,
            None if self.groups is None else self.groups.table(),
            written,
            self._warn(outputs.faults),
        )

    def _predict_all(self, outputs: _Outputs) -> None:
        size = max(_CHUNK, self.engine.at_once)
        chunks = [self.images[k : k + size] for k in range(0, len(self.images), size)]
        done = 0

        def predict_chunk(chunk: Sequence[ImageFile]) -> list[_Result]:
            return self._predict_chunk(chunk, outputs)

        with displayed(self.options.progress) as display:
            for chunk, results in zip(chunks, in_threads(predict_chunk, chunks), strict=True):
                for result in results:
                    outputs.add(result)
                done += len(chunk)
                display.task(f"predicting ({self.engine.name})", done, len(self.images))

    def _predict_chunk(self, chunk: Sequence[ImageFile], outputs: _Outputs) -> list[_Result]:
        results: list[_Result] = []
        for start in range(0, len(chunk), self.engine.at_once):
            items = [
                self.reader.read(image) for image in chunk[start : start + self.engine.at_once]
            ]
            readable = [item for item in items if isinstance(item, InputImage)]
            if readable and not (outputs.faults and self.strict):  # else only faults are listed
                pixels = np.stack([item.pixels for item in readable])
                rows = self.engine.predict(pixels)
                results += [
                    _Result(item.image, self._thumbnail(outputs, item.pixels), row)
                    for item, row in zip(readable, rows, strict=True)
                ]
            results += [
                _Result(image, fault=item)
                for image, item in zip(chunk[start:], items, strict=False)
                if isinstance(item, errors.UnreadableImage)
            ]
        return results

    @staticmethod
    def _thumbnail(outputs: _Outputs, pixels: np.ndarray) -> np.ndarray | None:
        return None if outputs.sheet is None else thumbnail(pixels)

    def _raise_if_unreadable(self, faults: Sequence[errors.UnreadableImage]) -> None:
        if faults and (self.strict or len(faults) == len(self.images)):
            error = errors.UnreadableImages(faults)
            error.hint = (
                "Repair or remove them, or leave them out: --skip-unreadable "
                "(skip_unreadable=True in Python)."
            )
            raise error

    def _write_rest(self, out: Path | None, outputs: _Outputs) -> tuple[Path, ...]:
        files = [] if out is None else [out]
        if out is not None and self.groups is not None:
            name = f"{out.stem}_by_{self.groups.column}.csv"
            write_table(out.with_name(name), self.groups.table())
            files.append(out.with_name(name))
        if self.options.sort_into is not None:
            files.append(Path(self.options.sort_into))
        if outputs.sheet is not None and self.options.contact_sheet is not None:
            files.append(outputs.sheet.save(Path(self.options.contact_sheet)))
        return tuple(files)

    def _warn(self, faults: Sequence[errors.UnreadableImage]) -> tuple[str, ...]:
        warnings = self.reader.unlike.warnings()
        if faults:
            listed = _some([f"{fault.file} ({fault.reason})" for fault in faults])
            warnings.append(f"{len(faults)} unreadable file(s) are left out: {listed}")
        for warning in warnings:
            _log.warning("%s", warning)
        return tuple(warnings)


def _engine(
    runs: Sequence[Run], sample: np.ndarray, images: int, options: PredictionOptions
) -> tuple[Engine, str]:
    """Start the engine of each run; return their average, and what it averages."""
    input_shape = runs[0].preprocessing.input_shape
    work = images * len(runs)
    engines: list[Engine] = []
    for run in runs:
        # All runs get the engine of the first.
        choice = engines[0].name if engines else options.engine
        engines.append(choose_engine(choice, run, sample, work))
    if len(engines) == 1 and not options.tta:
        return engines[0], ""
    average = AveragingEngine(engines, options.tta, input_shape)
    parts = [f"{len(runs)} runs"] if len(runs) > 1 else []
    parts += [f"{average.orientations} orientations"] if options.tta else []
    return average, f"mean of {' and '.join(parts)}"


def _some(names: Sequence[str]) -> str:
    return "; ".join(names[:_LISTED]) + ("; ..." if len(names) > _LISTED else "")
