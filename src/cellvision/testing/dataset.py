"""The checks of a data set."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cellvision import errors
from cellvision.digests import pixel_digest
from cellvision.interfaces.decoded_image import DecodedImage
from cellvision.testing.component import conformance_check, from_reference
from cellvision.testing.dataset_options import DatasetOptionChecks
from cellvision.testing.process import Process, ProcessFault, open_files
from cellvision.testing.result import CheckFailed

_MOST_CHANNELS = 8
"""An image of so few rows, and more columns and channels, probably has its channels first."""

_SLOW_READ, _SLOW_BYTE = 0.02, 1e-8
"""Seconds, and seconds for each byte of pixels, after which reading an image counts as slow."""

_FASTER = (
    "keep the file open (one handle for each thread), define read_many(), or define fingerprint(), "
    "which otherwise reads every image once more"
)

_READS = 1000
_ROUNDS = 4
_MEGABYTE = 2**20


class DatasetChecks(DatasetOptionChecks):
    """The checks of a data set, to subclass in a plugin's tests.

    The example should have a dozen small images of at least two classes, with everything that is
    special about the data set. If it needs files, override `settings` and write them there.

    Examples
    --------
    >>> from pathlib import Path
    >>> from cellvision.testing import DatasetChecks, write_images
    >>> class TestFolder(DatasetChecks):
    ...     name = "folder"
    ...
    ...     def settings(self, folder: Path):
    ...         write_images(folder)
    ...         return {"path": folder}
    """

    @conformance_check
    def test_lists_its_images(self) -> None:
        """`catalog` returns a table with a row per image and the columns image and label."""
        self.require(
            len(self.table) >= 4 and self.table["label"].nunique() >= 2,
            "the example has fewer than four images, or fewer than two classes",
            "Give a larger example.",
        )

    @conformance_check
    def test_ids_are_unique(self) -> None:
        """Every image has a unique id, and the id is text."""
        ids = list(self.table["image"])
        invalid = [image for image in ids if not isinstance(image, str) or not image]
        self.require(
            not invalid,
            f"{len(invalid)} ids are not text, first: {invalid[:1]}",
            "Return strings.",
        )
        self.require(
            len(set(ids)) == len(ids),
            f"{len(ids) - len(set(ids))} ids occur more than once",
            "Use ids that distinguish all images, such as the path below the folder.",
        )

    @conformance_check
    def test_labels_are_known(self) -> None:
        """Every image has a label, and the label is text."""
        labels = list(self.table["label"])
        invalid = [label for label in labels if not isinstance(label, str) or not label]
        self.require(
            not invalid,
            f"{len(invalid)} labels are missing or not text, first: {invalid[:1]}",
            "Leave out images without a label, and list them in skipped_files().",
        )

    @conformance_check
    def test_catalog_keeps_the_rules(self) -> None:
        """The catalog passes cellvision's own checks of splits, groups and classes."""
        self.require(len(self.catalog), "it is empty", "List the images.")

    @conformance_check
    def test_lists_the_same_again(self) -> None:
        """A second catalog, by an equal component, has the same rows in the same order."""
        first = self.table
        again = self.registry.create(self.name, **self.dataset.model_dump()).catalog()
        self.require(
            first.equals(again),
            "catalog() returns something else the second time",
            "Sort names from the file system and from sets; seed what is random.",
        )

    @conformance_check
    def test_reads_its_images(self) -> None:
        """`read` returns an array (height, width, channels) of numbers, not empty."""
        import numpy as np

        for image, pixels in self.pixels.items():
            self.require(
                isinstance(pixels, np.ndarray) and pixels.ndim == 3 and pixels.size,
                f"read({image!r}) returned {type(pixels).__name__} of shape "
                f"{getattr(pixels, 'shape', None)}",
                "Return a numpy array of shape (height, width, channels).",
            )
            self.require(
                pixels.dtype.kind in "buif",
                f"read({image!r}) returned pixels of {pixels.dtype}",
                "Return the native dtype: bool, unsigned or signed integers, or floats.",
            )
            first, *sides = pixels.shape
            self.require(
                not (first <= _MOST_CHANNELS < min(sides)),
                f"read({image!r}) has the shape {pixels.shape}: channels seem to come first",
                "Return (height, width, channels): pixels.transpose(1, 2, 0).",
            )

    @conformance_check
    def test_reads_fast_enough(self) -> None:
        """Advises if reading an image takes so long that the first training waits for it."""
        import time

        excess = []
        for image, pixels in self.pixels.items():
            start = time.perf_counter()
            self.dataset.read(image)
            seconds = time.perf_counter() - start
            excess.append((seconds - _SLOW_READ - _SLOW_BYTE * pixels.nbytes, seconds))
        self.require(excess, "no image was read", "")
        median = sorted(excess)[len(excess) // 2]
        if median[0] > 0:
            self.note(f"reading an image takes {1000 * median[1]:.0f} ms: {_FASTER}")

    @conformance_check
    def test_reads_many_as_it_reads_one(self) -> None:
        """`read_many` returns what `read` returns for each image, in the given order."""
        images = list(self.pixels)[::-1]
        items = list(self.dataset.read_many(images))
        self.require(
            len(items) == len(images),
            f"read_many() returned {len(items)} images for {len(images)}",
            "Return one for each id.",
        )
        for image, item in zip(images, items, strict=True):
            pixels = item.pixels if isinstance(item, DecodedImage) else item
            self.require(
                pixel_digest(pixels) == pixel_digest(self.pixels[image]),
                f"read_many() and read() return different pixels of {image!r}",
                "Keep the order of the ids, native pixels and their dtype.",
            )

    @conformance_check
    def test_reads_the_same_again(self) -> None:
        """Reading an image again gives equal pixels of the same shape and dtype."""
        for image, pixels in self.pixels.items():
            again = self.dataset.read(image)
            self.require(
                (again.shape, again.dtype) == (pixels.shape, pixels.dtype),
                f"read({image!r}) returns {pixels.shape} {pixels.dtype}, then {again.shape} "
                f"{again.dtype}",
                "Return the native pixels every time.",
            )
            self.require(
                pixel_digest(again) == pixel_digest(pixels),
                f"read({image!r}) returns other pixels the second time",
                "Remove randomness from read(): augmenters vary images.",
            )

    @conformance_check
    def test_decodes_what_it_reads(self) -> None:
        """`decode` returns the pixels of `read`, with a bit depth that holds them."""
        for image, pixels in self.pixels.items():
            decoded = self.dataset.decode(image)
            self.require(
                pixel_digest(decoded.pixels) == pixel_digest(pixels),
                f"decode({image!r}) and read({image!r}) return different pixels",
                "Return decode().pixels from read().",
            )
            high = float(pixels.max())
            self.require(
                pixels.dtype.kind not in "bu" or high < 2**decoded.bit_depth,
                f"{image!r} has a pixel of {high:g}, more than {decoded.bit_depth} bits hold",
                "Return the bit depth that the file declares, or do not override decode().",
            )

    @conformance_check
    def test_fingerprints_tell_images_apart(self) -> None:
        """`fingerprint` is the same for the same image, and differs for other pixels."""
        prints = {image: self.dataset.fingerprint(image) for image in self.pixels}
        for image, pixels in self.pixels.items():
            self.require(
                self.dataset.fingerprint(image) == prints[image],
                f"fingerprint({image!r}) changes",
                "Compute it from the content alone: it is the key of cached pixels.",
            )
            twins = [
                other
                for other, theirs in self.pixels.items()
                if prints[other] == prints[image] and pixel_digest(theirs) != pixel_digest(pixels)
            ]
            self.require(
                not twins,
                f"{image!r} and {twins[:1]} differ but have one fingerprint",
                "Compute it from all of the content, such as by hashlib.sha256 of the file.",
            )

    @conformance_check
    def test_refuses_unknown_images(self) -> None:
        """Reading an id that is not in the catalog raises errors.UnreadableImage."""
        assert self.pixels
        try:
            self.dataset.read("no/such/image.example")
        except errors.UnreadableImage:
            self.require(True, "", "")
        except Exception as error:
            raise CheckFailed(
                f"an unknown image raises {errors.summarize(error)}",
                "raise errors.UnreadableImage(image, reason)",
            ) from error
        else:
            self.require(False, "an unknown image is read", "raise errors.UnreadableImage")

    @conformance_check
    def test_memory_stays_flat(self) -> None:
        """After 1,000 reads, memory in use and the number of open files have not grown."""
        some, read = list(self.pixels), self.dataset.read
        for image in some:
            read(image)
        files = open_files()
        gc.freeze()  # modules need not be searched each time
        tracemalloc.start()
        try:
            total, levels = 0, [tracemalloc.get_traced_memory()[0]]
            for number in range(_READS):
                total += read(some[number % len(some)]).nbytes
                if (number + 1) % (_READS // _ROUNDS) == 0:
                    gc.collect()
                    levels.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
            gc.unfreeze()
        # Python itself may allocate a few megabytes once, such as for its table of names; images
        # that are kept grow in every round.
        growth = _ROUNDS * min(after - before for before, after in itertools.pairwise(levels))
        self.require(
            growth < _MEGABYTE / 4 + total / 10,
            f"after {_READS} reads {growth / _MEGABYTE:.1f} MB more are in use",
            "Keep no pixels: cellvision caches them on disk.",
        )
        left = open_files() - files
        fault = f"after {_READS} reads {left} files are still open"
        self.require(left < 10, fault, "Open them by `with`.")

    @conformance_check
    def test_reads_from_threads(self) -> None:
        """Reading from eight threads at once gives the same images."""
        images = list(self.pixels) * 4
        with ThreadPoolExecutor(8) as pool:
            digests = list(pool.map(lambda image: pixel_digest(self.dataset.read(image)), images))
        for image, digest in zip(images, digests, strict=True):
            self.require(
                digest == pixel_digest(self.pixels[image]),
                f"{image!r} differs when several threads read",
                "Share no open file between calls, or use a threading.Lock.",
            )

    @conformance_check
    def test_works_from_two_processes(self) -> None:
        """Two new processes at the same time list and read the same images as this one."""
        expected = {image: pixel_digest(pixels) for image, pixels in self.pixels.items()}
        with Process() as first, Process() as second:
            answers = [
                process.start(_read_here, **self.to_reference(), images=list(expected))
                for process in (first, second)
            ]
            try:
                results = [answer() for answer in answers]
            except ProcessFault as fault:
                raise CheckFailed(
                    f"in another process: {fault}",
                    "Keep all state in fields; write files under a temporary name and rename them.",
                ) from fault
        for count, digests in results:
            self.require(
                count == len(self.table) and digests == expected,
                "another process lists or reads other images",
                "Depend on no state of the process: no hash(), no globals.",
            )

    @conformance_check
    def test_passes_the_audit(self) -> None:
        """`cellvision audit` reads every image and refuses none."""
        from cellvision.data.audit import audit
        from cellvision.data.preprocessing import Preprocessing
        from cellvision.testing.examples import SIZE, example_plugins

        kind = next(iter(self.pixels.values())).dtype.kind
        intensity: Any = (-1.0, 1.0) if kind in "if" else "bit_depth"
        assert self.catalog is not None
        with example_plugins():
            preprocessing = Preprocessing(size=SIZE, channels=(0,), intensity=intensity)
            report = audit(self.experiment(preprocessing=preprocessing))
        refused = [file for file in report.files if file.status == "refused"]
        self.require(
            not refused,
            f"{len(refused)} images are refused, first: "
            + "".join(f"{file.file}: {file.reason}" for file in refused[:1]),
            "Leave them out of the example, or make read() accept them.",
        )
        read = sum(file.status == "read" for file in report.files)
        self.require(read, "the audit reads no image", "List the images in catalog().")


def _read_here(
    reference: str, settings: Mapping[str, Any], images: list[str]
) -> tuple[int, dict[str, str]]:
    dataset = from_reference(reference, settings)
    count = len(dataset.catalog())
    return count, {image: pixel_digest(dataset.read(image)) for image in images}
