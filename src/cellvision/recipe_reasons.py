"""Why a recipe chose settings, and whether a reason still applies."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import JsonValue


def choices(chosen: Mapping[str, JsonValue], names: Iterable[str]) -> dict[str, JsonValue]:
    """Return the values that a recipe chose for some settings, by their dotted names.

    Parameters
    ----------
    chosen
        What the recipe chose, in tables as in an experiment file.
    names
        Names such as ``preprocessing.size``. Others than those of chosen settings are left out.
    """
    values = {name: _value(chosen, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def without_outdated_reasons(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out the reasons for choices of a recipe that somebody has changed since.

    Parameters
    ----------
    settings
        Plain values of an experiment, with its tables ``recipe_reasons`` and ``recipe_choices``.
        They are returned as they are if every reason applies.
    """
    reasons, chosen = settings.get("recipe_reasons"), settings.get("recipe_choices")
    if not isinstance(reasons, Mapping) or not isinstance(chosen, Mapping):
        return settings
    outdated = outdated_choices(chosen, settings)
    if not outdated:
        return settings
    return {**settings, **still_valid(reasons, chosen, outdated)}


def outdated_choices(chosen: Mapping[str, Any], settings: Mapping[str, Any]) -> set[str]:
    """Return the names of chosen settings that have another value now.

    Parameters
    ----------
    chosen
        What the recipe chose, by dotted names.
    settings
        Plain values of an experiment.
    """
    return {name for name, value in chosen.items() if not _agrees(value, _value(settings, name))}


def still_valid(
    reasons: Mapping[str, Any], chosen: Mapping[str, Any], outdated: Container[str]
) -> dict[str, dict[str, Any]]:
    """Return the tables of an experiment about its recipe without outdated choices."""
    return {
        "recipe_reasons": {name: why for name, why in reasons.items() if name not in outdated},
        "recipe_choices": {name: value for name, value in chosen.items() if name not in outdated},
    }


def _value(settings: Mapping[str, Any], name: str) -> Any:
    """Return the value of a setting by its dotted name; None if it is missing."""
    value: Any = settings
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _agrees(chosen: Any, current: Any) -> bool:
    """Whether a setting still has the chosen value; further settings of a component may differ."""
    chosen, current = _as_table(chosen, current), _as_table(current, chosen)
    if isinstance(chosen, Mapping) and isinstance(current, Mapping):
        return all(_agrees(value, current.get(key)) for key, value in chosen.items())
    if _is_list(chosen) and _is_list(current):
        return len(chosen) == len(current) and all(map(_agrees, chosen, current))
    return bool(chosen == current)


def _as_table(value: Any, other: Any) -> Any:
    """Return a component that is given by its name alone as a table, if the other one is one."""
    return {"type": value} if isinstance(value, str) and isinstance(other, Mapping) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
