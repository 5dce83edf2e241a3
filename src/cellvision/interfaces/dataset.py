"""Which images, with which labels, splits and provenance; and the pixels of one image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.component import Component
from cellvision.interfaces.decoded_image import DecodedImage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class SkippedFile:
    """A file that is not an image of the data set, and why; the audit lists every one.

    Attributes
    ----------
    file : str
        The file, as a path relative to the data set.
    reason : str
        Why it was passed over, in one line.
    expected : bool
        Whether it belongs there all the same, so that nobody needs to be warned: left by an
        operating system (``.DS_Store``, ``._*``, ``Thumbs.db``), an empty folder, or a table
        of provenance that is used.
    """

    file: str
    reason: str
    expected: bool = False


class Dataset(Component, group="cellvision.datasets"):
    """Which images there are, what is known of them, and the pixels of each.

    A data set defines `catalog` and `read`. The settings here are understood for every data
    set, and the core applies them: a plugin need not look at them.
    """

    group: str | tuple[str, ...] | None = None
    """The provenance column that names the independent unit (well, slide, donor, ...), or
    several whose combination does. Splits never divide a unit."""

    classes: tuple[str, ...] | None = None
    """Use these classes only; each must have images. None uses all."""

    @abstractmethod
    def catalog(self) -> pd.DataFrame:
        """List all images.

        Returns
        -------
        pandas.DataFrame
            One row an image, with the columns

            - ``image``: its id, a unique string, by which `read` finds it;
            - ``label``: the name of its class;
            - ``split`` (optional): the split it belongs to by the data set's own decision;
              ``train`` and ``validation`` are used as such, every other is a test set;
            - ``group`` (optional): the independent unit it came from, used where the setting
              `group` names no other column;
            - any further provenance columns (``well``, ``plate``, ``donor``, ...).
        """

    @abstractmethod
    def read(self, image: str) -> np.ndarray:
        """Read one image.

        Called from several threads at once.

        Parameters
        ----------
        image
            Its id in the catalog.

        Returns
        -------
        numpy.ndarray
            Shape (height, width, channels), in the native dtype: never scaled, never cast.

        Raises
        ------
        errors.UnreadableImage
            It cannot be decoded; the message gives the reason.
        """

    def decode(self, image: str) -> DecodedImage:
        """Read one image with the bit depth that its file declares.

        Override where that is known; by default it is that of the dtype.
        """
        pixels = self.read(image)
        return DecodedImage(pixels, 1 if pixels.dtype == bool else pixels.dtype.itemsize * 8, ())

    def decode_file(self, file: Path) -> DecodedImage:
        """Read an image file that is not in the catalog, just as `decode` reads images.

        ``predict`` reads new files with it. Override it if images are files; a data set that
        does not is predicted through its catalog.

        Parameters
        ----------
        file
            The file.

        Raises
        ------
        errors.ExperimentError
            The data set does not read single files.
        errors.UnreadableImage
            The file cannot be decoded.
        """
        name = self.registry.name_of(type(self))
        raise errors.ExperimentError(
            f"the data set {name!r} does not read single files, so {file} cannot be read as the "
            "training images were",
            "Pass a data set instead of files: cellvision predict RUN PATH --dataset NAME",
        )

    def fingerprint(self, image: str) -> str:
        """Identify an image's content, so that cached pixels are never stale.

        Override where hashing a file is cheaper than decoding it, which is the default.
        """
        import hashlib

        import numpy as np

        pixels = np.ascontiguousarray(self.read(image))
        head = f"{pixels.shape} {pixels.dtype.str} ".encode()
        return hashlib.sha256(head + pixels.tobytes()).hexdigest()

    def skipped_files(self) -> Sequence[SkippedFile]:
        """List the files that are there and are not in the catalog, each with its reason."""
        return ()


datasets = Dataset.registry
"""The registry of data sets."""
