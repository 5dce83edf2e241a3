"""The metadata of a run, as stored in ``run.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue

from cellvision import errors
from cellvision.result_model import ResultModel
from cellvision.results.missing_results import no_run
from cellvision.results.scores import Score
from cellvision.statistics import ControlKind, ControlMeaning, Finding

RUN_SCHEMA = 1
"""Version of the run folder's format."""


class Environment(ResultModel):
    """Software and hardware used for training."""

    cellvision: str
    """Version of cellvision."""

    python: str
    """Version of Python."""

    keras: str | None = None
    """Version of Keras; None for runs without a network."""

    backend: str
    """Keras backend: ``tensorflow`` or ``jax``; ``scikit-learn`` for runs without a network."""

    backend_version: str | None = None
    """Version of the backend."""

    device: str = ""
    """The devices, separated by commas."""

    precision: str
    """Precision of the computation: ``float32`` or ``bfloat16``."""

    platform: str = ""
    """Operating system and processor architecture."""

    processors: int | None = None
    """Number of processors."""

    threads: int | None = None
    """Number of threads that an operation of the network could use; None if it was not limited."""

    onednn: bool | None = None
    """Whether ``TF_ENABLE_ONEDNN_OPTS`` enabled oneDNN; None if it was not set."""

    processes: int = 1
    """Number of processes that trained the network together."""


class Timings(ResultModel):
    """Durations of the steps of a run."""

    prepare_s: float = 0.0
    """Seconds spent reading, checking and preparing the images."""

    fit_s: float = 0.0
    """Seconds spent training."""

    train_images_per_s: float = 0.0
    """Training images per second, without validation and without the first epoch."""

    data_wait_fraction: float = 0.0
    """Fraction of training time spent waiting for data, 0 to 1."""

    vectorized: int = 1
    """Number of runs trained in one program; times and speed refer to all of them."""


class LeakRecord(ResultModel):
    """A group or image that several splits share."""

    kind: str
    """``shared_group``, ``identical_pixels``, or in an evaluation ``near_duplicate``."""

    splits: tuple[str, ...]
    """Splits that share it."""

    files: tuple[str, ...] = ()
    """Images of the group, copies of the image, or an image and the training image it is like."""


class RunMetadata(ResultModel):
    """Content of ``run.json``; readable without the run's plugins."""

    schema_: Annotated[int, Field(alias="schema")] = RUN_SCHEMA
    """Version of the file format."""

    experiment: dict[str, JsonValue]
    """Complete experiment as plain values."""

    plugins: Annotated[dict[str, str], Field(default_factory=dict)]
    """Requirement (``distribution==version``) of each component, by ``group:name``."""

    local_plugins: Annotated[dict[str, str], Field(default_factory=dict)]
    """SHA-256 of each Python file with plugins, by its name in the run's folder ``plugins``."""

    environment: Environment
    """Software and hardware."""

    seed: int
    """Seed of initial weights, image order, augmentation and dropout."""

    restarted_seeds: tuple[int, ...] = ()
    """Seeds that were replaced because their networks output the same for every image after the
    warm-up."""

    kept_epoch: int | None = None
    """Epoch whose weights were kept; None if the network was not trained in epochs, or if folds
    that are pooled here differ."""

    solved: bool = False
    """Whether the network was solved exactly, since only its softmax layer learns. Then `epochs`,
    `batch_size`, `optimizer`, `learning_rate`, `schedule`, `warmup_epochs`, `weight_decay`,
    `clip_norm`, `ema`, `refresh_batch_norm`, `restarts`, `early_stopping`, `keep` and `checkpoints`
    of the training have no effect."""

    interrupted: bool = False
    """Whether training was interrupted; the model is then the best one up to that moment."""

    control: str | None = None
    """Control that the run belongs to; None for a run of the experiment itself."""

    control_caveat: str = ""
    """Why it would mean little if that control did as well; empty if nothing is known."""

    folds: int | None = None
    """Number of folds whose held-out predictions are pooled here; None for a single training."""

    untrained_networks: int | None = None
    """How many of the networks that are pooled here predict one class for every image; None for a
    single training."""

    image_control: dict[str, JsonValue] | None = None
    """Name (as ``type``) and settings of that control if it changed the images."""

    class_names: tuple[str, ...]
    """Class names, sorted; the index of a class is its position."""

    intensity_zero: float
    """Intensity that becomes 0 in the input of the network."""

    intensity_scale: float
    """Intensity that becomes 1 in the input of the network."""

    group_column: str | None
    """Provenance column that names the groups; None if groups are unknown."""

    left_out_column: str | None = None
    """Provenance column that the pooled folds leave out one value at a time, if it is coarser than
    the groups: its values are then the independent units. None otherwise."""

    batch_column: str | None = None
    """Provenance column that names the batches (plate, day); None if they are unknown."""

    counts: dict[str, dict[str, int]]
    """Number of images by split and class."""

    test_sets: Annotated[dict[str, str], Field(default_factory=dict)]
    """Digest of the pixels and labels of each test set, to count how often it is evaluated."""

    all_images: str | None = None
    """The same for all images, whatever their split."""

    scores: dict[str, Score]
    """Score of each split."""

    tta_scores: dict[str, Score] = Field(default_factory=dict)
    """Score of the mean over flips and quarter turns, of each split but that of training; empty
    unless ``training.tta`` asks for it."""

    timings: Timings = Timings()
    """Durations of the steps."""

    leaks: tuple[LeakRecord, ...] = ()
    """Groups and images that splits share, if leaks were allowed."""

    warnings: tuple[str, ...] = ()
    """Warnings for readers of the results."""


