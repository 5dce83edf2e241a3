"""Data set: which images there are, what is known about them, and their pixels."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from cellvision import errors
from cellvision.component import ColumnName, Component
from cellvision.digests import native_digest
from cellvision.interfaces.decoded_image import DecodedImage
from cellvision.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class SkippedFile:
    """A file that is not an image of the data set; the audit lists every one.

    Attributes
    ----------
    file : str
        The file, as a path relative to the data set. The path of a folder that holds no image
        ends with a slash.
    reason : str
        Why it was skipped, in one line.
    expected : bool
        Whether no warning is needed: files of the operating system (``.DS_Store``, ``._*``,
        ``Thumbs.db``), empty folders other than those of a class or a split, and provenance
        tables that are used.
    """

    file: str
    reason: str
    expected: bool = False


class Dataset(Component, group="cellvision.datasets"):
    """Images with labels and provenance, and the pixels of each.

    A plugin defines `catalog` and `read`. The core applies the settings below, so a plugin can
    ignore them.
    """

    group: ColumnName | tuple[ColumnName, ...] | None = None
    """The provenance column that names the group, the independent unit (well, slide, donor), or
    several columns whose combination does. Splits never divide a group."""

    batch: ColumnName | tuple[ColumnName, ...] | None = None
    """The provenance column that names the batch (plate, day), or several columns whose
    combination does: what groups share and what a network must not learn in place of the class."""

    classes: tuple[str, ...] | None = None
    """Use only these classes; each must have images. None uses all."""

    images_per_read: ClassVar[int] = 64
    """Images that `read_many` reads at once, if it is defined."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a file, or a folder with a suffix, is meant for this data set.

        ``cellvision audit plate.zarr`` then needs no ``dataset.type``: the data set is created
        with the path as its setting ``path``. Look at names and first bytes only.

        Parameters
        ----------
        path
            An existing file or folder.
        """
        return False

    @abstractmethod
    def catalog(self) -> pd.DataFrame:
        """List all images.

        Returns
        -------
        pandas.DataFrame
            One row per image, with the columns

            - ``image``: a unique string by which `read` finds the image;
            - ``label``: the name of its class;
            - ``split`` (optional): the split that the data set assigns; ``train`` and
              ``validation`` are used as such, every other one is a test set;
            - ``group`` (optional): the independent unit, unless the setting `group` names
              another column;
            - ``batch`` (optional): the batch, unless the setting `batch` names another column;
            - further provenance columns (``well``, ``plate``, ``donor``, ...).
        """

    @abstractmethod
    def read(self, image: str) -> np.ndarray:
        """Read one image. Several threads may call this at once.

        Parameters
        ----------
        image
            Its id in the catalog.

        Returns
        -------
        numpy.ndarray
            Shape (height, width, channels), in the native dtype: never scaled or cast.

        Raises
        ------
        errors.UnreadableImage
            The image cannot be decoded; the message says why.
        """

    def decode(self, image: str) -> DecodedImage:
        """Read one image with the bit depth that its file declares.

        Override this if the bit depth is known; the default is that of the dtype.
        """
        return DecodedImage.of_pixels(self.read(image))

    def read_many(self, images: Sequence[str]) -> Sequence[np.ndarray | DecodedImage]:
        """Read several images at once. Several threads may call this at once.

        Override it if one large read is faster than many small ones, as in HDF5, Zarr and NPZ;
        audit, training and prediction then read by it. If it raises an error, the images are
        read one by one, and a warning says so if each can be read.

        Parameters
        ----------
        images
            At most `images_per_read` ids, which follow one another in the catalog.

        Returns
        -------
        sequence of numpy.ndarray or DecodedImage
            For each id, in this order, what `read` or `decode` returns.
        """
        return [self.decode(image) for image in images]

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
        """Return a string that changes with an image's content, so cached pixels are never stale.

        Override this if there is a cheaper way than decoding the image, which is the default:
        every training and audit then reads every image again. For many images in one file,
        combine `cellvision.io.file_digest` of the file with the image's position.
        """
        return native_digest(self.read(image))

    def pixel_size(self, image: str) -> float | None:
        """Return the micrometres per pixel of an image, for scale bars; None if unknown.

        A provenance column of this name goes before it.
        """
        return None

    def relocated(self, path: str | os.PathLike[str]) -> Self:
        """Return this data set with its images in another place: ``--run-images``.

        By default, the setting `path` is replaced. Override it if images are found by another
        setting.

        Parameters
        ----------
        path
            Folder, file or address where the images are now.

        Raises
        ------
        errors.ExperimentError
            The data set reads no path.
        """
        if "path" not in type(self).model_fields:
            name = self.registry.name_of(type(self))
            raise errors.ExperimentError(
                f"the data set {name!r} has no setting 'path', so its images have no other place",
                "Omit --run-images (images= in Python)",
            )
        return type(self)(**{**dict(self), "path": path})

    def skipped_files(self) -> Sequence[SkippedFile]:
        """List the files that are present but not in the catalog, each with its reason."""
        return ()


datasets: Registry[Dataset] = Dataset.registry
"""The registry of data sets."""
