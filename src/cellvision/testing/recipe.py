"""The checks of a recipe."""

from __future__ import annotations

import json
import unittest
from typing import TYPE_CHECKING, ClassVar, TypeGuard

from cellvision import errors
from cellvision.interfaces.recipe import ImageFacts, OrientationTest, Recipe, recipes
from cellvision.testing.component import ComponentChecks, conformance_check
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    from pydantic import JsonValue

_FACTS = ImageFacts(
    class_counts={"control": 120, "treated": 110},
    groups=12,
    has_validation=True,
    heights=(96, 128, 256),
    widths=(96, 128, 256),
    channels=2,
    is_grey=False,
    bit_depth=12,
    sampled=64,
    upside_down=0.5,
    mirrored=0.5,
    processors=2,
    class_groups={"control": 6, "treated": 6},
)


def example_facts() -> dict[str, ImageFacts]:
    """Return facts about data sets that differ as real ones do, by a description of each."""
    from dataclasses import replace

    return {
        "two classes of cells": _FACTS,
        "forty classes, few images": replace(
            _FACTS, class_counts={f"class {number}": 3 for number in range(40)}, groups=None
        ),
        "70,000 tiny grey images": replace(
            _FACTS,
            class_counts={str(number): 7000 for number in range(10)},
            heights=(28, 28, 28),
            widths=(28, 28, 28),
            channels=1,
            is_grey=True,
            bit_depth=8,
        ),
        "photographs without a validation split": replace(
            _FACTS, has_validation=False, channels=3, bit_depth=8, upside_down=0.95, mirrored=0.55
        ),
        "cells that move left and right": replace(
            _FACTS,
            orientation_tests={
                "dihedral": OrientationTest(accuracy=0.5, as_found=0.9, p=1e-20),
                "quarter_turns": OrientationTest(accuracy=0.5, as_found=0.9, p=1e-20),
                "flips": OrientationTest(accuracy=0.5, as_found=0.9, p=1e-20),
                "left_right": OrientationTest(accuracy=0.5, as_found=0.9, p=1e-20),
                "up_down": OrientationTest(accuracy=0.9, as_found=0.9, p=0.5),
                "half_turn": OrientationTest(accuracy=0.5, as_found=0.9, p=1e-20),
            },
        ),
        "large images on a GPU": replace(
            _FACTS, heights=(512, 1024, 2048), widths=(512, 1024, 2048), accelerators=True
        ),
    }


class RecipeChecks(ComponentChecks):
    """The checks of a recipe, to subclass in a plugin's tests.

    Examples
    --------
    >>> from cellvision.testing import RecipeChecks
    >>> class TestStandard(RecipeChecks):
    ...     name = "standard"
    """

    registry: ClassVar = recipes

    @property
    def recipe(self) -> Recipe:
        """The example."""
        component = self.component
        assert isinstance(component, Recipe)
        return component

    @property
    def chosen(self) -> dict[str, dict[str, JsonValue]]:
        """The settings chosen for each of `example_facts`."""
        recipe = self.recipe

        def choose() -> dict[str, dict[str, JsonValue]]:
            tables = {}
            for description, facts in example_facts().items():
                tables[description] = recipe.experiment(facts)
                if not isinstance(tables[description], dict):
                    raise CheckFailed(
                        f"experiment() returned {type(tables[description]).__name__}",
                        "Return a dict of settings, as in an experiment file.",
                    )
            return tables

        return self.once("experiment()", "test_chooses_settings", choose)

    @conformance_check
    def test_chooses_settings(self) -> None:
        """`experiment` returns a table of settings for every kind of data set."""
        for description, settings in self.chosen.items():
            self.require(settings, f"{description}: it chooses nothing", "Return some settings.")

    @conformance_check
    def test_leaves_the_data_set_alone(self) -> None:
        """It chooses neither the data set nor how it is split."""
        for description, settings in self.chosen.items():
            wrong = {"dataset", "split"} & set(settings)
            self.require(
                not wrong,
                f"{description}: it sets {', '.join(sorted(wrong))}",
                "Leave data set and split to the user.",
            )

    @conformance_check
    def test_settings_are_plain_and_valid(self) -> None:
        """Its settings can be saved as JSON and make an experiment."""
        from cellvision.experiment import Experiment
        from cellvision.testing.examples import SyntheticImages, SyntheticNetwork

        own = {"dataset": SyntheticImages()}

        for description, settings in self.chosen.items():
            try:
                plain = json.loads(json.dumps(settings))
            except (TypeError, ValueError) as error:
                raise CheckFailed(
                    f"{description}: {errors.summarize(error)}",
                    "Return numbers, text, lists and tables only.",
                ) from error
            try:
                Experiment.from_settings(
                    {"architecture": SyntheticNetwork(), **plain, **own}, description
                )
            except errors.InvalidInput as error:
                raise CheckFailed(error.what, error.hint) from error
            self.require(True, "", "")

    @conformance_check
    def test_channels_fit_the_images(self) -> None:
        """The channels that it chooses exist; advises if the default ones do not."""
        import numpy as np

        from cellvision.data.preprocessing import Preprocessing

        for description, settings in self.chosen.items():
            table = settings.get("preprocessing")
            chosen = {"channels": table["channels"]} if _has_channels(table) else {}
            pixels = np.zeros((4, 4, example_facts()[description].channels), np.uint8)
            fault = ""
            try:
                Preprocessing.from_settings(chosen, description).select_channels(pixels)
            except errors.PreprocessingError as error:
                fault = error.what
            except errors.ExperimentError:
                raise unittest.SkipTest(
                    "needs test_settings_are_plain_and_valid to pass first"
                ) from None
            hint = 'Set preprocessing.channels: "rgb" for 3 channels, else a list of numbers.'
            self.require(not (fault and chosen), f"{description}: {fault}", hint)
            if fault and not self.notes:
                self.note(f"{description}, {pixels.shape[-1]} channels: {fault}. {hint}")

    @conformance_check
    def test_chooses_the_same_again(self) -> None:
        """Equal facts give equal settings."""
        chosen = self.chosen
        for description, facts in example_facts().items():
            self.require(
                self.recipe.experiment(facts) == chosen[description],
                f"{description}: it chooses other settings the second time",
                "Let the facts alone decide.",
            )


def _has_channels(table: object) -> TypeGuard[dict[str, JsonValue]]:
    return isinstance(table, dict) and "channels" in table
