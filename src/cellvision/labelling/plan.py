"""The labelling plan: images, classes, rules and display, fixed when a session starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from cellvision.labelling.rules import Rules

Role = Literal["label", "practice", "example"]
"""What an image is for."""

VIEWS = ("native", "seen")
"""As acquired; and as the network sees it: its channels, its size."""


@dataclass(frozen=True)
class ImageToLabel:
    """One image of a plan.

    Attributes
    ----------
    image : str
        Its id in the data set.
    split : str
        Its split; empty for unlabelled images.
    group : str or None
        The independent unit it belongs to; None if unknown.
    label : str or None
        Its true class; None if unlabelled.
    digest : str
        Identifies its native pixels.
    """

    image: str
    split: str
    group: str | None
    label: str | None
    digest: str


@dataclass(frozen=True)
class Display:
    """Mapping from intensity to grey level, the same for all images.

    Attributes
    ----------
    seen, native : tuple of float
        Intensities of black and white at full range, for the network's view and for the image
        as acquired. They differ if preprocessing stretches each image by itself.
    window : tuple of float
        Initial black and white levels, as fractions of that range.
    """

    seen: tuple[float, float]
    native: tuple[float, float]
    window: tuple[float, float]


@dataclass(frozen=True)
class Plan:
    """Everything an answer file is about.

    Attributes
    ----------
    experiment : dict
        Complete settings of ``dataset``, ``preprocessing`` and ``split``. With a run, the
        preprocessing is the run's; for unlabelled images all settings are, and empty without one.
    folder : str or None
        Folder of unlabelled images; None if the images come from the experiment.
    run : str or None
        Folder of the run that ranks the images, most uncertain first; None for random order.
    rules : Rules
        How the session proceeds.
    class_names : tuple of str
        The classes, in key order.
    display : Display
        How images are displayed.
    images : tuple of ImageToLabel
        The images to label; with a run, most uncertain first.
    practice : tuple of ImageToLabel
        Candidates for practice.
    examples : tuple of ImageToLabel
        Training images shown with their class on the help panel.
    plugins : dict
        Distribution and version of each plugin of `experiment`, as in ``run.json``; empty in files
        of earlier versions.
    """

    experiment: dict[str, Any]
    folder: str | None
    run: str | None
    rules: Rules
    class_names: tuple[str, ...]
    display: Display
    images: tuple[ImageToLabel, ...]
    practice: tuple[ImageToLabel, ...] = ()
    examples: tuple[ImageToLabel, ...] = ()
    plugins: dict[str, str] = field(default_factory=dict)

    @property
    def views(self) -> tuple[str, ...]:
        """The views on offer; without a network there is no network's view."""
        return VIEWS if self.experiment else VIEWS[:1]


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Serialise a plan without its images."""
    values = asdict(plan)
    for name in ("images", "practice", "examples"):
        del values[name]
    return values


def plan_from_json(values: dict[str, Any], images: Mapping[Role, Sequence[ImageToLabel]]) -> Plan:
    """Restore what `plan_to_json` returned, with the images of each role."""
    rules, display = values["rules"], values["display"]
    return Plan(
        values["experiment"],
        values["folder"],
        values["run"],
        Rules(**{**rules, "splits": tuple(rules["splits"])}),
        tuple(values["class_names"]),
        Display(*(tuple(display[key]) for key in ("seen", "native", "window"))),
        tuple(images["label"]),
        tuple(images["practice"]),
        tuple(images["example"]),
        dict(values.get("plugins", {})),
    )
