"""The recipe that a folder of images gets by default."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from cellvision import ImageFacts, Recipe
from cellvision_recipes import orientations

if TYPE_CHECKING:
    from pydantic import JsonValue

LARGEST_SIDE = 128
"""Larger images are reduced to this many pixels a side."""

SMALLEST_SIDE = 16
"""Smaller images are enlarged to this many pixels a side."""

NEARLY_EQUAL = 1.05
"""Sizes that differ by this factor or less count as equal."""

FEW_GROUPS = 5
"""Fewer training groups per class than this are too few for a network to learn features from.
Measured on validation groups of BBBC021 and HeLa cells; see the page on results."""


class Standard(Recipe):
    """A small residual network, augmentation that suits the images, and a cosine schedule.

    A network that learns its features needs to see how groups of one class differ. With fewer
    than five training groups per class, fixed features (`scattering`) are right more often on
    groups that are new, and are chosen instead, unless classes differ in direction, to which
    they are blind.

    The settings were chosen on training and validation groups of seven data sets; see the page
    on results. No setting was chosen on a test group. The rule for few groups was made when test
    accuracies of both networks on one data set were known.
    """

    def experiment(self, facts: ImageFacts) -> dict[str, JsonValue]:
        """Choose size, augmentation and length of the training from the images."""
        size, fit = input_size(facts)
        return {
            "recipe_reasons": reasons(facts, fit),
            "architecture": {"type": architecture(facts)},
            "augmenters": augmenters(facts, min(size)),
            "preprocessing": {
                "size": list(size),
                "fit": fit,
                "channels": channels(facts),
            },
            "training": {
                "epochs": epochs(facts.images),
                "batch_size": batch_size(facts.images),
                "optimizer": "adamw",
                "learning_rate": 0.002,
                "schedule": "cosine",
                "warmup_epochs": round(0.06 * epochs(facts.images), 2),
                "weight_decay": 0.001,
                "label_smoothing": 0.05,
                "class_weights": None,
                "keep": "auto",
                "tta": orientations.free_orientations(facts) == "dihedral",
            },
        }


def architecture(facts: ImageFacts) -> str:
    """Return ``"resnet"``, or ``"scattering"`` if there are few groups in each class.

    The features of `scattering` are the same in every orientation, so classes that differ in
    direction get ``"resnet"`` as well.
    """
    fixed = has_few_groups(facts) and not orientations.have_directions(facts)
    return "scattering" if fixed else "resnet"


def has_few_groups(facts: ImageFacts) -> bool:
    """Whether half of the classes or more have fewer than `FEW_GROUPS` training groups."""
    return facts.class_groups is not None and median(facts.class_groups.values()) < FEW_GROUPS


def reasons(facts: ImageFacts, fit: str) -> dict[str, JsonValue]:
    """Say why settings depart from those that most images get.

    Parameters
    ----------
    facts
        Facts about the images.
    fit
        The chosen ``preprocessing.fit``.
    """
    result: dict[str, JsonValue] = {}
    if facts.class_groups is not None and architecture(facts) == "scattering":
        number = median(facts.class_groups.values())
        groups = "group" if number == 1 else "groups"
        result["architecture"] = (
            f"fixed features, because classes have {number:g} training {groups} each (median); a "
            f"network that learns its features needs {FEW_GROUPS} or more"
        )
    if fit == "crop":
        result["preprocessing.fit"] = (
            "images differ in size and are centred on one canvas, not resized, since size may "
            "tell the classes apart"
        )
    if facts.empty_channels and isinstance(channels(facts), list):
        numbers = " and ".join(map(str, facts.empty_channels))
        several = len(facts.empty_channels) > 1
        result["preprocessing.channels"] = (
            f"channels {numbers} are empty in all sampled training images and were left out"
            if several
            else f"channel {numbers} is empty in all sampled training images and was left out"
        )
    if (reason := orientations.reason(facts)) is not None:
        result["augmenters"] = reason
    return result


def input_size(facts: ImageFacts, largest: int = LARGEST_SIDE) -> tuple[tuple[int, int], str]:
    """Return height and width of the network's input, and ``preprocessing.fit``.

    Images that differ in size, such as cut out cells, are centred on one canvas if the largest
    fits on it, because resizing would hide the size of the cells. Others are resized: those of
    nearly equal height and width to a square, others with their aspect ratio.

    Parameters
    ----------
    facts
        Facts about the images.
    largest
        Side of the largest canvas, in pixels; an image that is not square has at most as many
        pixels as that.
    """
    height, width = facts.heights[1], facts.widths[1]
    if differ_in_size(facts):
        longest = max(facts.heights[2], facts.widths[2])
        if longest <= largest:
            side = max(longest, SMALLEST_SIDE)
            return (side, side), "crop"
    elif max(height, width) > NEARLY_EQUAL * min(height, width):
        scale = min(largest / math.sqrt(height * width), 1)
        scale = max(scale, SMALLEST_SIDE / min(height, width))
        return (round(height * scale), round(width * scale)), "resize"
    side = min(max(facts.side, SMALLEST_SIDE), largest)
    return (side, side), "resize"


def differ_in_size(facts: ImageFacts) -> bool:
    """Whether heights or widths of the images differ by more than 5 %."""
    return any(most > NEARLY_EQUAL * least for least, _, most in (facts.heights, facts.widths))


def channels(facts: ImageFacts) -> JsonValue:
    """Return ``"gray"`` or ``"rgb"`` for such images, and the numbers of other channels.

    Empty channels are left out. A network learns nothing from them, and predicts at random for
    images in which they are not empty, such as by the noise of a camera or of JPEG.
    """
    if facts.is_grey:
        return "gray"
    used = [number for number in range(facts.channels) if number not in facts.empty_channels]
    return "rgb" if used == [0, 1, 2] or not used else list(used)


def augmenters(facts: ImageFacts, side: int) -> list[JsonValue]:
    """Return flips and turns that leave the class as it is, and shifts by up to an eighth.

    Parameters
    ----------
    facts
        Facts about the images.
    side
        Shorter side of the network's input, in pixels.
    """
    shift: JsonValue = {"type": "shift", "pixels": max(side // 8, 1)}
    return [*orientations.augmenter(facts), shift]


def epochs(images: int) -> int:
    """Return the number of epochs: 60 for 400 to 2,000 training images, 12 from 50,000.

    Fewer images are shown as often in total as 400, each 150 times at most.
    """
    if images < 400:
        return min(round(60 * 400 / images), 150)
    return min(max(round(60 * math.sqrt(2000 / images)), 12), 60)


def batch_size(images: int) -> int:
    """Return the number of images per step."""
    return 20 if images < 1000 else 32 if images < 10_000 else 64
