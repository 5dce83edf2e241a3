"""Classes and probabilities of new images, by a run's model."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TextIO

import numpy as np

from cellvision import atomic_io, errors, remote
from cellvision.data.files import IMAGE_SUFFIXES, is_phantom, read_image
from cellvision.data.image_stats import in_threads
from cellvision.inference.engines.selection import Choice, choose
from cellvision.progress import displayed
from cellvision.results import record

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.results.run import Run

_TOGETHER = 16
"""Files that a thread takes on at a time (more where an engine wants more at once)."""

_ROWS = 1024
"""Rows of the table that are written at a time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predicted:
    """How predictions were made.

    Attributes
    ----------
    images : int
        How many were predicted.
    engine : str
        What computed them, with its version.
    seconds : float
        From the first image that was read to the last that was written, without the start of
        the engine.
    """

    images: int
    engine: str
    seconds: float


def predict(
    run: Run,
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    engine: Choice = "auto",
    progress: bool | None = None,
) -> pd.DataFrame:
    """Classify new images as a run's network does.

    They go through the run's own preprocessing: its size, channels and intensity. The network computes
    in float32, whatever it was trained in. Every engine gives the same probabilities, to 0.001
    and usually to a millionth.

    Parameters
    ----------
    run
        A finished run.
    images
        Files, or folders, which are searched to any depth; also addresses of them, such as
        ``s3://bucket/new``, which are copied into the cache folder first.
    out
        A CSV file to write the table to, whole or not at all.
    engine
        What computes: ``"keras"``, ``"onnxruntime"``, ``"openvino"``, or ``"auto"`` for what is
        soonest done. The last two need their package, convert the network once, compare it with
        Keras on some of the images, and keep it in the cache folder. ``"auto"`` uses a
        converted network that is there, converts where Keras would work for more than four
        seconds, and takes Keras otherwise and wherever Keras has a GPU.
    progress
        Whether to show progress on standard error; by default where that is a terminal.

    Returns
    -------
    pandas.DataFrame
        One row an image, in order: ``image``, ``predicted``, ``p_<class>``... Its
        ``attrs["engine"]`` names what computed it, with the version.

    Raises
    ------
    errors.FolderError
        There is no such file or no image.
    errors.UnreadableImages
        Files cannot be read (all are listed) and the run's preprocessing does not say to skip them.
    errors.PreprocessingError
        Images have other channels or another pixel type than the network was trained on.
    errors.ConversionError
        An engine that is asked for by name cannot compute this network, or computes otherwise.
    """
    import pandas as pd

    blocks: list[pd.DataFrame] = []
    done = predict_blocks(run, images, out, blocks.append, engine=engine, progress=progress)
    table = pd.concat(blocks, ignore_index=True)
    table.attrs["engine"] = done.engine
    return table


def predict_blocks(
    run: Run,
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None,
    take: Callable[[pd.DataFrame], None],
    *,
    engine: Choice = "auto",
    progress: bool | None = None,
) -> Predicted:
    """Classify any number of images without holding their pixels or their table.

    Each processor has a thread that reads some images, predicts them and reads the next.

    Parameters
    ----------
    take
        Given the table in blocks of rows, in order.
    run, images, out, engine, progress
        As for `predict`, and so is what is raised.
    """
    with _found(images) as found:
        return _predict_files(run, found, out, take, engine, progress)


def _predict_files(
    run: Run,
    named: Sequence[tuple[Path, str]],
    out: str | os.PathLike[str] | None,
    take: Callable[[pd.DataFrame], None],
    engine: Choice,
    progress: bool | None,
) -> Predicted:
    files, names = [file for file, _ in named], dict(named)
    prepare = _preparing(run)
    strict = run.preprocessing.on_unreadable == "error"
    pixels = _sample(prepare, files)
    chosen = choose(engine, run, pixels, len(files))
    faults: list[errors.UnreadableImage] = []

    def predicted(chunk: Sequence[Path]) -> list[tuple[Path, np.ndarray | errors.UnreadableImage]]:
        found: list[tuple[Path, np.ndarray | errors.UnreadableImage]] = []
        for start in range(0, len(chunk), chosen.at_once):
            prepared = [(file, prepare(file)) for file in chunk[start : start + chosen.at_once]]
            good = [(file, item) for file, item in prepared if isinstance(item, np.ndarray)]
            found += [pair for pair in prepared if not isinstance(pair[1], np.ndarray)]
            if good and not (faults and strict):  # then all that is left to do is to list them
                probabilities = chosen.predict(np.stack([item for _, item in good]))
                found += zip((file for file, _ in good), probabilities, strict=True)
        return found

    size = max(_TOGETHER, chosen.at_once)
    chunks = [files[start : start + size] for start in range(0, len(files), size)]
    began = time.perf_counter()
    with displayed(progress) as display, _written(out) as file:
        table = _Table(run.class_names, file, take)
        done = 0
        for chunk, found in zip(chunks, in_threads(predicted, chunks), strict=True):
            faults += [item for _, item in found if isinstance(item, errors.UnreadableImage)]
            table.add([(names[path], row) for path, row in found if isinstance(row, np.ndarray)])
            done += len(chunk)
            display.task(f"predicting ({chosen.name})", done, len(files))
        if faults and (strict or len(faults) == len(files)):
            raise errors.UnreadableImages(faults)
        table.flush()
    if faults:
        _log.warning("%d file(s) cannot be read and are left out: %s", len(faults), _some(faults))
    return Predicted(
        len(files) - len(faults),
        f"{chosen.name} {chosen.version}",
        time.perf_counter() - began,
    )


