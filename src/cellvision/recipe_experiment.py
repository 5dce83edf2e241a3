"""From a data set and a recipe to a complete experiment."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import defaults, errors
from cellvision.agreed_choice import agreed_choice, is_given
from cellvision.call_errors import names_settings
from cellvision.data.recipe_facts import fold_facts, image_facts
from cellvision.data.split import Split
from cellvision.data.unusable_path import unusable
from cellvision.experiment import (
    ABOUT_RECIPE,
    CHOSEN,
    Experiment,
    experiment_from,
    load_experiment,
    named_recipe,
    read_settings,
)
from cellvision.interfaces.dataset import Dataset, datasets
from cellvision.interfaces.recipe import Recipe, recipes
from cellvision.local_plugins import requirement_of
from cellvision.merged_settings import leaves_open, merge, scale_warmup, table_of
from cellvision.plain_settings import by_default
from cellvision.recipe_reasons import choices
from cellvision.recognised_paths import recognising_dataset
from cellvision.remote import is_address

if TYPE_CHECKING:
    from pydantic import JsonValue

    from cellvision.interfaces.recipe import ImageFacts
    from cellvision.interfaces.splitter import Splitter

_log = logging.getLogger(__name__)

DEFAULT = defaults.RECIPE
"""The recipe that a folder stands for."""

_CHECK = "Its author can find out more with cellvision check"


@names_settings
def experiment_from_recipe(
    dataset: Dataset | str | os.PathLike[str],
    recipe: str = DEFAULT,
    settings: Mapping[str, JsonValue] | None = None,
) -> Experiment:
    """Choose an experiment that suits the images, without looking at a test set.

    Parameters
    ----------
    dataset
        A data set, or a folder of images.
    recipe
        Name of the recipe.
    settings
        Settings that take precedence, in tables as in an experiment file, such as
        ``{"training": {"epochs": 20}}``.

    Raises
    ------
    errors.UnknownPlugin
        There is no such recipe.
    errors.InvalidInput
        The images cannot be read or split, or a setting is wrong.

    Examples
    --------
    >>> import cellvision as cv
    >>> cells = cv.datasets.create("synthetic_cells", fields=6)
    >>> experiment = cv.experiment_from_recipe(cells, "page")
    >>> experiment.architecture
    Deep(dense=None)
    """
    source = dataset if isinstance(dataset, Dataset) else without_recipe(dataset).dataset
    plain = merge({"dataset": source.model_dump(mode="json")}, settings or {})
    return experiment_from(complete_settings(plain, recipe), "recipe")


def as_experiment(
    source: Experiment | str | os.PathLike[str],
    recipe: str = DEFAULT,
    group: str | None = None,
    splitter: Splitter | None = None,
    settings: Mapping[str, JsonValue] | None = None,
) -> Experiment:
    """Return an experiment as it is, and that of a recipe for a folder of images.

    A file that names a recipe gets that one; see `cellvision.experiment.named_recipe`.

    Parameters
    ----------
    source
        An experiment, an experiment file, or a folder of images.
    recipe
        Name of the recipe for a folder.
    group
        Provenance column that names the groups of a folder.
    splitter
        For a folder: the splitter of a cross-validated study; the recipe chooses from the training
        images of its folds.
    settings
        Settings of a folder or file that take precedence.

    Raises
    ------
    errors.InvalidInput
        As for `experiment_from_recipe`; or a group or settings are given for an experiment, which
        has its own.
    """
    given: dict[str, JsonValue] = dict(settings or {})
    if group is None and not isinstance(source, Experiment) and _is_experiment_file(source):
        values = merge(read_settings(source), given)
        named = named_recipe(values)
        if named is not None:
            values = complete_settings(values, named)
        return experiment_from(values, os.fspath(source))
    if isinstance(source, Experiment) or _is_experiment_file(source):
        return without_recipe(source, group, settings)  # an experiment as it is, or an error
    experiment = without_recipe(source, group)
    if splitter is not None:
        division: dict[str, JsonValue] = {"split": {"splitter": splitter.model_dump(mode="json")}}
        given = merge(given, division)
    return experiment_from_recipe(experiment.dataset, recipe, given)


def experiment_for_audit(
    source: Experiment | str | os.PathLike[str],
    recipe: str,
    group: str | None,
    settings: Mapping[str, JsonValue] | None = None,
) -> Experiment:
    """As `as_experiment`, also for images that cannot be split or that `standard` cannot use.

    Raises
    ------
    errors.InvalidInput
        As for `as_experiment`, if it is not the images that are unsuitable.
    """
    try:
        try:
            return as_experiment(source, recipe, group, settings=settings)
        except errors.SplitError:
            if isinstance(source, Experiment) or _is_experiment_file(source):
                raise
            dataset = without_recipe(source, group).dataset.model_dump(mode="json")
            given = merge({"dataset": dataset}, settings or {})
            return experiment_from(complete_for_audit(given, recipe), os.fspath(source))
    except errors.InvalidInput:
        if recipe != DEFAULT:
            raise
        return without_recipe(source, group, settings)  # raises other faults again


def complete_for_audit(settings: Mapping[str, JsonValue], recipe: str) -> dict[str, JsonValue]:
    """As `complete_settings`, but from all images if they cannot be split as requested.

    An audit describes them nevertheless, prepared as a training would prepare them.
    """
    try:
        return complete_settings(settings, recipe)
    except errors.SplitError:
        given = dict(table_of(settings, "split"))
        whole: dict[str, JsonValue] = {**given, "test": 0, "validation": 0}
        return {**complete_settings({**settings, "split": whole}, recipe), "split": given}


def without_recipe(
    source: Experiment | str | os.PathLike[str],
    group: str | None = None,
    settings: Mapping[str, JsonValue] | None = None,
) -> Experiment:
    """As `as_experiment`, but with default settings for a folder of images.

    Raises
    ------
    errors.InvalidInput
        There is no such folder or file, or a group or settings are given for an experiment.
    """
    if isinstance(source, Experiment) and settings:
        raise errors.ExperimentError(
            "settings are for a folder or an experiment file; an experiment has its own",
            "Set them in the experiment, such as training=cv.Training(epochs=20)",
        )
    if isinstance(source, Experiment) or _is_experiment_file(source):
        if group is not None:
            raise errors.ExperimentError(
                "group is for a folder of images; an experiment names its own",
                "Set it in the data set: cv.datasets.create(..., group=...)",
            )
        if isinstance(source, Experiment) or not settings:
            return source if isinstance(source, Experiment) else load_experiment(source)
        return experiment_from(merge(read_settings(source), settings), os.fspath(source))
    name = os.fspath(source)
    path = name if is_address(name) else Path(name).absolute()
    recognised = None if is_address(name) else recognising_dataset(name)
    kind = datasets.default(defaults.DATASET) if recognised is None else recognised.name
    experiment = Experiment(dataset=datasets.create(kind, path=path, group=group))
    if not settings:
        return experiment
    dataset = experiment.dataset.model_dump(mode="json")
    return experiment_from(merge({"dataset": dataset}, settings), "settings")


def _is_experiment_file(source: str | os.PathLike[str]) -> bool:
    """Whether a path is an experiment file rather than a folder.

    Raises
    ------
    errors.FolderError
        It is neither; the hint suggests the nearest name.
    """
    path = Path(source)
    if is_address(os.fspath(source)) or path.is_dir() or recognising_dataset(path) is not None:
        return False
    fault = unusable(path)
    if fault is not None:
        raise fault
    return True


def complete_settings(settings: Mapping[str, Any], recipe: str) -> dict[str, Any]:
    """Fill in what an experiment's settings leave out, by a recipe.

    Parameters
    ----------
    settings
        Plain values with at least a data set.
    recipe
        Name of the recipe.

    Raises
    ------
    errors.InvalidInput
        As for `experiment_from_recipe`.
    """
    options, record, settings = _divided(settings)
    name = recipes.default(recipe) if recipe == DEFAULT else recipe
    chooser = recipes.create(name, **options)
    # Check what is given first: a misspelt setting should not wait for the images.
    given = {**settings, "recipe": recipe}
    if "type" not in table_of(settings, "architecture"):
        # Settings without a name are for the architecture that the recipe will choose.
        given = {key: value for key, value in given.items() if not _is_table(key, value)}
    chosen = _choice(chooser, settings, experiment_from(given, "settings"))
    reasons = chosen.pop("recipe_reasons", {})
    kept = {name: reason for name, reason in reasons.items() if not is_given(name, settings)}
    complete = merge(chosen, settings)
    scale_warmup(complete, chosen, settings)
    is_complete = "recipe_plugin" in record and settings.keys() >= CHOSEN
    if is_complete or (chosen and not leaves_open(settings, chosen)):
        _log.warning(
            "The recipe %s changes nothing: all settings that it chooses are given.", recipe
        )
        return {**settings, **record}
    complete |= {"recipe": recipe, "recipe_plugin": requirement_of(chooser)}
    if options:
        complete["recipe_settings"] = options
    if kept:
        complete |= {"recipe_reasons": kept, "recipe_choices": choices(chosen, kept)}
    return complete


def _divided(
    settings: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Divide settings of the recipe, what a file records of its recipe, and other settings."""
    table = table_of(settings, "recipe")
    options = {key: value for key, value in table.items() if key != "type"}
    record = {key: settings[key] for key in ABOUT_RECIPE if key in settings}
    if table:
        record["recipe"] = table.get("type")
    return options, record, {key: v for key, v in settings.items() if key not in ABOUT_RECIPE}


