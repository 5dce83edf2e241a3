"""The metadata of a run, as stored in ``run.json``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from cellvision.result_model import ResultModel
from cellvision.results.scores import Score

RUN_SCHEMA = 1
"""Version of the run folder's format."""


class Environment(ResultModel):
    """Software and hardware of a training."""

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

    onednn: bool | None = None
    """Whether TensorFlow was told to use oneDNN; None if its own default applied."""

    processes: int = 1
    """Number of processes that shared the training."""


class Timings(ResultModel):
    """Duration of the steps of a run."""

    prepare_s: float = 0.0
    """Seconds spent reading, checking and preparing the images."""

    fit_s: float = 0.0
    """Seconds spent training."""

    train_images_per_s: float = 0.0
    """Training images per second, without validation and without the first epoch."""

    data_wait_fraction: float = 0.0
    """Fraction of training time spent waiting for data, 0 to 1."""

    vectorized: int = 1
    """Number of runs trained in one program; times and speed are of all of them."""


class LeakRecord(ResultModel):
    """A group or an image that several splits share."""

    kind: str
    """``group`` or ``image``."""

    splits: tuple[str, ...]
    """The splits that share it."""

    files: tuple[str, ...] = ()
    """Its images."""


class RunMetadata(ResultModel):
    """Everything ``run.json`` holds; readable without the run's plugins."""

    schema_: Annotated[int, Field(alias="schema")] = RUN_SCHEMA
    """Version of the format."""

    experiment: dict[str, JsonValue]
    """The complete experiment as plain values."""

    plugins: Annotated[dict[str, str], Field(default_factory=dict)]
    """Requirement (``distribution==version``) of each component, by ``group:name``."""

    local_plugins: Annotated[dict[str, str], Field(default_factory=dict)]
    """SHA-256 of each Python file with plugins, by its name in the run's folder ``plugins``."""

    environment: Environment
    """Software and hardware."""

    seed: int
    """Seed of the weights, the order of images, augmentation and dropout."""

    restarted_seeds: tuple[int, ...] = ()
    """Seeds whose networks output the same for every image after the warm-up, and were drawn
    again."""

    interrupted: bool = False
    """Whether the training was interrupted; the model is then the best one up to that moment."""

    control: str | None = None
    """Control that the run belongs to; None for a run of the experiment itself."""

    class_names: tuple[str, ...]
    """The classes, sorted; a class's number is its position."""

    intensity_zero: float
    """Intensity that the network sees as 0."""

    intensity_scale: float
    """Intensity that the network sees as 1."""

    group_column: str | None
    """Provenance column that names the groups; None if groups are unknown."""

    batch_column: str | None = None
    """Provenance column that names the batches (plate, day); None if they are unknown."""

    counts: dict[str, dict[str, int]]
    """Images per split and class."""

    scores: dict[str, Score]
    """Score of each split."""

    timings: Timings = Timings()
    """Duration of the steps."""

    leaks: tuple[LeakRecord, ...] = ()
    """Groups and images shared by splits, if leaks were allowed."""

    warnings: tuple[str, ...] = ()
    """What a reader of the results should know."""


class EnsembleRecord(ResultModel):
    """The mean of the probabilities of an experiment's runs, scored like a run."""

    experiment: str
    """Name of the experiment."""

    runs: tuple[str, ...]
    """Names of the runs."""

    scores: dict[str, Score]
    """Score of each split."""


STUDY_SCHEMA = 1
"""Version of the study folder's format."""


class ExperimentRecord(ResultModel):
    """One experiment of a study."""

    name: str
    """Its name in tables and figures."""

    experiment: dict[str, JsonValue]
    """The complete experiment as plain values."""


class RunRecord(ResultModel):
    """One run of a study."""

    name: str
    """Its folder below ``runs``."""

    experiment: str
    """Name of its experiment."""

    seed: int
    """Its seed."""

    control: str | None = None
    """The control it belongs to; None for a run of the experiment itself."""


class StudyMetadata(ResultModel):
    """Everything ``study.json`` holds."""

    schema_: Annotated[int, Field(alias="schema")] = STUDY_SCHEMA
    """Version of the format."""

    experiments: tuple[ExperimentRecord, ...]
    """The experiments, in order."""

    seeds: tuple[int, ...]
    """Seed of each run of the first experiment."""

    expert: Annotated[dict[str, float], Field(default_factory=dict)]
    """Accuracy of a person, by split."""

    runs: tuple[RunRecord, ...]
    """Every run, controls included."""

    ensembles: tuple[EnsembleRecord, ...] = ()
    """The ensemble of each experiment with at least two runs."""
