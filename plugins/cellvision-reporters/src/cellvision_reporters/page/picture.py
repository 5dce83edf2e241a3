"""Embeds a figure into the page, with its caption as text below it."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass

from PIL import Image

from cellvision import Artifact
from cellvision_reporters.figures.frame import FigureFrame, has_frame, without_frame

_LARGEST = 20 * 2**20
"""Larger figures are linked, in bytes."""

_CSS_PIXELS = 112
"""Pixels of the page to an inch of a figure, so that its text is as large as that of the page."""

_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes
    ----------
    address : str
        Its pixels, as a data URL.
    width : int
        Largest width on a screen, in pixels of the page; 0 for the width of the page.
    caption : str
        The text below it; empty if the picture holds it.
    description : str
        What a reader hears who does not see it; the caption is not repeated.
    """

    address: str
    width: int
    caption: str
    description: str


def picture_of(artifact: Artifact) -> Picture | None:
    """Return a figure to embed; None if a browser cannot show it or it is too large.

    A figure's file has its caption, because the file also stands alone. On the page the caption is
    text, which can be read on a phone, so it is cut off the picture.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    media_type = _TYPES.get(artifact.path.suffix.lower())
    if media_type is None or artifact.path.stat().st_size > _LARGEST:
        return None
    content = artifact.path.read_bytes()
    caption, description = artifact.caption, artifact.title
    cut = without_frame(content, artifact.title)
    if cut is not None:
        content, frame = cut
        caption = _merged(artifact.caption, frame)
    elif has_frame(content):
        caption, description = "", f"{artifact.title}. {artifact.caption}"
    # An SVG in an <img> element runs no scripts and loads nothing.
    address = f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
    return Picture(address, _width(content), caption, description)


def _width(content: bytes) -> int:
    """Return the width of a PNG image; other images get that of the page.

    A figure of 5 inches is smaller than one of 9 inches, so that their texts are equally large.
    """
    if not content.startswith(b"\x89PNG"):
        return 0
    with Image.open(io.BytesIO(content)) as image:
        dpi = image.info.get("dpi", (0, 0))[0]
        return round(image.width / dpi * _CSS_PIXELS) if dpi > 1 else image.width


def _merged(caption: str, frame: FigureFrame) -> str:
    """Return the caption of a figure, after what only its artifact says."""
    sentences = re.split(r"(?<=[.!?])\s+", caption)
    known = f"{frame.title} {frame.caption}"
    added = [each for each in sentences if each.rstrip(".") not in known]
    return " ".join([*added, frame.caption]).strip()
