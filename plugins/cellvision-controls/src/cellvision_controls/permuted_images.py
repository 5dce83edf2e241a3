"""Control ``permuted_images``: labels permuted across images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from cellvision import Control
from cellvision_controls.permutation import LEAK, permute_labels

if TYPE_CHECKING:
    from cellvision import ControlData
    from cellvision.statistics import ControlMeaning


class PermutedImages(Control):
    """Trains on labels that images have exchanged, whatever their group.

    It must not beat chance, and is harder to memorize than `permuted_groups`. Images that are
    identical in several splits keep one label, so that a leak shows.
    """

    label: ClassVar[str] = "labels permuted across images"
    order: ClassVar[int] = 110

    def meaning(self) -> ControlMeaning:
        """Say that it must not beat chance; see `cellvision.Control.meaning`."""
        from cellvision.statistics import ControlMeaning

        return ControlMeaning("permuted labels", self.label, LEAK)

    def change_labels(self, data: ControlData, seed: int) -> Sequence[str]:
        """Permute labels; see `cellvision.Control.change_labels`."""
        return list(permute_labels(data.table, data.table["copies"], (seed, 1)))
