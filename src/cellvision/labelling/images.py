"""Render images for the page: as acquired, and as the network sees them."""

from __future__ import annotations

import colorsys
import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.files import read_image
from cellvision.data.image_stats import ImageStats, decode
from cellvision.data.preprocessing import Preprocessing
from cellvision.interfaces.dataset import Dataset
from cellvision.labelling.moved_images import plan_dataset
from cellvision.labelling.plan import VIEWS

if TYPE_CHECKING:
    from cellvision.labelling.plan import ImageToLabel, Plan

_CACHED = 6
"""Decoded images in memory: the current and the next one, and spare."""

_COLOURS = ((0.0, 0.45, 1.0), (1.0, 0.55, 0.0), (0.0, 0.8, 0.5), (0.8, 0.35, 0.65))
"""Channel colours of images with two or four channels; the first two add up to near white."""


class ImageChangedError(errors.InvalidInput):
    """An image is missing, or its pixels differ from those at the start of the session."""


class Gallery:
    """The images of a plan, as pictures.

    Parameters
    ----------
    plan
        The plan.

    Raises
    ------
    errors.InvalidInput
        The data set's plugin is missing.
    """

    def __init__(self, plan: Plan) -> None:
        self._folder = None if plan.folder is None else Path(plan.folder)
        self._dataset: Dataset | None = None
        self._preprocessing: Preprocessing | None = None
        if plan.experiment:
            self._dataset = plan_dataset(plan)
            self._preprocessing = Preprocessing.from_settings(
                plan.experiment["preprocessing"], "preprocessing"
            )
        self._display = plan.display
        self._cached_views = lru_cache(maxsize=_CACHED)(self._decode_views)

    def png(
        self, image: ImageToLabel, view: str, window: tuple[float, float] | None = None
    ) -> bytes:
        """Encode one picture as an 8-bit PNG, windowed from the image's full bit depth.

        Windowing happens here and not on the page, so that a 12- or 16-bit image shows all its
        grey levels at any contrast.

        Parameters
        ----------
        image
            The image.
        view
            ``"native"`` (all channels, native size) or ``"seen"``.
        window
            Black and white levels, as fractions of the intensity range, 0 to 1; by default the
            session's initial levels.

        Raises
        ------
        ImageChangedError
            The image cannot be read, or its pixels have changed.
        """
        pixels = self._cached_views(image)[VIEWS.index(view)]
        zero, one = self._display.seen if view == "seen" else self._display.native
        low, high = (zero + level * (one - zero) for level in window or self._display.window)
        return _encode(render(pixels, low, high))

    def _decode_views(self, image: ImageToLabel) -> tuple[np.ndarray, ...]:
        stats, pixels = self._decode(image)
        if pixels is None:
            raise ImageChangedError(f"{image.image}: {stats.reason}", "Restore the file")
        if stats.digest != image.digest:
            raise ImageChangedError(
                f"{image.image}: its pixels have changed since the session started",
                "Restore the file, or start a new answer file",
            )
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        if self._preprocessing is None:
            return (pixels,)
        return pixels, self._preprocessing.resize(self._preprocessing.select_channels(pixels))

    def _decode(self, image: ImageToLabel) -> tuple[ImageStats, np.ndarray | None]:
        if image.label is None and self._folder is not None:
            try:
                decoded = read_image(self._folder / image.image)
            except errors.UnreadableImage as error:
                return ImageStats.refused(image.image, error), None
            return ImageStats.of(image.image, decoded), decoded.pixels
        if self._dataset is None:
            raise RuntimeError("a labelled image without a data set")
        return decode(self._dataset, image.image)


def render(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Window an image to 8 bits, grey or RGB.

    One channel becomes grey and three become RGB; any other number is blended in one colour per
    channel, so that every channel is visible.

    Parameters
    ----------
    pixels
        Shape (height, width, channels), any dtype.
    low, high
        Intensities of black and white.

    Returns
    -------
    numpy.ndarray
        Shape (height, width) or (height, width, 3), uint8.
    """
    scaled = pixels.astype(np.float32)
    scaled -= np.float32(low)
    scaled /= np.float32(max(high - low, 1e-9))
    np.clip(scaled, 0, 1, out=scaled)
    if scaled.shape[-1] not in (1, 3):
        scaled = np.clip(scaled @ _channel_colours(scaled.shape[-1]), 0, 1)
    rendered: np.ndarray = np.rint(scaled * 255).astype(np.uint8)
    return rendered[..., 0] if rendered.shape[-1] == 1 else rendered


def _channel_colours(count: int) -> np.ndarray:
    """One colour per channel, shape (count, 3); from five channels on, evenly spaced hues."""
    if count <= len(_COLOURS):
        return np.asarray(_COLOURS[:count], np.float32)
    hues = [colorsys.hsv_to_rgb(number / count, 1, 1) for number in range(count)]
    return np.asarray(hues, np.float32)


def _encode(picture: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
