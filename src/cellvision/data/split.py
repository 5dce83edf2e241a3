"""Train, validation and test: split first, by whole units, and augment afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from cellvision import errors
from cellvision.component import Settings
from cellvision.data.catalog import Catalog, is_training, is_validation

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_SHUFFLES = 8
"""How many random partitions are compared; the nearest to the asked-for counts is taken."""

_MANY = 800
"""StratifiedGroupKFold weighs every unit against every fold, in Python: with so many units it
takes about a third of a second. Beyond, units are so many that drawing them by chance gives
shares as near."""

Fraction = Annotated[float, Field(ge=0, lt=1)]


class Split(Settings):
    """How images are divided where the data set does not say."""

    validation: Fraction = 0.15
    """Share of the images for validation. Taken from the training split where the data set
    names its splits and has none for validation; 0 for none."""

    test: Fraction = 0.2
    """Share of the images for the test set. Unused where the data set names its splits."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the partition; the same in every run of a study."""

    allow_leak: bool = False
    """Go on although splits share units or identical images. The leak is then stamped into
    the record and every report."""

    @model_validator(mode="after")
    def _room_for_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test leave nothing to train on")
        return self

    def apply(self, catalog: Catalog, digests: Mapping[str, str] = MappingProxyType({})) -> Catalog:
        """Give every image of a catalog its split.

        Units (the catalog's groups) stay whole, identical images stay together, and classes
        keep their shares as nearly as that allows (scikit-learn's StratifiedGroupKFold, the
        best of several shuffles; StratifiedKFold over units where each is one image, or where
        they are very many).

        Parameters
        ----------
        catalog
            The images.
        digests
            Identifies each image's pixels, by its id.

        Returns
        -------
        Catalog
            With a complete column ``split``. Splits that the data set names keep their names;
            those made here are ``train``, ``validation`` and ``test``.

        Raises
        ------
        errors.SplitError
            A class has too few units to be trained on and tested. One with two units is in the
            training and the test split and not in the validation split.
        """
        import pandas as pd

        table = catalog.table.copy()
        units = pd.Series(_units(table, digests), index=table.index)
        if not catalog.has_splits:
            table["split"] = "train"
            test = self._held_out(table, units, self.test, "test")
            table.loc[test, "split"] = "test"
            share = self.validation / (1 - self.test)
        elif any(map(is_validation, catalog.splits())):
            share = 0.0
        else:
            share = self.validation
        training = table[table["split"].map(is_training)]
        held = self._held_out(training, units, share, "validation")
        table.loc[held, "split"] = "validation"
        return replace(catalog, table=table)

    def _held_out(
        self, table: pd.DataFrame, units: pd.Series, fraction: float, name: str
    ) -> np.ndarray:
        """Choose whole units with about `fraction` of a table's rows; gives their index."""
        index = table.index.to_numpy()
        if fraction == 0:
            return index[:0]
        groups = units.loc[index]
        counts = groups.groupby(table["label"]).nunique()
        scarce = list(counts.index[counts < 2])
        # What is trained on comes first: a class with one unit left is not validated.
        needed = set(groups[table["label"].isin(scarce)])
        spare = ~groups.isin(needed).to_numpy()
        left = groups[spare].groupby(table["label"][spare]).nunique()
        if scarce and (name == "test" or left.empty or left.max() < 2):
            unit = "unit" if bool(table["group"].notna().all()) else "image"
            raise errors.SplitError(
                f"class {scarce[0]!r} has one {unit} left, so there is none to spare for {name!r}",
                f"Add {unit}s of that class, leave it out (dataset.classes), "
                f"or do without that split: --set split.{name}=0",
            )
        labels = table["label"].to_numpy(dtype=object)[spare]
        chosen = _nearest(labels, groups.to_numpy()[spare], fraction, self.seed)
        held: np.ndarray = index[spare][chosen]
        return held


