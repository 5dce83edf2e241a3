"""Folds of whole units: every image is once in the part that a network has not seen."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from cellvision import Dataset, DecodedImage, errors

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
    """Give every image its fold: whole units, classes in proportion.

    Parameters
    ----------
    table
        With ``label`` and ``group`` (missing where the unit is unknown: the image by itself).
    pixels
        What identifies the pixels of each image: identical ones share a fold, for otherwise one
        would be judged by a network that has learned its label from the other.
    folds
        How many.
    seed
        Of the shuffle.

    Raises
    ------
    errors.InvalidInput
        A class has too few units: with one of its folds left out, none would be left.
    """
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    labels = table["label"].to_numpy(dtype=object)
    units = _units(table["group"], pixels)
    unit = "unit" if table["group"].notna().all() else "image"
    for name in np.unique(labels):
        if len(np.unique(units[labels == name])) < 2:
            raise errors.InvalidInput(
                f"class {name!r} has one {unit}, so no network can learn it without having seen it",
                f"Add {unit}s of that class, or leave it out (dataset.classes)",
            )
    numbers = np.zeros(len(labels), int)
    maker = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Of classes with fewer images than folds: what matters is looked at below.
        warnings.simplefilter("ignore", UserWarning)
        try:
            for number, (_, held) in enumerate(maker.split(labels, labels, units)):
                numbers[held] = number
        except ValueError as error:
            raise errors.InvalidInput(
                f"{len(np.unique(units))} {unit}s cannot be put into {folds} folds: {error}",
                "Ask for fewer: folds = 2",
            ) from None
    for number in range(folds):
        gone = set(labels) - set(labels[numbers != number])
        if gone:
            raise errors.InvalidInput(
                f"all {unit}s of class {min(gone)!r} came into one of the {folds} folds",
                "Try another seed, or fewer folds",
            )
    return numbers


def _units(groups: pd.Series[str], pixels: Sequence[str]) -> np.ndarray:
    """Number what must stay together: images of one unit or of equal pixels, and so on."""
    import numpy as np
    import pandas as pd
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    alone = pd.Series([f"image {place}" for place in range(len(groups))], index=groups.index)
    left, _ = pd.factorize(("unit " + groups).where(groups.notna(), alone))
    right, _ = pd.factorize(pd.Series(list(pixels)))
    first = int(left.max()) + 1
    size = first + int(right.max()) + 1
    links = coo_array((np.ones(len(left)), (left, first + right)), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1][left])


def pixel_digests(dataset: Dataset, images: Sequence[str]) -> list[str]:
    """Identify the pixels of each image: equal for equal shape, dtype and values."""
    import numpy as np

    def digest(image: str) -> str:
        pixels = np.ascontiguousarray(dataset.read(image))
        head = f"{pixels.shape} {pixels.dtype.str} ".encode()
        return hashlib.sha256(head + pixels.tobytes()).hexdigest()

    with ThreadPoolExecutor() as pool:
        return list(pool.map(digest, images))
