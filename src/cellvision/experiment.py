"""Experiment: the complete settings of a training, and files that hold them."""

from __future__ import annotations

import json
import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

from pydantic import ConfigDict, Field, JsonValue, field_validator

from cellvision import atomic_io, defaults, errors, notebook_html
from cellvision.about import About
from cellvision.component import FormerSetting, Settings
from cellvision.data.preprocessing import Preprocessing
from cellvision.data.split import Split
from cellvision.interfaces.architecture import Architecture, architectures
from cellvision.interfaces.augmenter import Augmenter
from cellvision.interfaces.dataset import Dataset, datasets
from cellvision.interfaces.reporter import Reporter
from cellvision.local_plugins import load_named_plugins
from cellvision.plain_settings import (
    by_distribution,
    resolve_path,
    resolve_paths,
    with_absolute_paths,
)
from cellvision.plugin_versions import differences, how_to_install, missing_plugins
from cellvision.recipe_reasons import outdated_choices, still_valid, without_outdated_reasons
from cellvision.settings_file import parse_settings, without_none
from cellvision.training_settings import Training

_log = logging.getLogger(__name__)


class Experiment(Settings):
    """A complete experiment: data, network, training and reports.

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

    former_settings: ClassVar[Mapping[str, FormerSetting]] = {
        "intake": FormerSetting("preprocessing", "2027-12-31"),
    }

    schema_: Literal[1] = Field(default=1, alias="schema")
    """Version of this format."""

    recipe: str | None = None
    """Name of the recipe that chose the settings, for the record; None if there was none."""

    recipe_plugin: str | None = None
    """Origin of the recipe (``distribution==version``, or the name of a local file), for the
    record."""

    recipe_settings: dict[str, JsonValue] = Field(default_factory=dict)
    """Settings of the recipe that were given (``--set recipe.KEY=VALUE``), for the record."""

    recipe_reasons: dict[str, str] = Field(default_factory=dict)
    """Why the recipe chose some of the settings, by their names, for the record."""

    plugins: tuple[Path, ...] = ()
    """Python files with plugins, which `load_experiment` and the command line register before they
    read the other settings. They are code and run with your permissions."""

    dataset: Dataset
    """The images: a data set, its name, or a folder of images."""

    augmenters: tuple[Augmenter, ...] = ()
    """Random changes to training images, applied in this order."""

    # Validated like a given value, so that a missing data set plugin is still reported first.
    architecture: Architecture = Field(
        default_factory=lambda: cast("Architecture", _default_architecture()),
        validate_default=True,
    )
    """The network."""

    training: Training = Training()
    """How the network is trained."""

    preprocessing: Preprocessing = Preprocessing()
    """How an image becomes the network's input."""

    split: Split = Split()
    """How images are divided if the data set does not name the splits."""

    about: About = About()
    """What only a person knows: origin of the images, intended use, limitations, ..."""

    reporters: tuple[Reporter, ...] | None = None
    """What to make of a finished run. None: every installed reporter that is enabled by default."""

    # Last, so that nobody who edits a file takes these for the settings that apply.
    recipe_choices: dict[str, JsonValue] = Field(default_factory=dict)
    """What the recipe chose for its reasons, for the record. A reason is left out once its setting
    has another value."""

    def __repr__(self) -> str:
        source = getattr(self.dataset, "path", None) or type(self.dataset).__name__
        training = self.training
        return (
            f"<Experiment: {type(self.architecture).__name__} on {source}, "
            f"{training.epochs} epochs, seed {training.seed}>"
        )

    def _repr_html_(self) -> str:
        reporters = "all enabled by default" if self.reporters is None else list(self.reporters)
        pairs = (
            ("recipe", self.recipe),
            *self.recipe_reasons.items(),
            ("dataset", _changes(self.dataset)),
            ("augmenters", ", ".join(map(_changes, self.augmenters)) or "none"),
            ("architecture", _changes(self.architecture)),
            ("training", _changes(self.training)),
            ("preprocessing", _changes(self.preprocessing)),
            ("split", _changes(self.split)),
            ("reporters", reporters or "none"),
        )
        title = "Experiment (settings that differ from their defaults)"
        return notebook_html.document(title, notebook_html.facts(pairs))

    @field_validator("dataset", mode="before")
    @classmethod
    def _folder_of_images(cls, value: Any) -> Any:
        """Accept the path of a folder of images in place of a data set."""
        named = isinstance(value, str) and value in Dataset.registry
        if isinstance(value, Path) or (
            isinstance(value, str) and not named and (os.sep in value or Path(value).is_dir())
        ):
            return {"type": datasets.default(defaults.DATASET), "path": str(value)}
        return value

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with other values of some settings, which are not validated.

        The reasons of a recipe for settings that get another value are left out.

        Parameters
        ----------
        update
            New values by the names of the fields.
        deep
            Whether to copy the values too.
        """
        copied = super().model_copy(update=update, deep=deep)
        named = update or {}
        chosen = {
            name: value
            for name, value in copied.recipe_choices.items()
            if name.partition(".")[0] in named
        }
        if not chosen or "recipe_choices" in named:
            return copied
        settings = copied.model_dump(mode="json", include=set(named))
        outdated = outdated_choices(chosen, settings)
        tables = still_valid(copied.recipe_reasons, copied.recipe_choices, outdated)
        return super(Experiment, copied).model_copy(update=tables)

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Return plain values without what is empty and missing in older records."""
        values = super().model_dump(**options)
        for name in ("plugins", *ABOUT_RECIPE[1:]):
            if not values.get(name):
                values.pop(name, None)
        if self.about == About():
            values.pop("about", None)
        return values

    @field_validator("plugins", "dataset", "augmenters", "architecture", "reporters")
    @classmethod
    def _anchored(cls, value: Any) -> Any:
        """Make relative paths absolute, because records are read from other folders."""
        return with_absolute_paths(value)

    @field_validator("architecture", mode="before")
    @classmethod
    def _architecture_by_default(cls, value: Any) -> Any:
        """Accept settings of the default architecture without its name."""
        if isinstance(value, Mapping) and "type" not in value:
            return {**_default_architecture(), **value}
        return value


