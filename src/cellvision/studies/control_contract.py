"""What a control must return: checked whenever it is used, with errors that name it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from cellvision import errors
from cellvision.interfaces.control import CHANGES, Control, ControlData, controls, overridden
from cellvision.statistics import ControlMeaning

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.experiment import Experiment

T = TypeVar("T")

_TOLERANCE = 1e-3
"""Largest difference from 1 of the sum of an image's probabilities."""


def _broken(control: Control, what: str, hint: str) -> errors.PluginContractError:
    return errors.PluginContractError(f"{controls.origin_of(type(control))}: {what}", hint)


def _returned(control: Control, method: Callable[..., T], *arguments: Any) -> T:
    """Call a method of a control; whatever else it raises becomes an error that names it."""
    try:
        return method(*arguments)
    except errors.CellvisionError:
        raise
    except Exception as error:
        raise _broken(
            control,
            f"{method.__name__}() failed: {errors.summarize(error)}",
            "Its author can find the fault with --debug, or with: cellvision check.",
        ) from error
    except SystemExit as error:
        raise _broken(
            control,
            f"{method.__name__}() ends the process: {errors.summarize(error)}",
            "Raise an error of cellvision.errors.",
        ) from error


def checked_meaning(control: Control) -> ControlMeaning:
    """Return the meaning of a control; check that it fits what the control changes.

    Raises
    ------
    errors.PluginContractError
        It changes nothing, or its meaning does not fit what it changes.
    """
    changes = overridden(control)
    if not changes:
        raise _broken(
            control,
            "it changes nothing, so it would be the experiment",
            f"Override one of {', '.join(CHANGES)}.",
        )
    if "predict" in changes and "change_experiment" in changes:
        raise _broken(
            control,
            "it overrides both predict and change_experiment",
            "predict takes the place of a training, so there is no experiment to change.",
        )
    try:
        meaning = _returned(control, control.meaning)
    except errors.PluginContractError:
        raise
    except errors.InvalidInput as error:
        raise _broken(control, f"meaning() fails: {error.what}", error.hint) from error
    if not isinstance(meaning, ControlMeaning):
        raise _broken(
            control,
            f"meaning() returned {type(meaning).__name__}",
            "Return a cellvision.statistics.ControlMeaning.",
        )
    if (meaning.kind == "permuted labels") != ("change_labels" in changes):
        raise _broken(
            control,
            f"its meaning is {meaning.kind!r}, but it "
            + ("changes" if "change_labels" in changes else "does not change")
            + " labels",
            "The kind 'permuted labels' and the method change_labels go together.",
        )
    return meaning


def checked_unavailable(control: Control, catalog: pd.DataFrame) -> str:
    """Return why a control cannot accompany an experiment; empty if it can.

    Raises
    ------
    errors.PluginContractError
        Its reason is not text.
    """
    return _text(control, control.unavailable, catalog)


def checked_caveat(control: Control, data: ControlData) -> str:
    """Return the caveat of a control, or an empty string.

    Raises
    ------
    errors.PluginContractError
        It is not text.
    """
    return _text(control, control.caveat, data)


def _text(control: Control, method: Callable[[Any], str], argument: Any) -> str:
    reason: object = _returned(control, method, argument)
    if reason is not None and not isinstance(reason, str):
        raise _broken(
            control,
            f"{method.__name__}() returned {type(reason).__name__}",
            "Return the reason as text, or an empty string.",
        )
    return reason or ""


def checked_image(control: Control, pixels: np.ndarray) -> np.ndarray:
    """Return an image as changed by a control.

    Raises
    ------
    errors.PluginContractError
        It has another shape or dtype.
    """
    view = pixels.view()
    view.flags.writeable = False
    changed = _returned(control, control.change_image, view)
    if (
        not isinstance(changed, np.ndarray)
        or changed.shape != pixels.shape
        or changed.dtype != pixels.dtype
    ):
        raise _broken(
            control,
            f"change_image() turned {_described(pixels)} into {_described(changed)}",
            "Return an array of the same shape and dtype.",
        )
    return changed


def _described(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return type(value).__name__
    return f"{'×'.join(map(str, value.shape))} {value.dtype}"


def checked_labels(control: Control, data: ControlData, seed: int) -> list[str]:
    """Return the classes for which a control trains.

    Raises
    ------
    errors.PluginContractError
        The labels are not one known class for each image, or a class has no training image.
    """
    returned: object = _returned(control, control.change_labels, data, seed)
    if isinstance(returned, str) or not isinstance(returned, Iterable):
        raise _broken(
            control,
            f"change_labels() returned {type(returned).__name__}, not a list",
            "Return one label for each row of the table.",
        )
    labels = list(returned)
    if len(labels) != len(data.table):
        raise _broken(
            control,
            f"change_labels() returned {len(labels)} labels for {len(data.table)} images",
            "Return one label for each row of the table.",
        )
    unknown = [label for label in labels if label not in data.class_names]
    if unknown:
        raise _broken(
            control,
            f"change_labels() returned {unknown[0]!r}, which is no class",
            f"Return names of classes: {', '.join(data.class_names)}.",
        )
    missing = set(data.class_names) - {labels[row] for row in data.training_rows}
    if missing:
        raise _broken(
            control,
            f"change_labels() left no training image of {min(missing)!r}",
            "Exchange labels within the splits.",
        )
    return labels


def checked_probabilities(control: Control, data: ControlData, seed: int) -> np.ndarray:
    """Return the probabilities that a control predicts, float32.

    Raises
    ------
    errors.PluginContractError
        They are not probabilities, or not one for each image and class.
    """
    returned = np.asarray(_returned(control, control.predict, data, seed))
    expected = (len(data.table), len(data.class_names))
    if returned.shape != expected or not np.issubdtype(returned.dtype, np.floating):
        raise _broken(
            control,
            f"predict() returned {_described(returned)}, not {'×'.join(map(str, expected))} floats",
            "Return one row per image and one column per class, sorted by name.",
        )
    sums = returned.sum(axis=1)
    # Written so that NaN fails as well.
    if not (returned.min() >= 0 and np.abs(sums - 1).max() <= _TOLERANCE):
        raise _broken(
            control,
            "predict() returned values that are no probabilities",
            "Return numbers from 0 to 1 whose rows sum to 1.",
        )
    return returned.astype(np.float32)


def checked_experiment(control: Control, experiment: Experiment) -> Experiment:
    """Return the experiment that a control trains.

    Raises
    ------
    errors.PluginContractError
        It is not an experiment, or it has another data set or split.
    """
    changed = _returned(control, control.change_experiment, experiment)
    if not isinstance(changed, type(experiment)):
        raise _broken(
            control,
            f"change_experiment() returned {type(changed).__name__}",
            "Return experiment.model_copy(update={...}).",
        )
    for part in ("dataset", "split"):
        if getattr(changed, part) != getattr(experiment, part):
            raise _broken(
                control,
                f"change_experiment() changed the {part}",
                "A control is compared on the same images: leave data set and split as they are.",
            )
    return _validated(control, changed)


def _validated(control: Control, changed: Experiment) -> Experiment:
    """Return the experiment as if it had been created: ``model_copy`` validates nothing."""
    try:
        return type(changed).from_settings(
            {name: getattr(changed, name) for name in type(changed).model_fields}, "experiment"
        )
    except errors.CellvisionError as error:
        raise _broken(control, f"change_experiment() fails: {error.what}", error.hint) from error
