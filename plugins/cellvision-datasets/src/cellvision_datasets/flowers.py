"""Flowers: photographs of five kinds, as the TensorFlow tutorials use them."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import SkippedFile, errors

from .download import RemoteFile, data_folder, fetch
from .folder import Folder
from .image_files import ImageFiles

if TYPE_CHECKING:
    import pandas as pd

REMOTE = RemoteFile(
    "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",
    # As TensorFlow Datasets records it for tf_flowers.
    "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
    228813984,
)


class Flowers(ImageFiles):
    """Flowers: 3,670 colour photographs of daisies, dandelions, roses, sunflowers and tulips.

    The archive is downloaded (229 MB) when it is first needed, or a folder with a sub-folder
    for each class is taken from `path`: any set of flowers in that layout will do. The photos
    are of many sizes; who took them is in the archive's LICENSE.txt (CC BY 2.0).

    Examples
    --------
    >>> data = Flowers(path="downloads/flower_photos", classes=("daisy", "tulips"), mono=True)
    >>> data.catalog()  # doctest: +SKIP
    """

    path: Path | None = None
    """A folder with one sub-folder a class. None: the archive is downloaded."""

    def catalog(self) -> pd.DataFrame:
        """List all images.

        Raises
        ------
        errors.FolderError
            `path` is missing or has no class folders.
        errors.CellvisionError
            The archive cannot be downloaded.
        """
        return self._photos.catalog()

    def locate(self, image: str) -> Path:
        """Give the file of one image."""
        return self._photos.locate(image)

    def skipped_files(self) -> Sequence[SkippedFile]:
        """List the files that are no images of a class."""
        return self._photos.skipped_files()

    @property
    def _photos(self) -> Folder:
        return Folder(path=_downloaded() if self.path is None else self.path)


def _downloaded() -> Path:
    """Download and unpack the archive if needed; the folder appears whole or not at all."""
    home = data_folder() / "flowers"
    photos = home / "flower_photos"
    if photos.is_dir():
        return photos
    hint = (
        f"Fetch {REMOTE.url} elsewhere and put it into {home}, "
        "or name a folder of flowers with dataset.path"
    )
    archive = fetch(REMOTE, home, hint)
    try:
        with tempfile.TemporaryDirectory(dir=home, prefix=".") as folder:
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
            (Path(folder) / "flower_photos").rename(photos)
        archive.unlink(missing_ok=True)
    except (tarfile.TarError, OSError) as fault:
        if not photos.is_dir():  # otherwise another process unpacked it first
            raise errors.CellvisionError(
                f"{archive} cannot be unpacked: {fault}", "Remove it and run the command again"
            ) from fault
    return photos
