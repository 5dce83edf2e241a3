"""The recipe of the original experiments, which ``docs/reproduction.md`` repeats.

It is named after the page that described them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision import ImageFacts, Recipe

if TYPE_CHECKING:
    from pydantic import JsonValue


class Page(Recipe):
    """The original experiments: `deep` at 256×256, 9 epochs, batches of 20, Adam, no augmentation.

    A baseline, not a recommendation: nothing is adapted to the images.
    """

    def experiment(self, facts: ImageFacts) -> dict[str, JsonValue]:  # noqa: ARG002
        """Return the same settings for all images."""
        return {
            "architecture": {"type": "deep"},
            "augmenters": [],
            "preprocessing": {"size": [256, 256]},
            "training": {
                "epochs": 9,
                "batch_size": 20,
                "optimizer": "adam",
                "refresh_batch_norm": False,
                "restarts": 0,
            },
        }
