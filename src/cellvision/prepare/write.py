"""Write pixels to files without loss: the same shape, dtype and values are read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellvision import atomic_io

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk")


def suffix_for(pixels: NDArray[Any], source: Path) -> str:
    """Choose PNG if it holds the pixels exactly and the source is not a TIFF, else TIFF."""
    import numpy as np

    if source.suffix.lower() in TIFF_SUFFIXES:
        return ".tif"
    channels = pixels.shape[2]
    fits = {np.dtype(bool): (1,), np.dtype(np.uint8): (1, 3), np.dtype(np.uint16): (1,)}
    return ".png" if channels in fits.get(pixels.dtype, ()) else ".tif"


def write_image(target: Path, pixels: NDArray[Any], *, colour: bool) -> None:
    """Write (H, W, C) pixels as PNG or TIFF, by the suffix of `target`, atomically.

    Parameters
    ----------
    target
        The file, ending in `.png` or `.tif`.
    pixels
        PNG: bool or uint16 with one channel, or uint8 with one or three. TIFF: any real dtype.
    colour
        Whether three channels are the red, green and blue of one page; otherwise every channel
        of a TIFF is a page.
    """
    import numpy as np

    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    pixels = np.ascontiguousarray(pixels)
    with atomic_io.path(target) as temporary:
        if target.suffix == ".png":
            from PIL import Image

            # On noise, level 4 compresses as well as the default, in a quarter of the time.
            Image.fromarray(pixels).save(temporary, format="PNG", compress_level=4)
            return
        import tifffile

        as_rgb = colour and pixels.ndim == 3 and pixels.shape[2] == 3
        if pixels.ndim == 3 and not as_rgb:
            pixels = np.ascontiguousarray(np.moveaxis(pixels, 2, 0))
        tifffile.imwrite(
            temporary,
            pixels,
            photometric="rgb" if as_rgb else "minisblack",
            compression="zlib",
            metadata=None,
        )


def cut(pixels: NDArray[Any], y: int, x: int, height: int, width: int) -> NDArray[Any]:
    """Cut a window out of (H, W, ...) pixels; what lies outside of the image is zero."""
    import numpy as np

    bottom, right = y + height, x + width
    window = pixels[max(y, 0) : max(bottom, 0), max(x, 0) : max(right, 0)]
    above, left = min(max(-y, 0), height), min(max(-x, 0), width)
    below, beyond = height - above - window.shape[0], width - left - window.shape[1]
    if not (above or left or below or beyond):
        return window
    return np.pad(window, ((above, below), (left, beyond), *[(0, 0)] * (pixels.ndim - 2)))


def is_colour(source: Path) -> bool:
    """Return whether the channels of a file are red, green and blue, not separate pages."""
    import tifffile

    try:
        tiff = tifffile.TiffFile(source)
    except tifffile.TiffFileError:  # another format
        return True
    with tiff:
        first = tiff.pages.first
        # Only then are three samples one colour; three grey pages stay three grey pages.
        return len(tiff.pages) == 1 and first.photometric in (
            tifffile.PHOTOMETRIC.RGB,
            tifffile.PHOTOMETRIC.YCBCR,
            tifffile.PHOTOMETRIC.PALETTE,
        )