class EnsembleRecord(ResultModel):
    """Scores of the mean probabilities over the runs of an experiment."""

    experiment: str
    """Name of the experiment."""

    runs: tuple[str, ...]
    """Names of the runs."""

    scores: dict[str, Score]
    """Score of each split."""


class ControlDescription(ResultModel):
    """What a control is called and means, so that a study is readable without its plugin."""

    name: str
    """Its name."""

    label: str
    """Its name in figures and tables."""

    description: str = ""
    """What it does, in a sentence."""

    kind: ControlKind
    """``permuted labels``, ``alternative explanation`` or ``lower rung``."""

    subject: str
    """Noun phrase for it in sentences."""

    sentences: Annotated[dict[Finding, str], Field(default_factory=dict)]
    """The verdict's sentence for a finding, in place of the default one."""

    settings: Annotated[dict[str, JsonValue], Field(default_factory=dict)]
    """Its settings, with its name as ``type``."""

    plugin: str = ""
    """Requirement (``distribution==version``), or the name of a local file."""

    @property
    def meaning(self) -> ControlMeaning:
        """What the verdict makes of it."""
        return ControlMeaning(self.kind, self.subject, self.sentences)


STUDY_SCHEMA = 1
"""Version of the study folder's format."""


class ExperimentRecord(ResultModel):
    """One experiment of a study."""

    name: str
    """Name in tables and figures."""

    experiment: dict[str, JsonValue]
    """Complete experiment as plain values."""

    folds: int | None = None
    """Number of folds; None without cross-validation."""

    folds_by: str | None = None
    """What the folds hold out: the column of the groups, another one, or ``image``."""

    out_of_fold: str | None = None
    """Folder in ``out_of_fold`` with the mean out-of-fold predictions over seeds."""

    missing_controls: tuple[str, ...] = ()
    """Controls that are enabled by default and available for it and were not run, and those that
    failed."""

    failed_controls: Annotated[dict[str, str], Field(default_factory=dict)]
    """Why requested controls failed, by name."""


class RunRecord(ResultModel):
    """One run of a study."""

    name: str
    """Name of its folder in ``runs``."""

    experiment: str
    """Name of its experiment."""

    seed: int
    """Seed of the run."""

    control: str | None = None
    """Control that the run belongs to; None for a run of the experiment itself."""

    fold: int | None = None
    """Fold that the run held out, from 1; None without cross-validation."""


class StudyMetadata(ResultModel):
    """Content of ``study.json``."""

    schema_: Annotated[int, Field(alias="schema")] = STUDY_SCHEMA
    """Version of the file format."""

    experiments: tuple[ExperimentRecord, ...]
    """Experiments, in order."""

    seeds: tuple[int, ...]
    """Seed of each run of the first experiment."""

    expert: Annotated[dict[str, float], Field(default_factory=dict)]
    """Accuracy of an expert, by split."""

    runs: tuple[RunRecord, ...]
    """All runs, including those of controls."""

    out_of_fold: tuple[RunRecord, ...] = ()
    """Runs pooled over their folds, with folders in ``out_of_fold``; empty without
    cross-validation."""

    controls: tuple[ControlDescription, ...] = ()
    """What each control is called and means, in the order of figures; also those that were not
    run."""

    ensembles: tuple[EnsembleRecord, ...] = ()
    """Ensemble of each experiment with at least two runs."""


def check_schema(path: Path, record: Any, known: int) -> None:
    """Refuse a record that is not ours or that another version wrote.

    Parameters
    ----------
    path
        The file, for the message.
    record
        Its content.
    known
        The schema that this version understands.

    Raises
    ------
    errors.FolderError
        The schema is another one.
    """
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != known:
        raise errors.FolderError(
            f"{path}: its schema is {schema!r}, not {known}", "Update cellvision to read it."
        )


def read_run_metadata(folder: Path) -> RunMetadata:
    """Read ``run.json``.

    Raises
    ------
    errors.FolderError
        The folder holds no finished run, or the file is damaged or lacks a part of the experiment
        by which the run is reopened.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise no_run(folder)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise errors.FolderError(
            f"{path}: cannot be read: {error}", "Restore the file or train again."
        ) from None
    check_schema(path, record, RUN_SCHEMA)
    metadata = RunMetadata.from_json(json.dumps(record), str(path))
    for part in ("dataset", "preprocessing", "architecture"):
        if not isinstance(metadata.experiment.get(part), dict | str):
            raise errors.FolderError(
                f"{path}: experiment.{part} is missing", "Restore the file or train again."
            )
    return metadata
