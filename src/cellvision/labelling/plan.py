"""What raters are asked: which images, how they are shown, and the rules of the session."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.data.catalog import is_test
from cellvision.data.names import quote_list
from cellvision.labelling.keys import keys_of
from cellvision.labelling.order import MOST_REPEATS

if TYPE_CHECKING:
    from cellvision.data.image_stats import Progress
    from cellvision.data.prepared import PreparedData
    from cellvision.data.preprocessing import Preprocessing
    from cellvision.experiment import Experiment

_MEASURED = 48
"""From how many images the first contrast is found."""

_PERCENTILE = 99.8
_DARK = 0.5
"""Images whose brightest parts stay below this share of the range are shown brighter."""


@dataclass(frozen=True)
class Rules:
    """How a session goes; the same for all raters of a file.

    Attributes
    ----------
    splits : tuple of str
        Whose images are shown; empty for all test sets.
    images : int or None
        How many of them, drawn by chance; None for all.
    repeats : float
        The share that is shown twice, 0 to 0.5.
    practice : int
        How many training images come first, with the right answer told after each.
    breaks : int
        After how many images a rest is proposed; 0 for never.
    seed : int
        Of the draw, and of the order of the first rater; the next ones have the numbers that
        follow.
    """

    splits: tuple[str, ...] = ()
    images: int | None = None
    repeats: float = 0.1
    practice: int = 0
    breaks: int = 50
    seed: int = 0

    def check(self) -> None:
        """Refuse rules that cannot be.

        Raises
        ------
        errors.InvalidInput
            A number is out of its range.
        """
        if not 0 <= self.repeats <= MOST_REPEATS:
            raise errors.InvalidInput(
                f"--repeats {self.repeats}: expected a share from 0 to {MOST_REPEATS}",
                "Such as --repeats 0.1",
            )
        for name, value, least in (
            ("images", self.images, 1),
            ("practice", self.practice, 0),
            ("breaks", self.breaks, 0),
            ("seed", self.seed, 0),
        ):
            if value is not None and value < least:
                raise errors.InvalidInput(
                    f"--{name} {value}: expected a whole number from {least} on", "Correct it"
                )


@dataclass(frozen=True)
class Item:
    """One image that may be shown.

    Attributes
    ----------
    image, split, label : str
        As in the catalog.
    group : str or None
        The unit that it came from.
    digest : str
        Identifies the pixels that the network sees of it.
    """

    image: str
    split: str
    group: str | None
    label: str
    digest: str


@dataclass(frozen=True)
class Display:
    """How intensities become grey: the same for all images.

    Attributes
    ----------
    seen, native : tuple of float
        The intensities of black and white at full range, of what the network sees and of the
        image as acquired. They differ where every image is stretched by itself.
    window : tuple of float
        Black and white at the beginning, as shares of that range.
    """

    seen: tuple[float, float]
    native: tuple[float, float]
    window: tuple[float, float]


@dataclass(frozen=True)
class Plan:
    """All that a file of answers is about.

    Attributes
    ----------
    experiment : dict
        The settings ``dataset``, ``preprocessing`` and ``split``, complete.
    rules : Rules
        How a session goes.
    class_names : tuple of str
        The classes, sorted.
    display : Display
        How images are shown.
    items : tuple of Item
        The images to label.
    practice : tuple of Item
        The images that practice draws from.
    """

    experiment: dict[str, Any]
    rules: Rules
    class_names: tuple[str, ...]
    display: Display
    items: tuple[Item, ...]
    practice: tuple[Item, ...]


def settings_of(experiment: Experiment) -> dict[str, Any]:
    """What of an experiment decides which images there are and what the network sees of them."""
    settings = experiment.model_dump(mode="json")
    return {key: settings[key] for key in ("dataset", "preprocessing", "split")}


def plan(experiment: Experiment, rules: Rules, progress: Progress | None = None) -> Plan:
    """Read an experiment's images and plan how they are labelled.

    Parameters
    ----------
    experiment
        Whose images they are: split, checked for leaks and prepared as for a training.
    rules
        How the session goes.
    progress
        Told how many images are decoded, of how many.

    Raises
    ------
    errors.InvalidInput
        There is no such split, no test set, or more classes than keys.
    errors.LeakError
        Splits share a unit or an image.
    """
    from cellvision.data.prepared import prepare_data

    rules.check()
    prepared = prepare_data(experiment, progress)
    keys_of(prepared.catalog.class_names)
    splits = _splits(prepared, rules.splits)
    if rules.practice and prepared.training_split in splits:
        raise errors.InvalidInput(
            f"practice shows images of {prepared.training_split!r}, which are to be labelled",
            "Label another split, or leave out --practice",
        )
    items = [item for split in splits for item in _items(prepared, split)]
    if rules.images is not None and rules.images < len(items):
        drawn = np.random.default_rng(rules.seed).permutation(len(items))[: rules.images]
        items = [items[place] for place in sorted(drawn)]
    return Plan(
        settings_of(experiment),
        rules,
        prepared.catalog.class_names,
        _display(prepared),
        tuple(items),
        tuple(_items(prepared, prepared.training_split)) if rules.practice else (),
    )


def _splits(prepared: PreparedData, asked: Sequence[str]) -> tuple[str, ...]:
    there = prepared.catalog.splits()
    unknown = [split for split in asked if split not in there]
    if unknown:
        raise errors.InvalidInput(
            f"there is no split {quote_list(unknown)}", f"Splits: {', '.join(there)}"
        )
    splits = tuple(asked) or tuple(split for split in there if is_test(split))
    if not splits:
        raise errors.InvalidInput(
            "there is no test set to label",
            f"Name a split: --split {there[-1]}, or have a test set made: --set split.test=0.2",
        )
    return splits


def _items(prepared: PreparedData, split: str) -> list[Item]:
    preprocessing = prepared.experiment.preprocessing
    places = prepared.rows(split)
    table = prepared.catalog.table.iloc[places]
    known = prepared.catalog.group_column is not None
    return [
        Item(
            image,
            split,
            group if known else None,
            label,
            digest(prepared.pixels[place], preprocessing),
        )
        for image, group, label, place in zip(
            table["image"], table["group"], table["label"], places, strict=True
        )
    ]


def digest(prepared: np.ndarray, preprocessing: Preprocessing) -> str:
    """What identifies the pixels that the network sees of an image, in native intensities."""
    pixels = np.ascontiguousarray(preprocessing.expand_channels(prepared))
    return hashlib.sha256(f"{pixels.dtype.str} ".encode() + pixels.tobytes()).hexdigest()[:32]


def _display(prepared: PreparedData) -> Display:
    full = (float(prepared.zero), float(prepared.one))
    if prepared.experiment.preprocessing.intensity == "per_image":
        files = [file for file in prepared.audit.files if file.high is not None]
        low = min(file.low for file in files if file.low is not None)
        high = max(file.high for file in files if file.high is not None)
        return Display(full, (low, high if high > low else low + 1), (0.0, 1.0))
    step = max(len(prepared.pixels) // _MEASURED, 1)
    bright = float(np.percentile(prepared.pixels[::step], _PERCENTILE))
    share = (bright - full[0]) / (full[1] - full[0])
    return Display(full, full, (0.0, round(share, 3) if 0 < share < _DARK else 1.0))


def to_json(made: Plan) -> dict[str, Any]:
    """A plan without its images, as plain values."""
    values = asdict(made)
    del values["items"], values["practice"]
    return values


def from_json(values: dict[str, Any], items: Sequence[Item], practice: Sequence[Item]) -> Plan:
    """Read back what `to_json` gave, with the images."""
    rules, display = values["rules"], values["display"]
    return Plan(
        values["experiment"],
        Rules(**{**rules, "splits": tuple(rules["splits"])}),
        tuple(values["class_names"]),
        Display(*(tuple(display[key]) for key in ("seen", "native", "window"))),
        tuple(items),
        tuple(practice),
    )
