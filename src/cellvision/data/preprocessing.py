"""From native pixels to what the network is given: channels, size and intensity.

Pixels stay in their native type until they are on the training device; the one factor that
scales them belongs to the model.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from cellvision import errors
from cellvision.component import Settings

STANDARD_BIT_DEPTHS = (8, 10, 12, 14, 16)
"""The bit depths of scientific cameras."""

_STRETCHED = 65535
"""Per-image scaling stretches each image over the whole range of 16 bits."""

Positive = Annotated[int, Field(gt=0)]
ChannelNumber = Annotated[int, Field(ge=0)]
Intensity = Annotated[float, Field(gt=0)]


class Preprocessing(Settings):
    """How an image becomes the network's input."""

    size: tuple[Positive, Positive] = (256, 256)
    """Height and width in pixels. Images are resized with antialiasing, not cropped."""

    channels: Literal["rgb", "gray"] | tuple[ChannelNumber, ...] = "rgb"
    """``"rgb"`` (a grey image is given three times), ``"gray"`` (the luma of Rec. 601) or the
    numbers of the channels to use, from 0; the pages of a TIFF count as channels."""

    intensity: Literal["bit_depth", "dtype", "per_image"] | Intensity | tuple[float, float] = (
        "bit_depth"
    )
    """What intensity counts as 1. ``"bit_depth"``: the largest value of the smallest standard
    bit depth (8, 10, 12, 14, 16) that holds all training images; ``"dtype"``: the largest
    value of the pixel type; a number: that value; ``[low, high]``: this range becomes 0 to 1
    (needed for pixels with fractions or signs). ``"per_image"`` stretches every image by
    itself and thereby destroys absolute intensity."""

    on_unreadable: Literal["error", "skip"] = "error"
    """What to do with files that cannot be read: stop with all of them listed, or go on
    without them and with a warning in the record."""

    @field_validator("channels")
    @classmethod
    def _some_channels(cls, value: Any) -> Any:
        if value == ():
            raise ValueError("name at least one channel")
        return value

    @field_validator("intensity")
    @classmethod
    def _a_range(cls, value: Any) -> Any:
        if isinstance(value, tuple) and not value[0] < value[1]:
            raise ValueError("the range must be [low, high] with low < high")
        return value

    @property
    def depth(self) -> int:
        """How many channels the network gets."""
        if isinstance(self.channels, str):
            return 3 if self.channels == "rgb" else 1
        return len(self.channels)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's input."""
        return (*self.size, self.depth)

    def geometry(self) -> dict[str, Any]:
        """The settings on which stored pixels depend; the others are applied later."""
        return {
            "size": self.size,
            "channels": self.channels,
            "per_image": self.intensity == "per_image",
        }

    def select_channels(self, pixels: np.ndarray) -> np.ndarray:
        """Pick the channels of one image, at native size.

        Parameters
        ----------
        pixels
            Shape (height, width, channels), in the native dtype.

        Returns
        -------
        numpy.ndarray
            Shape (height, width, `depth`), dtype as given; black and white (bool) become 0 and
            255 of uint8, as a PNG of 1 bit is spread to 8. Where ``"rgb"`` is asked of a grey
            image there is one channel: its copies are added when a batch is made, so that they
            take no room before.

        Raises
        ------
        errors.PreprocessingError
            The image has not the channels that are asked for.
        """
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        available = pixels.shape[-1]
        if not isinstance(self.channels, str):
            if max(self.channels) >= available:
                raise errors.PreprocessingError(
                    f"preprocessing.channels asks for channel {max(self.channels)}, "
                    f"but the image has {available} (numbered from 0)",
                    f"Choose among 0 to {available - 1}, such as --set preprocessing.channels=[0]",
                )
            if self.channels == tuple(range(available)):
                return pixels
            return pixels[..., list(self.channels)]
        if available == 1 or (self.channels == "rgb" and available == 3):
            return pixels
        if available == 3:
            return _luma(pixels)
        raise errors.PreprocessingError(
            f"preprocessing.channels is {self.channels!r}, but the image has {available} channels",
            "Name those to use, such as --set preprocessing.channels="
            + str(list(range(min(available, 3)))).replace(" ", ""),
        )

    def resize(self, picked: np.ndarray) -> np.ndarray:
        """Resize what `select_channels` gave to `size`, in its dtype; stretched where ``"per_image"``."""
        resized = resize(picked, self.size)
        return _stretch(resized) if self.intensity == "per_image" else resized

    def expand_channels(self, stored: np.ndarray) -> np.ndarray:
        """Give stored pixels (..., channels) the channels that the network expects."""
        if stored.shape[-1] == self.depth:
            return stored
        return np.repeat(stored, self.depth, axis=-1)

    def intensity_range(self, dtype: np.dtype[Any], low: float, high: float) -> tuple[float, float]:
        """Find the intensities that become 0 and 1.

        Parameters
        ----------
        dtype
            The dtype of the stored pixels.
        low, high
            The smallest and largest intensity in the training images.

        Returns
        -------
        zero, one : float
            The network is given ``(pixel - zero) / (one - zero)``.

        Raises
        ------
        errors.PreprocessingError
            The pixels have fractions or signs, or exceed 16 bits, and no range is declared.
        """
        declare = (
            "Declare which intensities become 0 and 1: --set preprocessing.intensity=[low,high]"
        )
        if isinstance(self.intensity, tuple):
            return self.intensity
        if isinstance(self.intensity, float):
            return 0.0, self.intensity
        if self.intensity == "per_image":
            return 0.0, float(_STRETCHED)
        if dtype.kind == "f":
            raise errors.PreprocessingError(
                f"the images hold fractional numbers ({dtype}), whose range no bit depth tells",
                f"{declare} (the training images span {low:g} to {high:g})",
            )
        if low < 0:
            raise errors.PreprocessingError(
                f"the images hold negative intensities (down to {low:g})", declare
            )
        if self.intensity == "dtype":
            return 0.0, float(np.iinfo(dtype).max)
        for bits in STANDARD_BIT_DEPTHS:
            if high <= 2**bits - 1:
                return 0.0, float(2**bits - 1)
        raise errors.PreprocessingError(
            f"the images reach {high:g}, more than 16 bits hold", declare
        )


