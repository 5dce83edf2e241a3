"""A finished evaluation: trained networks, scored on labelled images that came later."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, JsonValue

from cellvision import errors, remote
from cellvision.plurals import counted
from cellvision.result_model import ResultModel
from cellvision.results.claimed_folder import EVALUATION
from cellvision.results.metadata import LeakRecord, RunMetadata, check_schema
from cellvision.results.missing_results import no_folder
from cellvision.results.moved_images import Place, with_all_images
from cellvision.results.run import Run, load_run
from cellvision.results.scores import Score
from cellvision.results.tables import history_table

if TYPE_CHECKING:
    import keras
    import pandas as pd

EVALUATION_SCHEMA = 1
"""Version of the evaluation folder's format."""


class NetworkRecord(ResultModel):
    """One of the networks that were evaluated."""

    folder: str
    """Folder of its run."""

    seed: int
    """Seed of its training."""

    digest: str
    """SHA-256 of its ``model.keras``."""


class LookRecord(ResultModel):
    """How often these images have been evaluated, this evaluation included."""

    looks: int
    """Number of evaluations and studies."""

    settings: int
    """Number of different settings among them."""


class TestRecord(ResultModel):
    """The permutation test of a test set."""

    p: float
    """p-value, adjusted for the test sets of the evaluation and for looks at this one."""

    p_over_test_sets: float
    """p-value, adjusted for the test sets alone."""

    unadjusted_p: float
    """p-value of the test itself."""

    smallest_p: float
    """The smallest p-value that these groups allow."""

    exact: bool
    """Whether all arrangements of labels were enumerated."""

    permuted: str
    """What was permuted."""


class EvaluationRecord(ResultModel):
    """Content of ``evaluation.json``."""

    schema_: Annotated[int, Field(alias="schema")] = EVALUATION_SCHEMA
    """Version of the file format."""

    model: str
    """Folder of the run or study that was evaluated."""

    experiment: str | None = None
    """Name of the study's experiment; None for a run."""

    networks: tuple[NetworkRecord, ...]
    """The networks whose probabilities were averaged; one for a run."""

    images: str
    """Where the images are: a path, an address, or the name of the data set."""

    dataset: dict[str, JsonValue]
    """The data set that read the images: its name (as ``type``) and settings."""

    plugins: Annotated[dict[str, str], Field(default_factory=dict)]
    """Requirement (``distribution==version``) of the data set and of decoders."""

    engine: str
    """What computed the probabilities, with its version."""

    averaged: str = ""
    """What was averaged, such as ``mean of 5 runs``; empty for a single network and orientation."""

    class_names: tuple[str, ...]
    """The classes that the networks know, sorted."""

    group_column: str | None
    """Provenance column that names the groups; None if groups are unknown."""

    left_out_column: str | None = None
    """Column of the independent units if the folds of the study left out its values."""

    batch_column: str | None = None
    """Provenance column that names the batches; None if they are unknown."""

    counts: dict[str, dict[str, int]]
    """Number of images by test set and class."""

    test_sets: Annotated[dict[str, str], Field(default_factory=dict)]
    """Digest of the pixels and labels of each test set."""

    looks: Annotated[dict[str, LookRecord], Field(default_factory=dict)]
    """How often each test set has been evaluated; empty if looks are not counted."""

    scores: dict[str, Score]
    """Score of each test set."""

    tests: dict[str, TestRecord] = Field(default_factory=dict)
    """Permutation test of each test set that has several classes."""

    leaks: tuple[LeakRecord, ...] = ()
    """Images that the networks were trained on."""

    warnings: tuple[str, ...] = ()
    """Warnings for readers of the scores."""

    reporters: tuple[dict[str, JsonValue], ...] = ()
    """The reporters that report on it: their names (as ``type``) and settings."""

    trained: RunMetadata
    """The record of the first network's run, with its preprocessing and its own scores."""

    def as_run(self) -> RunMetadata:
        """Return the record of a run that was tested on these images alone."""
        own = {"dataset": self.dataset, "reporters": list(self.reporters)}
        experiment = {**self.trained.experiment, **own}
        return self.trained.model_copy(
            update={
                "experiment": experiment,
                "plugins": {**self.trained.plugins, **self.plugins},
                "folds": None,
                "untrained_networks": None,
                "kept_epoch": None,
                "interrupted": False,
                "group_column": self.group_column,
                "left_out_column": self.left_out_column,
                "batch_column": self.batch_column,
                "counts": self.counts,
                "test_sets": self.test_sets,
                "all_images": None,
                "scores": self.scores,
                "tta_scores": {},
                "leaks": self.leaks,
                "warnings": self.warnings,
            }
        )


class Evaluation(Run):
    """Trained networks, scored on labelled images that came later; see `evaluate`.

    It has the scores, predictions, images and figures of a run, all of which are of test images:
    ``evaluation.scores``, ``evaluation.plot.confusion()``. It has no history.

    Parameters
    ----------
    folder
        Its folder.
    record
        Content of ``evaluation.json``.
    storage
        Where the record is; None to read images from any address that it names.
    images
        Where its images are now; None: where they were at the evaluation.
    """

    def __init__(
        self, folder: Path, record: EvaluationRecord, storage: Place = None, images: Place = None
    ) -> None:
        super().__init__(folder, record.as_run(), storage, images)
        self._record = record

    @property
    def record(self) -> EvaluationRecord:
        """Content of ``evaluation.json``; a copy, so that changes to it affect nobody else."""
        return self._record.model_copy(deep=True)

    def __repr__(self) -> str:
        return super().__repr__().replace("<Run ", "<Evaluation ", 1)

    @cached_property
    def _history(self) -> pd.DataFrame:
        return history_table([])

    def model(self, *, verify: bool | None = None) -> keras.Model:
        """Load the network from the folder of its run; see `Run.model`.

        Raises
        ------
        errors.FolderError
            Several networks were averaged, or the run is no longer in its folder.
        """
        networks = self._record.networks
        if len(networks) > 1:
            raise errors.FolderError(
                f"{self.folder}: the predictions are a mean over "
                f"{counted(len(networks), 'network')}",
                f"Load one of them: load_run({networks[0].folder!r}).model()",
            )
        return load_run(networks[0].folder).model(verify=verify)


def load_evaluation(
    folder: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    allow_network: bool = False,
) -> Evaluation:
    """Open the folder of an evaluation.

    Parameters
    ----------
    folder
        The folder given to `evaluate`. An evaluation on remote storage is copied to this machine.
    images
        Where its images are now, if they were moved; as for `load_run`.
    allow_network
        Read its images also from an address that its record names and that you never read before.

    Raises
    ------
    errors.FolderError
        The folder is missing or holds no finished evaluation; or images are missing in `images`.
    """
    with remote.finished(folder) as local:
        record = _read_record(local)
        evaluation = Evaluation(local, record, None if allow_network else folder, images)
    if images is not None:
        with_all_images(evaluation)
    return evaluation


def _read_record(folder: Path) -> EvaluationRecord:
    path = folder / EVALUATION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not folder.exists():
            raise no_folder(folder) from None
        raise errors.FolderError(
            f"{folder}: no finished evaluation here ({EVALUATION} is missing)",
            "Name the folder given to cellvision evaluate --out; of several folders of images, "
            "each has a subfolder.",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise errors.FolderError(
            f"{path}: cannot be read: {error}", "Restore the file or evaluate again."
        ) from None
    check_schema(path, content, EVALUATION_SCHEMA)
    return EvaluationRecord.from_json(json.dumps(content), str(path))