Prepare = Callable[[Path], "np.ndarray | errors.UnreadableImage"]


def _preparing(run: Run) -> Prepare:
    """What makes a file ready for the network: native pixels, (height, width, channels)."""
    preprocessing = run.preprocessing
    dtype = _trained_dtype(run)

    def prepare(file: Path) -> np.ndarray | errors.UnreadableImage:
        try:
            pixels = read_image(file).pixels
        except errors.UnreadableImage as error:
            return error
        if dtype is not None and str(pixels.dtype) != dtype:
            raise errors.PreprocessingError(
                f"{file}: its pixels are {pixels.dtype}; the network was trained on {dtype}",
                "Predict on images of the same kind: their intensities mean something else",
            )
        try:
            return preprocessing.expand_channels(
                preprocessing.resize(preprocessing.select_channels(pixels))
            )
        except errors.PreprocessingError as error:
            raise errors.PreprocessingError(f"{file}: {error.what}", error.hint) from None

    return prepare


def _sample(prepare: Prepare, files: Sequence[Path]) -> np.ndarray:
    """The first images that can be read, on which an engine is tried.

    Raises
    ------
    errors.UnreadableImages
        None can.
    """
    faults: list[errors.UnreadableImage] = []
    for start in range(0, len(files), _TOGETHER):
        prepared = list(in_threads(prepare, files[start : start + _TOGETHER]))
        good = [item for item in prepared if isinstance(item, np.ndarray)]
        if good:
            return np.stack(good)
        faults += [item for item in prepared if isinstance(item, errors.UnreadableImage)]
    raise errors.UnreadableImages(faults)


class _Table:
    """Gathers rows into blocks, and gives each to a file and to whoever wants it.

    Parameters
    ----------
    class_names
        The classes, in the order of the probabilities.
    file
        An open CSV; None where nothing is to be written.
    take
        Given every block.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        file: TextIO | None,
        take: Callable[[pd.DataFrame], None],
    ) -> None:
        self._names = np.array(class_names, dtype=object)
        self._file = file
        self._take = take
        self._waiting: list[tuple[str, np.ndarray]] = []
        self._first = True

    def add(self, rows: Sequence[tuple[str, np.ndarray]]) -> None:
        """Add images with their probabilities."""
        self._waiting += rows
        if len(self._waiting) >= _ROWS:
            self.flush()

    def flush(self) -> None:
        """Give away what has gathered."""
        import pandas as pd

        if not self._waiting:
            return
        probabilities = np.stack([row for _, row in self._waiting])
        block = pd.DataFrame({"image": [name for name, _ in self._waiting]})
        block["predicted"] = self._names[probabilities.argmax(axis=1)]
        for number, name in enumerate(self._names):
            block[f"p_{name}"] = probabilities[:, number]
        if self._file is not None:
            record.append_table(self._file, block, first=self._first)
        self._take(block)
        self._waiting, self._first = [], False


@contextmanager
def _written(out: str | os.PathLike[str] | None) -> Iterator[TextIO | None]:
    """Open a file that appears when all is in it; None where none is wanted."""
    if out is None:
        yield None
        return
    with (
        atomic_io.path(out) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        yield file


def _some(faults: Sequence[errors.UnreadableImage]) -> str:
    told = [f"{fault.file} ({fault.reason})" for fault in faults[:3]]
    return "; ".join(told) + ("; ..." if len(faults) > len(told) else "")


def _trained_dtype(run: Run) -> str | None:
    """The pixel type of the training images; None where every image is scaled by itself."""
    if run.preprocessing.intensity == "per_image" or run.audit is None:
        return None
    read = (file["dtype"] for file in run.audit["files"] if file["status"] == "read")
    return next(read, None)


@contextmanager
def _found(
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> Iterator[list[tuple[Path, str]]]:
    """Find the files of this machine that hold the images, with the names that the table has."""
    asked = [images] if isinstance(images, str | os.PathLike) else list(images)
    found: list[tuple[Path, str]] = []
    with ExitStack() as copies:
        for place in asked:
            if not remote.is_address(place):
                found += [(file, file.as_posix()) for file in _files(Path(place))]
            elif PurePosixPath(place).suffix.lower() in IMAGE_SUFFIXES:
                found.append((copies.enter_context(remote.file(place)), place))
            else:
                folder = copies.enter_context(remote.folder(place))
                above = place.rstrip("/")
                found += [
                    (file, f"{above}/{file.relative_to(folder).as_posix()}")
                    for file in _files(folder)
                ]
        if not found:
            raise errors.FolderError(
                f"{', '.join(map(str, asked))}: no image is here",
                f"Images end in {', '.join(sorted(IMAGE_SUFFIXES))}",
            )
        yield found


def _files(place: Path) -> list[Path]:
    if place.is_dir():
        return [
            path
            for path in sorted(place.rglob("*"))
            if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES and not is_phantom(path)
        ]
    if place.is_file():
        return [place]
    raise errors.FolderError(f"{place}: there is no such file or folder", "Check the name")
