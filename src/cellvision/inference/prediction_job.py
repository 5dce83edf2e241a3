"""One prediction: read the images, compute in threads, and write all outputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.threaded_map import in_threads
from cellvision.inference.group_likeness import image_features
from cellvision.inference.image_groups import GroupAnswers, dataset_groups, file_groups
from cellvision.inference.image_reader import ImageReader, InputImage, OnDecoded, unreadable
from cellvision.inference.image_search import ImageFile
from cellvision.inference.prediction_options import PredictionOptions
from cellvision.inference.prediction_outputs import ImagePrediction, PredictionOutputs
from cellvision.inference.prediction_table import PredictionTable
from cellvision.inference.run_warnings import run_warnings
from cellvision.inference.shared_engine import SharedEngine
from cellvision.inference.sorting import (
    ClassFolders,
    ContactSheet,
    raise_if_no_sheet,
    thumbnail,
)
from cellvision.inference.table_files import table_file
from cellvision.inference.training_images import TrainingImages
from cellvision.plurals import abbreviated, counted
from cellvision.progress import displayed

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.inference.trust import PredictionTrust
    from cellvision.interfaces.dataset import Dataset
    from cellvision.results.run import Run

_CHUNK = 16
"""Images that a thread reads and predicts at a time, unless an engine prefers more."""

_CHECK_SECONDS = 1.0
"""Time in which images are checked before Keras starts, which takes several seconds."""


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
    trained_on : tuple of str
        Names of the images that are of the training or validation split.
    near_duplicates : mapping
        The images that look like copies of one of these splits, with the name of the latter.
    """

    images: int
    engine: str
    model: str
    seconds: float
    groups: pd.DataFrame | None = None
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()
    near_duplicates: Mapping[str, str] = field(default_factory=dict)


