"""Fashion-MNIST: 70,000 small grey pictures of clothes."""

from __future__ import annotations

import functools
import gzip
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import Dataset, errors
from cellvision.io import file_digest

from .download import RemoteFile, data_folder, fetch

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from cellvision import DecodedImage

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""By the numbers of the original."""

_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_IMAGES = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}
_LABELS = {"train": "train-labels-idx1-ubyte.gz", "test": "t10k-labels-idx1-ubyte.gz"}

REMOTE = (
    RemoteFile(
        _URL + _IMAGES["train"],
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        26421880,
    ),
    RemoteFile(
        _URL + _LABELS["train"],
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        29515,
    ),
    RemoteFile(
        _URL + _IMAGES["test"],
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        4422102,
    ),
    RemoteFile(
        _URL + _LABELS["test"],
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        5148,
    ),
)
"""The four files, 31 MB in all."""


class FashionMnist(Dataset):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28 x 28, ten classes.

    The files are downloaded when they are first needed, or taken from `path`. Images are
    ``train/00000`` to ``train/59999`` and ``test/00000`` to ``test/09999``, 8-bit grey.

    References
    ----------
    Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms", arXiv:1708.07747 (2017). MIT licence.

    Examples
    --------
    >>> data = FashionMnist(path="downloads/fashion_mnist")
    >>> data.catalog()  # doctest: +SKIP
    """

    path: Path | None = None
    """A folder with the four original files (`*-ubyte.gz`). None: they are downloaded."""

    def catalog(self) -> pd.DataFrame:
        """List all images, with the splits ``train`` and ``test``.

        Raises
        ------
        errors.FolderError
            `path` lacks a file, or a file is damaged.
        errors.CellvisionError
            The files cannot be downloaded.
        """
        import pandas as pd

        tables = []
        for split in _IMAGES:
            labels, images = _read(self._file(_LABELS[split])), self._pixels(split)
            if labels.ndim != 1 or len(labels) != len(images) or labels.max(initial=0) > 9:
                raise errors.FolderError(
                    f"{self._folder}: {_LABELS[split]} does not belong to {_IMAGES[split]}",
                    "Fetch all four files again",
                )
            tables.append(
                pd.DataFrame(
                    {
                        "image": [f"{split}/{index:05}" for index in range(len(images))],
                        "label": [CLASS_NAMES[label] for label in labels],
                        "split": split,
                    }
                )
            )
        return pd.concat(tables, ignore_index=True)

    def read(self, image: str) -> np.ndarray:
        """Read one image: (28, 28, 1), uint8."""
        split, index = self._place(image)
        pixels: np.ndarray = self._pixels(split)[index, :, :, None]
        return pixels

    def decode_file(self, file: Path) -> DecodedImage:
        """Read an image file; the data set's own images are not files."""
        from cellvision.io import read_image

        return read_image(file)

    def fingerprint(self, image: str) -> str:
        """Identify an image by its file's SHA-256 and its place therein."""
        split, index = self._place(image)
        return f"{_digest(*_key(self._file(_IMAGES[split])))}-{index}"

    @property
    def _folder(self) -> Path:
        return data_folder() / "fashion_mnist" if self.path is None else self.path.expanduser()

    def _file(self, name: str) -> Path:
        folder = self._folder
        if self.path is None:
            if not (folder / name).exists():
                hint = (
                    f"Put {', '.join(remote.name for remote in REMOTE)} into {folder}, "
                    "or name a folder that has them with dataset.path"
                )
                for remote in REMOTE:
                    fetch(remote, folder, hint)
        elif not (folder / name).is_file():
            raise errors.FolderError(
                f"there is no {name} in {folder}",
                f"It must hold the four files of {_URL}; without dataset.path they are downloaded",
            )
        return folder / name

    def _pixels(self, split: str) -> NDArray[np.uint8]:
        pixels = _read(self._file(_IMAGES[split]))
        if pixels.ndim != 3:
            raise errors.FolderError(
                f"{self._folder / _IMAGES[split]} holds no images", "Fetch the file again"
            )
        return pixels

    def _place(self, image: str) -> tuple[str, int]:
        split, _, index = image.partition("/")
        if split in _IMAGES and index.isdecimal() and int(index) < len(self._pixels(split)):
            return split, int(index)
        raise errors.UnreadableImage(image, "there is no such image in Fashion-MNIST")


_reading = threading.Lock()
"""Threads that need the same file wait for the first to read it."""


def _read(file: Path) -> NDArray[np.uint8]:
    """Read one file of the idx format, once for a process; the array is read-only."""
    with _reading:
        return _unpack(*_key(file))


def _key(file: Path) -> tuple[Path, int, int]:
    """What changes when a file does."""
    status = file.stat()
    return file, status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=4)
def _unpack(file: Path, mtime_ns: int, size: int) -> NDArray[np.uint8]:  # noqa: ARG001 - the key
    import numpy as np

    again = "Fetch it again; it must be one of the original files, as they are"
    try:
        content = gzip.decompress(file.read_bytes())
    except (OSError, EOFError, zlib.error) as fault:
        raise errors.FolderError(f"{file} cannot be unpacked: {fault}", again) from fault
    # idx: two zeros, the type (8 is uint8), the number of dimensions, then each big-endian.
    dimensions = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    shape = np.frombuffer(content[4 : 4 + 4 * dimensions], ">u4").astype(int)
    pixels = np.frombuffer(content, np.uint8)[4 + 4 * dimensions :]
    if dimensions == 0 or len(shape) < dimensions or pixels.size != shape.prod():
        raise errors.FolderError(f"{file} is no whole idx file of bytes", again)
    return pixels.reshape(shape)


@functools.lru_cache(maxsize=4)
def _digest(file: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001 - the key
    return file_digest(file)
