"""Preprocessing: from native pixels to the network's input (channels, size, intensity range).

Pixels stay in their native type until they are on the training device; the factor that scales
them is part of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from cellvision import errors
from cellvision.component import Settings
from cellvision.data.geometry import fit_to_size
from cellvision.data.intensity import standard_bit_depth
from cellvision.data.luma import luma
from cellvision.plurals import counted

_STRETCHED = 65535
"""Per-image scaling stretches each image to the full range of 16 bits."""

Positive = Annotated[int, Field(gt=0)]
ChannelNumber = Annotated[int, Field(ge=0)]
Intensity = Annotated[float, Field(gt=0)]


class Preprocessing(Settings):
    """How an image becomes the network's input."""

    size: tuple[Positive, Positive] = (256, 256)
    """Height and width of the network's input in pixels."""

    fit: Literal["resize", "pad", "crop"] = "resize"
    """How an image is brought to `size`. ``"resize"`` scales it with antialiasing, which changes
    the size of objects if images differ in size. ``"pad"`` centres it on a canvas filled with
    the median of its border, channel by channel, so that objects keep their size; larger images
    are refused. ``"crop"`` takes the central window and pads where an image is smaller."""

    channels: Literal["rgb", "gray"] | tuple[ChannelNumber, ...] = "rgb"
    """``"rgb"`` (a grey image is repeated three times), ``"gray"`` (luma by Rec. 601) or the
    numbers of the channels to use, from 0; pages of a TIFF count as channels."""

    intensity: Literal["bit_depth", "dtype", "per_image"] | Intensity | tuple[float, float] = (
        "bit_depth"
    )
    """Which intensity becomes 1. ``"bit_depth"``: the largest value of the smallest standard bit
    depth (8, 10, 12, 14, 16) that holds all training images; ``"dtype"``: the largest value of
    the pixel type; a number: that value; ``[low, high]``: this range becomes 0 to 1 (required
    for fractional or negative pixels). ``"per_image"`` stretches every image separately, which
    destroys absolute intensity."""

    on_unreadable: Literal["error", "skip"] = "error"
    """What to do with files that cannot be read: stop and list all of them, or skip them with a
    warning in the record."""

    @field_validator("size", mode="before")
    @classmethod
    def _height_and_width(cls, value: Any) -> Any:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            side = value if str(value).isdecimal() else 64
            raise ValueError(f"write height and width as a list: [{side},{side}]")
        return value

    @field_validator("channels", mode="before")
    @classmethod
    def _list_of_channels(cls, value: Any) -> Any:
        if isinstance(value, int | float) or (isinstance(value, str) and value.isdecimal()):
            raise ValueError(f"write channel numbers as a list: [{value}]")
        if isinstance(value, str) and value not in ("rgb", "gray"):
            raise ValueError('write "rgb", "gray" or a list of channel numbers such as [0]')
        if isinstance(value, Sequence) and not value:
            raise ValueError("name at least one channel, such as [0]")
        return value

    @field_validator("intensity")
    @classmethod
    def _increasing_range(cls, value: Any) -> Any:
        if isinstance(value, tuple) and not value[0] < value[1]:
            raise ValueError("the range must be [low, high] with low < high")
        return value

    @property
    def depth(self) -> int:
        """Number of channels of the network's input."""
        if isinstance(self.channels, str):
            return 3 if self.channels == "rgb" else 1
        return len(self.channels)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's input."""
        return (*self.size, self.depth)

    def geometry(self) -> dict[str, object]:
        """Return the settings that stored pixels depend on; the others are applied later."""
        return {
            "size": self.size,
            "fit": self.fit,
            "channels": self.channels,
            "per_image": self.intensity == "per_image",
        }

    def select_channels(self, pixels: np.ndarray) -> np.ndarray:
        """Select the channels of one image, at its native size.

        Parameters
        ----------
        pixels
            Shape (height, width, channels), in the native dtype.

        Returns
        -------
        numpy.ndarray
            Shape (height, width, `depth`), same dtype; black and white (bool) become 0 and 255
            of uint8. A grey image for ``"rgb"`` keeps its one channel, which saves memory: it
            is repeated when a batch is made.

        Raises
        ------
        errors.PreprocessingError
            The image lacks a requested channel.
        """
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        available = pixels.shape[-1]
        if not isinstance(self.channels, str):
            if max(self.channels) >= available:
                raise errors.PreprocessingError(
                    f"preprocessing.channels requests channel {max(self.channels)}, "
                    f"but the image has {available} (numbered from 0)",
                    f"Choose from 0 to {available - 1}, such as --set preprocessing.channels=[0]",
                )
            if self.channels == tuple(range(available)):
                return pixels
            return pixels[..., list(self.channels)]
        if available == 1 or (self.channels == "rgb" and available == 3):
            return pixels
        if available == 3:
            return luma(pixels)
        raise errors.PreprocessingError(
            f"preprocessing.channels is {self.channels!r}, but the image has "
            + counted(available, "channel"),
            "List the channels to use, such as --set preprocessing.channels="
            + str(list(range(min(available, 3)))).replace(" ", ""),
        )

    def resize(self, selected: np.ndarray) -> np.ndarray:
        """Bring the channels from `select_channels` to `size`, as `fit` says, in their dtype.

        With ``intensity="per_image"`` the result is stretched to the range of 16 bits.

        Raises
        ------
        errors.PreprocessingError
            `fit` is ``"pad"`` and the image is larger than `size`.
        """
        fitted = fit_to_size(selected, self.size, self.fit)
        return _stretch(fitted) if self.intensity == "per_image" else fitted

    def expand_channels(self, stored: np.ndarray) -> np.ndarray:
        """Repeat the channel of stored grey pixels (..., 1) if the network expects more."""
        if stored.shape[-1] == self.depth:
            return stored
        return np.repeat(stored, self.depth, axis=-1)

    def intensity_range(self, dtype: np.dtype[Any], low: float, high: float) -> tuple[float, float]:
        """Return the intensities that become 0 and 1.

        Parameters
        ----------
        dtype
            The dtype of the stored pixels.
        low, high
            The smallest and largest intensity in the training images.

        Returns
        -------
        zero, one : float
            The network receives ``(pixel - zero) / (one - zero)``.

        Raises
        ------
        errors.PreprocessingError
            The pixels are fractional or negative or exceed 16 bits, and no range is declared.
        """
        declare = (
            "Declare which intensities become 0 and 1: --set preprocessing.intensity=[low,high] "
            f"(the training images span {low:.10g} to {high:.10g})"
        )
        if isinstance(self.intensity, tuple):
            return self.intensity
        if isinstance(self.intensity, float):
            return 0.0, self.intensity
        if self.intensity == "per_image":
            return 0.0, float(_STRETCHED)
        if dtype.kind == "f":
            raise errors.PreprocessingError(
                f"the images hold fractional numbers ({dtype}), which have no bit depth",
                declare,
            )
        if low < 0:
            raise errors.PreprocessingError(
                f"the images hold negative intensities (down to {low:g})", declare
            )
        if self.intensity == "dtype":
            return 0.0, float(np.iinfo(dtype).max)
        bits = standard_bit_depth(high)
        if bits is not None:
            return 0.0, float(2**bits - 1)
        raise errors.PreprocessingError(
            f"the images reach {high:g}, which exceeds 16 bits", declare
        )


def _stretch(pixels: np.ndarray) -> np.ndarray:
    """Stretch each channel of an image to the range of 16 bits; a flat channel becomes 0."""
    values = pixels.astype(np.float64)
    low = values.min(axis=(0, 1))
    span = values.max(axis=(0, 1)) - low
    fraction = (values - low) / np.where(span > 0, span, 1)
    stretched: np.ndarray = np.rint(fraction * _STRETCHED).astype(np.uint16)
    return stretched
