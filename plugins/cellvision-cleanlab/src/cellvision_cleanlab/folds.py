"""Divide images into folds of whole groups, and test on one fold."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, field_validator

from cellvision import Dataset, DecodedImage, Split, errors, io
from cellvision.io import pixel_digest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class OneFold(Dataset):
    """Images of another data set: one fold is the test set, the others are the training set."""

    source: Dataset
    """Data set that the images come from."""

    table: Path
    """CSV file with the columns ``image``, ``label``, ``group`` and ``fold``; images that it does
    not list are left out."""

    fold: Annotated[int, Field(ge=0)] = 0
    """Fold to test on."""

    @field_validator("source", mode="before")
    @classmethod
    def _check_source(cls, value: Any) -> Any:
        if not isinstance(value, Dataset | Mapping | str):
            raise ValueError("expected a data set: its name, or its settings")
        return value

    def catalog(self) -> pd.DataFrame:
        """List the images of the table and their splits."""
        import pandas as pd

        names = ("image", "label", "group")
        try:
            rows = io.unescape_frame(
                pd.read_csv(
                    self.table,
                    dtype=dict.fromkeys(names, str),
                    keep_default_na=False,
                    na_values={"group": [""]},
                )
            )
        except (OSError, ValueError) as error:
            raise errors.CatalogError(
                f"{self.table}: the table of folds cannot be read: {error}",
                "Write it again with the reporter suspicious_labels",
            ) from None
        missing = [name for name in (*names, "fold") if name not in rows]
        if missing:
            raise errors.CatalogError(
                f"{self.table}: the column {missing[0]!r} is missing",
                "A table of folds has the columns image, label, group and fold",
            )
        is_test = rows["fold"] == self.fold
        return rows[[*names]].assign(split=is_test.map({True: "test", False: "train"}))

    def read(self, image: str) -> np.ndarray:
        """Read one image."""
        return self.source.read(image)

    def decode(self, image: str) -> DecodedImage:
        """Read one image with its bit depth."""
        return self.source.decode(image)

    def decode_file(self, file: Path) -> DecodedImage:
        """Read an image file that the catalog does not list."""
        return self.source.decode_file(file)

    def relocated(self, path: str | os.PathLike[str]) -> Self:
        """Return this data set with the images of its source in another place."""
        return type(self)(**{**dict(self), "source": self.source.relocated(path)})

    def fingerprint(self, image: str) -> str:
        """Return a fingerprint of an image's content."""
        return self.source.fingerprint(image)


def assign_folds(table: pd.DataFrame, pixels: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """Assign every image to a fold: groups stay whole, and classes keep their proportions.

    Parameters
    ----------
    table
        Catalog with ``label`` and ``group``; an image without a group counts as one.
    pixels
        Digest of the pixels of each image. Images with equal pixels share a fold, since a network
        must not judge an image that it was trained on.
    folds
        Number of folds.
    seed
        Seed of the shuffle.

    Returns
    -------
    numpy.ndarray
        Fold number of each image, from 0.

    Raises
    ------
    errors.InvalidInput
        A class has too few groups to remain in the training set when one fold is held out.
    """
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    labels = table["label"].to_numpy(dtype=object)
    groups = Split.linked_groups(table, dict(zip(table["image"], pixels, strict=True)))
    noun = "group" if table["group"].notna().all() else "image"
    for name in np.unique(labels):
        if len(np.unique(groups[labels == name])) < 2:
            raise errors.InvalidInput(
                f"class {name!r} has only one {noun}: when it is held out, no image of the class "
                "is left for training",
                f"Add {noun}s of that class, or leave it out (dataset.classes)",
            )
    numbers = np.zeros(len(labels), int)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # scikit-learn warns about classes with fewer images than folds; the check below decides.
        warnings.simplefilter("ignore", UserWarning)
        try:
            for number, (_, test) in enumerate(splitter.split(labels, labels, groups)):
                numbers[test] = number
        except ValueError as error:
            raise errors.InvalidInput(
                f"{len(np.unique(groups))} {noun}s cannot be divided into {folds} folds: {error}",
                "Use fewer folds: folds = 2",
            ) from None
    for number in range(folds):
        absent = set(labels) - set(labels[numbers != number])
        if absent:
            raise errors.InvalidInput(
                f"all {noun}s of class {min(absent)!r} are in one of the {folds} folds",
                "Try another seed, or fewer folds",
            )
    return numbers


def pixel_digests(read: Callable[[str], np.ndarray], images: Sequence[str]) -> list[str]:
    """Return a digest of each image that a function reads: equal for equal pixels and dtype."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda image: pixel_digest(read(image)), images))
