"""The pixels of one image as its file stores them: what a data set returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """The pixels of one file and what is known about them.

    Attributes
    ----------
    pixels : numpy.ndarray
        (H, W, C) in the dtype of the file and native byte order; possibly read-only.
    bit_depth : int
        Bits per sample as the file's header declares: 1, 8, 10, 12, 14, 16, 32 or 64. It may be
        less than the dtype holds: 12-bit cameras are stored as uint16.
    notes : tuple of str
        One line for each change that reading made ("EXIF orientation 6 applied").
    """

    pixels: NDArray[np.generic]
    bit_depth: int
    notes: tuple[str, ...]
