"""Print, as Markdown, how cellvision reads each file of the collection of awkward files.

python scripts/awkward.py FOLDER > docs/awkward-files.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cellvision as cv

INTRODUCTION = """\
# Awkward files

How each file of the collection of awkward files is read, or why it is refused. The table is
printed by `scripts/awkward.py`; a test compares it with what the library does today.

The prefix of a name tells its origin: `pillow_` python-pillow/Pillow@4e5f09f (Tests/images;
MIT-CMU), `skimage_` scikit-image/scikit-image@cd0a3d2 (BSD-3, data under their own notes),
`imageio_` imageio/imageio-binaries@f8f6471 (mixed), `cellprofiler_`
CellProfiler/examples@4972b59 (BSD-3-Clause), `wndcharm_` wnd-charm/wnd-charm@e481007 (COPYING:
LGPL v2), `ometypes_` tlambert03/ome-types@2185f54 (MIT).

Shapes are height × width × channels; *bits* are bits per sample as the header gives them.
"""


def rows(folder: Path) -> Iterator[list[str]]:
    """Give one row of the table for each image file of the folder, by name."""
    for path in sorted(folder.iterdir()):
        if path.name == "SOURCE.md":
            continue
        try:
            image = cv.io.read_image(path)
        except cv.errors.UnreadableImage as fault:
            yield [f"`{path.name}`", "refused", "", "", "", "", f"{fault.reason}. {fault.hint}"]
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
    head = ["file", "", "shape", "dtype", "bits", "values", "notes, or reason and way out"]
    table = [head, ["---"] * len(head), *rows(folder)]
    return INTRODUCTION + "\n" + "".join(f"| {' | '.join(row)} |\n" for row in table)


if __name__ == "__main__":
    sys.stdout.write(page(Path(sys.argv[1])))
