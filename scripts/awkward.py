"""Print a Markdown table of how cellvision reads each file of a collection of awkward files.

Run as ``python scripts/awkward.py FOLDER > docs/awkward-files.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cellvision as cv

INTRODUCTION = """\
# Awkward files

How cellvision reads each file of a collection of awkward files, or why it refuses it.
`scripts/awkward.py` prints the table; a test compares it with the current code.

The prefix of a name states the origin: `pillow_` python-pillow/Pillow@4e5f09f (Tests/images;
MIT-CMU), `skimage_` scikit-image/scikit-image@cd0a3d2 (BSD-3, data under their own notes),
`imageio_` imageio/imageio-binaries@f8f6471 (mixed), `cellprofiler_`
CellProfiler/examples@4972b59 (BSD-3-Clause), `wndcharm_` wnd-charm/wnd-charm@e481007 (COPYING:
LGPL v2), `ometypes_` tlambert03/ome-types@2185f54 (MIT).

Shapes are height × width × channels; *bits* are bits per sample as the header declares them.
"""


def rows(folder: Path) -> Iterator[list[str]]:
    """Yield one table row per image file of a folder, sorted by name."""
    for path in sorted(folder.iterdir()):
        if path.name == "SOURCE.md":
            continue
        try:
            image = cv.io.read_image(path)
        except cv.errors.UnreadableImage as error:
            yield [f"`{path.name}`", "refused", "", "", "", "", f"{error.reason}. {error.hint}"]
            continue
        pixels = image.pixels
        yield [
            f"`{path.name}`",
            "read",
            " × ".join(map(str, pixels.shape)),
            str(pixels.dtype),
            str(image.bit_depth),
            f"{pixels.min()} to {pixels.max()}",
            "; ".join(image.notes),
        ]


def page(folder: Path) -> str:
    """Return the whole page."""
    head = ["file", "", "shape", "dtype", "bits", "values", "notes, or reason and fix"]
    table = [head, ["---"] * len(head), *rows(folder)]
    return INTRODUCTION + "\n" + "".join(f"| {' | '.join(row)} |\n" for row in table)


if __name__ == "__main__":
    sys.stdout.write(page(Path(sys.argv[1])))
