"""Whether the main memory suffices for a training, before its first step is computed.

A process that needs more memory than there is gets killed, or the machine stops responding. So a
training is refused if even a low estimate of its needs is more than this process can have, and a
warning says so if a likely one is more than what is free.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.backends.devices import accelerators
from cellvision.backends.memory import attainable_memory, free_memory
from cellvision.plurals import byte_size, counted

if TYPE_CHECKING:
    import keras

    from cellvision.training.network import Network

_HINT = (
    "Choose a smaller {first}preprocessing.size, or cut images into tiles: cellvision prepare slice"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MemoryNeeds:
    """Bytes that a training step needs for what layers compute.

    Attributes
    ----------
    least : int
        Inputs of the layers that learn weights, all of which their gradients need. Measured with
        two networks: a sixth to a quarter of the memory that a step takes.
    likely : int
        Outputs of all layers: half to three quarters of it.
    """

    least: int
    likely: int


def step_needs(model: keras.Model, batch_size: int, sample_bytes: int) -> MemoryNeeds:
    """Estimate the memory for a training step, from the shapes that a model's layers declare.

    Parameters
    ----------
    model
        A model. Layers inside of layers that are no models do not count.
    batch_size
        Images per step.
    sample_bytes
        Bytes of a computed number.
    """
    kept: dict[int, Any] = {}  # one input may serve several layers
    computed = 0
    for node in _calls(model):
        computed += _values(node.output_tensors)
        if any(len(weight.shape) > 1 for weight in _learned(node.operation)):
            kept |= {id(tensor): tensor for tensor in node.input_tensors}
    bytes_each = batch_size * sample_bytes
    return MemoryNeeds(_values(kept.values()) * bytes_each, computed * bytes_each)


def raise_if_too_large(network: Network, batch_size: int) -> None:
    """Refuse batches for which the main memory does not suffice; warn of those that may be.

    Parameters
    ----------
    network
        The network.
    batch_size
        Images per step in this process.

    Raises
    ------
    errors.ExperimentError
        Even a low estimate is more than this process can have.
    """
    if accelerators():  # their memory is separate
        return
    needs = step_needs(
        network.training_model, batch_size, 2 if network.precision == "bfloat16" else 4
    )
    shape = "×".join(map(str, network.experiment.preprocessing.input_shape))
    what = f"a training step on {counted(batch_size, 'image')} of {shape}"
    hint = _HINT.format(first="training.batch_size or " if batch_size > 1 else "")
    raise_if_too_little(needs.least, what, hint)
    free = free_memory()
    if free is not None and needs.likely > free:
        _log.warning(
            "%s needs about %s of memory, but %s are free: the process may be killed. %s",
            what,
            byte_size(needs.likely),
            byte_size(free),
            hint,
        )


def raise_if_too_many(feature_shape: Sequence[int], images: int, copies: int) -> None:
    """Refuse features of training images for which the main memory does not suffice.

    Parameters
    ----------
    feature_shape
        Shape of the features of an image.
    images
        Number of training images.
    copies
        Augmented copies of each.

    Raises
    ------
    errors.ExperimentError
        They need more memory than this process can have.
    """
    values = math.prod(feature_shape)
    raise_if_too_little(
        4 * values * images * copies,
        f"solving the network on {values:,} features of {counted(images * copies, 'image')}",
        "Choose a smaller preprocessing.size, fewer augmenters, or an architecture with fewer "
        "features.",
    )


def raise_if_too_little(needed: int, what: str, hint: str) -> None:
    """Refuse work that needs more main memory than this process can have.

    Parameters
    ----------
    needed
        Bytes, a low estimate.
    what
        What needs them.
    hint
        What to change.

    Raises
    ------
    errors.ExperimentError
        It needs more.
    """
    most = attainable_memory()
    if most is not None and needed > most:
        raise errors.ExperimentError(
            f"{what} needs at least {byte_size(needed)} of memory, but this process can have "
            f"{byte_size(most)}",
            hint,
        )


def _calls(model: Any) -> Iterator[Any]:
    """Yield the calls of the layers of a functional model, and of models inside of it."""
    for nodes in _functional(model)._nodes_by_depth.values():
        for node in nodes:
            if hasattr(_functional(node.operation), "_nodes_by_depth"):
                yield from _calls(node.operation)
            elif node.input_tensors:
                yield node


def _functional(operation: Any) -> Any:
    """Return the functional model of a sequential one; anything else unchanged."""
    return getattr(operation, "_functional", None) or operation


def _learned(operation: Any) -> Iterable[Any]:
    return getattr(operation, "trainable_weights", ())


def _values(tensors: Iterable[Any]) -> int:
    """Return the number of values per image; 0 for tensors of unknown shape."""
    shapes = [tensor.shape[1:] for tensor in tensors]
    return sum(math.prod(shape) for shape in shapes if None not in shape)
