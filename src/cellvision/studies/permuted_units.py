"""What exchanges labels in controls with permuted labels, where folds leave out a column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellvision.studies.folds import left_out_column

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from cellvision.experiment import Experiment


def have_one_class(units: ArrayLike, labels: ArrayLike, groups: ArrayLike | None) -> bool:
    """Whether independent units exchange labels whole, because their class was assigned to them.

    That is so if every unit (donor) holds one class, and whole groups (wells). Otherwise the class
    was assigned to something smaller, and groups exchange labels.

    Parameters
    ----------
    units
        (images,) the independent unit of each image, which folds leave out.
    labels
        (images,) its true class.
    groups
        (images,) its group; None if groups are unknown.
    """
    import pandas as pd

    table = pd.DataFrame({"unit": np.asarray(units), "label": np.asarray(labels)})
    if table["unit"].isna().any() or table.groupby("unit")["label"].nunique().max() > 1:
        return False
    if groups is None:
        return True
    units_of_groups = table.assign(group=np.asarray(groups)).groupby("group")["unit"].nunique()
    return bool(units_of_groups.max() == 1)


def exchanging_groups(table: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """Return a catalog whose column ``group`` names what exchanges labels.

    Parameters
    ----------
    table
        The images of the experiment, with their true labels.
    experiment
        The experiment.
    """
    column = left_out_column(experiment)
    if column is None or column not in table.columns:
        return table
    groups = table["group"] if table["group"].notna().all() else None
    if not have_one_class(table[column], table["label"], groups):
        return table
    return table.assign(group=table[column].astype(str))
