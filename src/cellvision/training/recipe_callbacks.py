"""Keras callbacks of an architecture's recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellvision.training.network import Network


def recipe_callbacks(network: Network, *, validates: bool) -> list[Any]:
    """Return the callbacks of a recipe, and one that validates with the optimizer's averages.

    Parameters
    ----------
    network
        The network, compiled.
    validates
        Whether there is a validation split.
    """
    import keras

    swap = keras.callbacks.SwapEMAWeights
    # A second one, from the recipe, would undo ours.
    callbacks = [each for each in network.callbacks if not isinstance(each, swap)]
    averages = network.training_model.optimizer.use_ema and validates
    return [*callbacks, swap()] if averages else callbacks
