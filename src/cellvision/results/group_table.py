"""The answers for groups as a table: ``groups.csv`` of runs and studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellvision import statistics

if TYPE_CHECKING:
    import pandas as pd


def group_table(
    predictions: pd.DataFrame, provenance: pd.DataFrame, class_names: Sequence[str]
) -> pd.DataFrame:
    """Return one row per split and group: its label, its images and the answer for it.

    Parameters
    ----------
    predictions
        As in ``predictions.csv``; images without a group are left out.
    provenance
        As in ``provenance.csv``. A column is kept if it has one value in every group, such as the
        plate of a well.
    class_names
        The classes, in the order of the columns ``p_<class>``.

    Returns
    -------
    pandas.DataFrame
        ``split``, ``group``, ``label`` (None if the images of the group have several),
        ``images``, ``image_accuracy``, ``predicted`` (None for a tie of the two best classes),
        ``p_<class>``..., then columns of the provenance.
    """
    import pandas as pd

    parts = [
        _split_table(rows, class_names).assign(split=split)
        for split, rows in predictions.dropna(subset=["group"]).groupby("split", sort=False)
        if np.isfinite(_probabilities(rows, class_names)).all()
    ]
    columns = ["split", "group", "label", "images", "image_accuracy", "predicted"]
    columns += [f"p_{name}" for name in class_names]
    if not parts:
        return pd.DataFrame(columns=columns)
    table = pd.concat(parts, ignore_index=True)[columns]
    constant = _constant_columns(provenance, [*columns, "image"])
    return table.merge(constant, how="left", left_on="group", right_index=True)


def _probabilities(rows: pd.DataFrame, class_names: Sequence[str]) -> np.ndarray:
    return rows[[f"p_{name}" for name in class_names]].to_numpy(np.float64)


def _split_table(rows: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    probabilities = _probabilities(rows, class_names)
    answers = statistics.predict_groups(probabilities, rows["group"].to_numpy(), class_names)
    names = np.array([*class_names, None], dtype=object)  # -1, a tie, is the last
    by_group = rows.assign(_right=rows["label"] == rows["predicted"]).groupby("group")
    several = by_group["label"].nunique() > 1  # noqa: PD101 - of groups, not of a series
    labels = by_group["label"].first().astype(object).where(~several, None)
    table = pd.DataFrame(
        {
            "group": answers.groups,
            "label": labels.reindex(answers.groups).to_numpy(),
            "images": answers.images,
            "image_accuracy": by_group["_right"].mean().reindex(answers.groups).to_numpy(),
            "predicted": names[answers.predicted],
        }
    )
    for number, name in enumerate(class_names):
        table[f"p_{name}"] = answers.probabilities[:, number]
    return table


def _constant_columns(provenance: pd.DataFrame, taken: Sequence[str]) -> pd.DataFrame:
    """Return the columns of the provenance that are the same within every group, by group."""
    known = provenance.dropna(subset=["group"])
    by_group = known.groupby("group")
    names = [name for name in known.columns if name not in taken]
    constant = [
        name
        for name in names
        if known[name].notna().any() and int(by_group[name].nunique(dropna=False).max()) == 1
    ]
    return by_group[constant].first() if constant else by_group[[]].first()