class PredictionJob:
    """Predicts images and writes all outputs of one call of `predict`.

    Parameters
    ----------
    runs
        The runs to average.
    images
        The images.
    dataset
        The data set that reads them; None reads files as the run's data set does.
    options
        How to predict.
    trust
        Says how far the predictions can be trusted; None leaves that out.
    on_decoded
        Called with each decoded image; see `ImageReader`.
    engine
        Engine that several predictions share; None starts one for these images.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        images: Sequence[ImageFile],
        dataset: Dataset | None,
        options: PredictionOptions,
        trust: PredictionTrust | None = None,
        on_decoded: OnDecoded | None = None,
        engine: SharedEngine | None = None,
    ) -> None:
        self.run_of_record = runs[0]
        self.runs = runs
        self.trust = trust
        self.images = images
        self.options = options
        self.training_images = TrainingImages(runs, len(images))
        self.reader = ImageReader(
            self.run_of_record,
            dataset,
            on_decoded,
            sketches=self.training_images.compares_sketches,
        )
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
        if options.contact_sheet is not None:
            raise_if_no_sheet(Path(options.contact_sheet))
        sample = self.reader.sample(images)
        engine = engine or SharedEngine(runs, options.engine, len(images), tta=options.tta)
        self.engine, self.model = engine.start(sample, self._check_files)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""
        return self.run_of_record.class_names

    @property
    def strict(self) -> bool:
        """Whether an unreadable file is an error."""
        if self.options.skip_unreadable is not None:
            return not self.options.skip_unreadable
        return self.run_of_record.preprocessing.on_unreadable == "error"

    def _check_files(self) -> None:
        """Raise at once if one of the first files is unreadable, before anything slow starts."""
        if not self.strict:
            return
        with displayed(self.options.progress) as display:
            faults = self.reader.check_files(self.images, _CHECK_SECONDS, display.decoded)
        self._raise_if_unreadable(faults)

    def _groups(self, dataset: Dataset | None) -> GroupAnswers | None:
        by = self.options.by
        if by is None:
            return None
        by_name = {image.name: image for image in self.images}

        def is_skipped(name: str) -> bool:
            image = by_name.get(name)
            return not self.strict and image is not None and self.reader.is_unreadable(image)

        groups = (
            file_groups(self.images, by, is_skipped)
            if dataset is None
            else dataset_groups(dataset, by, is_skipped)
        )
        return GroupAnswers(by, groups, self.class_names, self.trust)

    def run(self, out: Path | None, on_block: Callable[[pd.DataFrame], None]) -> PredictionSummary:
        """Predict all images.

        Parameters
        ----------
        out
            CSV file or Excel workbook for the table; None writes none.
        on_block
            Called with each block of rows.
        """
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
                trust=self.trust,
            )
            sheet = None if self.options.contact_sheet is None else ContactSheet(self.class_names)
            outputs = PredictionOutputs(
                table,
                groups=self.groups,
                folders=self.folders,
                sheet=sheet,
                class_names=self.class_names,
                trained_on=self.training_images,
            )
            self._predict_all(outputs)
            self._raise_if_unreadable(outputs.faults)
            table.flush()
        seconds = time.perf_counter() - start
        written = outputs.write_rest(out, self.options)
        return PredictionSummary(
            len(self.images) - len(outputs.faults),
            f"{self.engine.name} {self.engine.version}",
            self.model,
            seconds,
            None if self.groups is None else self.groups.table(),
            written,
            self._warnings(outputs),
            outputs.trained_on.found,
            outputs.trained_on.near_duplicates,
        )

    def _predict_all(self, outputs: PredictionOutputs) -> None:
        size = max(_CHUNK, self.engine.at_once, self.reader.images_per_read)
        chunks = [self.images[k : k + size] for k in range(0, len(self.images), size)]
        done = 0

        def predict_chunk(chunk: Sequence[ImageFile]) -> list[ImagePrediction]:
            return self._predict_chunk(chunk, outputs)

        with displayed(self.options.progress) as display:
            for chunk, results in zip(chunks, in_threads(predict_chunk, chunks), strict=True):
                for result in results:
                    outputs.add(result)
                done += len(chunk)
                display.task(f"predicting ({self.engine.name})", done, len(self.images))

    def _predict_chunk(
        self, chunk: Sequence[ImageFile], outputs: PredictionOutputs
    ) -> list[ImagePrediction]:
        results: list[ImagePrediction] = []
        reading = self.reader.read_many(chunk)
        for start in range(0, len(chunk), self.engine.at_once):
            items = list(islice(reading, self.engine.at_once))
            readable = [item for item in items if isinstance(item, InputImage)]
            if readable and not (outputs.faults and self.strict):  # else only faults are listed
                pixels = np.stack([item.pixels for item in readable])
                rows = self.engine.predict(pixels)
                self._raise_unless_numbers(rows)
                results += [
                    ImagePrediction(
                        item.image,
                        self._thumbnail(outputs, item.pixels),
                        row,
                        distance=distance,
                        digest=item.digest,
                        sketch=item.sketch,
                    )
                    for item, row, distance in zip(
                        readable, rows, self._distances(pixels), strict=True
                    )
                ]
            results += [
                ImagePrediction(image, fault=item)
                for image, item in zip(chunk[start:], items, strict=False)
                if isinstance(item, errors.UnreadableImage)
            ]
        return results

    def _raise_unless_numbers(self, probabilities: np.ndarray) -> None:
        """Refuse the predictions of a network whose training diverged."""
        if not np.isfinite(probabilities).all():
            folders = ", ".join(str(run.folder) for run in self.runs)
            raise errors.CellvisionError(
                f"{folders}: the network gives no numbers (NaN) as probabilities; its training "
                "diverged",
                "Train again with a lower learning rate.",
            )

    def _distances(self, pixels: np.ndarray) -> Sequence[float | None]:
        """Return how far images are from those of the training, if groups are flagged by that."""
        if self.trust is None or self.trust.likeness is None:
            return [None] * len(pixels)
        distances: list[float] = self.trust.likeness.distances(image_features(pixels)).tolist()
        return distances

    @staticmethod
    def _thumbnail(outputs: PredictionOutputs, pixels: np.ndarray) -> np.ndarray | None:
        return None if outputs.sheet is None else thumbnail(pixels)

    def _raise_if_unreadable(self, faults: Sequence[errors.UnreadableImage]) -> None:
        if faults and (self.strict or len(faults) == len(self.images)):
            raise unreadable(faults)

    def _warnings(self, outputs: PredictionOutputs) -> tuple[str, ...]:
        faults = outputs.faults
        warnings = run_warnings(self.runs, averages_orientations=self.options.tta)
        warnings += outputs.trained_on.warnings()
        warnings += self.reader.unlike.warnings()
        warnings += [] if self.groups is None else self.groups.warnings()
        if self.trust is not None:
            warnings += [f"Trust: {note}." for note in self.trust.notes]
        if faults:
            listed = abbreviated([f"{fault.file} ({fault.reason})" for fault in faults])
            warnings.append(f"{counted(len(faults), 'unreadable file', 'is')} left out: {listed}")
        return tuple(warnings)
