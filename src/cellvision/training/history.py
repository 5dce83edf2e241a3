"""Rows of the history of a training, one per epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

EpochHook = Callable[[int, Mapping[str, float]], None]
"""Called after each epoch with its number (the first is 1) and its row of the history."""


def history_row(
    epoch: int, logs: Mapping[str, Any], seconds: float, metrics: Sequence[keras.metrics.Metric]
) -> dict[str, float]:
    """Return one row of ``history.csv``; validation columns are NaN without validation."""
    row: dict[str, float] = {"epoch": epoch}
    further = [prefix + metric.name for metric in metrics for prefix in ("", "val_")]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", *further):
        row[name] = float(logs.get(name, float("nan")))
    return {**row, "seconds": seconds}
