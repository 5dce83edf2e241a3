"""From an argument EXPERIMENT_OR_FOLDER and its ``--set`` options to an experiment."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellvision import errors

if TYPE_CHECKING:
    from cellvision.experiment import Experiment

Source = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT_OR_FOLDER",
        help="A folder of images (<class>/* or <split>/<class>/*), its address on remote storage, "
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
        "augmenters=[rotation,flip]. May be given again.",
    ),
]


RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="Recipe that chooses the settings left open: standard (default for a folder), "
        "quick, page, or one of a plugin.",
        show_default=False,
    ),
]


def read_with_recipe(source: str, changes: Sequence[str], recipe: str | None) -> Experiment:
    """Read an experiment; a recipe fills in what is left open.

    A folder of images gets the recipe `standard` unless another one is named. An experiment file
    gets one only if it is named.

    Raises
    ------
    errors.InvalidInput
        The source is missing, a setting is wrong, or the images cannot be read.
    """
    from cellvision.experiment import experiment_from
    from cellvision.recipe import DEFAULT, complete_settings
    from cellvision.remote import is_address

    values = settings(source, changes)
    if recipe is None and (is_address(source) or Path(source).is_dir()):
        recipe = DEFAULT
    if recipe is not None:
        values = complete_settings(values, recipe)
    return experiment_from(values, source)


def read(source: str, changes: Sequence[str]) -> Experiment:
    """Make the experiment.

    Raises
    ------
    errors.ExperimentError, errors.FolderError
        The source is missing or a setting is wrong.
    """
    from cellvision.experiment import experiment_from

    return experiment_from(settings(source, changes), source)


def settings(source: str, changes: Sequence[str]) -> dict[str, Any]:
    """The experiment's plain values, with the changes made."""
    from cellvision.experiment import from_folder, read_settings
    from cellvision.remote import is_address

    path = Path(source)
    if is_address(source):
        values = from_folder(source)
    elif path.is_dir():
        values = from_folder(path.resolve())
    elif path.exists() or path.suffix.lower() in (".toml", ".yaml", ".yml", ".json"):
        values = read_settings(path)
    else:
        raise errors.FolderError(
            f"{source}: there is no such folder or file", "Name a folder of images"
        )
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key.strip():
            raise errors.ExperimentError(
                f"--set {change}: expected KEY=VALUE", "Such as --set training.epochs=20"
            )
        values = _changed(values, key.strip().split("."), parse(text.strip()), change)
    return values


def parse(text: str) -> Any:
    """Read a value as JSON; in brackets, bare words need no quotes; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    if text[:1] in ("[", "{"):
        import yaml

        try:
            return yaml.load(text, _bare_words())  # noqa: S506 - derived from SafeLoader
        except (yaml.YAMLError, ValueError, TypeError):
            pass
    return text


@cache
def _bare_words() -> Any:
    """YAML in which what is no JSON is text: a class may be called no, on, 1:30 or 2024-01-01."""
    import yaml

    class BareWords(yaml.SafeLoader):
        """Knows no kinds of words but those added below."""

    BareWords.yaml_implicit_resolvers = {}
    json_word = re.compile(r"(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$")
    BareWords.add_implicit_resolver("!json", json_word, None)
    BareWords.add_constructor("!json", lambda _, node: json.loads(node.value))
    return BareWords


def _changed(values: Any, path: Sequence[str], value: Any, change: str) -> Any:
    """A copy of nested values with one place changed; missing tables are made."""
    if not path:
        return value
    first, *rest = path
    if isinstance(values, list):
        if not (first.isascii() and first.isdigit()) or int(first) >= len(values):
            raise errors.ExperimentError(
                f"--set {change}: there is no item {first!r} in a list of {len(values)}",
                "Items are numbered from 0",
            )
        place = int(first)
        return [
            _changed(item, rest, value, change) if number == place else item
            for number, item in enumerate(values)
        ]
    if isinstance(values, str) and rest == []:
        values = {"type": values}  # a component that was given by its name alone
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise errors.ExperimentError(
            f"--set {change}: {first!r} is looked for in {values!r}, which has no settings",
            "Check the key",
        )
    return {**values, first: _changed(values.get(first), rest, value, change)}
