"""Early stopping by the validation loss."""

from __future__ import annotations


class EarlyStopping:
    """Track the validation loss: which epoch is the best, and when to stop.

    Parameters
    ----------
    patience
        Stop after this many epochs without improvement; None never stops.

    Attributes
    ----------
    best_loss : float
        Lowest validation loss so far.
    since_best : int
        Epochs since then.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.best_loss = float("inf")
        self.since_best = 0

    def restore(self, best_loss: float, since_best: int) -> None:
        """Continue from an earlier training."""
        self.best_loss = best_loss
        self.since_best = since_best

    def is_best(self, validation_loss: float) -> bool:
        """Record the epoch that has just ended; return whether it is the best so far."""
        better = bool(validation_loss < self.best_loss)
        self.since_best = 0 if better else self.since_best + 1
        self.best_loss = validation_loss if better else self.best_loss
        return better

    @property
    def is_over(self) -> bool:
        """Whether there was no improvement for `patience` epochs."""
        return self.patience is not None and self.since_best >= self.patience
