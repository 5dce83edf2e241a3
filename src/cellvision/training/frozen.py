"""Frozen layers: split a model before its first trainable layer.

Layers that never change give the same output for the same image in every epoch, seed, fold and
control. This module finds them by the structure of the model. If the only layer that learns can be
solved exactly (`frozen_fit`), `frozen_features` computes their output once and keeps it on disk.
Other networks, such as a frozen backbone with a new last layer without an L2 penalty, compute it in
every epoch. Both parts share their layers with the whole model, so solving the rest changes the
whole, which is what is saved.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision.data.code_digests import layers_digest

if TYPE_CHECKING:
    import keras

_CONSTANT = 1e-6
"""A feature counts as constant if its standard deviation is below this share of its magnitude
(or below this value, for magnitudes under 1)."""

_BATCH = 1024
"""Features that the rest of a model takes at once."""

_FORMAT = 1
"""Increase whenever the same layers and images would give other features."""


@dataclass(frozen=True, eq=False)
class FrozenSplit:
    """A model in two parts that share its layers.

    Attributes
    ----------
    model : keras.Model
        The whole model. It predicts with the weights of both parts; save this one.
    head : keras.Model
        Images to features; nothing in it changes during training.
    rest : keras.Model
        Features to probabilities; starts with the first layer that learns or is adapted.
    digest : str
        Identifies the computation of the head: configuration, weights and code of its layers.
    """

    model: keras.Model
    head: keras.Model
    rest: keras.Model
    digest: str
    _before: dict[int, keras.Model] = field(default_factory=dict, init=False, repr=False)
    _adapted: dict[int, tuple[np.ndarray, ...]] = field(default_factory=dict, init=False)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of the features of one image."""
        return tuple(self.head.output_shape[1:])

    def adapt(self, features: np.ndarray) -> None:
        """Set the adaptable layers of the rest to mean and variance of these features.

        Only layers (see `is_adaptable`) that are fed by frozen layers alone are set. A constant
        feature gets variance 1, so that rounding errors are not amplified.

        Parameters
        ----------
        features
            Features of the training images, shape (n, ...); orientations flattened into n.
        """
        import keras

        for layer, source in _adaptable(self.rest):
            mean, variance = _moments(self._values(source, features), layer)
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.set_weights([mean, variance])
                continue
            layer.set_weights([mean, variance, layer.get_weights()[2]])
            layer.finalize_state()
            known = self._adapted.get(id(layer), ())
            self._adapted[id(layer)] = (mean, variance)
            if known and all(map(np.array_equal, known, (mean, variance))):
                continue
            # Compiled functions hold these statistics as constants: let Keras compile them again.
            for model in (self.model, self.rest, *self._before.values()):
                model.train_function = model.test_function = model.predict_function = None

    def rest_inputs(self, layer: keras.layers.Layer, features: np.ndarray) -> Iterator[np.ndarray]:
        """Yield, in batches, the inputs of a layer of the rest for these features."""
        node = next(node for node in _nodes(self.rest) if node.operation is layer)
        return self._values(node.input_tensors[0], features)

    def _values(self, tensor: Any, features: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the values of a tensor of the rest in batches."""
        import keras

        first = self.rest.inputs[0]
        if tensor is not first and id(tensor) not in self._before:
            self._before[id(tensor)] = keras.Model(first, tensor)
        before = self._before.get(id(tensor))
        for start in range(0, len(features), _BATCH):
            batch = np.asarray(features[start : start + _BATCH])
            yield batch if before is None else np.asarray(before.predict_on_batch(batch))


def split_frozen(model: keras.Model) -> FrozenSplit | None:
    """Split a built model after its last frozen layer.

    A layer is *frozen* if it and everything before it stays the same during training:

    - its ``trainable`` is False, or it has no trainable weights and does the same in training
      as in inference (its ``call`` takes no ``training`` argument), and
    - it does not take its statistics from the training images (see `is_adaptable`).

    The cut is the last frozen tensor that every path to the output passes through. Nested models
    are entered, so a model may scale its pixels and then call the network of an architecture.

    Parameters
    ----------
    model
        A built functional or sequential model with one input.

    Returns
    -------
    FrozenSplit or None
        None if there is nothing worth computing once: no weights before the cut, the model is
        not functional, or nothing after the cut learns.
    """
    cut = _cut(model)
    if cut is None:
        return None
    head, rest = cut
    if not head.weights or not rest.trainable_weights:
        return None
    return FrozenSplit(model, head, rest, head_digest(head))


def _cut(model: Any) -> tuple[keras.Model, keras.Model] | None:
    """Return both parts of a model; None if it has no graph of one input and one output."""
    import keras

    if isinstance(model, keras.Sequential):
        if not model.built:
            return None
        model = keras.Model(model.inputs, model.outputs)
    if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
        return None  # a subclassed model hides its graph
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        return None
    source, output = model.inputs[0], model.outputs[0]
    for tensor in reversed(_frozen_tensors(model)):
        if tensor is not output and _separates(tensor, source, output):
            break
    else:
        return None
    inner = _enter(model, tensor)
    if inner is not None:
        return inner
    return keras.Model(source, tensor), keras.Model(tensor, output)


def _enter(model: keras.Model, tensor: Any) -> tuple[keras.Model, keras.Model] | None:
    """Move the cut into a nested model, if only that model uses the tensor."""
    import keras

    following = [node for node in _nodes(model) if any(x is tensor for x in node.input_tensors)]
    if len(following) != 1 or not isinstance(following[0].operation, keras.Model):
        return None
    nested, after = following[0].operation, following[0].output_tensors[0]
    inner = _cut(nested)
    if inner is None:
        return None
    head = keras.Model(model.inputs[0], inner[0](tensor))
    if after is model.outputs[0]:
        return head, inner[1]
    end = keras.Model(after, model.outputs[0])
    return head, keras.Model(inner[1].inputs[0], end(inner[1].outputs[0]))


def _nodes(model: keras.Model) -> list[Any]:
    """The calls of a functional model's operations, in the order of computation."""
    by_depth: dict[int, list[Any]] = model._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def _frozen_tensors(model: keras.Model) -> list[Any]:
    """The tensors of a functional model that stay the same during training, inputs first."""
    frozen: dict[int, Any] = {}
    for node in _nodes(model):
        constant = node.is_input or (
            is_frozen(node.operation) and all(id(x) in frozen for x in node.input_tensors)
        )
        if constant:
            frozen.update((id(x), x) for x in node.output_tensors)
    return list(frozen.values())


def is_frozen(operation: Any) -> bool:
    """Whether a layer or operation computes the same before, during and after training."""
    import keras

    if not isinstance(operation, keras.layers.Layer) or not operation.trainable:
        return True  # operations such as keras.ops.sqrt have no state
    if isinstance(operation, keras.Model):
        return all(is_frozen(layer) for layer in operation.layers)
    if operation.trainable_weights or is_adaptable(operation):
        return False
    return "training" not in inspect.signature(operation.call).parameters


def is_adaptable(layer: Any) -> bool:
    """Whether a layer takes only the mean and the variance from training images.

    That is `BatchNormalization` without scale and center, or `Normalization` without given
    statistics, if its ``trainable`` is True. Prefer the first: Keras keeps the statistics of the
    second as constants, which its export to ONNX turns into further inputs.
    """
    import keras

    if isinstance(layer, keras.layers.BatchNormalization):
        return bool(layer.trainable and not layer.scale and not layer.center)
    if isinstance(layer, keras.layers.Normalization):
        return bool(layer.trainable and layer.input_mean is None)
    return False


def _separates(tensor: Any, source: Any, output: Any) -> bool:
    """Whether every path from the source to the output passes through a tensor."""
    if tensor is source:
        return True
    pending, seen = [output], set()
    while pending:
        current = pending.pop()
        if current is tensor or id(current) in seen:
            continue
        if current is source:
            return False
        seen.add(id(current))
        operation, index, _ = current._keras_history
        pending.extend(operation._inbound_nodes[index].input_tensors)
    return True


def _adaptable(rest: keras.Model) -> list[tuple[Any, Any]]:
    """The layers to adapt, each with its input tensor."""
    frozen = {id(x) for x in _frozen_tensors(rest)}
    return [
        (node.operation, node.input_tensors[0])
        for node in _nodes(rest)
        if is_adaptable(node.operation) and all(id(x) in frozen for x in node.input_tensors)
    ]


def _moments(batches: Iterator[np.ndarray], layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance in float64 over all axes but the layer's, in one pass.

    Batches are merged as by Chan, Golub and LeVeque (1983), which stays accurate if the mean is
    large compared with the spread.
    """
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for batch in batches:
        kept = [layer.axis] if isinstance(layer.axis, int) else layer.axis
        keep = {axis % batch.ndim for axis in kept}
        axes = tuple(axis for axis in range(batch.ndim) if axis not in keep)
        values = batch.astype(np.float64)
        n = math.prod(batch.shape[axis] for axis in axes)
        center = values.mean(axis=axes)
        spread = np.square(values - np.expand_dims(center, axes)).sum(axis=axes)
        shift = center - mean
        squares = squares + spread + np.square(shift) * (count * n / (count + n))
        mean = mean + shift * (n / (count + n))
        count += n
    variance = squares / count
    constant = variance <= np.square(_CONSTANT * np.maximum(1.0, np.abs(mean)))
    return mean.astype(np.float32), np.where(constant, 1.0, variance).astype(np.float32)


def head_digest(head: keras.Model) -> str:
    """Identify what a frozen part computes, by its layers' configuration, weights and code.

    Names of layers are ignored, because Keras numbers layers within a process.
    """
    import keras

    digest = hashlib.sha256(f"{_FORMAT} {keras.__version__}".encode())
    _add_graph(digest, head)
    layers = [*head._flatten_layers(), *getattr(head, "operations", ())]  # inner ones, too
    digest.update(layers_digest(layers).encode())
    return digest.hexdigest()[:32]


def _add_graph(digest: Any, model: keras.Model) -> None:
    """Add the operations of a model, how they are connected, and their weights to a digest."""
    import keras

    if not hasattr(model, "operations") and not isinstance(model, keras.Sequential):
        digest.update(json.dumps(_anonymous(model.get_config()), default=str).encode())
        _add_weights(digest, model)
        return
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs)
    numbers: dict[int, int] = {}
    for node in _nodes(model):
        for tensor in node.output_tensors:
            numbers[id(tensor)] = len(numbers)
        operation = node.operation
        # Arguments that are not tensors, such as the axis of keras.ops.concatenate.
        call = [_plain(value) for value in (node.arguments.args, node.arguments.kwargs)]
        inputs = [numbers.get(id(tensor), -1) for tensor in node.input_tensors]
        digest.update(json.dumps([type(operation).__name__, inputs, call], default=str).encode())
        if isinstance(operation, keras.Model):
            _add_graph(digest, operation)
            continue
        config = _anonymous(operation.get_config())
        digest.update(json.dumps(config, sort_keys=True, default=str).encode())
        if isinstance(operation, keras.layers.Layer):
            _add_weights(digest, operation)


def _add_weights(digest: Any, layer: keras.layers.Layer) -> None:
    for weight in layer.get_weights():
        values = np.ascontiguousarray(weight)
        digest.update(f"{values.shape} {values.dtype}".encode())
        digest.update(values.tobytes())


def _anonymous(config: Any) -> Any:
    """A configuration without names and without what does not change the computation."""
    if isinstance(config, dict):
        return {
            key: _anonymous(value)
            for key, value in config.items()
            if key not in ("name", "trainable", "batch_shape", "registered_name")
            and not key.endswith(("_initializer", "_regularizer"))
        }
    if isinstance(config, list | tuple):
        return [_anonymous(value) for value in config]
    return config


def _plain(value: Any) -> Any:
    """Arguments of a call, with type names for tensors, whose numbers are in the digest."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else type(value).__name__
