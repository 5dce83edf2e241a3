"""Control ``texture``: fixed wavelet features with softmax regression."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cellvision import Control, architectures
from cellvision_controls.rungs import with_network

if TYPE_CHECKING:
    from cellvision import Experiment
    from cellvision.statistics import ControlMeaning


class Texture(Control):
    """Trains the architecture `scattering` on the same images, without augmentation.

    The rung between intensity and network: its features are fixed, so only a softmax regression is
    fitted, exactly and within seconds once the features are cached. If it does better than the
    network, the network is not trained enough. An experiment whose architecture is `scattering`
    needs no such control.
    """

    orientations: int = Field(default=6, ge=2, le=16)
    """Directions of the wavelets, over half a turn."""

    l2: float = Field(default=0.001, gt=0)
    """Strength of the penalty of the regression."""

    label: ClassVar[str] = "texture alone"
    order: ClassVar[int] = 310
    depends_on_seed: ClassVar[bool] = False

    def meaning(self) -> ControlMeaning:
        """Say that it is a simpler model; see `cellvision.Control.meaning`."""
        from cellvision.statistics import ControlMeaning

        return ControlMeaning("lower rung", "texture")

    def change_experiment(self, experiment: Experiment) -> Experiment:
        """Replace network and training; see `cellvision.Control.change_experiment`."""
        name = architectures.default("scattering")
        network = architectures.create(name, orientations=self.orientations, l2=self.l2)
        return with_network(experiment, network)
