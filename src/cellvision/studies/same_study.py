"""Whether a call continues the study that was started in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellvision import errors
from cellvision.experiment import ABOUT_RECIPE
from cellvision.migration import with_defaults
from cellvision.results.resumed_images import say_moved, with_images_of
from cellvision.setting_differences import setting_differences

_COMPARED_APART = ("id", "seeds", "controls", "expert", "plugins", "local_plugins")
"""Keys of a plan that may change, or have their own rules."""


def raise_if_another_study(
    folder: Path, started: Mapping[str, Any], plan: Mapping[str, Any]
) -> None:
    """Refuse a plan whose experiments or folds differ from those of the plan in a folder.

    Raises
    ------
    errors.ResumeError
        They differ; the message names the settings.
    """
    started = _with_moved_images(started, plan, folder)
    before, now = _unchangeable(started), _unchangeable(plan)
    if before == now and started["seeds"][0] == plan["seeds"][0]:
        return
    raise errors.ResumeError(
        f"{folder}: another study was started here: {_difference(before, now)}",
        "Give the settings of that study to continue it, or name another folder.",
    )


def _with_moved_images(
    started: Mapping[str, Any], plan: Mapping[str, Any], folder: Path
) -> Mapping[str, Any]:
    """Return the plan in a folder with its images where they are now, if they were moved.

    Their pixels are compared with those of the finished runs before anything is trained.
    """
    now = {entry["name"]: entry["experiment"] for entry in plan["experiments"]}
    entries: list[dict[str, Any]] = []
    for entry in started["experiments"]:
        before = entry["experiment"]
        moved = with_images_of(before, now.get(entry["name"], {}), started.get("plugins", {}))
        if moved is not before and not any(each["experiment"] == moved for each in entries):
            say_moved(moved, folder)
        entries.append({**entry, "experiment": moved})
    return {**started, "experiments": entries}


def _unchangeable(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a plan that cannot change once a study has started."""
    plain = json.loads(json.dumps(plan))
    plain["experiments"] = [
        {**entry, "experiment": _settings_alone(entry["experiment"], plain.get("plugins", {}))}
        for entry in plain["experiments"]
    ]
    plain.setdefault("folds", {})
    return {key: value for key, value in plain.items() if key not in _COMPARED_APART}


def _settings_alone(experiment: Mapping[str, Any], plugins: Mapping[str, str]) -> dict[str, Any]:
    """Leave out which recipe chose the settings: the same choices do not make another study."""
    settings = with_defaults(experiment, plugins)
    return {name: value for name, value in settings.items() if name not in ABOUT_RECIPE}


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name what differs: settings of the first experiment that does, or what surrounds them."""
    old, new = _by_name(before), _by_name(now)
    if len(old) == len(new) == 1:
        pairs = [(next(iter(old.values())), next(iter(new.values())))]
    elif list(old) == list(new):
        pairs = [(old[name], new[name]) for name in old]
    else:
        return f"its experiments are {', '.join(old)}, not {', '.join(new)}"
    settings = next(filter(None, (setting_differences(*pair) for pair in pairs)), "")
    return settings or setting_differences(_without(before), _without(now)) or "with another seed"


def _by_name(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry["experiment"] for entry in plan["experiments"]}


def _without(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plan.items() if name != "experiments"}
