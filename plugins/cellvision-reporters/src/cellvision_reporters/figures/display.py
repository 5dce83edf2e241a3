"""From pixels to what a screen shows: one stretch for all images, channels in colours."""

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
"""Images whose brightest parts stay below this share of the full range are brightened."""


def thumbnail(pixels: np.ndarray, side: int = 256) -> np.ndarray:
    """Shrink by a whole factor, as the mean of blocks, to at most about twice `side` pixels.

    Returns
    -------
    numpy.ndarray
        Shape (height, width, channels), float32, same intensities.
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


@dataclass(frozen=True)
class Stretch:
    """Which intensities are shown as black and as white; the same for every image.

    Attributes
    ----------
    low, high : tuple of float
        One a channel.
    stretched : bool
        Whether it is brighter than the full range would be.
    full : float or None
        The intensity that counts as 1 for the network.
    channels : tuple of int
        The numbers of the channels shown, as the image counts them.
    colour : bool
        Whether three channels are a colour image rather than three stains.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    stretched: bool
    full: float | None
    channels: tuple[int, ...]
    colour: bool = False

    @classmethod
    def of(
        cls,
        images: Sequence[np.ndarray],
        full: float | None,
        zero: float = 0.0,
        channels: Sequence[int] | None = None,
        colour: bool = False,
    ) -> Stretch:
        """Find the stretch for images of (height, width, channels), all alike in channels.

        Where the images use at least half of the full range, that is shown as it is; else the
        99.8th percentile becomes white, for each channel by itself (colour images: together).
        """
        import numpy as np

        count = min(image.shape[-1] for image in images)
        numbers = tuple(channels) if channels is not None else tuple(range(count))
        columns = [
            np.concatenate([image[..., channel].ravel() for image in images])
            for channel in range(count)
        ]
        if colour:
            columns = [np.concatenate(columns)] * count
        tops = [float(np.percentile(column, _PERCENTILE)) for column in columns]
        bottoms = [min(zero, float(column.min())) for column in columns]
        if full is None:
            full = max(float(column.max()) for column in columns)
        dark = max(tops) - zero < _DARK * (full - zero)
        highs = [top if dark else full for top in tops]
        highs = [high if high > low else low + 1 for low, high in zip(bottoms, highs, strict=True)]
        return cls(tuple(bottoms), tuple(highs), dark, full, numbers, colour)

    def rgb(self, image: np.ndarray) -> np.ndarray:
        """Show one image of (height, width, channels) as (height, width, 3), 0 to 1."""
        import numpy as np

        count = min(len(self.low), image.shape[-1])
        low, high = (np.asarray(edge[:count], np.float32) for edge in (self.low, self.high))
        unit = np.clip((image[..., :count] - low) / (high - low), 0, 1)
        if count == 1:
            return np.repeat(unit, 3, axis=-1)
        if count == 3:
            return unit
        if count > len(CHANNELS):
            return np.repeat(unit.mean(axis=-1, keepdims=True), 3, axis=-1)
        mix = np.asarray(list(CHANNELS.values())[:count], np.float32)
        return np.clip(unit @ mix, 0, 1)

    def words(self) -> str:
        """Say it, as a sentence for a caption."""
        of = f" (the full range ends at {self.full:g})" if self.full and self.stretched else ""
        how = "Brightened for display: " if self.stretched else "Display: "
        count = len(self.low)
        if count == 1 or self.colour or not self.stretched:
            spans = f"{_round(self.low[0])} to {_round(self.high[0])}{of} is black to white"
        else:
            spans = (
                "black to full is "
                + ", ".join(
                    f"{_round(low)} to {_round(high)} in channel {number}"
                    for low, high, number in zip(self.low, self.high, self.channels, strict=False)
                )
                + of
            )
        return f"{how}{spans}, the same for all images.{self.legend()}"

    def legend(self) -> str:
        """Say which channel has which colour; empty for grey and colour images."""
        count = len(self.low)
        if count == 1 or self.colour:
            return ""
        if count > len(CHANNELS):
            return f" Shown: the mean of {count} channels."
        colours = ("red", "green", "blue") if count == 3 else tuple(CHANNELS)
        named = ", ".join(f"{n} {c}" for n, c in zip(self.channels, colours, strict=False))
        return f" Channels: {named}."


def stretch_of(run: Run, images: Sequence[np.ndarray] | np.ndarray) -> Stretch:
    """The stretch for images as the network sees them (`Run.seen`)."""
    asked = run.metadata.experiment.get("preprocessing", {}).get("channels")
    channels = asked if isinstance(asked, list | tuple) else None
    return Stretch.of(list(images), 1.0, 0.0, channels, colour=channels is None)


def by_itself(image: np.ndarray, colour: bool) -> np.ndarray:
    """Show one image with its own stretch, from its darkest to its 99.8th percentile."""
    import numpy as np

    flat = image.reshape(-1, image.shape[-1])
    low, high = flat.min(axis=0), np.percentile(flat, _PERCENTILE, axis=0)
    if colour:
        low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
    high = np.where(high > low, high, low + 1)
    own = Stretch(
        tuple(map(float, low)), tuple(map(float, high)), True, None, tuple(range(len(low))), colour
    )
    return own.rgb(image)


def _round(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.0f}"