def _units(table: pd.DataFrame, digests: Mapping[str, str]) -> np.ndarray:
    """Number what must stay together: images of one group or of equal pixels, and so on."""
    import numpy as np
    import pandas as pd
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    images = table["image"]
    group = table["group"].where(table["group"].notna(), images).astype(str)
    pixels = images.map(dict(digests)).where(lambda known: known.notna(), images).astype(str)
    left, _ = pd.factorize(group)
    right, names = pd.factorize(pixels)
    groups = int(left.max()) + 1
    size = groups + len(names)
    links = coo_array((np.ones(len(left)), (left, groups + right)), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1][left])


def _nearest(labels: np.ndarray, groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Choose whole units; of many random choices the one whose counts per class are nearest.

    Parameters
    ----------
    labels, groups
        The class and the unit of each row.
    fraction
        The share of the rows wanted.
    seed
        Of the choice.

    Returns
    -------
    numpy.ndarray
        The places of the rows that are chosen, in ascending order.
    """
    import numpy as np

    codes = np.unique(labels, return_inverse=True)[1]
    units = np.unique(groups, return_inverse=True)[1]
    totals = np.bincount(codes)

    def distance(held: np.ndarray) -> float:
        share = np.bincount(codes[held], minlength=len(totals)) / totals
        absent = np.sum((share == 0) | (share == 1))
        return float(np.abs(share - fraction).sum() + len(totals) * absent)

    best = min(_choices(codes, units, fraction, seed), key=distance)
    if distance(best) >= len(totals):
        # A class is absent on one side. With as many folds as the rarest class has units, each
        # fold can hold it, though less near the share that was asked for.
        pairs = np.unique(np.stack([codes, units]), axis=1)
        rarest = int(np.bincount(pairs[0]).min())
        best = min(best, *_choices(codes, units, fraction, seed, rarest), key=distance)
    return best


def _choices(
    codes: np.ndarray, units: np.ndarray, fraction: float, seed: int, most: int | None = None
) -> Iterator[np.ndarray]:
    """Give random choices of whole units, stratified by class, by scikit-learn's folds."""
    import warnings

    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    count = int(units.max()) + 1
    largest = int(np.bincount(codes).max())
    folds, take = _folds(fraction, min(most or count, count, largest))
    one_each = count == len(units)
    # A unit counts for the class that it first shows; where it holds several, they are near
    # their shares because units are many.
    first = np.unique(units, return_index=True)[1]
    largest = int(np.bincount(codes[first]).max())
    by_unit = one_each or (count > _MANY and largest > 1)
    if by_unit:
        folds, take = _folds(fraction, min(folds, largest))
    for shuffle in range(_SHUFFLES if by_unit else max(1, min(_SHUFFLES, _MANY // count))):
        state = int(np.random.SeedSequence([seed, shuffle]).generate_state(1)[0])
        with warnings.catch_warnings():
            # scikit-learn warns of classes smaller than the folds; `_nearest` minds them.
            warnings.simplefilter("ignore", UserWarning)
            if by_unit:
                by_units = StratifiedKFold(folds, shuffle=True, random_state=state)
                parts = [
                    np.flatnonzero(np.isin(units, held))
                    for _, held in by_units.split(first, codes[first])
                ]
            else:
                by_group = StratifiedGroupKFold(folds, shuffle=True, random_state=state)
                parts = [held for _, held in by_group.split(codes, codes, units)]
        for start in range(0, folds - take + 1, take):
            yield np.sort(np.concatenate(parts[start : start + take]))


def _folds(fraction: float, most: int) -> tuple[int, int]:
    """How many folds to make and how many of them to take, to be near a fraction."""
    most = max(2, most)
    choices = [
        (folds, min(max(1, round(fraction * folds)), folds - 1)) for folds in range(2, most + 1)
    ]
    near = (pair for pair in choices if abs(pair[1] / pair[0] - fraction) <= fraction / 20)
    return next(near, min(choices, key=lambda pair: abs(pair[1] / pair[0] - fraction)))
