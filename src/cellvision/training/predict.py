"""Classes and probabilities of new images, by a run's model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.facts import in_threads
from cellvision.data.files import IMAGE_SUFFIXES, is_phantom, read_image
from cellvision.training import record
from cellvision.training.network import predict_rows
from cellvision.training.progress import displayed

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.training.run import Run


_AT_ONCE = 256
"""How many images are in memory, so that it stays flat however many there are."""


def predict(
    run: Run,
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Classify new images as a run's network does.

    They go through the run's own intake: its size, channels and intensity.

    Parameters
    ----------
    run
        A finished run.
    images
        Files, or folders, which are searched to any depth.
    out
        A CSV file to write the table to, whole or not at all.
    progress
        Whether to show progress on standard error; by default where that is a terminal.

    Returns
    -------
    pandas.DataFrame
        One row an image, in order: ``image``, ``predicted``, ``p_<class>``...

    Raises
    ------
    errors.FolderError
        There is no such file or no image.
    errors.UnreadableImages
        Files cannot be read (all are listed) and the run's intake does not say to skip them.
    errors.IntakeError
        Images have other channels or another pixel type than the network was trained on.
    """
    import pandas as pd

    files = _files(images)
    intake = run.intake
    faults: list[errors.UnreadableImage] = []
    dtype = _trained_dtype(run)

    def prepare(file: Path) -> np.ndarray | errors.UnreadableImage:
        try:
            pixels = read_image(file).pixels
        except errors.UnreadableImage as error:
            return error
        if dtype is not None and str(pixels.dtype) != dtype:
            raise errors.IntakeError(
                f"{file}: its pixels are {pixels.dtype}; the network was trained on {dtype}",
                "Predict on images of the same kind: their intensities mean something else",
            )
        try:
            return intake.complete(intake.shape(intake.pick(pixels)))
        except errors.IntakeError as error:
            raise errors.IntakeError(f"{file}: {error.what}", error.mend) from None

    model = run.model()
    readable: list[Path] = []
    found: list[np.ndarray] = []
    with displayed(progress) as display:
        for start in range(0, len(files), _AT_ONCE):
            chunk = files[start : start + _AT_ONCE]
            prepared = list(in_threads(prepare, chunk))
            faults += [item for item in prepared if isinstance(item, errors.UnreadableImage)]
            good = [item for item in prepared if isinstance(item, np.ndarray)]
            pairs = zip(chunk, prepared, strict=True)
            readable += [file for file, item in pairs if isinstance(item, np.ndarray)]
            if good:
                found.append(_predicted(model, good))
            display.task("predicting", start + len(chunk), len(files))
    if faults and (intake.on_unreadable == "error" or not found):
        raise errors.UnreadableImages(faults)
    probabilities = np.concatenate(found)
    names = np.array(run.class_names, dtype=object)
    table = pd.DataFrame({"image": [file.as_posix() for file in readable]})
    table["predicted"] = names[probabilities.argmax(axis=1)]
    for number, name in enumerate(run.class_names):
        table[f"p_{name}"] = probabilities[:, number]
    if out is not None:
        record.write_table(Path(out), table)
    return table


def _predicted(model: object, images: list[np.ndarray]) -> np.ndarray:
    def pixels(rows: np.ndarray) -> np.ndarray:
        return np.stack([images[row] for row in rows])

    predict_on_batch = model.predict_on_batch  # type: ignore[attr-defined]
    return predict_rows(predict_on_batch, pixels, np.arange(len(images)), lambda _: None)


def _trained_dtype(run: Run) -> str | None:
    """The pixel type of the training images; None where every image is scaled by itself."""
    if run.intake.intensity == "per_image" or run.audit is None:
        return None
    read = (file["dtype"] for file in run.audit["files"] if file["status"] == "read")
    return next(read, None)


def _files(images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    named = [images] if isinstance(images, str | os.PathLike) else list(images)
    files: list[Path] = []
    for item in map(Path, named):
        if item.is_dir():
            files += [
                path
                for path in sorted(item.rglob("*"))
                if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES and not is_phantom(path)
            ]
        elif item.is_file():
            files.append(item)
        else:
            raise errors.FolderError(f"{item}: there is no such file or folder", "Check the name")
    if not files:
        raise errors.FolderError(
            f"{', '.join(map(str, named))}: no image is here",
            f"Images end in {', '.join(sorted(IMAGE_SUFFIXES))}",
        )
    return files
