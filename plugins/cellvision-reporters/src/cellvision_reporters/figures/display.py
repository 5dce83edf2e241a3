"""Convert pixels to screen colours: one range for all images, one colour per channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellvision_reporters.figures.colours import CHANNELS

if TYPE_CHECKING:
    import numpy as np

    from cellvision import Run

_PERCENTILE = 99.8
_DARK = 0.5
"""Images are brightened if their intensities span less than this fraction of the full range."""

_PEDESTAL = 0.25
"""Their darkest parts become black, not zero, from this fraction of their brightest ones on."""


def thumbnail(pixels: np.ndarray, side: int = 256) -> np.ndarray:
    """Shrink an image by an integer factor, so that its shorter side is `side` to 2 × `side`.

    Parameters
    ----------
    pixels
        Shape (height, width) or (height, width, channels).
    side
        Shortest length of the shorter side; smaller images stay as they are.

    Returns
    -------
    numpy.ndarray
        Shape (height, width, channels), float32: means of blocks, in the same units.
    """
    import numpy as np

    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    factor = max(min(pixels.shape[:2]) // side, 1)
    height, width = (length // factor * factor for length in pixels.shape[:2])
    values = pixels[:height, :width].astype(np.float32)
    blocks = values.reshape(height // factor, factor, width // factor, factor, -1)
    means: np.ndarray = blocks.mean(axis=(1, 3))
    return means


def select_channels(run: Run, pixels: np.ndarray) -> np.ndarray:
    """Select the network's input channels, if the experiment lists them.

    Parameters
    ----------
    run
        The run.
    pixels
        Shape (height, width, channels), as acquired.
    """
    channels = listed_channels(run)
    if channels is None or max(channels) >= pixels.shape[-1]:
        return pixels
    return pixels[..., list(channels)]


def listed_channels(run: Run) -> tuple[int, ...] | None:
    """Return the channel numbers listed in the experiment; None for ``rgb``, ``gray``, ..."""
    channels = run.preprocessing.channels
    return None if isinstance(channels, str) else tuple(channels)


@dataclass(frozen=True)
class DisplayRange:
    """Intensities displayed as black and as white, the same for every image.

    Attributes
    ----------
    low, high : tuple of float
        One value per channel.
    brightened : bool
        Whether images look brighter than at full range.
    full_scale : float or None
        Intensity that becomes 1 in the input of the network.
    channels : tuple of int
        Channel numbers in the image file.
    is_colour : bool
        Whether the three channels are red, green and blue, not three stains.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    brightened: bool
    full_scale: float | None
    channels: tuple[int, ...]
    is_colour: bool = False

    @classmethod
    def from_images(
        cls,
        images: Sequence[np.ndarray],
        full_scale: float | None,
        zero: float = 0.0,
        channels: Sequence[int] | None = None,
        *,
        is_colour: bool = False,
    ) -> DisplayRange:
        """Choose the range for images.

        If the images use at least half of the full range, display the full range. Otherwise
        their 99.8th percentile becomes white, per channel (colour images: over all channels), and
        their 0.2nd percentile black if they stand on a pedestal.

        Parameters
        ----------
        images
            Each of shape (height, width, channels).
        full_scale
            Intensity that becomes 1 in the input of the network; None uses the maximum of the
            images.
        zero
            Intensity that becomes 0.
        channels
            Channel numbers in the image file; by default 0, 1, ...
        is_colour
            Whether the three channels are red, green and blue.
        """
        import numpy as np

        count = min(image.shape[-1] for image in images)
        columns = [
            np.concatenate([image[..., channel].ravel() for image in images])
            for channel in range(count)
        ]
        if is_colour:
            columns = [np.concatenate(columns)] * count
        edges = [np.percentile(column, (100 - _PERCENTILE, _PERCENTILE)) for column in columns]
        floors, tops = ([float(pair[k]) for pair in edges] for k in (0, 1))
        bottoms = [min(zero, float(column.min())) for column in columns]
        if full_scale is None:
            full_scale = max(float(column.max()) for column in columns)
        darkest = [
            floor if floor < top and floor - zero > _PEDESTAL * (top - zero) else zero
            for floor, top in zip(floors, tops, strict=True)
        ]
        span = max(top - black for black, top in zip(darkest, tops, strict=True))
        dark = span < _DARK * (full_scale - zero)
        highs = tops if dark else [full_scale] * count
        if dark:
            bottoms = [
                black if black > zero else bottom
                for black, bottom in zip(darkest, bottoms, strict=True)
            ]
        highs = [high if high > low else low + 1 for low, high in zip(bottoms, highs, strict=True)]
        numbers = tuple(channels) if channels is not None else tuple(range(count))
        return cls(tuple(bottoms), tuple(highs), dark, full_scale, numbers, is_colour)

    def to_rgb(self, image: np.ndarray) -> np.ndarray:
        """Convert one image of (height, width, channels) to (height, width, 3), 0 to 1."""
        import numpy as np

        count = min(len(self.low), image.shape[-1])
        low, high = (np.asarray(edge[:count], np.float32) for edge in (self.low, self.high))
        scaled = np.clip((image[..., :count] - low) / (high - low), 0, 1)
        if count == 1:
            return np.repeat(scaled, 3, axis=-1)
        if count == 3:
            return scaled
        if count > len(CHANNELS):
            return np.repeat(scaled.mean(axis=-1, keepdims=True), 3, axis=-1)
        mix = np.asarray(list(CHANNELS.values())[:count], np.float32)
        return np.clip(scaled @ mix, 0, 1)

    def describe(self) -> str:
        """Describe the range in a sentence for a caption."""
        limit = ""
        if self.full_scale and self.brightened:
            limit = f" (the full range ends at {self.full_scale:g})"
        verb = "Brightened for display: " if self.brightened else "Display: "
        if len(self.low) == 1 or self.is_colour or not self.brightened:
            ranges = f"{_rounded(self.low[0])} to {_rounded(self.high[0])}{limit} is black to white"
        else:
            ranges = (
                "black to full colour is "
                + ", ".join(
                    f"{_rounded(low)} to {_rounded(high)} in channel {number}"
                    for low, high, number in zip(self.low, self.high, self.channels, strict=False)
                )
                + limit
            )
        return f"{verb}{ranges}, the same for all images.{self.channel_legend()}"

    def channel_legend(self) -> str:
        """Name the colour of each channel; empty for grey and colour images."""
        count = len(self.low)
        if count == 1 or self.is_colour:
            return ""
        if count > len(CHANNELS):
            return f" Shown: the mean of {count} channels."
        colours = ("red", "green", "blue") if count == 3 else tuple(CHANNELS)
        pairs = ", ".join(f"{n} {c}" for n, c in zip(self.channels, colours, strict=False))
        return f" Channels: {pairs}."


