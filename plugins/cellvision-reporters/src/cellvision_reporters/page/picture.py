"""Embeds a figure into the page, with its caption as text below it."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from cellvision import Artifact
from cellvision_reporters.figures.frame import FigureFrame, has_frame, without_frame

_LARGEST = 20 * 2**20
"""Larger figures are linked, in bytes."""

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
        Width of a PNG image in pixels; 0 if unknown.
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
    is_png = content.startswith(b"\x89PNG")
    width = int.from_bytes(content[16:20], "big") if is_png else 0
    return Picture(address, width, caption, description)


def _merged(caption: str, frame: FigureFrame) -> str:
    """Return the caption of a figure, after what only its artifact says."""
    sentences = re.split(r"(?<=[.!?])\s+", caption)
    added = [each for each in sentences if each not in f"{frame.title} {frame.caption}"]
    return " ".join([*added, frame.caption]).strip()
