"""What the trainer demands of an augmenter, checked when its layer joins the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors

if TYPE_CHECKING:
    from cellvision.interfaces.augmenter import Augmenter

_AUTHOR = "Its author can test it: cellvision check."

_PARTS = ("images", "labels")
"""What a layer takes and returns."""

_TRIED = 4
"""Number of images that a layer is tried on."""


def augmented(augmenter: Augmenter, seed: int, images: Any, labels: Any) -> tuple[Any, Any]:
    """Return symbolic images and labels after the layer of an augmenter.

    Parameters
    ----------
    augmenter
        The augmenter.
    seed
        Seed of its random changes.
    images, labels
        Symbolic images and one-hot labels.

    Raises
    ------
    errors.PluginContractError
        It does not build a layer, or the layer returns another shape.
    """
    import keras

    layer: object = augmenter.build(seed)
    if not isinstance(layer, keras.layers.Layer):
        raise _broken(
            augmenter,
            f"build() returned {type(layer).__name__}, not a Keras layer",
            "Return a keras.layers.Layer.",
        )
    if not augmenter.mixes_labels:
        return _of_shape(augmenter, _called(augmenter, layer, images), images, "images"), labels
    returned = _called(augmenter, layer, (images, labels))
    if not isinstance(returned, list | tuple) or len(returned) != 2:
        raise _broken(
            augmenter,
            f"its layer returned {type(returned).__name__}, not images and labels",
            "Return both from call(), or do not set mixes_labels.",
        )
    return (
        _of_shape(augmenter, returned[0], images, "images"),
        _of_shape(augmenter, returned[1], labels, "labels"),
    )


def _called(augmenter: Augmenter, layer: Any, inputs: Any) -> Any:
    """Call a layer; its own code does not say of which augmenter it is."""
    try:
        return layer(inputs)
    except Exception as error:
        raise _broken(
            augmenter,
            f"its layer fails: {errors.summarize(error)}",
            "Compute with keras.ops; --debug shows the traceback.",
        ) from error


def require_sound(augmenter: Augmenter, input_shape: tuple[int, int, int], classes: int) -> None:
    """Refuse an augmenter that would spoil the images of a training, or those of a prediction.

    Parameters
    ----------
    augmenter
        The augmenter.
    input_shape
        Height, width and channels of an image.
    classes
        Number of classes.

    Raises
    ------
    errors.PluginContractError
        Its layer changes images or labels although it is called with ``training=False``, or it
        returns another number of them, other numbers than floats, or values that are not finite.
    """
    import keras

    inputs = [keras.Input(input_shape), keras.Input((classes,))]
    model = keras.Model(inputs, list(augmented(augmenter, 0, *inputs)))
    rng = np.random.default_rng(0)
    given = [
        rng.random((_TRIED, *input_shape)).astype(np.float32),
        np.eye(classes, dtype=np.float32)[np.arange(_TRIED) % classes],
    ]
    for what, before, after in zip(_PARTS, given, model(given, training=False), strict=True):
        if not np.allclose(keras.ops.convert_to_numpy(after), before, atol=1e-6):
            raise _broken(
                augmenter,
                f"its layer changes {what} although it is called with training=False, as in "
                "predictions",
                f"Give call() the argument training=False, and return {what} unchanged then.",
            )
    for what, before, after in zip(_PARTS, given, model(given, training=True), strict=True):
        _require_usable(augmenter, what, before, after)


def _require_usable(augmenter: Augmenter, what: str, before: np.ndarray, after: Any) -> None:
    """Refuse images or labels that a network cannot be trained on."""
    import keras

    dtype = keras.backend.standardize_dtype(after.dtype)
    if not keras.backend.is_float_dtype(dtype):
        raise _broken(
            augmenter,
            f"its layer turned {what} of float32 into {dtype}",
            "Return the dtype of the input: keras.ops.cast(result, images.dtype).",
        )
    if tuple(after.shape) != before.shape:
        raise _broken(
            augmenter,
            f"its layer turned {len(before)} {what} into {after.shape[0]}",
            f"Return one for each of the {what}, in their order.",
        )
    values = keras.ops.convert_to_numpy(keras.ops.cast(after, "float32"))
    if not np.isfinite(values).all():
        raise _broken(
            augmenter,
            f"its layer made {what} infinite or NaN",
            "Avoid divisions by 0 and logarithms of 0.",
        )


def _of_shape(augmenter: Augmenter, result: Any, before: Any, what: str) -> Any:
    shape = getattr(result, "shape", None)
    if shape is None or tuple(shape)[1:] != tuple(before.shape)[1:]:
        raise _broken(
            augmenter,
            f"its layer turned {what} of {tuple(before.shape)} into "
            f"{type(result).__name__ if shape is None else tuple(shape)}",
            f"Return {what} of the same shape.",
        )
    return result


def _broken(augmenter: Augmenter, what: str, hint: str) -> errors.PluginContractError:
    origin = augmenter.registry.origin_of(type(augmenter))
    return errors.PluginContractError(f"{origin}: {what}", f"{hint} {_AUTHOR}")
