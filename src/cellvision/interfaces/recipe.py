"""Recipe: which experiment suits a set of images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cellvision.component import Component
from cellvision.registry import Registry

if TYPE_CHECKING:
    from pydantic import JsonValue


@dataclass(frozen=True)
class OrientationTest:
    """How well a linear model tells classes apart if it treats some orientations alike.

    Attributes
    ----------
    accuracy : float
        Cross-validated accuracy of that model on training images.
    as_found : float
        Accuracy of a model that may use the orientation in which it finds an image.
    p : float
        Smallest one-sided p of sign tests between the two, over all images and over each class.
        It is small if some class differs from others in direction, and augmentation with these
        orientations would mix them up.
    """

    accuracy: float
    as_found: float
    p: float


@dataclass(frozen=True)
class ImageFacts:
    """What a recipe knows of the images: nothing of it comes from a test set.

    Attributes
    ----------
    class_counts : dict of str to int
        Training images of each class.
    groups : int or None
        Training groups; None if groups are unknown.
    has_validation : bool
        Whether there is a validation split.
    heights, widths : tuple of int
        Smallest, median and largest size of the sampled training images, in pixels.
    channels : int
        Largest number of channels.
    is_grey : bool
        Whether all channels of every sampled image are equal, or there is only one.
    bit_depth : int
        Largest bit depth.
    sampled : int
        Number of images that were read.
    upside_down : float
        How well a linear model tells images from their upside-down copies, 0.5 to 1: near 0.5
        for cells under a microscope, which have no upright direction; higher for photographs.
    mirrored : float
        How well it tells images from their left-right mirror images, 0.5 to 1.
    processors : int
        Processors that this process may use.
    accelerators : bool
        Whether there is a GPU.
    class_groups : dict of str to int, or None
        Training groups that hold images of each class; None if groups are unknown.
    empty_channels : tuple of int
        Channels with one and the same value in all pixels of all sampled images.
    orientation_tests : dict of str to OrientationTest
        By set of orientations: "dihedral" (all eight), "quarter_turns", "flips" (left-right and
        up-down), "left_right", "up_down" and "half_turn". Empty if there are too few images or
        groups to tell.
    """

    class_counts: dict[str, int]
    groups: int | None
    has_validation: bool
    heights: tuple[int, int, int]
    widths: tuple[int, int, int]
    channels: int
    is_grey: bool
    bit_depth: int
    sampled: int
    upside_down: float
    mirrored: float
    processors: int
    accelerators: bool = False
    class_groups: dict[str, int] | None = None
    empty_channels: tuple[int, ...] = ()
    orientation_tests: Mapping[str, OrientationTest] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Number of training images."""
        return sum(self.class_counts.values())

    @property
    def side(self) -> int:
        """Median of the shorter side, in pixels."""
        return min(self.heights[1], self.widths[1])


class Recipe(Component, group="cellvision.recipes"):
    """Chooses the settings of an experiment from facts about the images."""

    @abstractmethod
    def experiment(self, facts: ImageFacts) -> dict[str, JsonValue]:
        """Return settings of an experiment, without its data set.

        Settings that the user gives take precedence.

        Parameters
        ----------
        facts
            What is known of the training images.

        Returns
        -------
        dict
            Tables such as ``{"architecture": {"type": "resnet"}, "training": {"epochs": 40}}``,
            as in an experiment file. An optional table ``"recipe_reasons"`` says why, by the name
            of a setting: ``{"architecture": "few training groups in each class (median 2)"}``.
            Reports show those of settings that the user leaves as they are.
        """


recipes: Registry[Recipe] = Recipe.registry
"""Registry of recipes."""
