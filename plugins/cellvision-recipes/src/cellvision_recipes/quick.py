"""The recipe for an answer within a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision import ImageFacts, Recipe
from cellvision_recipes import standard

if TYPE_CHECKING:
    from pydantic import JsonValue

LARGEST_SIDE = 64
"""Larger images are reduced to this many pixels a side."""

_PIXELS = 25_000_000
"""Pixels to train on: about a minute on two processors with AVX2."""


class Quick(Recipe):
    """As `standard`, at 64 pixels a side and for as many epochs as fit into a minute."""

    def experiment(self, facts: ImageFacts) -> dict[str, JsonValue]:
        """Choose the settings."""
        size, fit = standard.input_size(facts, LARGEST_SIDE)
        full = standard.epochs(facts.images)
        epochs = min(max(round(_PIXELS / (facts.images * size[0] * size[1])), 3), full)
        settings = standard.Standard().experiment(facts)
        training = settings["training"]
        preprocessing = settings["preprocessing"]
        assert isinstance(training, dict)
        assert isinstance(preprocessing, dict)
        return {
            **settings,
            "recipe_reasons": standard.reasons(facts, fit),
            "augmenters": standard.augmenters(facts, min(size)),
            "preprocessing": {**preprocessing, "size": list(size), "fit": fit},
            "training": {**training, "epochs": epochs, "warmup_epochs": round(0.06 * epochs, 2)},
        }