def _changes(settings: Settings) -> str:
    """Return a component or group of settings with those values that are not the default."""
    fields = type(settings).model_fields
    changed = [
        f"{name}={str(value) if isinstance(value, Path) else value!r}"
        for name, field in fields.items()
        for value in [getattr(settings, name)]
        if field.is_required() or value != field.get_default()
    ]
    return f"{type(settings).__name__}({', '.join(changed)})"


def _default_architecture() -> dict[str, Any]:
    return {"type": architectures.default(defaults.ARCHITECTURE)}


def from_folder(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the experiment that a folder of images stands for, as plain values."""
    return {"dataset": {"type": datasets.default(defaults.DATASET), "path": str(path)}}


def load_experiment(path: str | os.PathLike[str]) -> Experiment:
    """Read an experiment from a TOML, YAML or JSON file, or a run's ``run.json``.

    Settings that the file leaves open get their defaults. A recipe that it names is not applied,
    with a warning, because that reads the images; `cv.train` and `cv.study` apply it to a file.

    Parameters
    ----------
    path
        The file. Relative paths in it start from the file's folder: every setting of type
        `pathlib.Path`, also of components inside of components.

    Raises
    ------
    errors.ExperimentError
        The file is missing, cannot be parsed, or a setting is wrong.
    """
    settings = read_settings(path)
    recipe = named_recipe(settings)
    if recipe is not None:
        _log.warning(
            "%s names the recipe %s, which is not applied when a file is loaded. "
            "cv.train and cv.study apply it to the file; cellvision recipe FILE prints its choice.",
            path,
            recipe,
        )
        settings = {key: value for key, value in settings.items() if key != "recipe"}
    return experiment_from(settings, str(path))


def named_recipe(settings: Mapping[str, Any]) -> str | None:
    """Return the recipe that an experiment file names by hand; None if it does not.

    What a recipe has completed names its distribution as well, or, in older records, has all
    settings. There the name is a record.

    Parameters
    ----------
    settings
        Plain values of the file.
    """
    table = settings.get("recipe")
    is_record = "recipe_plugin" in settings or settings.keys() >= CHOSEN
    if table is None or is_record:
        return None
    name = table.get("type", defaults.RECIPE) if isinstance(table, Mapping) else table
    return str(name)


ABOUT_RECIPE = (
    "recipe",
    "recipe_plugin",
    "recipe_settings",
    "recipe_reasons",
    "recipe_choices",
)
"""Settings that record which recipe chose the others."""

CHOSEN = {"architecture", "augmenters", "preprocessing", "training"}
"""What recipes choose."""


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read an experiment file's plain values; paths are made absolute, settings not checked.

    From a run's record, take its experiment, and warn if plugins are missing or versions differ.
    """
    path = Path(path)
    settings = parse_settings(path)
    plugins: dict[str, str] = {}
    if isinstance(settings.get("experiment"), dict):
        _compare(path, settings)
        plugins = settings.get("plugins", {})
        settings = settings["experiment"]  # a run's record holds its experiment
        # A record may come from somebody else: its code runs only if --plugin names it.
        settings = {key: value for key, value in settings.items() if key != "plugins"}
    values: dict[str, Any] = settings
    folder = path.resolve().parent
    values = {**values, **load_named_plugins(values, folder, str(path))}
    dataset = values.get("dataset")
    if isinstance(dataset, dict) and isinstance(dataset.get("path"), str):
        # Also if the data set declares its path as text.
        values["dataset"] = {**dataset, "path": resolve_path(dataset["path"], folder)}
    values = resolve_paths(values, Experiment, folder)
    return by_distribution(values, Experiment, plugins)


def _compare(path: Path, record: Mapping[str, Any]) -> None:
    """Warn if the plugins of a record are missing or have other versions."""
    missing = missing_plugins(record.get("plugins", {}))
    if missing:
        listed = ", ".join(f"{name} ({requirement})" for name, requirement in missing.items())
        cure = how_to_install(missing.values(), path.parent)
        _log.warning("%s: made with plugins that are not installed: %s. %s", path, listed, cure)
    for difference in differences(record):
        _log.warning("%s: %s", path, difference)


def experiment_from(settings: Mapping[str, Any], where: str) -> Experiment:
    """Create an experiment from plain values; `where` names their origin in errors."""
    return Experiment.from_settings(without_outdated_reasons(settings), where)


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
        content = tomli_w.dumps(without_none(settings))
        same = Experiment.model_validate(tomllib.loads(content)) == experiment
    except (TypeError, ValueError, errors.ExperimentError):
        same = False
    if not same:
        raise errors.ExperimentError(
            f"{name}: a setting is None where None is not its default, which TOML cannot express",
            "Write .yaml or .json",
        )
    return content