def display_range(run: Run, images: Sequence[np.ndarray] | np.ndarray) -> DisplayRange:
    """Choose the range for inputs of the network (`Run.network_input`).

    Inputs rarely fill the range 0 to 1: those of 12-bit cameras and dim stains are brightened.
    """
    channels = listed_channels(run)
    return DisplayRange.from_images(list(images), 1.0, 0.0, channels, is_colour=channels is None)


def autoscale(image: np.ndarray, *, is_colour: bool) -> np.ndarray:
    """Convert one image to RGB, scaled from its minimum to its 99.8th percentile.

    Parameters
    ----------
    image
        Shape (height, width, channels).
    is_colour
        Whether the three channels are red, green and blue, and share one range.
    """
    import numpy as np

    flat = image.reshape(-1, image.shape[-1])
    low, high = flat.min(axis=0), np.percentile(flat, _PERCENTILE, axis=0)
    if is_colour:
        low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
    high = np.where(high > low, high, low + 1)
    numbers = tuple(range(len(low)))
    scale = DisplayRange(
        tuple(map(float, low)),
        tuple(map(float, high)),
        brightened=True,
        full_scale=None,
        channels=numbers,
        is_colour=is_colour,
    )
    return scale.to_rgb(image)


def interpolation(height: int) -> str:
    """Return Matplotlib's interpolation: small images keep their pixels visible."""
    return "nearest" if height < 100 else "antialiased"


def _rounded(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.0f}"
