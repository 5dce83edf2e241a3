"""Controls: the same training on images or labels from which nothing should be learned.

A control is another `PreparedData`; everything else about its runs equals that of the runs they
accompany.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.masking import without_cells
from cellvision.data.prepared import PreparedData
from cellvision.data.split import Split
from cellvision.data.threaded_map import Progress, in_threads
from cellvision.statistics import ControlMeaning, Finding
from cellvision.user_folders import cache_folder

if TYPE_CHECKING:
    import pandas as pd

_LEAK: Mapping[Finding, str] = {"leak": "suspicious: permuted labels beat chance (a leak or a bug)"}

MEANINGS: Mapping[str, ControlMeaning] = {
    "permuted_groups": ControlMeaning("permuted labels", "labels permuted across groups", _LEAK),
    "permuted_images": ControlMeaning("permuted labels", "labels permuted across images", _LEAK),
    "background": ControlMeaning("alternative explanation", "the background"),
    "intensity": ControlMeaning(
        "lower rung",
        "brightness",
        {
            "no more": "learned, and brightness does as well (DNA content, mitosis: it may be the "
            "biology)"
        },
    ),
}
"""What each control stands for, in the order in which they are run."""

CONTROLS = tuple(MEANINGS)
"""Every control, in the order in which they are run."""

_DESCRIPTIONS = {
    "permuted_groups": "labels permuted across whole groups",
    "permuted_images": "labels permuted across images",
    "background": "cells masked",
    "intensity": "logistic regression on intensity summaries",
}


def selected_controls(names: Sequence[str]) -> tuple[str, ...]:
    """Check names of controls and return them in the order in which they are run.

    Raises
    ------
    errors.ExperimentError
        There is no such control.
    """
    for name in names:
        if name not in CONTROLS:
            raise errors.ExperimentError(
                f"there is no control {name!r}", f"Choose from: {', '.join(CONTROLS)}"
            )
    return tuple(name for name in CONTROLS if name in names)


def control_data(
    control: str, prepared: PreparedData, seed: int, progress: Progress | None = None
) -> PreparedData:
    """Return the images and labels of a control.

    Parameters
    ----------
    control
        Its name.
    prepared
        The images with their true labels.
    seed
        Seed of the run, for the permutation; nothing else depends on it.
    progress
        Called with the number of masked images and the number of all.
    """
    warning = f"CONTROL ({_DESCRIPTIONS[control]}): nothing here is a result of the experiment."
    changed = replace(prepared, warnings=(warning, *prepared.warnings), control=control)
    if control == "background":
        return replace(changed, pixels=_without_cells(prepared.pixels, progress))
    if control == "intensity":
        return changed
    table = prepared.catalog.table
    groups = _permuted_groups(prepared, whole_groups=control == "permuted_groups")
    strata = table.assign(split=prepared.label_strata)
    labels = permute_labels(strata, groups, (seed, CONTROLS.index(control)))
    numbers = {name: number for number, name in enumerate(prepared.catalog.class_names)}
    catalog = replace(prepared.catalog, table=table.assign(label=labels))
    return replace(
        changed, catalog=catalog, labels=np.array([numbers[name] for name in labels], np.int64)
    )


def _permuted_groups(prepared: PreparedData, *, whole_groups: bool) -> pd.Series:
    """Return what keeps one label: groups if they are known and `whole_groups`, else images.

    Images that are identical in several splits are kept together: a leak shows only if they have
    one label in all splits.
    """
    import pandas as pd

    table = prepared.catalog.table
    leaks = [leak for leak in prepared.audit.leaks if leak.kind == "identical_pixels"]
    pixels = {image: str(number) for number, leak in enumerate(leaks) for image in leak.files}
    table = table if whole_groups else table.assign(group=None)
    return pd.Series(Split.linked_groups(table, pixels), index=table.index)


def permute_labels(table: pd.DataFrame, groups: pd.Series, seed: Sequence[int]) -> np.ndarray:
    """Permute labels across groups, with one mapping for all splits.

    Groups with one label exchange labels with each other; in a group with several labels its
    images do. Groups exchange labels within their split, so that each split keeps its classes;
    splits that share a group count as one.

    Parameters
    ----------
    table
        With the columns ``label`` and ``split``.
    groups
        The group of each row.
    seed
        Integers, the seed of the permutation.

    Returns
    -------
    numpy.ndarray
        The new label of each row.
    """
    rng = np.random.default_rng(seed)
    labels = table["label"].to_numpy(dtype=object).copy()
    by_group = table.assign(_group=groups).groupby("_group", sort=False)
    group_label = by_group["label"].first()
    is_pure = by_group["label"].nunique() == 1  # noqa: PD101 - of groups, not of a series
    for group in is_pure.index[~is_pure]:
        rows = by_group.indices[group]
        labels[rows] = rng.permutation(labels[rows])
    stratum = by_group["split"].first().map(_strata(table["split"], groups))
    new_label = group_label.copy()
    for _, members in group_label[is_pure].groupby(stratum[is_pure], sort=False):
        new_label[members.index] = rng.permutation(members.to_numpy(dtype=object))
    in_pure_group = groups.map(is_pure).to_numpy(dtype=bool)
    labels[in_pure_group] = groups.map(new_label).to_numpy(dtype=object)[in_pure_group]
    return labels


def _strata(splits: pd.Series, groups: pd.Series) -> dict[str, int]:
    """Number the splits; splits that share groups get the same number."""
    import pandas as pd

    number = {name: k for k, name in enumerate(dict.fromkeys(splits))}
    pairs = pd.DataFrame({"group": groups, "split": splits}).drop_duplicates()
    for _, shared in pairs[pairs["group"].duplicated(keep=False)].groupby("group")["split"]:
        merged = {number[name] for name in shared}
        number = {name: min(merged) if k in merged else k for name, k in number.items()}
    return number


def _without_cells(pixels: np.ndarray, progress: Progress | None) -> np.ndarray:
    """Mask the cells of all images; the result lives in a file that vanishes with its last user."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            for image in in_threads(without_cells, list(pixels), progress):
                file.write(np.ascontiguousarray(image).data)
            file.flush()
            return np.memmap(file, dtype=pixels.dtype, mode="r", shape=pixels.shape)
    except OSError as error:
        raise errors.FolderError(
            f"{folder}: cannot write the masked images: {error.strerror or error}",
            "Free some disk space, or set CELLVISION_CACHE to another folder.",
        ) from error
