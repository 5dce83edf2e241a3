"""Reading image files and writing results safely: what plugins share with the core.

>>> from cellvision import io
>>> image = io.read_image("cells.tif")  # doctest: +SKIP
>>> with io.atomic_path("table.csv") as path:  # doctest: +SKIP
...     table.to_csv(path)
"""

from __future__ import annotations

from cellvision.atomic_io import folder as atomic_folder
from cellvision.atomic_io import path as atomic_path
from cellvision.atomic_io import text as write_text
from cellvision.component import ColumnName
from cellvision.csv_cells import (
    compose_name,
    format_frame,
    missing_column,
    most_frequent_delimiter,
    unescape_cell,
    unescape_frame,
)
from cellvision.data.class_folders import class_folder_depth
from cellvision.data.files import IMAGE_SUFFIXES, is_phantom, read_image
from cellvision.data.folder_walk import WalkedPath, walk_folder
from cellvision.data.image_magic import begins_like_an_image
from cellvision.data.luma import luma
from cellvision.data.missing_path import why_missing
from cellvision.data.names import natural_order
from cellvision.data.pixel_size import read_pixel_size
from cellvision.digests import file_digest, pixel_digest
from cellvision.locks import folder_lock
from cellvision.markdown_text import escape_markdown

__all__ = [
    "IMAGE_SUFFIXES",
    "ColumnName",
    "WalkedPath",
    "atomic_folder",
    "atomic_path",
    "begins_like_an_image",
    "class_folder_depth",
    "compose_name",
    "escape_markdown",
    "file_digest",
    "folder_lock",
    "format_frame",
    "is_phantom",
    "luma",
    "missing_column",
    "most_frequent_delimiter",
    "natural_order",
    "pixel_digest",
    "read_image",
    "read_pixel_size",
    "unescape_cell",
    "unescape_frame",
    "walk_folder",
    "why_missing",
    "write_text",
]
