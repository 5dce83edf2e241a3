"""Read images for a run: decoded as its data set decodes them, prepared as for training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.batch_reads import read_together, reads_in_batches
from cellvision.data.image_stats import ImageStats, pixel_fault
from cellvision.data.near_duplicates import sketch
from cellvision.data.threaded_map import Progress, in_threads
from cellvision.digests import native_digest
from cellvision.inference.image_search import ImageFile
from cellvision.inference.unlike_images import UnlikeImages
from cellvision.interfaces.decoded_image import DecodedImage
from cellvision.results.recorded_dataset import recorded_dataset

if TYPE_CHECKING:
    from cellvision.interfaces.dataset import Dataset
    from cellvision.results.run import Run

OnDecoded = Callable[[str, DecodedImage | errors.UnreadableImage], ImageStats]
"""Receives the name of an image, and the decoded image or why it cannot be read; returns its
statistics."""

_SAMPLE = 16
"""Files that are read at a time until one is readable."""


@dataclass(frozen=True, eq=False)
class InputImage:
    """An image ready for the network.

    Attributes
    ----------
    image : ImageFile
        The image.
    pixels : numpy.ndarray
        Shape (height, width, channels), native intensities.
    digest : str or None
        Of the decoded pixels; None for a flat image.
    sketch : bytes
        Of the decoded pixels; empty if sketches are not needed.
    """

    image: ImageFile
    pixels: np.ndarray
    digest: str | None = None
    sketch: bytes = b""


class ImageReader:
    """Reads images for the network of a run; several threads may share it.

    Parameters
    ----------
    run
        The run.
    dataset
        The data set whose images are read; None reads files, as the run's data set does.
    on_decoded
        Called with the name of each image and what decoding it gave, maybe twice for some images
        and from several threads.
    sketches
        Whether to sketch images, for a search for near-duplicates.

    Raises
    ------
    errors.PluginError, errors.ExperimentError
        The run's data set cannot be loaded, so it is unknown how it reads images.
    """

    def __init__(
        self,
        run: Run,
        dataset: Dataset | None = None,
        on_decoded: OnDecoded | None = None,
        *,
        sketches: bool = False,
    ) -> None:
        self._sketches = sketches
        self._on_decoded = on_decoded
        self._preprocessing = run.preprocessing
        self._dtype = _training_dtype(run)
        self._dataset = dataset
        self._run_dataset = run_dataset(run) if dataset is None else None
        self._lock = threading.Lock()
        self.unlike = UnlikeImages(run)

    def read(self, image: ImageFile) -> InputImage | errors.UnreadableImage:
        """Read one image; a fault of the file is returned, not raised.

        Raises
        ------
        errors.PreprocessingError
            Its pixel type or channels do not fit the network.
        errors.ExperimentError
            The run's data set does not read single files.
        """
        (result,) = self.read_many([image])
        return result

    def read_many(
        self, images: Sequence[ImageFile]
    ) -> Iterator[InputImage | errors.UnreadableImage]:
        """Read images one after the other, or several at a time if the data set can.

        Results and errors are those of `read`.
        """
        if self._dataset is not None:
            decoded = read_together(self._dataset, [image.name for image in images])
        else:
            decoded = map(self._decode_file, images)
        for image, result in zip(images, decoded, strict=True):
            stats = None if self._on_decoded is None else self._on_decoded(image.name, result)
            if isinstance(result, errors.UnreadableImage):
                yield errors.UnreadableImage(image.name, result.reason, result.hint)
            elif fault := pixel_fault(np.asarray(result.pixels)):  # as in audit and training
                yield errors.UnreadableImage(image.name, fault)
            else:
                yield self._prepare(image, result, stats)

    @property
    def images_per_read(self) -> int:
        """Images that are best read in one go."""
        if self._dataset is None or not reads_in_batches(self._dataset):
            return 1
        return self._dataset.images_per_read

    def _prepare(
        self, image: ImageFile, decoded: DecodedImage, stats: ImageStats | None
    ) -> InputImage:
        pixels = np.asarray(decoded.pixels)
        if self._dtype is not None and _comparable(pixels.dtype) != self._dtype:
            raise errors.PreprocessingError(
                f"{image.name}: its pixels are {pixels.dtype}; the network was trained on "
                f"{self._dtype}",
                "Predict images of the same type: these intensities mean something else.",
            )
        with self._lock:
            self.unlike.add(image.name, pixels, decoded.bit_depth, decoded.notes)
        preprocessing = self._preprocessing
        try:
            channels = preprocessing.select_channels(pixels)
            resized = preprocessing.expand_channels(preprocessing.resize(channels))
            return InputImage(image, resized, *self._identify(pixels, stats))
        except errors.PreprocessingError as error:
            raise errors.PreprocessingError(
                f"{image.name}: {error.what}", "Predict images like those of the training."
            ) from error

    def _identify(self, pixels: np.ndarray, stats: ImageStats | None) -> tuple[str | None, bytes]:
        """Return digest and sketch of an image; neither of a flat one: background is no copy."""
        if pixels.min() == pixels.max():
            return None, b""
        if stats is not None:  # which has taken both
            return stats.digest, stats.sketch if self._sketches else b""
        return native_digest(pixels), sketch(pixels) if self._sketches else b""

    def _decode_file(self, image: ImageFile) -> DecodedImage | errors.UnreadableImage:
        assert self._run_dataset is not None
        try:
            return self._run_dataset.decode_file(image.path)
        except errors.UnreadableImage as error:
            return error
        except MemoryError:
            return errors.UnreadableImage(image.name, "not enough memory to read it")

    def sample(self, images: Sequence[ImageFile]) -> np.ndarray:
        """Return the first readable images, shape (n, height, width, channels).

        Raises
        ------
        errors.UnreadableImages
            No image is readable.
        """
        faults: list[errors.UnreadableImage] = []
        for start in range(0, len(images), _SAMPLE):
            part = images[start : start + _SAMPLE]
            together = self.images_per_read > 1
            results = list(self.read_many(part) if together else in_threads(self.read, part))
            pixels = [result.pixels for result in results if isinstance(result, InputImage)]
            self.unlike.clear()  # these images are read again
            if pixels:
                return np.stack(pixels)
            faults += [item for item in results if isinstance(item, errors.UnreadableImage)]
        raise unreadable(faults)

    def check_files(
        self, images: Sequence[ImageFile], seconds: float, progress: Progress
    ) -> list[errors.UnreadableImage]:
        """Read files for some seconds, and all of them if one is unreadable.

        Parameters
        ----------
        images
            The images.
        seconds
            Time after which files are trusted if none was unreadable.
        progress
            Called with the number of files read and of all, once one is unreadable.

        Returns
        -------
        list of errors.UnreadableImage
            The faults: of all files, or none.
        """
        if self._dataset is not None:
            return []  # its batches would be read twice
        end = time.monotonic() + seconds
        faults: list[errors.UnreadableImage] = []
        with closing(in_threads(self._fault_of, images)) as results:
            for done, fault in enumerate(results, start=1):
                faults += [] if fault is None else [fault]
                if faults:
                    progress(done, len(images))
                elif time.monotonic() > end:
                    break
        self.unlike.clear()  # these images are read again
        return faults

    def is_unreadable(self, image: ImageFile) -> bool:
        """Whether reading an image fails; the image is not counted."""
        fault = self._fault_of(image)
        self.unlike.clear()  # the image is read again
        return fault is not None

    def _fault_of(self, image: ImageFile) -> errors.UnreadableImage | None:
        result = self.read(image)
        return result if isinstance(result, errors.UnreadableImage) else None


def unreadable(faults: Sequence[errors.UnreadableImage]) -> errors.UnreadableImages:
    """Return the error that lists unreadable images, with what `predict` can do about them."""
    error = errors.UnreadableImages(faults)
    error.hint = (
        "Repair or remove them, or leave them out: --skip-unreadable (skip_unreadable=True in "
        "Python)."
    )
    return error


def dataset_images(dataset: Dataset) -> tuple[ImageFile, ...]:
    """List the images of a data set by their names in its catalog."""
    from cellvision.data.catalog import Catalog

    names = Catalog.of(dataset).table["image"]
    return tuple(ImageFile(Path(name), name, Path()) for name in names)


def run_dataset(run: Run) -> Dataset:
    """Return the data set of a run, which reads images as those of the training were read.

    Raises
    ------
    errors.PluginError, errors.ExperimentError
        It cannot be loaded.
    """
    try:
        return recorded_dataset(run.metadata)
    except (errors.PluginError, errors.ExperimentError) as error:
        raise type(error)(
            f"{run.folder}: the run's data set cannot be loaded, so it is unknown how it reads "
            f"images: {error.what}",
            error.hint or "Install its plugin.",
        ) from error


def _training_dtype(run: Run) -> str | None:
    """Return the pixel type of the training images; None if every image is scaled by itself."""
    if run.preprocessing.intensity == "per_image" or run.audit is None:
        return None
    dtypes = (file.dtype for file in run.audit.files if file.status == "read" and file.dtype)
    return next(map(_comparable, dtypes), None)


def _comparable(dtype: object) -> str:
    """Return the name of a pixel type; black and white images are scaled as 8 bits are."""
    return "uint8" if str(dtype) == "bool" else str(dtype)
