"""The checks of a data set."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import errors
from cellvision.interfaces.dataset import Dataset, datasets
from cellvision.testing.component import ComponentChecks, arrived, conformance_check
from cellvision.testing.process import Process, ProcessFault
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision.data.catalog import Catalog

_LOOKED_AT = 16
"""Images that are read in most checks."""

_READS = 1000
_ROUNDS = 4
_MEGABYTE = 2**20


class DatasetChecks(ComponentChecks):
    """The checks of a data set, to subclass in a plugin's tests.

    The example should have a dozen small images, of at least two classes, with all that is
    special about the data set. Where it needs files, `settings` writes them.

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

    registry: ClassVar = datasets

    @property
    def dataset(self) -> Dataset:
        """The example."""
        component = self.component
        assert isinstance(component, Dataset)
        return component

    @property
    def table(self) -> pd.DataFrame:
        """The example's catalog as the plugin gives it."""
        dataset = self.dataset
        return self.once("catalog()", "test_lists_its_images", dataset.catalog)

    @property
    def catalog(self) -> Catalog:
        """The same after cellvision's own checks."""
        from cellvision.data.catalog import Catalog

        assert self.table is not None
        dataset = self.dataset
        return self.once("the catalog", "test_catalog_keeps_the_rules", lambda: Catalog.of(dataset))

    @property
    def some(self) -> list[str]:
        """Some images, from the whole catalog."""
        images = [str(image) for image in self.table["image"]]
        return images[:: max(1, len(images) // _LOOKED_AT)][:_LOOKED_AT]

    @property
    def pixels(self) -> dict[str, np.ndarray]:
        """What `read` gives for these."""
        dataset, some = self.dataset, self.some
        return self.once(
            "read()",
            "test_reads_its_images",
            lambda: {image: dataset.read(image) for image in some},
        )

    @conformance_check
    def test_lists_its_images(self) -> None:
        """`catalog` gives a table with the columns image and label, and a row for each image."""
        import pandas as pd

        self.require(
            isinstance(self.table, pd.DataFrame),
            f"catalog() gave {type(self.table).__name__}",
            "Give a pandas.DataFrame with a row for each image",
        )
        for column in ("image", "label"):
            self.require(
                column in self.table.columns,
                f"the catalog has no column {column!r}",
                "catalog() gives at least the columns image and label",
            )
        self.require(
            len(self.table) >= 4 and self.table["label"].nunique() >= 2,
            "the example has fewer than four images, or fewer than two classes",
            "Give an example on which something can be checked",
        )

    @conformance_check
    def test_ids_are_unique(self) -> None:
        """Every image has an id of its own, and the id is text."""
        ids = list(self.table["image"])
        odd = [image for image in ids if not isinstance(image, str) or not image]
        self.require(not odd, f"{len(odd)} ids are no text, first: {odd[:1]}", "Make them strings")
        self.require(
            len(set(ids)) == len(ids),
            f"{len(ids) - len(set(ids))} ids occur more than once",
            "Make ids of all that tells images apart, such as the path below the folder",
        )

    @conformance_check
    def test_labels_are_known(self) -> None:
        """Every image has a label, and the label is text."""
        labels = list(self.table["label"])
        odd = [label for label in labels if not isinstance(label, str) or not label]
        self.require(
            not odd,
            f"{len(odd)} labels are missing or no text, first: {odd[:1]}",
            "Leave out images without a label, and tell of them in skipped_files()",
        )

    @conformance_check
    def test_catalog_keeps_the_rules(self) -> None:
        """The catalog passes cellvision's own checks of splits, groups and classes."""
        self.require(len(self.catalog), "it is empty", "List the images")

    @conformance_check
    def test_lists_the_same_again(self) -> None:
        """A second catalog, by an equal component, is the same in the same order."""
        first = self.table
        again = self.registry.create(self.name, **self.dataset.model_dump()).catalog()
        self.require(
            first.equals(again),
            "catalog() gives something else the second time",
            "Sort what the file system or a set gives; seed what is random",
        )

    @conformance_check
    def test_reads_its_images(self) -> None:
        """`read` gives an array (height, width, channels) of numbers, not empty."""
        import numpy as np

        for image, pixels in self.pixels.items():
            self.require(
                isinstance(pixels, np.ndarray) and pixels.ndim == 3 and pixels.size,
                f"read({image!r}) gave {type(pixels).__name__} of shape "
                f"{getattr(pixels, 'shape', None)}",
                "Give a numpy array of shape (height, width, channels)",
            )
            self.require(
                pixels.dtype.kind in "buif",
                f"read({image!r}) gave pixels of {pixels.dtype}",
                "Give the native dtype: bool, unsigned or signed integers, or floats",
            )

    @conformance_check
    def test_reads_the_same_again(self) -> None:
        """Reading an image again gives equal pixels of the same shape and dtype."""
        for image, pixels in self.pixels.items():
            again = self.dataset.read(image)
            self.require(
                (again.shape, again.dtype) == (pixels.shape, pixels.dtype),
                f"read({image!r}) gives {pixels.shape} {pixels.dtype}, then {again.shape} "
                f"{again.dtype}",
                "Give the native pixels every time",
            )
            self.require(
                _digest(again) == _digest(pixels),
                f"read({image!r}) gives other pixels the second time",
                "No randomness in read(); varying images is an augmenter's work",
            )

    @conformance_check
    def test_decodes_what_it_reads(self) -> None:
        """`decode` gives the pixels of `read`, with a bit depth that holds them."""
        for image, pixels in self.pixels.items():
            decoded = self.dataset.decode(image)
            self.require(
                _digest(decoded.pixels) == _digest(pixels),
                f"decode({image!r}) and read({image!r}) give different pixels",
                "Let read() give decode().pixels",
            )
            high = float(pixels.max())
            self.require(
                pixels.dtype.kind not in "bu" or high < 2**decoded.bit_depth,
                f"{image!r} has a pixel of {high:g}, more than {decoded.bit_depth} bits hold",
                "Give the bit depth that the file declares, or leave decode() as it is",
            )

    @conformance_check
    def test_fingerprints_tell_images_apart(self) -> None:
        """`fingerprint` is the same for the same image, and another for other pixels."""
        prints = {image: self.dataset.fingerprint(image) for image in self.pixels}
        for image, pixels in self.pixels.items():
            self.require(
                self.dataset.fingerprint(image) == prints[image],
                f"fingerprint({image!r}) changes",
                "Make it of the content alone: cached pixels are found by it",
            )
            twins = [
                other
                for other, theirs in self.pixels.items()
                if prints[other] == prints[image] and _digest(theirs) != _digest(pixels)
            ]
            self.require(
                not twins,
                f"{image!r} and {twins[:1]} differ and have one fingerprint",
                "Make it of all of the content, as hashlib.sha256 of the file does",
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
                "raise errors.UnreadableImage(image, reason): it is listed with its file",
            ) from error
        else:
            self.require(False, "an unknown image is read", "raise errors.UnreadableImage")

    @conformance_check
    def test_memory_stays_flat(self) -> None:
        """After 1,000 reads no more memory is held and no more files are open than before."""
        some, read = list(self.pixels), self.dataset.read
        for image in some:
            read(image)
        files = _open_files()
        gc.collect()
        tracemalloc.start()
        try:
            passed, levels = 0, [tracemalloc.get_traced_memory()[0]]
            for number in range(_READS):
                passed += read(some[number % len(some)]).nbytes
                if (number + 1) % (_READS // _ROUNDS) == 0:
                    gc.collect()
                    levels.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        # Python itself may take a few megabytes once, for its table of names for example; what
        # is kept of the images grows in every round.
        held = _ROUNDS * min(after - before for before, after in itertools.pairwise(levels))
        self.require(
            held < _MEGABYTE / 4 + passed / 10,
            f"after {_READS} reads {held / _MEGABYTE:.1f} MB more are held",
            "Keep no pixels: cellvision has a cache of its own on disk",
        )
        left = _open_files() - files
        self.require(
            left < 10, f"after {_READS} reads {left} files are left open", "Open them by `with`"
        )

    @conformance_check
    def test_reads_from_threads(self) -> None:
        """Read from eight threads at once, the images are the same."""
        images = list(self.pixels) * 4
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda image: _digest(self.dataset.read(image)), images))
        for image, digest in zip(images, found, strict=True):
            self.require(
                digest == _digest(self.pixels[image]),
                f"{image!r} differs when several threads read",
                "Share no open file between calls, or take a threading.Lock",
            )

    @conformance_check
    def test_works_from_two_processes(self) -> None:
        """Two new processes at once list and read the same images as this one."""
        expected = {image: _digest(pixels) for image, pixels in self.pixels.items()}
        with Process() as first, Process() as second:
            asked = [
                process.start(_read_there, **self.there(), images=list(expected))
                for process in (first, second)
            ]
            try:
                found = [answer() for answer in asked]
            except ProcessFault as fault:
                raise CheckFailed(
                    f"in another process: {fault}",
                    "Keep all that is needed in fields; lock or rename what is written",
                ) from fault
        for count, digests in found:
            self.require(
                count == len(self.table) and digests == expected,
                "another process lists or reads other images",
                "Nothing may depend on the process: no hash(), no global state",
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
            found = audit(self.experiment(preprocessing=preprocessing))
        refused = [file for file in found.files if file.status == "refused"]
        self.require(
            not refused,
            f"{len(refused)} images are refused, first: "
            + "".join(f"{file.file}: {file.reason}" for file in refused[:1]),
            "Leave them out of the example, or make read() take them",
        )
        read = sum(file.status == "read" for file in found.files)
        self.require(read, "the audit reads no image", "List the images in catalog()")


def _digest(pixels: np.ndarray) -> str:
    from cellvision.data.digests import pixel_digest

    return pixel_digest(pixels)


def _open_files() -> int:
    """How many files this process has open; 0 where the system does not tell."""
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.is_dir() else 0


def _read_there(
    reference: str, settings: Mapping[str, Any], images: list[str]
) -> tuple[int, dict[str, str]]:
    dataset = arrived(reference, settings)
    count = len(dataset.catalog())
    return count, {image: _digest(dataset.read(image)) for image in images}
