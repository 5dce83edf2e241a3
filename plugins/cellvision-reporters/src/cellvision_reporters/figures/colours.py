"""Colours that readers with any colour vision can tell apart (Okabe and Ito, 2008)."""

from __future__ import annotations

BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#6B6B6B"

SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, BLACK)
"""Colours of several series, in the order in which they are used."""

MARKERS = "os^Dv<>Ph*Xp"
"""Markers of several series, so that colour is never the only difference."""

GRID = "#E4E4E4"
"""Grid lines."""

RIGHT = "#00794F"
"""A dark green for right answers; always beside a tick."""

WRONG = "#C22F1D"
"""A red for wrong answers; always beside a cross."""

CHANNELS = {
    "blue": (0.0, 0.45, 1.0),
    "orange": (1.0, 0.55, 0.0),
    "green": (0.0, 0.8, 0.5),
    "purple": (0.8, 0.35, 0.65),
    "yellow": (0.9, 0.85, 0.2),
    "sky blue": (0.3, 0.7, 0.95),
}
"""Colours for the channels of a composite; the first two add up to nearly white."""
