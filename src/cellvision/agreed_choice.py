"""The settings of a cross-validation, where a recipe chooses them from each fold."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

_log = logging.getLogger(__name__)


def agreed_choice(
    choices: Sequence[Mapping[str, Any]], settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the settings that a recipe chooses for all folds of a cross-validation.

    A study has one experiment, so that its pooled predictions belong to one method. Usually the
    folds agree, and each fold is trained as its own training images suggest. Where they differ,
    the choice of most folds counts, the first of them in a tie, and a warning says so.

    Parameters
    ----------
    choices
        The settings chosen from the training images of each fold.
    settings
        Settings that are given, so that a choice of them does not matter.
    """
    agreed: dict[str, Any] = {}
    for key in dict.fromkeys(key for choice in choices for key in choice):
        texts = [json.dumps(choice.get(key), sort_keys=True) for choice in choices]
        counts = Counter(texts)
        common = counts.most_common(1)[0][0]
        differing = _differing(key, [choice.get(key) for choice in choices], settings or {})
        if differing and key != "recipe_reasons":
            _log.warning(
                "The recipe would choose %s differently for %d of %d folds; all folds get the "
                "choice of the others, which saw images that these folds test.",
                " and ".join(differing),
                len(texts) - counts[common],
                len(texts),
            )
        agreed[key] = choices[texts.index(common)].get(key)
    return {key: value for key, value in agreed.items() if value is not None}


def _differing(key: str, values: Sequence[Any], settings: Mapping[str, Any]) -> list[str]:
    """Return the settings in which choices differ, without those that are given."""
    if all(isinstance(value, Mapping) for value in values):
        inner = dict.fromkeys(name for value in values for name in value)
        lists = {f"{key}.{name}": [value.get(name) for value in values] for name in inner}
    else:
        lists = {key: list(values)}
    return [
        name
        for name, chosen in lists.items()
        if any(value != chosen[0] for value in chosen) and not is_given(name, settings)
    ]


def is_given(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether a setting, such as ``preprocessing.size``, is among those that the user gave."""
    head, _, rest = name.partition(".")
    if head not in settings:
        return False
    value = settings[head]
    return not rest or not isinstance(value, Mapping) or is_given(rest, value)
