"""The complete description of what is asked: nothing that shapes a result is left out."""

from __future__ import annotations

import json
import logging
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from cellvision import atomic_io, errors
from cellvision.component import Settings
from cellvision.data.preprocessing import Preprocessing
from cellvision.data.split import Split
from cellvision.interfaces.architecture import Architecture, architectures
from cellvision.interfaces.augmenter import Augmenter
from cellvision.interfaces.dataset import Dataset
from cellvision.interfaces.reporter import Reporter
from cellvision.plugin_versions import missing_plugins, other_versions

_log = logging.getLogger(__name__)

Count = Annotated[int, Field(gt=0)]


class Training(Settings):
    """How long, how fast and on what a network is trained."""

    epochs: Count = 9
    """How often every training image is seen."""

    batch_size: Count = 20
    """How many images make one step."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the weights, the order of the images, augmentation and dropout."""

    optimizer: str | None = None
    """Keras optimizer, by name. None: that of the architecture's recipe."""

    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Highest learning rate. None: that of the architecture's recipe."""

    schedule: Literal["constant", "cosine"] | None = None
    """Learning-rate schedule after the warm-up: ``"constant"``, or ``"cosine"`` decay to 0 at the
    last epoch. None: that of the architecture's recipe."""

    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Epochs in which the learning rate rises linearly to its highest value; needs `schedule`."""

    weight_decay: Annotated[float, Field(ge=0)] | None = None
    """Decoupled weight decay per step, times the learning rate. None: that of the recipe."""

    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Scale gradients down to this norm over all weights. None: no clipping."""

    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Momentum of an exponential moving average of the weights, such as 0.99. The averages become
    the weights at the end of the training. None: no averaging."""

    label_smoothing: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Label smoothing of the cross-entropy. None: that of the architecture's recipe."""

    class_weights: Literal["balanced"] | dict[str, float] | None = None
    """Weight of each class in the loss: ``"balanced"`` gives every class the same total weight.
    None: every image weighs the same."""

    refresh_batch_norm: bool = True
    """Recompute the statistics of batch normalization on the training images at the end.
    Running averages lag behind in short trainings."""

    restarts: Annotated[int, Field(ge=0)] = 3
    """How often to draw new weights if the network outputs the same for every image after the
    warm-up. Every restart is recorded."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the network computes in. ``"auto"``: bfloat16 where the processor or GPU has
    arithmetic for it, else float32. Weights and probabilities are float32 always."""

    devices: Literal["auto", "cpu"] | Count = "auto"
    """Where to train: ``"auto"`` uses all GPUs, or the CPU where there is none; a number uses
    that many devices, each taking its share of every batch."""

    steps_per_execution: Literal["auto"] | Count = "auto"
    """How many steps run without returning to Python."""

    vectorize: Literal["auto"] | bool = "auto"
    """Whether the runs of a study train side by side in one program, which takes the JAX backend.
    ``"auto"``: on a GPU, where a short trial shows that it is faster; true: also on a CPU."""

    early_stopping: Count | None = None
    """Stop when the validation loss has not fallen for this many epochs; None never stops."""

    keep: Literal["last", "best"] = "last"
    """Which epoch's weights make the model: the last one's, or those of the lowest validation
    loss."""

    checkpoints: bool = False
    """Also keep the model of every epoch, in the run's folder ``checkpoints``."""


class Experiment(Settings):
    """Everything that is asked: data, network, training and reports.

    Examples
    --------
    >>> import cellvision as cv
    >>> experiment = cv.Experiment(
    ...     dataset=cv.datasets.create("synthetic_cells", strength=1.0),
    ...     augmenters=[cv.augmenters.create("rotation", degrees=5)],
    ...     training=cv.Training(epochs=9, seed=0),
    ... )
    >>> experiment.architecture
    Deep(dense=None)
    """

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    schema_: Literal[1] = Field(default=1, alias="schema")
    """The version of this format."""

    recipe: str | None = None
    """Name of the recipe that chose the settings, for the record; None if there was none."""

    dataset: Dataset
    """Which images."""

    augmenters: tuple[Augmenter, ...] = ()
    """How training images may vary, applied in this order."""

    architecture: Architecture = Field(default_factory=lambda: architectures.create("deep"))
    """Which network."""

    training: Training = Training()
    """How it is trained."""

    preprocessing: Preprocessing = Preprocessing()
    """How an image becomes the network's input."""

    split: Split = Split()
    """How images are divided where the data set does not say."""

    reporters: tuple[Reporter, ...] | None = None
    """What is made of a finished run. None: every installed reporter that is automatic."""

    @field_validator("dataset")
    @classmethod
    def _anchored(cls, dataset: Dataset) -> Dataset:
        """Make a relative path absolute: a record of it is read from another folder."""
        path = getattr(dataset, "path", None)
        if not isinstance(path, Path) or "path" not in type(dataset).model_fields:
            return dataset
        absolute = path.expanduser().absolute()
        return dataset if absolute == path else dataset.model_copy(update={"path": absolute})

    @field_validator("architecture", mode="before")
    @classmethod
    def _deep_by_default(cls, value: Any) -> Any:
        """Let settings of the default architecture be given without its name."""
        if isinstance(value, Mapping) and "type" not in value:
            return {"type": "deep", **value}
        return value


