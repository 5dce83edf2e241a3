"""A finished run's network as a function of what it sees: answers, gradients and features."""

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

_VALUES_AT_ONCE = 2**22
"""How many pixel values a batch holds at most (more where eight images do)."""

_LEAST = 1e-30
"""Probabilities count as at least so much, so that their logarithm is finite."""


class Probe:
    """A trained network, to be asked about images that may be changed; `Run.probe` gives it.

    All images here are as `Run.seen` gives them: float32, shape (images, height, width,
    channels), where 0 to 1 spans the intensity range of the run. Other sizes are not taken.

    Parameters
    ----------
    model
        Takes native intensities and gives probabilities.
    zero, one
        The native intensities that are 0 and 1.
    """

    def __init__(self, model: keras.Model, zero: float, one: float) -> None:
        self._model = model
        self._zero = zero
        self._span = one - zero

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Classify images: float32, shape (images, classes)."""
        return _in_batches(self._model.predict_on_batch, self._native(images))

    def log_odds(self, images: np.ndarray, classes: Sequence[int] | np.ndarray) -> np.ndarray:
        """How sure the network is of a class: log of its probability over that of all others.

        For two classes this is the difference of their logits; unlike a probability it does not
        level off where the network is sure.

        Parameters
        ----------
        images
            Shape (images, height, width, channels).
        classes
            The number of a class for each image.

        Returns
        -------
        numpy.ndarray
            Float64, shape (images,).
        """
        p = np.maximum(self.probabilities(images).astype(np.float64), _LEAST)
        wanted = np.eye(p.shape[1], dtype=bool)[np.asarray(classes, int)]
        odds: np.ndarray = np.log(p[wanted]) - np.log(np.where(wanted, 0.0, p).sum(axis=1))
        return odds

    def gradients(self, images: np.ndarray, classes: Sequence[int] | np.ndarray) -> np.ndarray:
        """How `log_odds` changes with each intensity.

        The gradient of the cross-entropy of the same class is this one times minus one and the
        probability of the other classes: of the same direction, and smaller by so much that it
        vanishes where the network is sure.

        Parameters
        ----------
        images, classes
            As for `log_odds`.

        Returns
        -------
        numpy.ndarray
            Float32, shape as `images`; in units of log odds per intensity range.

        Raises
        ------
        errors.ExperimentError
            Keras runs on a backend other than TensorFlow and JAX.
        """
        wanted = np.eye(self._model.output_shape[-1], dtype=np.float32)[np.asarray(classes, int)]
        return _in_batches(self._gradient, self._native(images), wanted) * np.float32(self._span)

    def features(self, images: np.ndarray) -> np.ndarray:
        """What the last layer with weights is given: float32, shape (images, features).

        Where that has places (height and width), the mean over them. Of a network that is not
        built of Keras' graphs of layers (a subclassed model), the logarithms of the
        probabilities.
        """
        if self._encoder is None:
            found = self.probabilities(images)
            return np.asarray(np.log(np.maximum(found, np.float32(_LEAST))))
        found = _in_batches(self._encoder.predict_on_batch, self._native(images))
        places = tuple(range(1, found.ndim - 1))
        pooled: np.ndarray = found.mean(axis=places) if places else found
        return pooled

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that have learned something, from the output inwards."""
        return tuple(layer.name for layer in _learned(self._model))

    def redrawn(self, seed: int, layers: int | None = None) -> Probe:
        """A copy of the network with layers as they were before any training.

        Parameters
        ----------
        seed
            Of the new weights.
        layers
            How many layers to draw anew, from the output inwards; None: all of them.

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
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise errors.ArchitectureError(
                f"Keras cannot copy this network: {reason}",
                "Build it of layers, or give its class a get_config()",
            ) from error
        fresh = [layer.get_weights() for layer in _learned(copy)]
        copy.set_weights(self._model.get_weights())
        for layer, weights in zip(_learned(copy)[:layers], fresh, strict=False):
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
                lambda images, wanted: _summed_log_odds(model(images, training=False), wanted)
            )
        if backend == "jax":
            return _jax_gradient(self._model)
        raise errors.ExperimentError(
            f"gradients are not to be had on the {backend} backend",
            "Set KERAS_BACKEND to tensorflow or jax",
        )


def _summed_log_odds(probabilities: Any, wanted: Any) -> Any:
    """The sum of `Probe.log_odds` over images, in the backend's own operations."""
    from keras import ops

    p = ops.maximum(ops.cast(probabilities, "float32"), _LEAST)
    own = ops.sum(p * wanted, axis=-1)
    others = ops.sum(p * (1.0 - wanted), axis=-1)
    return ops.sum(ops.log(own) - ops.log(others))


def _jax_gradient(model: keras.Model) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    import jax

    def score(images: Any, wanted: Any, learned: Any, others: Any) -> Any:
        # Without its state, which JAX keeps apart from the computation.
        given, _ = model.stateless_call(learned, others, images, training=False)
        return _summed_log_odds(given, wanted)

    gradient = jax.jit(jax.grad(score))

    def compute(images: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        # Taken anew each time: a prediction in between puts other arrays in their place.
        learned = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]
        return np.asarray(gradient(images, wanted, learned, others))

    return compute


def _learned(model: keras.Model) -> list[Any]:
    """The innermost layers with weights that training makes, from the output inwards.

    A Normalization layer holds what was measured of images and is none of them.
    """
    import keras

    found: list[Any] = []
    for layer in reversed(model.layers):
        if isinstance(layer, keras.Model):
            found += _learned(layer)
        elif layer.weights and not isinstance(layer, keras.layers.Normalization):
            found.append(layer)
    return found


def _without_last(model: keras.Model) -> keras.Model:
    """The network up to its last layer with weights, inside models that are layers too."""
    import keras

    last = [layer for layer in model.layers if layer.weights][-1]
    inputs, given = _before(model, last)
    return keras.Model(
        inputs, _without_last(last)(given) if isinstance(last, keras.Model) else given
    )


def _before(model: keras.Model, last: keras.Layer) -> tuple[Any, Any]:
    """The inputs of a network, and what one of its layers is given."""
    import keras

    if isinstance(model, keras.Sequential):
        inputs = given = keras.Input(model.input_shape[1:])
        for layer in itertools.takewhile(lambda layer: layer is not last, model.layers):
            given = layer(given)
        return inputs, given
    seen = []

    def noted(layer: keras.Layer, *arguments: Any, **options: Any) -> Any:
        if layer is last:
            seen.append(arguments[0])
        return layer(*arguments, **options)

    # The same layers, called once more: a model that is a layer does not tell what it was given.
    again = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=noted)
    return again.inputs, seen[-1]


def _in_batches(work: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """Do the work on a few images at a time, in batches of three sizes: each is compiled."""
    count = len(arrays[0])
    most = int(np.clip(_VALUES_AT_ONCE // max(arrays[0][:1].size, 1), 8, 512))
    size = next((size for size in (8, 64) if count <= size <= most), most)
    found = []
    for start in range(0, count, size):
        batch = [array[start : start + size] for array in arrays]
        missing = size - len(batch[0])
        if missing:
            batch = [np.concatenate([part, np.repeat(part[-1:], missing, 0)]) for part in batch]
        found.append(np.asarray(work(*batch), np.float32)[: size - missing])
    if not found:
        raise errors.CellvisionError("there is no image to ask the network about", "Give some")
    return np.concatenate(found)
