"""Names and line styles of the controls of a study, built-in and third-party alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from cellvision_reporters.figures.colours import MARKERS, SERIES

if TYPE_CHECKING:
    from cellvision import Study

_LINES = ("-", "--", "-.", ":")

TRUE_LABELS = "true labels"
"""What the runs of the experiment itself are called beside its controls."""


class SeriesStyle(NamedTuple):
    """How one series is drawn."""

    label: str
    """Its name."""

    colour: str
    """Its colour."""

    marker: str
    """Its marker."""

    line: str
    """Its line style."""


def control_label(study: Study, control: str) -> str:
    """Return the name of a control for people, as the study recorded it."""
    labels = {each.name: each.label for each in study.metadata.controls}
    return labels.get(control, control.replace("_", " "))


def control_styles(study: Study, controls: Iterable[str]) -> dict[str, SeriesStyle]:
    """Return the style of the experiment (the empty name) and of each control.

    Controls are in the order that the study recorded.
    """
    order = {each.name: number for number, each in enumerate(study.metadata.controls)}
    names = ["", *sorted(controls, key=lambda name: order.get(name, len(order)))]
    return {
        name: SeriesStyle(
            control_label(study, name) if name else TRUE_LABELS,
            SERIES[index % len(SERIES)],
            MARKERS[index % len(MARKERS)],
            _LINES[index % len(_LINES)],
        )
        for index, name in enumerate(names)
    }
