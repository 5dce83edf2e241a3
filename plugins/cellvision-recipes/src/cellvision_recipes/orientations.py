"""The flips and turns that leave the class of an image as it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue

    from cellvision import ImageFacts

ORIENTED = 0.9
"""Images have an upright direction if a linear model tells flipped copies more often than this.
Measured on training images: at most 0.82 for cells and photographs of flowers, 0.95 for clothes."""

CERTAIN = 1e-4
"""Classes differ in direction if the p of a linear model that treats all orientations alike is
below this. Measured on samples of 400 training images: at least 0.0003 for cells and photographs
of flowers, at most 1e-7 for clothes."""

DOUBTFUL = 0.01
"""If they do, flips and turns with a p below this are left out."""

_AUGMENTERS: Mapping[str, JsonValue] = MappingProxyType(
    {
        "dihedral": {"type": "dihedral"},
        "flips": {"type": "flip", "horizontal": True, "vertical": True},
        "quarter_turns": {"type": "dihedral", "mirror": False},
        "left_right": {"type": "flip", "horizontal": True, "vertical": False},
        "up_down": {"type": "flip", "horizontal": False, "vertical": True},
        "half_turn": {"type": "dihedral", "mirror": False, "quarter_turns": False},
    }
)
"""The augmenter of each set of orientations, larger sets first."""

_WORDS = {
    "flips": "flips, but no quarter turns",
    "quarter_turns": "turns, but no flips",
    "left_right": "left-right flips only",
    "up_down": "up-down flips only",
    "half_turn": "half turns only",
    None: "no flips or turns",
}


def is_upright(facts: ImageFacts) -> bool:
    """Whether the images have an upright direction, as photographs have."""
    return facts.upside_down >= ORIENTED


def have_directions(facts: ImageFacts) -> bool:
    """Whether some classes differ in direction, such as cells that move left and right."""
    test = facts.orientation_tests.get("dihedral")
    return test is not None and test.p < CERTAIN


def free_orientations(facts: ImageFacts) -> str | None:
    """Return the largest set of orientations in which the class of an image stays the same.

    Returns
    -------
    str or None
        A name as in `ImageFacts.orientation_tests`; None if there is no such set.
    """
    if not is_upright(facts) and not have_directions(facts):
        return "dihedral"
    candidates = [name for name in _AUGMENTERS if name != "dihedral"]
    if is_upright(facts):
        candidates = ["left_right"] if facts.mirrored < ORIENTED else []
    if have_directions(facts):
        tests = facts.orientation_tests
        candidates = [name for name in candidates if name in tests and tests[name].p >= DOUBTFUL]
    return next(iter(candidates), None)


def augmenter(facts: ImageFacts) -> list[JsonValue]:
    """Return the augmenter that flips and turns, if one leaves classes as they are."""
    free = free_orientations(facts)
    return [] if free is None else [_AUGMENTERS[free]]


def reason(facts: ImageFacts) -> str | None:
    """Say why images are not shown in all orientations; None if they are."""
    if have_directions(facts):
        test = facts.orientation_tests["dihedral"]
        return (
            f"{_WORDS[free_orientations(facts)]}, because classes differ in direction (a linear "
            f"model is right about {test.as_found:.0%} of training images, and about "
            f"{test.accuracy:.0%} if it treats all orientations alike)"
        )
    if is_upright(facts):
        return (
            "no turns, because the images have an upright direction (a linear model recognises "
            f"{facts.upside_down:.0%} of upside-down copies)"
        )
    return None