def _choice(recipe: Recipe, settings: Mapping[str, Any], provisional: Experiment) -> dict[str, Any]:
    """Return what a recipe chooses for an experiment, from training images alone."""
    split = Split.from_settings(settings.get("split") or {}, "split")
    about_images = {
        "accelerators": _has_gpu(),
        "channels_selected": "channels" in table_of(settings, "preprocessing"),
    }
    dataset = settings["dataset"]
    if split.splitter is None or "fold" in split.model_fields_set:
        return _chosen(recipe, image_facts(provisional.dataset, split, **about_images), dataset)
    folds = fold_facts(provisional.dataset, split, **about_images)
    return agreed_choice([_chosen(recipe, facts, dataset) for facts in folds], settings)


def _chosen(recipe: Recipe, facts: ImageFacts, dataset: Any) -> dict[str, Any]:
    """Return the settings that a recipe chooses, if they make an experiment."""
    origin = recipes.origin_of(type(recipe))
    try:
        chosen = recipe.experiment(facts)
    except SystemExit as error:
        raise errors.PluginContractError(
            f"{origin}: experiment() ends the process: {errors.summarize(error)}", _CHECK
        ) from error
    if not isinstance(chosen, dict):
        raise errors.PluginContractError(
            f"{origin}: experiment() returned {type(chosen).__name__}, not a table of settings",
            _CHECK,
        )
    if "dataset" in chosen:
        raise errors.PluginContractError(
            f"{origin}: experiment() chooses the data set",
            f"Leave the data set to the user. {_CHECK}",
        )
    if "split" in chosen:
        raise errors.PluginContractError(
            f"{origin}: experiment() chooses the split, but its facts are of the training images "
            "of another one",
            f"Leave the split to the user. {_CHECK}",
        )
    distribution = recipes.info(recipes.name_of(type(recipe))).distribution
    chosen = by_default(chosen, Experiment, distribution)
    try:
        experiment_from({**chosen, "dataset": dataset}, "experiment()")
    except errors.ExperimentError as error:
        faults = "; ".join(line.strip() for line in error.what.splitlines())
        raise errors.PluginContractError(f"{origin}: {faults}", _CHECK) from error
    except errors.UnknownPlugin as error:
        raise errors.UnknownPlugin(f"{origin}: {error.what}", error.hint) from error
    return chosen


def _is_table(key: str, value: Any) -> bool:
    """Whether a setting is a table of settings of the architecture."""
    return key == "architecture" and isinstance(value, Mapping)


def _has_gpu() -> bool:
    """Whether an NVIDIA GPU is visible; looks for its driver, since Keras is slow to import."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1") and (
        Path("/proc/driver/nvidia/version").exists()
    )
