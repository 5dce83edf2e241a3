"""Names and line styles of the controls of a study, built-in and third-party alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cellvision_reporters.figures.colours import MARKERS, SERIES

_LABELS = {
    "permuted_groups": "labels permuted over groups",
    "permuted_images": "labels permuted over images",
    "background": "background alone",
    "intensity": "intensity alone",
    "texture": "texture alone",
    "batch": "batch alone",
}
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


def control_label(control: str) -> str:
    """Return the name of a control for people."""
    return _LABELS.get(control, control.replace("_", " "))


def control_styles(controls: Iterable[str]) -> dict[str, SeriesStyle]:
    """Return the style of the experiment (the empty name) and of each control."""
    names = ["", *controls]
    return {
        name: SeriesStyle(
            control_label(name) if name else TRUE_LABELS,
            SERIES[index % len(SERIES)],
            MARKERS[index % len(MARKERS)],
            _LINES[index % len(_LINES)],
        )
        for index, name in enumerate(names)
    }
