"""From an argument EXPERIMENT_OR_FOLDER and its ``--set`` options to an experiment."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellvision import errors
from cellvision.cli.values import changed, parse, split_change

if TYPE_CHECKING:
    from cellvision.experiment import Experiment

__all__ = [
    "AllowNetwork",
    "RecipeName",
    "Set",
    "Source",
    "parse",
    "read",
    "read_with_recipe",
    "settings",
]

Source = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT_OR_FOLDER",
        help="Folder of images (<class>/* or <split>/<class>/*), its address on remote storage, "
        "or an experiment file (.toml, .yaml, .json).",
        show_default=False,
    ),
]
Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting, such as dataset.group=well, training.epochs=20 or "
        "augmenters=[rotation,flip]. Repeat for several.",
    ),
]


RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="Recipe that chooses the settings left open: standard (default for a folder), "
        "quick, page, or one of a plugin. --set recipe.KEY=VALUE changes its settings.",
        show_default=False,
    ),
]

AllowNetwork = Annotated[
    bool,
    typer.Option(
        "--allow-network",
        help="Read images from an address that a run names and that you never read before.",
    ),
]


def read_with_recipe(
    source: str, changes: Sequence[str], recipe: str | None, *, for_audit: bool = False
) -> Experiment:
    """Read an experiment; a recipe fills in what is left open.

    For an audit, images that cannot be split as requested are no error.

    A folder of images gets the recipe `standard` unless another one is named. An experiment file
    gets one only if it or the option names one, or if a change sets a recipe or one of its
    settings.

    Raises
    ------
    errors.InvalidInput
        The source is missing, a setting is wrong, or the images cannot be read.
    """
    from cellvision.data.unusable_path import EXPERIMENT_SUFFIXES
    from cellvision.experiment import experiment_from
    from cellvision.recipe_experiment import DEFAULT, complete_for_audit, complete_settings
    from cellvision.remote import is_address

    recipe, changes = _named_by_change(recipe, changes)
    values = settings(source, changes)
    recipe = _requested_recipe(recipe, changes, values)
    is_file = Path(source).suffix.lower() in EXPERIMENT_SUFFIXES and not Path(source).is_dir()
    if recipe is None and (is_address(source) or not is_file):
        recipe = DEFAULT
    if recipe is not None:
        values = (complete_for_audit if for_audit else complete_settings)(values, recipe)
    return experiment_from(values, source)


def _named_by_change(
    option: str | None, changes: Sequence[str]
) -> tuple[str | None, Sequence[str]]:
    """Take ``--set recipe=NAME`` for ``--recipe NAME``; return the name and the other changes."""
    named, others = None, []
    for change in changes:
        key, value = split_change(change, "--set recipe=quick")
        if key in ("recipe", "recipe.type") and isinstance(value, str):
            named = value
            continue
        if key == "recipe" and isinstance(value, Mapping):
            named = value.get("type", named)
        others.append(change)
    if option is not None and named not in (None, option):
        raise errors.ExperimentError(
            f"--recipe {option} and --set recipe name two recipes", "Name one of them."
        )
    return option or named, others


def _requested_recipe(
    recipe: str | None, changes: Sequence[str], values: Mapping[str, Any]
) -> str | None:
    """Return the recipe that is named, or whose settings change, or that the file names."""
    from cellvision.experiment import named_recipe
    from cellvision.recipe_experiment import DEFAULT

    if recipe is not None:
        require_name("--recipe", recipe, "recipe")
        return recipe
    if not _is_about_recipe(changes):
        return named_recipe(values)
    table = values["recipe"]
    return (table.get("type") if isinstance(table, Mapping) else table) or DEFAULT


def _is_about_recipe(changes: Sequence[str]) -> bool:
    keys = (change.partition("=")[0].strip() for change in changes)
    return any(key.partition(".")[0] == "recipe" for key in keys)


def require_name(option: str, text: str, setting: str) -> None:
    """Refuse a table of settings where an option takes the name of a plugin.

    Raises
    ------
    errors.ExperimentError
        The text is a table; the hint shows how to change settings.
    """
    if text.lstrip().startswith("{"):
        raise errors.ExperimentError(
            f"{option} {text}: expected the name of a plugin",
            f"{option} NAME, and its settings by --set {setting}.KEY=VALUE",
        )


def say_reasons(*experiments: Experiment) -> None:
    """Say on standard error why a recipe chose settings that most images do not get."""
    from cellvision.cli.text import printable

    lines = [
        f"Recipe {each.recipe}, {name}: {printable(reason)}."
        for each in experiments
        for name, reason in each.recipe_reasons.items()
    ]
    for line in dict.fromkeys(lines):
        typer.echo(line, err=True)


def read_for_audit(source: str, changes: Sequence[str], recipe: str | None) -> Experiment:
    """Read an experiment as `read_with_recipe` does, so that an audit prepares images alike.

    If the default recipe cannot use the images, default settings apply: an audit describes them.

    Raises
    ------
    errors.InvalidInput
        The source is missing or a setting is wrong.
    """
    try:
        return read_with_recipe(source, changes, recipe, for_audit=True)
    except errors.InvalidInput:
        if recipe is not None or _is_about_recipe(changes):
            raise
        return read(source, changes)


def read(source: str, changes: Sequence[str]) -> Experiment:
    """Create the experiment.

    Raises
    ------
    errors.ExperimentError, errors.FolderError
        The source is missing or a setting is wrong.
    """
    from cellvision.experiment import experiment_from

    return experiment_from(settings(source, changes), source)


def settings(source: str, changes: Sequence[str]) -> dict[str, Any]:
    """Return the experiment's plain settings with the changes applied."""
    from cellvision.setting_names import understood

    chosen = any(change.replace(" ", "").startswith("dataset.type=") for change in changes)
    values = _source_settings(source, recognise=not chosen)
    for change in changes:
        key, value = split_change(change, "--set training.epochs=20")
        path = key.split(".")
        _check_section(path, values, change)
        values = changed(values, path, understood(key, value), change)
    return _with_loaded_plugins(values)


