"""Base class of data sets that consist of image files: decoding, fingerprints, grey."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import Dataset, errors

if TYPE_CHECKING:
    import numpy as np

    from cellvision import DecodedImage


class ImageFiles(Dataset):
    """A data set of image files; a subclass locates the file of each image."""

    mono: bool = False
    """Convert RGB images to grey (one channel, luma, native dtype); grey images are unchanged."""

    @abstractmethod
    def locate(self, image: str) -> Path:
        """Return the file of an image, given its id in the catalog."""

    def decode(self, image: str) -> DecodedImage:
        """Decode one file with its bit depth; nothing is scaled.

        Raises
        ------
        errors.UnreadableImage
            The file cannot be decoded, or `mono` is set and it has neither 1 nor 3 channels.
        """
        from cellvision.io import read_image

        try:
            decoded = read_image(self.locate(image))
        except errors.UnreadableImage as fault:
            # Callers know the image by its id, not by its path.
            raise errors.UnreadableImage(image, fault.reason, fault.hint) from fault
        return to_mono(image, decoded) if self.mono else decoded

    def decode_file(self, file: Path) -> DecodedImage:
        """Decode a file that is not in the catalog, just as `decode` does."""
        from cellvision.io import read_image

        decoded = read_image(file)
        return to_mono(str(file), decoded) if self.mono else decoded

    def pixel_size(self, image: str) -> float | None:
        """Return the micrometres per pixel that the file states; None if it does not."""
        from cellvision.io import read_pixel_size

        return read_pixel_size(self.locate(image))

    def read(self, image: str) -> np.ndarray:
        """Read one image: (height, width, channels) in its native dtype."""
        return self.decode(image).pixels

    def fingerprint(self, image: str) -> str:
        """Identify an image by the SHA-256 of its file's bytes, without decoding it."""
        from cellvision.io import file_digest, why_missing

        path = self.locate(image)
        try:
            digest = file_digest(path)
        except errors.CellvisionError:
            raise
        except OSError as fault:
            reason = why_missing(path, fault.strerror or str(fault))
            raise errors.UnreadableImage(image, reason) from fault
        # With mono the same file gives different pixels, so the cache must tell them apart.
        return f"{digest} mono" if self.mono else digest


def to_mono(image: str, decoded: DecodedImage) -> DecodedImage:
    """Convert RGB to grey with `cellvision.io.luma`, in the native dtype.

    Parameters
    ----------
    image
        The image's id, for the error message.
    decoded
        Pixels of shape (H, W, 1), returned unchanged, or (H, W, 3).

    Raises
    ------
    errors.UnreadableImage
        The image has another number of channels, so these are not colours.
    """
    from cellvision import DecodedImage
    from cellvision.io import luma

    pixels = decoded.pixels
    channels = pixels.shape[2]
    if channels == 1:
        return decoded
    if channels != 3:
        raise errors.UnreadableImage(
            image,
            f"it has {channels} channels, which are not colours, so it has no luma",
            "Remove mono and choose channels: --set preprocessing.channels=[0]",
        )
    notes = (*decoded.notes, "converted to grey (luma)")
    return DecodedImage(luma(pixels), decoded.bit_depth, notes, decoded.compression)
