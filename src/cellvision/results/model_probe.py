"""Probe: probabilities, gradients and features of a trained network on given images."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.backends.seeding import seeded

if TYPE_CHECKING:
    import keras

_BATCH_VALUES = 2**22
"""Most pixel values in a batch, if that is at least eight images."""

_SMALLEST_PROBABILITY = 1e-30
"""Probabilities are clipped here, so that their logarithm is finite."""


class Probe:
    """A trained network that classifies and explains images; `Run.probe` returns it.

    Images are as `Run.network_input` returns them, modified or not: float32, shape (images,
    height, width, channels), in the size of the run; 0 to 1 spans the intensity range of the run.

    Parameters
    ----------
    model
        Maps native intensities to probabilities.
    zero, one
        The native intensities that the network sees as 0 and 1.
    """

    def __init__(self, model: keras.Model, zero: float, one: float) -> None:
        self._model = model
        self._zero = zero
        self._span = one - zero

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Classify images: float32, shape (images, classes)."""
        return _in_batches(self._model.predict_on_batch, self._native(images))

    def log_odds(self, images: np.ndarray, classes: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the log odds of a class: log of its probability over that of all others.

        For two classes this is the difference of their logits. Unlike a probability it does not
        saturate when the network is certain.

        Parameters
        ----------
        images
            Shape (images, height, width, channels).
        classes
            A class number for each image.

        Returns
        -------
        numpy.ndarray
            Float64, shape (images,).
        """
        p = np.maximum(self.probabilities(images).astype(np.float64), _SMALLEST_PROBABILITY)
        target = np.eye(p.shape[1], dtype=bool)[np.asarray(classes, int)]
        odds: np.ndarray = np.log(p[target]) - np.log(np.where(target, 0.0, p).sum(axis=1))
        return odds

    def gradients(self, images: np.ndarray, classes: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the gradient of `log_odds` with respect to each intensity.

        The gradient of the cross-entropy of the same class is this one times the negative
        probability of the other classes; it vanishes when the network is certain.

        Parameters
        ----------
        images, classes
            As for `log_odds`.

        Returns
        -------
        numpy.ndarray
            Float32, same shape as `images`, in log odds per intensity range.

        Raises
        ------
        errors.ExperimentError
            Keras runs on a backend other than TensorFlow or JAX.
        """
        targets = np.eye(self._model.output_shape[-1], dtype=np.float32)[np.asarray(classes, int)]
        return _in_batches(self._gradient, self._native(images), targets) * np.float32(self._span)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the input of the last layer with weights: float32, shape (images, features).

        Height and width are averaged out. For a subclassed model, whose layers are not
        accessible, the logarithms of the probabilities.
        """
        if self._encoder is None:
            p = self.probabilities(images)
            return np.asarray(np.log(np.maximum(p, np.float32(_SMALLEST_PROBABILITY))))
        encoded = _in_batches(self._encoder.predict_on_batch, self._native(images))
        spatial = tuple(range(1, encoded.ndim - 1))
        pooled: np.ndarray = encoded.mean(axis=spatial) if spatial else encoded
        return pooled

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers with trained weights, from the output inwards."""
        return tuple(layer.name for layer in _trained_layers(self._model))

    def redrawn(self, seed: int, layers: int | None = None) -> Probe:
        """Return a copy of the network in which some layers have new random weights.

        Parameters
        ----------
        seed
            Seed of the new weights.
        layers
            Number of layers to draw again, from the output inwards; None draws all.

        Raises
        ------
        errors.ArchitectureError
            Keras cannot copy this network.
        """
        import keras

        try:
            with seeded(seed):
                copy = keras.models.clone_model(self._model)
        except (NotImplementedError, TypeError, ValueError) as error:
            raise errors.ArchitectureError(
                f"Keras cannot copy this network: {errors.first_line(error)}",
                "Build it from layers, or give its class a get_config() method.",
            ) from error
        fresh = [layer.get_weights() for layer in _trained_layers(copy)]
        copy.set_weights(self._model.get_weights())
        for layer, weights in zip(_trained_layers(copy)[:layers], fresh, strict=False):
            layer.set_weights(weights)
        return Probe(copy, self._zero, self._zero + self._span)

    def _native(self, images: np.ndarray) -> np.ndarray:
        native: np.ndarray = np.asarray(images, np.float32) * np.float32(self._span)
        return native + np.float32(self._zero) if self._zero else native

    @cached_property
    def _encoder(self) -> keras.Model | None:
        try:
            return _without_last(self._model)
        except (AttributeError, IndexError, ValueError):
            return None

    @cached_property
    def _gradient(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        import keras

        backend = keras.backend.backend()
        if backend == "tensorflow":
            from cellvision.backends import tensorflow

            model = self._model
            return tensorflow.gradient(
                lambda images, targets: _summed_log_odds(model(images, training=False), targets)
            )
        if backend == "jax":
            return _jax_gradient(self._model)
        raise errors.ExperimentError(
            f"gradients are not available on the {backend} backend",
            "Set KERAS_BACKEND to tensorflow or jax.",
        )


def _summed_log_odds(probabilities: Any, targets: Any) -> Any:
    """Sum `Probe.log_odds` over images, in operations of the backend."""
    from keras import ops

    p = ops.maximum(ops.cast(probabilities, "float32"), _SMALLEST_PROBABILITY)
    target = ops.sum(p * targets, axis=-1)
    others = ops.sum(p * (1.0 - targets), axis=-1)
    return ops.sum(ops.log(target) - ops.log(others))


def _jax_gradient(model: keras.Model) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    import jax

    def score(images: Any, targets: Any, trainable: Any, others: Any) -> Any:
        # Stateless, because JAX keeps state apart from computation.
        probabilities, _ = model.stateless_call(trainable, others, images, training=False)
        return _summed_log_odds(probabilities, targets)

    gradient = jax.jit(jax.grad(score))

    def compute(images: np.ndarray, targets: np.ndarray) -> np.ndarray:
        # Read on every call, because a prediction in between replaces the arrays.
        trainable = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]
        return np.asarray(gradient(images, targets, trainable, others))

    return compute


def _trained_layers(model: keras.Model) -> list[Any]:
    """List the innermost layers with weights, from the output inwards.

    Normalization layers are left out: they hold statistics of images.
    """
    import keras

    layers: list[Any] = []
    for layer in reversed(model.layers):
        if isinstance(layer, keras.Model):
            layers += _trained_layers(layer)
        elif layer.weights and not isinstance(layer, keras.layers.Normalization):
            layers.append(layer)
    return layers


def _without_last(model: keras.Model) -> keras.Model:
    """Cut the network before its last layer with weights, also inside nested models."""
    import keras

    last = [layer for layer in model.layers if layer.weights][-1]
    inputs, features = _input_of(model, last)
    return keras.Model(
        inputs, _without_last(last)(features) if isinstance(last, keras.Model) else features
    )


def _input_of(model: keras.Model, last: keras.Layer) -> tuple[Any, Any]:
    """Return the inputs of a model and the symbolic input of one of its layers."""
    import keras

    if isinstance(model, keras.Sequential):
        inputs = features = keras.Input(model.input_shape[1:])
        for layer in itertools.takewhile(lambda layer: layer is not last, model.layers):
            features = layer(features)
        return inputs, features
    layer_inputs = []

    def call(layer: keras.Layer, *arguments: Any, **options: Any) -> Any:
        if layer is last:
            layer_inputs.append(arguments[0])
        return layer(*arguments, **options)

    # Call the same layers again, because a nested model does not know its input in this model.
    clone = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return clone.inputs, layer_inputs[-1]


def _in_batches(function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """Call a function on batches of images. Only three batch sizes occur: each is compiled."""
    count = len(arrays[0])
    most = int(np.clip(_BATCH_VALUES // max(arrays[0][:1].size, 1), 8, 512))
    size = next((size for size in (8, 64) if count <= size <= most), most)
    results = []
    for start in range(0, count, size):
        batch = [array[start : start + size] for array in arrays]
        missing = size - len(batch[0])
        if missing:
            batch = [np.concatenate([part, np.repeat(part[-1:], missing, 0)]) for part in batch]
        results.append(np.asarray(function(*batch), np.float32)[: size - missing])
    if not results:
        raise errors.CellvisionError("no image was given to the network", "Pass at least one.")
    return np.concatenate(results)
