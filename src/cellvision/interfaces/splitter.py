"""Splitter: how groups are divided into training, validation and test, once or in folds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellvision.component import Component
from cellvision.registry import Registry

if TYPE_CHECKING:
    import pandas as pd


class Splitter(Component, group="cellvision.splitters"):
    """Divides the images of a catalog into splits, in one or several folds."""

    @property
    def left_out_column(self) -> str:
        """Column of the catalog whose values are in the training or the test images of a fold.

        ``"group"`` by default. Override it if folds hold out something coarser, such as
        compounds: reports name it, and its values are the independent units of the result.
        """
        return "group"

    @abstractmethod
    def folds(self, catalog: pd.DataFrame) -> Sequence[Sequence[str]]:
        """Assign a split to every image, in every fold.

        Parameters
        ----------
        catalog
            One row per image with the columns ``image``, ``label`` and ``group``, ``batch`` if
            batches are known, ``block``, and all provenance columns of the data set. Images of
            one block (a group, or groups that share identical images) must get the same split.

        Returns
        -------
        sequence of sequence of str
            For every fold, one split per row: ``train``, ``validation``, ``test``, or an empty
            string for images that the fold leaves out. The same catalog gives the same folds.

        Raises
        ------
        errors.SplitError
            The catalog cannot be divided like this; the message says what is missing.
        """


splitters: Registry[Splitter] = Splitter.registry
"""Registry of splitters."""