def from_folder(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The experiment that a folder of images stands for, as plain values."""
    return {"dataset": {"type": "folder", "path": str(path)}}


def load_experiment(path: str | os.PathLike[str]) -> Experiment:
    """Read an experiment from a TOML, YAML or JSON file, or a run's ``run.json``.

    Parameters
    ----------
    path
        The file. A relative ``dataset.path`` in it starts from the file's folder.

    Raises
    ------
    errors.ExperimentError
        The file is missing, cannot be parsed, or a setting is wrong.
    """
    return experiment_from(read_settings(path), str(path))


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read an experiment file's plain values; paths are made absolute, nothing is checked.

    Of a run's record its experiment is taken, with a warning where plugins are missing or
    versions differ.
    """
    path = Path(path)
    parsers: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".json": json.loads,
        ".yaml": _yaml,
        ".yml": _yaml,
    }
    parse = parsers.get(path.suffix.lower())
    if parse is None:
        raise errors.ExperimentError(
            f"{path}: an experiment is a .toml, .yaml or .json file", "Or name a folder of images"
        )
    try:
        settings: Any = parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise errors.ExperimentError(
            f"{path}: {error.strerror or error}", "Check the file's name"
        ) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise errors.ExperimentError(
            f"{path}: not valid {path.suffix[1:].upper()}: {' '.join(str(error).split())}",
            "Mend the file at that place",
        ) from None
    if not isinstance(settings, dict):
        raise errors.ExperimentError(
            f"{path}: expected a table of settings, found {type(settings).__name__}",
            "The least is: dataset with a type and a path",
        )
    if isinstance(settings.get("experiment"), dict):
        _compare(path, settings)
        settings = settings["experiment"]  # a run's record holds its experiment
    made: dict[str, Any] = settings
    dataset = made.get("dataset")
    if isinstance(dataset, dict) and isinstance(dataset.get("path"), str):
        anchored = _from(path.resolve().parent, dataset["path"])
        made = {**made, "dataset": {**dataset, "path": anchored}}
    return made


def _compare(path: Path, record: Mapping[str, Any]) -> None:
    """Warn where a record was made with what is not installed now, or in another version."""
    missing = missing_plugins(record.get("plugins", {}))
    if missing:
        listed = ", ".join(f"{name} ({requirement})" for name, requirement in missing.items())
        _log.warning("%s: made with plugins that are not installed: %s", path, listed)
    others = other_versions(record)
    if others:
        _log.warning("%s: made with other versions: %s", path, "; ".join(others))


def _from(folder: Path, place: str) -> str:
    """A path as seen from a folder; addresses of other kinds stay as they are."""
    if "://" in place:
        return place
    return str(folder / Path(place).expanduser())


def experiment_from(settings: Mapping[str, Any], where: str) -> Experiment:
    """Check plain values and make the experiment; `where` names their origin in errors."""
    return Experiment.from_settings(settings, where)


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def save_experiment(experiment: Experiment, path: str | os.PathLike[str]) -> Path:
    """Write an experiment with all defaults as TOML, YAML or JSON, by the suffix of the file.

    The file reads back equal from wherever it lies: the path of the data set is absolute. TOML
    has no null, so settings that are None are left out there, which needs None to be their
    default.

    Raises
    ------
    errors.ExperimentError
        The suffix is none of these, or TOML cannot express a setting.
    """
    path = Path(path)
    form = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}.get(
        path.suffix.lower()
    )
    if form is None:
        raise errors.ExperimentError(
            f"{path}: an experiment is written as .toml, .yaml or .json", "Choose one of these"
        )
    return atomic_io.text(path, format_experiment(experiment, form, str(path)))


def format_experiment(experiment: Experiment, form: str, name: str = "experiment") -> str:
    """Format an experiment with all defaults as ``"toml"``, ``"yaml"`` or ``"json"``.

    Parameters
    ----------
    experiment
        The experiment.
    form
        The format.
    name
        Name of the file, for error messages.

    Raises
    ------
    errors.ExperimentError
        TOML cannot express a setting.
    """
    settings = experiment.model_dump(mode="json")
    if form == "json":
        return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    if form == "yaml":
        import yaml

        content = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        if yaml.safe_load(content) == settings:
            return content
        # PyYAML writes some rare characters as they are, although they end lines.
        return yaml.safe_dump(settings, sort_keys=False)
    return _toml(experiment, settings, name)


def _toml(experiment: Experiment, settings: dict[str, Any], name: str) -> str:
    import tomli_w

    try:
        content = tomli_w.dumps(_without_none(settings))
        same = Experiment.model_validate(tomllib.loads(content)) == experiment
    except (TypeError, ValueError, errors.ExperimentError):
        same = False
    if not same:
        raise errors.ExperimentError(
            f"{name}: a setting is None where None is not its default, which TOML cannot express",
            "Write .yaml or .json",
        )
    return content


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
