"""Divide images into training, validation and test sets, by whole groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from cellvision import errors
from cellvision.component import Settings
from cellvision.data.catalog import Catalog, is_training, is_validation
from cellvision.data.training_subset import keep_training_groups
from cellvision.interfaces.splitter import Splitter
from cellvision.plurals import counted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Fraction = Annotated[float, Field(ge=0, lt=1)]


class Split(Settings):
    """How images are divided if the data set does not name the splits."""

    validation: Fraction = 0.15
    """Fraction of the images for validation. If the data set names its splits and has none for
    validation, it is taken from the training split; 0 for none."""

    test: Fraction = 0.2
    """Fraction of the images for the test set. Unused if the data set names its splits."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the partition, also for a splitter without one; the same in every run of a study."""

    splitter: Splitter | None = None
    """Divides the images in one or several folds, in place of the fractions above and of splits
    that the data set names. A study trains every fold (cross-validation)."""

    fold: Annotated[int, Field(gt=0)] = 1
    """Fold of the splitter that a single training holds out."""

    training_groups: Annotated[int, Field(gt=0)] | None = None
    """Train on so many groups, a subset of the training split; None: on all. Smaller subsets are
    part of larger ones (``study --sizes``)."""

    allow_leak: bool = False
    """Continue although splits share groups or identical images. Every record and report then
    says so."""

    @model_validator(mode="after")
    def _room_for_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test leave nothing to train on")
        return self

    @model_validator(mode="after")
    def _seed_of_the_splitter(self) -> Self:
        splitter = self.splitter
        if self.seed == 0 or splitter is None or "seed" in splitter.model_fields_set:
            return self
        if "seed" in type(splitter).model_fields:
            seeded = splitter.model_copy(update={"seed": self.seed})
            object.__setattr__(self, "splitter", seeded)  # settings are frozen once they exist
        return self

    def apply(self, catalog: Catalog, digests: Mapping[str, str] = MappingProxyType({})) -> Catalog:
        """Assign every image of a catalog to a split.

        Groups stay whole, identical images stay together, and classes keep their proportions as
        nearly as that allows (the best of several shuffles of scikit-learn's
        StratifiedGroupKFold; of StratifiedKFold over groups if each is one image or if there
        are very many). If batches are known, so do classes within each batch.

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
            A class has too few groups to train on and test. A class with two groups is in the
            training and the test split but not in the validation split. The splitter cannot
            divide the images, or has fewer folds.
        """
        divided = self._divided(catalog, digests)
        if self.training_groups is None:
            return divided
        blocks = self.linked_groups(divided.table, digests)
        keep = keep_training_groups(divided.table, blocks, self.training_groups, self.seed)
        column = divided.table["split"].astype(object).where(keep, None)
        return replace(divided, table=divided.table.assign(split=column))

    def _divided(self, catalog: Catalog, digests: Mapping[str, str]) -> Catalog:
        """Assign every image to a split, before training groups are left out."""
        import pandas as pd

        if self.splitter is not None:
            return self._apply_fold(self.splitter, catalog, digests)
        table = catalog.table.copy()
        groups = pd.Series(self.linked_groups(table, digests), index=table.index)
        if not catalog.has_splits:
            table["split"] = "train"
            test = self._held_out(table, groups, self.test, "test")
            table.loc[test, "split"] = "test"
            fraction = self.validation / (1 - self.test)
        elif any(map(is_validation, catalog.splits())):
            fraction = 0.0
        else:
            fraction = self.validation
        training = table[table["split"].map(is_training)]
        validation = self._held_out(training, groups, fraction, "validation")
        table.loc[validation, "split"] = "validation"
        return replace(catalog, table=table)

    def _apply_fold(
        self, splitter: Splitter, catalog: Catalog, digests: Mapping[str, str]
    ) -> Catalog:
        """Assign the splits of one fold; images that it leaves out have none."""
        import pandas as pd

        from cellvision.data.fold_assignment import fold_splits

        folds = fold_splits(splitter, catalog, digests)
        if self.fold > len(folds):
            raise errors.SplitError(
                f"split.fold is {self.fold}, and there are {counted(len(folds), 'fold')}",
                f"Choose from 1 to {len(folds)}",
            )
        splits = folds[self.fold - 1]
        warnings = list(catalog.warnings)
        if catalog.has_splits:
            named = ", ".join(catalog.splits())
            warnings.append(f"Folds replace the splits that the data set names ({named}).")
        left_out = sum(split is None for split in splits)
        if left_out:
            warnings.append(f"{counted(left_out, 'image', 'is')} left out of fold {self.fold}.")
        column = pd.Series(splits, index=catalog.table.index, dtype=object)
        return replace(catalog, table=catalog.table.assign(split=column), warnings=tuple(warnings))

    @staticmethod
    def linked_groups(table: pd.DataFrame, digests: Mapping[str, str]) -> np.ndarray:
        """Number what a split must keep together: images of one group or with equal pixels.

        Two spellings of one group (7 and 7.0, A01 and a1) count as one.

        Parameters
        ----------
        table
            With the columns ``image`` and ``group`` (None where unknown).
        digests
            Identifies each image's pixels, by its id; may lack images.

        Returns
        -------
        numpy.ndarray
            Shape (rows,), integers: equal where rows must stay together.
        """
        from cellvision.data.groups import canonical_groups, linked_groups

        pixels = table["image"].map(dict(digests))
        return linked_groups(canonical_groups(table["group"]), pixels)

    def _held_out(
        self, table: pd.DataFrame, groups: pd.Series, fraction: float, name: str
    ) -> np.ndarray:
        """Choose whole groups with about `fraction` of a table's rows; return their index."""
        from cellvision.data.group_choice import choose_groups

        index = table.index.to_numpy()
        if fraction == 0:
            return index[:0]
        own = groups.loc[index]
        counts = own.groupby(table["label"]).nunique()
        scarce = list(counts.index[counts < 2])
        # Training comes first: a class with a single group left is not validated.
        needed = set(own[table["label"].isin(scarce)])
        spare = ~own.isin(needed).to_numpy()
        left = own[spare].groupby(table["label"][spare]).nunique()
        if scarce and (name == "test" or left.empty or left.max() < 2):
            kind = "group" if bool(table["group"].notna().all()) else "image"
            raise errors.SplitError(
                f"class {scarce[0]!r} has one {kind} left, so {name!r} can have none",
                f"Add {kind}s of that class, leave it out (dataset.classes), "
                f"or do without that split: --set split.{name}=0",
            )
        labels = table["label"].to_numpy(dtype=object)[spare]
        batches = table["batch"][spare]
        known = bool(batches.notna().all()) and len(set(batches)) > 1
        chosen = choose_groups(
            labels,
            own.to_numpy()[spare],
            fraction,
            self.seed,
            batches.to_numpy(dtype=object) if known else None,
        )
        rows: np.ndarray = index[spare][chosen]
        return rows
