"""The options of ``cellvision study``, from their text to what they mean."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.cli import experiments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellvision.experiment import Experiment
    from cellvision.interfaces.control import Control
    from cellvision.studies.side_by_side import Workers


def splitter_settings(folds: int | None, leave_out: str | None, splitter: str | None) -> list[str]:
    """Return the splitter as settings, so that a recipe chooses from the folds' training images."""
    from cellvision.studies.folds import requested_splitter

    if splitter is not None:
        experiments.require_name("--splitter", splitter, "split.splitter")
    requested = requested_splitter(folds, leave_out, splitter)
    if requested is None:
        return []
    if splitter is not None:
        return [f"split.splitter={splitter}"]
    settings = requested.model_dump(mode="json", exclude_unset=True)
    return [
        f"split.splitter={settings.pop('type')}",
        *(f"split.splitter.{name}={json.dumps(value)}" for name, value in settings.items()),
    ]


def requested_controls(
    named: Sequence[Control],
    experiments_by_name: Mapping[str, Experiment],
    *,
    ladder: bool = False,
    every: bool = False,
) -> list[Control]:
    """Return the controls that ``--control`` names, and those of ``--ladder`` or ``--controls``."""
    from cellvision.studies.controls import LADDER, with_default_controls

    if not every and not ladder:
        return list(named)
    kind = None if every else LADDER
    return with_default_controls(named, experiments_by_name, kind=kind)


def named_controls(named: Sequence[str]) -> list[Control]:
    """Return the controls that ``--control`` names, by their names or as tables of settings."""
    from cellvision.interfaces.control import controls, read_control

    requested = []
    for text in named:
        value = experiments.parse(text)
        if isinstance(value, dict) and isinstance(value.get("type"), str):
            requested.append(read_control(value))
        elif text.startswith("{"):
            raise errors.ExperimentError(
                f"--control {text}: expected a name or a table of settings",
                """For example: --control '{type = "NAME", KEY = VALUE}'""",
            )
        else:
            requested.append(controls.create(text))
    return requested


def grid(
    source: str, changes: list[str], vary: list[str], recipe: str | None
) -> dict[str, Experiment]:
    """Return one experiment per combination of ``--vary`` values, named by these values.

    Without ``--vary`` the one experiment has an empty name.
    """
    axes = [[(key, choice) for choice in choices] for key, choices in _varied(vary).items()]
    combinations = {}
    for combination in itertools.product(*axes):
        extra = [f"{key}={_text(value)}" for key, value in combination]
        name = ", ".join(_named(key, value) for key, value in combination)
        combinations[name] = experiments.read_with_recipe(source, [*changes, *extra], recipe)
    return combinations


def _varied(vary: list[str]) -> dict[str, list[Any]]:
    """Return the values of each key of ``--vary``."""
    axes: dict[str, list[Any]] = {}
    for text in vary:
        key, _, values = text.partition("=")
        choices = experiments.parse(values)
        if not key or not isinstance(choices, list) or not choices:
            raise errors.ExperimentError(
                f"--vary {text}: expected KEY=[A,B,...]",
                "For example: --vary architecture=[deep,resnet]",
            )
        repeated = [choice for number, choice in enumerate(choices) if choice in choices[:number]]
        if repeated or key in axes:
            what = f"the value {_text(repeated[0])}" if repeated else f"the key {key}"
            raise errors.ExperimentError(
                f"--vary {text}: {what} is given twice", "Give each key and each value once."
            )
        axes[key] = choices
    return axes


def _named(key: str, value: Any) -> str:
    """Return what an experiment is called: numbers and lists say nothing without their setting."""
    return value if isinstance(value, str) else f"{key.rpartition('.')[2]}={json.dumps(value)}"


def sizes_of(text: str | None) -> bool | list[int]:
    """Return the numbers of groups of ``--sizes``; True for ``auto``, False without it."""
    if text is None or text == "auto":
        return text is not None
    numbers = experiments.parse(text)
    is_list = isinstance(numbers, list) and numbers
    if not is_list or not all(type(number) is int and number > 0 for number in numbers):
        raise errors.ExperimentError(
            f"--sizes {text}: expected auto, or numbers of training groups",
            "For example: --sizes [8,16,32]",
        )
    return [int(number) for number in numbers]


def workers_of(text: str) -> Workers:
    """Return the number of ``--workers``, or ``auto``."""
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise errors.ExperimentError(
            f"--workers {text}: expected auto or a number from 1", "For example: --workers 2"
        )
    return int(text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def accuracy_of(text: str) -> tuple[str, float]:
    """Return split and accuracy of ``--expert SPLIT=ACCURACY``."""
    split, _, value = text.partition("=")
    try:
        accuracy = float(value)
    except ValueError:
        accuracy = -1.0
    if not split or not 0 <= accuracy <= 1:
        raise errors.ExperimentError(
            f"--expert {text}: expected SPLIT=ACCURACY with an accuracy from 0 to 1",
            "For example: --expert test=0.93",
        )
    return split, accuracy
