"""Building blocks for reporters that draw: layout, colours, image display, and wording.

This package is public: other distributions may build their reporters on the names below.
Nothing here imports Matplotlib, pandas or NumPy before it is used.
"""

from __future__ import annotations

from cellvision_reporters.figures.banners import banners, control_banner, group_note, leak_banner
from cellvision_reporters.figures.display import (
    DisplayRange,
    autoscale,
    display_range,
    select_channels,
    thumbnail,
)
from cellvision_reporters.figures.figure import (
    CaptionedFigure,
    fit_text,
    text_height,
    text_width,
    wrap_text,
)
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.grid import ImageGrid
from cellvision_reporters.figures.phrasing import (
    format_groups,
    format_interval,
    format_number,
    format_percent,
)
from cellvision_reporters.figures.placed_image import PlacedImage
from cellvision_reporters.figures.reporter import FigureReporter
from cellvision_reporters.figures.selection import (
    balanced_sample,
    shown_splits,
    stratified_sample,
)
from cellvision_reporters.figures.tables import markdown_table, write_csv

__all__ = [
    "CaptionedFigure",
    "DisplayRange",
    "FigureReporter",
    "ImageGrid",
    "PlacedImage",
    "autoscale",
    "balanced_sample",
    "banners",
    "control_banner",
    "display_range",
    "file_names",
    "fit_text",
    "format_groups",
    "format_interval",
    "format_number",
    "format_percent",
    "group_note",
    "leak_banner",
    "markdown_table",
    "select_channels",
    "shown_splits",
    "stratified_sample",
    "text_height",
    "text_width",
    "thumbnail",
    "wrap_text",
    "write_csv",
]
