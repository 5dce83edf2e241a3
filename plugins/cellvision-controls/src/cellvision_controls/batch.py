"""Control ``batch``: the commonest class of the batch, without pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cellvision import Control

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import ControlData
    from cellvision.statistics import ControlMeaning


class Batch(Control):
    """Predicts each class as often as other groups of the image's batch have it in training.

    It sees no pixels: what it gets right, plate or day gives away. Every group has one vote, and
    an image's own group has none. A batch without training groups gives the proportions of all
    training groups. Needs batches (``dataset.batch``), at least two.
    """

    label: ClassVar[str] = "batch alone"
    order: ClassVar[int] = 210
    depends_on_seed: ClassVar[bool] = False

    def meaning(self) -> ControlMeaning:
        """Say that it sees no pixels; see `cellvision.Control.meaning`."""
        from cellvision.statistics import ControlMeaning

        return ControlMeaning("alternative explanation", "the batch")

    def unavailable(self, catalog: pd.DataFrame) -> str:
        """Require at least two batches; see `cellvision.Control.unavailable`."""
        known = catalog["batch"].dropna().nunique()
        if known >= 2:
            return ""
        return "the batches of the images are unknown" if known == 0 else "there is a single batch"

    def predict(self, data: ControlData, seed: int) -> np.ndarray:  # noqa: ARG002
        """Predict from batches; see `cellvision.Control.predict`."""
        import pandas as pd

        table, classes = data.table, len(data.class_names)
        # Shape (images, classes); the mean over a group's images is the group's vote.
        one_hot = pd.DataFrame(np.eye(classes)[data.labels], index=table.index)
        training = table.index[data.training_rows]
        block, batch = table["block"], table["batch"].astype(object)
        keys = [batch.loc[training], block.loc[training]]
        votes = one_hot.loc[training].groupby(keys).mean()
        totals = votes.groupby(level=0).sum()
        overall = votes.groupby(level=1).mean().mean().to_numpy()
        per_image = totals.reindex(batch).fillna(0.0).to_numpy()
        own = votes.reindex(pd.MultiIndex.from_arrays([batch, block])).fillna(0.0).to_numpy()
        # One more vote by the proportions of all: it decides if no other group has one.
        others = np.clip(per_image - own, 0, None) + overall
        return np.asarray(others / others.sum(axis=1, keepdims=True))
