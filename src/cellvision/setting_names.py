"""The settings that every experiment has: their names when misspelt, their values when short."""

from __future__ import annotations

import difflib
import re
from typing import Any

from cellvision.experiment import Experiment

_SECTIONS = ("training", "preprocessing", "split", "dataset", "architecture")
"""Where a bare name is looked for, in this order."""


def setting_named(name: str) -> str | None:
    """Return the full name of an experiment's setting, such as ``training.epochs`` for ``epochs``.

    Names with a small spelling mistake count too. None if there is no such setting.
    """
    known = known_settings()
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    return known[near[0]] if near else None


def known_settings() -> dict[str, str]:
    """Return the settings that every experiment has: bare name to full name."""
    names: dict[str, str] = {}
    for section in reversed(_SECTIONS):
        model = Experiment.model_fields[section].annotation
        for name, field in getattr(model, "model_fields", {}).items():
            names[name] = f"{section}.{field.alias or name}"
    for name, field in Experiment.model_fields.items():
        names[name] = field.alias or name
    return names


def settings_argument(name: str, value: object) -> str | None:
    """Return how an argument is written as a setting in Python; None if it names no setting.

    Examples
    --------
    >>> settings_argument("epochs", 1)
    "settings={'training': {'epochs': 1}}"
    """
    full = setting_named(name)
    if full is None:
        return None
    section, _, setting = full.partition(".")
    value = understood(full, value)
    table = {section: {setting: value} if setting else value}
    return f"settings={table!r}"


def understood(key: str, value: Any) -> Any:
    """Complete a value that is written shorter than its setting needs.

    ``preprocessing.size=64`` is 64 by 64 pixels, ``preprocessing.channels=0`` is a list of one
    channel, and ``augmenters=flip`` a list of one augmenter.

    Examples
    --------
    >>> understood("preprocessing.size", 64), understood("augmenters", "flip")
    ([64, 64], ['flip'])
    """
    number = isinstance(value, int) and not isinstance(value, bool)
    if key == "preprocessing.size":
        if number:
            return [value, value]
        sides = re.fullmatch(r"(\d+)\s*[x×*,]\s*(\d+)", value) if isinstance(value, str) else None
        return [int(side) for side in sides.groups()] if sides else value
    if key == "preprocessing.channels":
        if number:
            return [value]
        if isinstance(value, str) and re.fullmatch(r"\d+(\s*,\s*\d+)*", value):
            return [int(channel) for channel in value.split(",")]
        return value
    if key in ("augmenters", "reporters", "dataset.classes") and isinstance(value, str | dict):
        return [value] if isinstance(value, dict) else [part.strip() for part in value.split(",")]
    return value
