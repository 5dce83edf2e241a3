"""Assign images to the splits of a fold, as a splitter divides them, and check the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.data.groups import canonical_groups, linked_groups

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.data.catalog import Catalog
    from cellvision.interfaces.splitter import Splitter

_SPLITS = frozenset({"train", "validation", "test", ""})

_HINT = "Return a split for each image of each fold; its author can test it: cellvision check"


def fold_splits(
    splitter: Splitter, catalog: Catalog, digests: Mapping[str, str]
) -> list[list[str | None]]:
    """Return the split of every image in every fold of a splitter.

    Parameters
    ----------
    splitter
        Divides the images.
    catalog
        The images. Splits that the data set names are ignored.
    digests
        Identifies each image's pixels, by its id; identical images share a block.

    Returns
    -------
    list of list of str or None
        For every fold, one split per row: ``train``, ``validation``, ``test``; None if the fold
        leaves the image out.

    Raises
    ------
    errors.SplitError
        The images cannot be divided like this, or a fold has no training image of some class.
    errors.PluginContractError
        The splitter returns something else, or divides a block.
    """
    table = _splitter_table(catalog, digests)
    origin = splitter.registry.origin_of(type(splitter))
    folds = checked_folds(splitter, table)
    for number, fold in enumerate(folds, start=1):
        _check_contract(fold, table, f"{origin}: fold {number}")
        _check_left_out(fold, table, splitter.left_out_column, f"{origin}: fold {number}")
        _check_content(fold, table, f"fold {number} of {len(folds)}")
    return [[split or None for split in fold] for fold in folds]


def checked_folds(splitter: Splitter, table: pd.DataFrame) -> list[list[str]]:
    """Return what a splitter returns, if it is a list of lists.

    Raises
    ------
    errors.PluginContractError
        It is something else.
    """
    origin = splitter.registry.origin_of(type(splitter))
    try:
        returned = splitter.folds(table.copy())
    except SystemExit as error:
        raise errors.PluginContractError(
            f"{origin}: folds() ends the process: {errors.summarize(error)}", _HINT
        ) from error
    if isinstance(returned, (str, Mapping)) or not isinstance(returned, Iterable):
        raise errors.PluginContractError(
            f"{origin}: folds() returned {type(returned).__name__}, not a list of folds", _HINT
        )
    folds: list[list[str]] = []
    for number, fold in enumerate(returned, start=1):
        if isinstance(fold, str) or not isinstance(fold, Iterable):
            raise errors.PluginContractError(
                f"{origin}: fold {number} is {type(fold).__name__}, not a list of splits", _HINT
            )
        folds.append([str(split) for split in fold])
    if not folds:
        raise errors.PluginContractError(f"{origin}: folds() returned no fold", _HINT)
    return folds


def _splitter_table(catalog: Catalog, digests: Mapping[str, str]) -> pd.DataFrame:
    """Return the catalog as a splitter receives it: no splits, and a column ``block``."""
    table = catalog.table.drop(columns="split")
    pixels = table["image"].map(dict(digests))
    blocks = linked_groups(canonical_groups(table["group"]), pixels)
    if catalog.batch_column is None:
        table = table.drop(columns="batch")
    return table.assign(block=blocks)


def _check_contract(fold: Sequence[str], table: pd.DataFrame, where: str) -> None:
    if len(fold) != len(table):
        raise errors.PluginContractError(
            f"{where} has {len(fold)} splits for {len(table)} images", _HINT
        )
    unknown = sorted(set(fold) - _SPLITS)
    if unknown:
        raise errors.PluginContractError(f"{where} names the split {unknown[0]!r}", _HINT)
    splits_per_block = table.assign(split=list(fold)).groupby("block")["split"].nunique()
    if (splits_per_block > 1).any():
        rows = table[table["block"] == splits_per_block.idxmax()]
        raise errors.PluginContractError(
            f"{where} divides the group or the identical images of {rows['image'].iloc[0]!r}", _HINT
        )


def _check_left_out(fold: Sequence[str], table: pd.DataFrame, column: str, where: str) -> None:
    """Refuse folds that do not hold out what the statistics will take for independent."""
    if column == "group":
        return  # blocks have been checked
    if column not in table.columns:
        raise errors.PluginContractError(
            f"{where}: left_out_column is {column!r}, which the catalog lacks", _HINT
        )
    names = table[column].astype(str)
    sides = [set(names[[each == split for each in fold]]) for split in ("train", "test")]
    shared = sorted(sides[0] & sides[1])
    if shared:
        raise errors.PluginContractError(
            f"{where} trains and tests on {column} {shared[0]!r}, its left_out_column", _HINT
        )


def _check_content(fold: Sequence[str], table: pd.DataFrame, where: str) -> None:
    rows = table.assign(split=list(fold))
    trained = set(rows.loc[rows["split"] == "train", "label"])
    missing = sorted(set(rows["label"]) - trained)
    if missing:
        raise errors.SplitError(
            f"{where} has no training image of class {missing[0]!r}",
            "Use other folds, add groups of that class, or leave it out (dataset.classes)",
        )
    if not (rows["split"] == "test").any():
        raise errors.SplitError(f"{where} has no test image", "Use fewer folds")
