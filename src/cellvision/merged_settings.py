"""Settings that a recipe chooses, merged with those that are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue


def merge(chosen: Mapping[str, JsonValue], given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Merge two nested tables; what is given takes precedence.

    A component given by another name replaces that of the recipe with all its settings.
    """
    merged: dict[str, JsonValue] = {**chosen}
    for key, value in given.items():
        before = merged.get(key)
        if isinstance(value, str) and isinstance(before, Mapping) and before.get("type") == value:
            continue  # the same component by its name alone
        if isinstance(before, str) and isinstance(value, Mapping):
            before = {"type": before}
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            other = "type" in value and value["type"] != before.get("type")
            merged[key] = dict(value) if other else merge(before, value)
        else:
            merged[key] = value
    return merged


def leaves_open(given: Mapping[str, JsonValue], chosen: Mapping[str, JsonValue]) -> bool:
    """Whether settings leave anything to the choice of a recipe.

    A choice of None is no choice: files leave it out, because TOML cannot express it.
    """
    for key, value in chosen.items():
        if value is None:
            continue
        if key not in given:
            return True
        own = given[key]
        # A component may be named alone, and settings be given without the name.
        if isinstance(value, str) and isinstance(own, Mapping):
            value = {"type": value}
        if isinstance(own, str) and isinstance(value, Mapping):
            own = {"type": own}
        if isinstance(value, Mapping) and isinstance(own, Mapping):
            is_other = "type" in own and own["type"] != value.get("type")
            if not is_other and leaves_open(own, value):
                return True
    return False


def scale_warmup(
    complete: dict[str, JsonValue],
    chosen: Mapping[str, JsonValue],
    given: Mapping[str, JsonValue],
) -> None:
    """Scale the warm-up that a recipe chose for its number of epochs to the number given."""
    before, own = table_of(chosen, "training"), table_of(given, "training")
    warmup, epochs, chosen_epochs = (
        before.get("warmup_epochs"),
        own.get("epochs"),
        before.get("epochs"),
    )
    if "warmup_epochs" in own or not isinstance(warmup, int | float):
        return
    if isinstance(epochs, int) and isinstance(chosen_epochs, int) and chosen_epochs > 0:
        scaled = round(warmup * epochs / chosen_epochs, 2)
        complete["training"] = {**table_of(complete, "training"), "warmup_epochs": scaled}


def table_of(settings: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    """Return one table of settings; empty if it is missing."""
    table = settings.get(name)
    return table if isinstance(table, Mapping) else {}
