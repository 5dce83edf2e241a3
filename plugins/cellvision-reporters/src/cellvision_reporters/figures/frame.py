"""Title and caption of a saved figure, recorded in its file: a page shows them as text."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

_MARK = re.compile(rb"cellvision figure, content from (0\.\d+) to (0\.\d+) of its height")
_HEAD = 2**16
"""Bytes of a file in which its metadata stands; captions have a few hundred."""

_COMPRESSION = 2
_MOST_PIXELS = 40_000_000
"""Larger figures keep their frame: to cut it off would take seconds."""


@dataclass(frozen=True)
class FigureFrame:
    """What stands around the content of a figure.

    Attributes
    ----------
    title, caption : str
        The texts above and below the content. Warnings, which must not get lost, belong to the
        content.
    top, bottom : float
        Where the content begins and ends, as fractions of the figure's height from its top.
    """

    title: str
    caption: str
    top: float
    bottom: float

    def metadata(self, suffix: str) -> dict[str, str | None]:
        """Return the entries of a file's metadata, without a date: equal results, equal files."""
        if suffix == ".pdf":
            return {"Title": self.title, "Subject": self.caption, "CreationDate": None}
        mark = f"cellvision figure, content from {self.top:.6f} to {self.bottom:.6f} of its height"
        texts: dict[str, str | None] = {
            "Title": self.title,
            "Description": self.caption,
            "Source": mark,
        }
        return {**texts, "Date": None} if suffix == ".svg" else texts


def has_frame(content: bytes) -> bool:
    """Whether a file holds a figure with a recorded frame."""
    return _MARK.search(content[:_HEAD]) is not None


def without_frame(content: bytes, heading: str) -> tuple[bytes, FigureFrame] | None:
    """Cut the caption off a PNG figure, and the title if the heading above it says the same.

    Parameters
    ----------
    content
        The file.
    heading
        What a page writes above the figure.

    Returns
    -------
    (bytes, FigureFrame) or None
        The smaller PNG file and what was around it; None if the file has no recorded frame, is
        not a PNG file, or has too many pixels.
    """
    from PIL import Image

    mark = _MARK.search(content[:_HEAD])
    if mark is None or not content.startswith(b"\x89PNG"):
        return None
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        dpi = image.info.get("dpi")
        if width * height > _MOST_PIXELS:
            return None
        texts = [str(image.info.get(key, "")) for key in ("Title", "Description")]
        frame = FigureFrame(texts[0], texts[1], float(mark[1]), float(mark[2]))
        top = int(frame.top * height) if frame.title == heading else 0
        bottom = int(frame.bottom * height) if frame.caption else height
        target = io.BytesIO()
        picture = image.crop((0, top, width, bottom)).convert("RGB")
    picture.save(target, "PNG", compress_level=_COMPRESSION, dpi=dpi)
    return target.getvalue(), frame
