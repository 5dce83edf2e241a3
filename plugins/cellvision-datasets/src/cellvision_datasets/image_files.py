"""What all data sets of image files share: decoding, identifying and turning to grey."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import Dataset, errors

if TYPE_CHECKING:
    import numpy as np

    from cellvision import DecodedImage


class ImageFiles(Dataset):
    """A data set whose images are files; it says where each one lies."""

    mono: bool = False
    """Turn RGB images to grey (one channel, luma, native dtype); grey images stay as they are."""

    @abstractmethod
    def locate(self, image: str) -> Path:
        """Give the file of one image, by its id in the catalog."""

    def decode(self, image: str) -> DecodedImage:
        """Decode one file with its bit depth; nothing is scaled.

        Raises
        ------
        errors.UnreadableImage
            It cannot be decoded, or is to be grey and has neither one nor three channels.
        """
        from cellvision import read_image

        try:
            decoded = read_image(self.locate(image))
        except errors.UnreadableImage as fault:
            # The caller knows the image by its id, and lists it so.
            raise errors.UnreadableImage(image, fault.reason, fault.hint) from fault
        return to_mono(image, decoded) if self.mono else decoded

    def decode_file(self, file: Path) -> DecodedImage:
        """Decode a file that is not in the catalog, just as `decode` does."""
        from cellvision import read_image

        decoded = read_image(file)
        return to_mono(str(file), decoded) if self.mono else decoded

    def read(self, image: str) -> np.ndarray:
        """Read one image: (height, width, channels) in its native dtype."""
        return self.decode(image).pixels

    def fingerprint(self, image: str) -> str:
        """Identify an image by the SHA-256 of its file's bytes, without decoding it."""
        import hashlib

        try:
            with self.locate(image).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        except OSError as fault:
            raise errors.UnreadableImage(image, fault.strerror or str(fault)) from fault
        if self.mono:
            # The same file gives other pixels, which must not be taken from the cache.
            digest.update(b" mono")
        return digest.hexdigest()


def to_mono(image: str, decoded: DecodedImage) -> DecodedImage:
    """Turn RGB to grey by luma, in the native dtype.

    The weights are those of Rec. ITU-R BT.601-7, section 2.5.1: 0.299, 0.587 and 0.114 for
    red, green and blue.

    Parameters
    ----------
    image
        Its id, for the message.
    decoded
        Pixels (H, W, 1), which stay as they are, or (H, W, 3).

    Raises
    ------
    errors.UnreadableImage
        Any other number of channels: they are no colours.
    """
    import numpy as np

    from cellvision import DecodedImage

    pixels = decoded.pixels
    channels = pixels.shape[2]
    if channels == 1:
        return decoded
    if channels != 3:
        raise errors.UnreadableImage(
            image,
            f"it has {channels} channels, so there is no colour to turn to grey",
            "Leave mono out, and choose a channel with preprocessing.channels",
        )
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    if pixels.dtype.kind != "f":
        grey = np.rint(grey)
    note = "turned to grey (luma)"
    return DecodedImage(
        grey.astype(pixels.dtype)[..., np.newaxis], decoded.bit_depth, (*decoded.notes, note)
    )