def _with_loaded_plugins(values: dict[str, Any]) -> dict[str, Any]:
    """Record the files of ``--plugin``, so that other processes can load them."""
    from cellvision.local_plugins import loaded_files

    files = [str(file.path) for file in loaded_files()]
    return {**values, "plugins": files} if files else values


def _source_settings(source: str, *, recognise: bool) -> dict[str, Any]:
    from cellvision.data.unusable_path import unusable
    from cellvision.experiment import from_folder, read_settings
    from cellvision.remote import is_address

    path = Path(source)
    if is_address(source):
        return from_folder(source)
    recognised = _recognised(source) if recognise else None
    if recognised is not None:
        return {"dataset": {"type": recognised, "path": str(path.resolve())}}
    if path.is_dir():
        return from_folder(path.resolve())
    fault = unusable(path)
    if fault is not None and (recognise or not path.exists()):
        raise fault
    if fault is not None:
        return {"dataset": {"path": str(path.resolve())}}  # of the type in the changes
    try:
        return read_settings(path)
    except RecursionError:
        raise errors.ExperimentError(
            f"{path}: its values are nested too deeply", "Write a plain experiment file."
        ) from None


def _recognised(source: str) -> str | None:
    """Return the data set that recognises a path, and say which it is."""
    from cellvision.cli.text import printable
    from cellvision.recognised_paths import recognising_dataset

    recognised = recognising_dataset(source)
    if recognised is None:
        return None
    print(printable(f"{source}: read by {recognised.origin}"), file=sys.stderr)
    return recognised.name


def _check_section(path: Sequence[str], values: dict[str, Any], change: str) -> None:
    """Refuse a setting without its section, such as ``channels=0``, and give the full name."""
    from cellvision.experiment import Experiment
    from cellvision.setting_names import known_settings

    sections = {field.alias or name for name, field in Experiment.model_fields.items()}
    name = path[0]
    if len(path) > 1 or name in sections or name in values:
        return
    full = known_settings().get(name)
    if full is not None:
        value = change.partition("=")[2].strip()
        raise errors.ExperimentError(
            f"--set {change}: an experiment has no setting {name!r} at the top",
            f"Write --set {full}={value}",
        )
