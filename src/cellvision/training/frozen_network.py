"""The network of a trainer if only a softmax layer after frozen layers learns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision.training.frozen import FrozenSplit
from cellvision.training.frozen_fit import FrozenFit, fit_frozen, is_exactly_solvable

if TYPE_CHECKING:
    from cellvision.progress import Display
    from cellvision.training.history import EpochHook
    from cellvision.training.network import Network
    from cellvision.training.result import TrainingResult
    from cellvision.training.trainer import Trainer


class FrozenNetwork:
    """Solves the network, and rebuilds it only if the seed changes its frozen layers.

    Attributes
    ----------
    fit : FrozenFit or None
        The last solution, if the last network was solved.
    """

    def __init__(self) -> None:
        self.fit: FrozenFit | None = None
        self._network: Network | None = None
        self._split: FrozenSplit | None = None
        self._seed = 0
        self._depends_on_seed = True

    def is_solvable(self, seed: int, trainer: Trainer) -> bool:
        """Whether the network of a seed can be solved exactly."""
        return self._draw(seed, trainer)[1] is not None

    def solve(
        self, seed: int, trainer: Trainer, display: Display, on_epoch: EpochHook
    ) -> tuple[Network, TrainingResult] | None:
        """Solve the network of a seed; None if it must be trained.

        Parameters
        ----------
        seed
            Seed of the weights.
        trainer
            Has the images, and builds the network.
        display
            Shows progress.
        on_epoch
            Called once, with the scores of the solution.
        """
        earlier, self.fit = self.fit, None
        network, split = self._draw(seed, trainer)
        if split is None:
            return None
        network.fresh_seed = None
        if earlier is None or not earlier.solves(trainer.prepared, split):
            network.saved_as = None
        self.fit, result = fit_frozen(
            trainer.prepared,
            split,
            (trainer.rows, trainer.validation_rows),
            display,
            on_epoch,
            metrics=network.metrics,
            earlier=earlier,
        )
        return network, result

    def _draw(self, seed: int, trainer: Trainer) -> tuple[Network, FrozenSplit | None]:
        """Return the network for a seed and its parts; None if it cannot be solved exactly.

        The solution replaces all weights that are not frozen. So a network is not rebuilt for the
        same seed, nor after two seeds have given the same frozen layers. A network that cannot be
        solved is not rebuilt at all, because another seed would not change that; its weights may
        then be those of another seed.
        """
        if self._network is not None and self._split is None:
            return self._network, None
        if self._network is None or (self._depends_on_seed and seed != self._seed):
            before = self._split
            self._network, self._seed = trainer.network(seed), seed
            self._split = is_exactly_solvable(trainer.prepared, self._network)
            if before is not None and self._split is not None:
                self._depends_on_seed = before.digest != self._split.digest
        return self._network, self._split
