"""The pictures that a rater sees of an image: as acquired, and as the network sees it."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.image_stats import decode
from cellvision.data.preprocessing import Preprocessing
from cellvision.interfaces.dataset import Dataset, datasets
from cellvision.labelling.plan import digest

if TYPE_CHECKING:
    from cellvision.labelling.plan import Item, Plan

VIEWS = ("native", "seen")
"""As acquired; and what the network sees: its channels, its size."""

_KEPT = 6
"""Decoded images in memory: the one on show and the next, in both views and to spare."""

_COLOURS = ((0.0, 0.45, 1.0), (1.0, 0.55, 0.0), (0.0, 0.8, 0.5), (0.8, 0.35, 0.65))
"""Of the channels of an image that has not one or three; the first two add up to near white."""


class Changed(errors.InvalidInput):
    """An image that cannot be shown, for it is gone or not what it was."""


class Gallery:
    """The images of a plan.

    Parameters
    ----------
    plan
        Whose images.

    Raises
    ------
    errors.InvalidInput
        The data set's plugin is missing.
    """

    def __init__(self, plan: Plan) -> None:
        settings = dict(plan.experiment["dataset"])
        kind = settings.pop("type")
        self._dataset: Dataset = datasets.create(kind, **settings)
        self._intake = Preprocessing.from_settings(
            plan.experiment["preprocessing"], "preprocessing"
        )
        self._display = plan.display
        self._views = lru_cache(maxsize=_KEPT)(self._decode)

    def png(self, item: Item, view: str, window: tuple[float, float] | None = None) -> bytes:
        """One picture as an 8-bit PNG, windowed from the full depth of the image.

        It is windowed here, not on the page: so that a 12- or 16-bit image shows at any contrast
        all the grey levels that it has in that window.

        Parameters
        ----------
        item
            The image.
        view
            ``"native"`` or ``"seen"``.
        window
            Black and white, as shares of the range of intensities, 0 to 1; by default those
            that a session begins with.

        Raises
        ------
        Changed
            The image cannot be read, or its pixels are not those that were planned.
        """
        pixels = self._views(item)[VIEWS.index(view)]
        zero, one = self._display.seen if view == "seen" else self._display.native
        low, high = (zero + share * (one - zero) for share in window or self._display.window)
        return _encoded(_shown(pixels, low, high))

    def _decode(self, item: Item) -> tuple[np.ndarray, np.ndarray]:
        facts, pixels = decode(self._dataset, item.image)
        if pixels is None:
            raise Changed(f"{item.image}: {facts.reason}", "Restore the file")
        preprocessing = self._intake
        picked = preprocessing.select_channels(pixels)
        seen = preprocessing.resize(picked)
        if digest(seen, preprocessing) != item.digest:
            raise Changed(
                f"{item.image}: its pixels are not those that the session was begun with",
                "Restore the file, or begin a new file of answers",
            )
        if pixels.dtype == bool or not isinstance(preprocessing.channels, str):
            pixels = picked
        return pixels, seen


def _shown(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Window an image of (height, width, channels) to 8 bits, grey or RGB."""
    unit = pixels.astype(np.float32)
    unit -= np.float32(low)
    unit /= np.float32(max(high - low, 1e-9))
    np.clip(unit, 0, 1, out=unit)
    count = unit.shape[-1]
    if count == 2 or count == 4:
        unit = np.clip(unit @ np.asarray(_COLOURS[:count], np.float32), 0, 1)
    elif count not in (1, 3):
        unit = unit.mean(axis=-1, keepdims=True)
    shown: np.ndarray = np.rint(unit * 255).astype(np.uint8)
    return shown[..., 0] if shown.shape[-1] == 1 else shown


def _encoded(shown: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
