"""The network of a trainer if only a softmax layer after frozen layers learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cellvision.training.frozen import FrozenSplit
from cellvision.training.frozen_fit import FrozenFit, is_exactly_solvable

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData
    from cellvision.training.network import Network


class FrozenNetwork:
    """Rebuilds the network only if the seed changes its frozen layers, and keeps its solution.

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

    def drawn(
        self, seed: int, prepared: PreparedData, draw: Callable[[int], Network]
    ) -> tuple[Network, FrozenSplit | None]:
        """Return the network for a seed and its parts; None if it cannot be solved exactly.

        The solution replaces all weights that are not frozen. So a network is not rebuilt for the
        same seed, nor after two seeds have given the same frozen layers. A network that cannot be
        solved is not rebuilt at all, because another seed would not change that; its weights may
        then be those of another seed.

        Parameters
        ----------
        seed
            Seed of the weights.
        prepared
            The images.
        draw
            Returns the network with the weights of a seed.
        """
        if self._network is not None and self._split is None:
            return self._network, None
        if self._network is None or (self._depends_on_seed and seed != self._seed):
            before = self._split
            self._network, self._seed = draw(seed), seed
            self._split = is_exactly_solvable(prepared, self._network)
            if before is not None and self._split is not None:
                self._depends_on_seed = before.digest != self._split.digest
        return self._network, self._split
