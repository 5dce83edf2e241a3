"""Folds of whole groups: every image is in the held-out fold of exactly one network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from cellvision import Dataset, DecodedImage, Split, errors
from cellvision.io import pixel_digest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class OneFold(Dataset):
    """Another data set's images, of which one fold is the test set and the rest is trained on."""

    source: Dataset
    """Whose images they are."""

    table: Path
    """A CSV file with the columns ``image``, ``label``, ``group`` and ``fold``; images that are
    not in it are left out."""

    fold: Annotated[int, Field(ge=0)] = 0
    """The fold that is tested on."""

    @field_validator("source", mode="before")
    @classmethod
    def _a_data_set(cls, value: Any) -> Any:
        if not isinstance(value, Dataset | Mapping | str):
            raise ValueError("expected a data set, by name or with its settings")
        return value

    def catalog(self) -> pd.DataFrame:
        """List the table's images, with their split."""
        import pandas as pd

        names = ("image", "label", "group")
        try:
            listed = pd.read_csv(
                self.table,
                dtype=dict.fromkeys(names, str),
                keep_default_na=False,
                na_values={"group": [""]},
            )
        except (OSError, ValueError) as error:
            raise errors.CatalogError(
                f"{self.table}: the table of folds cannot be read: {error}",
                "The reporter suspicious_labels makes it again",
            ) from None
        missing = [name for name in (*names, "fold") if name not in listed]
        if missing:
            raise errors.CatalogError(
                f"{self.table}: it has no column {missing[0]!r}",
                "A table of folds has the columns image, label, group and fold",
            )
        tested = listed["fold"] == self.fold
        return listed[[*names]].assign(split=tested.map({True: "test", False: "train"}))

    def read(self, image: str) -> np.ndarray:
        """Read one image."""
        return self.source.read(image)

    def decode(self, image: str) -> DecodedImage:
        """Read one image with its bit depth."""
        return self.source.decode(image)

    def decode_file(self, file: Path) -> DecodedImage:
        """Read a file that is not in the catalog."""
        return self.source.decode_file(file)

    def fingerprint(self, image: str) -> str:
        """Identify an image's content."""
        return self.source.fingerprint(image)


def assign_folds(table: pd.DataFrame, pixels: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """Assign every image to a fold: whole groups, classes in proportion.

    Parameters
    ----------
    table
        With ``image``, ``label`` and ``group`` (missing if unknown: then the image by itself).
    pixels
        Digest of each image's pixels. Identical images share a fold: otherwise a network that
        learned the label of one would judge the other.
    folds
        How many.
    seed
        Of the shuffle.

    Raises
    ------
    errors.InvalidInput
        A class has too few groups to leave one fold out.
    """
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    labels = table["label"].to_numpy(dtype=object)
    groups = Split.linked_groups(table, dict(zip(table["image"], pixels, strict=True)))
    kind = "group" if table["group"].notna().all() else "image"
    for name in np.unique(labels):
        if len(np.unique(groups[labels == name])) < 2:
            raise errors.InvalidInput(
                f"class {name!r} has one {kind}, so no network can learn it without having seen it",
                f"Add {kind}s of that class, or leave it out (dataset.classes)",
            )
    numbers = np.zeros(len(labels), int)
    maker = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Classes with fewer images than folds are checked below.
        warnings.simplefilter("ignore", UserWarning)
        try:
            for number, (_, rows) in enumerate(maker.split(labels, labels, groups)):
                numbers[rows] = number
        except ValueError as error:
            raise errors.InvalidInput(
                f"{len(np.unique(groups))} {kind}s cannot be divided into {folds} folds: {error}",
                "Ask for fewer: folds = 2",
            ) from None
    for number in range(folds):
        gone = set(labels) - set(labels[numbers != number])
        if gone:
            raise errors.InvalidInput(
                f"all {kind}s of class {min(gone)!r} are in one of the {folds} folds",
                "Try another seed, or fewer folds",
            )
    return numbers


def pixel_digests(dataset: Dataset, images: Sequence[str]) -> list[str]:
    """Identify the pixels of each image: equal for equal shape, dtype and values."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda image: pixel_digest(dataset.read(image)), images))