def _luma(pixels: np.ndarray) -> np.ndarray:
    """Grey from RGB by ITU-R BT.601 in the native dtype; r = g = b keeps exactly that value."""
    red, green, blue = (pixels[..., c : c + 1].astype(np.float64) for c in range(3))
    # Written as differences from green: three weights that sum to 1 only nearly would round.
    grey = green + 0.299 * (red - green) + 0.114 * (blue - green)
    native: np.ndarray = (grey if pixels.dtype.kind == "f" else np.rint(grey)).astype(pixels.dtype)
    return native


def _stretch(pixels: np.ndarray) -> np.ndarray:
    """Stretch each channel of one image over the range of 16 bits; a flat channel becomes 0."""
    values = pixels.astype(np.float64)
    low = values.min(axis=(0, 1))
    span = values.max(axis=(0, 1)) - low
    unit = (values - low) / np.where(span > 0, span, 1)
    stretched: np.ndarray = np.rint(unit * _STRETCHED).astype(np.uint16)
    return stretched


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize one image with an antialiased bilinear filter, in its native dtype.

    Values are rounded to the nearest integer, never cast down to fewer bits.

    Parameters
    ----------
    pixels
        Shape (height, width, channels), any integer or float dtype.
    size
        Height and width in pixels.

    Returns
    -------
    numpy.ndarray
        Shape (height, width, channels), dtype as given.
    """
    from PIL import Image

    height, width = size
    if pixels.shape[:2] == (height, width):
        return np.ascontiguousarray(pixels)
    bilinear = Image.Resampling.BILINEAR

    def resized(plane: np.ndarray) -> np.ndarray:
        image = Image.fromarray(np.ascontiguousarray(plane))
        return np.asarray(image.resize((width, height), bilinear))

    if pixels.dtype == np.uint8 and pixels.shape[-1] == 3:
        return resized(pixels)
    if pixels.dtype == np.uint8:
        return np.stack([resized(pixels[..., c]) for c in range(pixels.shape[-1])], axis=-1)
    # 32-bit floats hold every integer of up to 24 bits exactly, so 16 bits lose nothing.
    planes = [resized(pixels[..., c].astype(np.float32)) for c in range(pixels.shape[-1])]
    values = np.stack(planes, axis=-1)
    if pixels.dtype.kind == "f":
        return values.astype(pixels.dtype)
    bounds = np.iinfo(pixels.dtype)
    rounded = np.rint(values.astype(np.float64))
    return np.clip(rounded, bounds.min, bounds.max).astype(pixels.dtype)
