"""Control ``frozen_encoder``: features of a pretrained encoder with softmax regression."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cellvision import Architecture, Control
from cellvision_controls.rungs import with_network

if TYPE_CHECKING:
    from cellvision import Experiment
    from cellvision.statistics import ControlMeaning


class FrozenEncoder(Control):
    """Trains a network with a frozen encoder on the same images, without augmentation.

    The highest rung below the network: features that were learned elsewhere. `architecture` names
    the network, such as ``{type = "encoder", path = "efficientnet_lite0.onnx"}``. The encoder may
    have seen public images of yours.
    """

    architecture: Architecture
    """The network: `encoder`, a frozen `pretrained`, or any other that is simpler than yours."""

    label: ClassVar[str] = "frozen encoder"
    order: ClassVar[int] = 320
    depends_on_seed: ClassVar[bool] = False
    enabled_by_default: ClassVar[bool] = False

    def meaning(self) -> ControlMeaning:
        """Say that it is a simpler model; see `cellvision.Control.meaning`."""
        from cellvision.statistics import ControlMeaning

        return ControlMeaning("lower rung", "the frozen encoder")

    def change_experiment(self, experiment: Experiment) -> Experiment:
        """Replace network and training; see `cellvision.Control.change_experiment`."""
        return with_network(experiment, self.architecture)
