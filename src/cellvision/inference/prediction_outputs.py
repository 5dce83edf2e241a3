"""Outputs of a prediction: the table, groups, folders per class and the contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.inference.prediction_table import PredictionTable, group_table_path
from cellvision.inference.table_files import write_whole_table

if TYPE_CHECKING:
    from cellvision.inference.image_groups import GroupAnswers
    from cellvision.inference.image_search import ImageFile
    from cellvision.inference.prediction_options import PredictionOptions
    from cellvision.inference.sorting import ClassFolders, ContactSheet
    from cellvision.inference.training_images import TrainingImages


@dataclass(frozen=True, eq=False)
class ImagePrediction:
    """The prediction of one image, or the fault that prevented it."""

    image: ImageFile
    thumbnail: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    fault: errors.UnreadableImage | None = None
    distance: float | None = None
    digest: str | None = None
    sketch: bytes = b""


@dataclass
class PredictionOutputs:
    """Everything that receives the predictions, one image after the other."""

    table: PredictionTable
    groups: GroupAnswers | None
    folders: ClassFolders | None
    sheet: ContactSheet | None
    class_names: Sequence[str]
    trained_on: TrainingImages
    faults: list[errors.UnreadableImage] = field(default_factory=list)

    def add(self, result: ImagePrediction) -> None:
        """Pass the prediction of the next image on."""
        if result.fault is not None:
            self.faults.append(result.fault)
            return
        assert result.probabilities is not None
        self.trained_on.add(result.image.name, result.digest, result.sketch)
        self.table.add(result.image.name, result.probabilities)
        if self.groups is not None:
            self.groups.add(result.image.name, result.probabilities, result.distance, result.digest)
        if self.sheet is not None and result.thumbnail is not None:
            self.sheet.add(result.thumbnail, result.probabilities)
        if self.folders is not None:
            name = self.class_names[int(result.probabilities.argmax())]
            self.folders.add(result.image.path, name)

    def write_rest(self, out: Path | None, options: PredictionOptions) -> tuple[Path, ...]:
        """Write what needs all predictions; return all files and folders.

        Parameters
        ----------
        out
            File of the table; None if no table is written.
        options
            How images were predicted.
        """
        files = [] if out is None else [out]
        if out is not None and self.groups is not None:
            group_file = group_table_path(out, self.groups.column)
            write_whole_table(group_file, self.groups.table())
            files.append(group_file)
        if options.sort_into is not None:
            files.append(Path(options.sort_into))
        if self.sheet is not None and options.contact_sheet is not None:
            files.append(self.sheet.save(Path(options.contact_sheet)))
        return tuple(files)
