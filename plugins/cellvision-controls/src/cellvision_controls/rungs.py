"""Train another network on the same images, as a rung of the ladder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision import Training

if TYPE_CHECKING:
    from cellvision import Architecture, Experiment


def with_network(experiment: Experiment, network: Architecture) -> Experiment:
    """Return the experiment with another network, its own training, and no augmentation.

    Without augmentation, a network that is frozen but for a softmax regression is fitted exactly
    on cached features. An experiment that has the network already is returned as it is.
    """
    if type(experiment.architecture) is type(network):
        return experiment
    given = experiment.training
    training = Training(
        seed=given.seed,
        precision=given.precision,
        class_weights=given.class_weights,
        devices="cpu" if given.devices == "cpu" else 1,
    )
    return experiment.model_copy(
        update={"architecture": network, "augmenters": (), "training": training}
    )
