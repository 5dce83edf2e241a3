"""What the trainer demands of an augmenter, checked when its layer joins the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors

if TYPE_CHECKING:
    from cellvision.interfaces.augmenter import Augmenter

_AUTHOR = "Its author can test it: cellvision check."


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
        return _of_shape(augmenter, layer(images), images, "images"), labels
    returned = layer((images, labels))
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


def require_inactive(augmenter: Augmenter, input_shape: tuple[int, int, int], classes: int) -> None:
    """Refuse an augmenter that would change the images of a prediction, and so the scores.

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
        Its layer changes images or labels although it is called with ``training=False``.
    """
    import keras

    inputs = [keras.Input(input_shape), keras.Input((classes,))]
    model = keras.Model(inputs, list(augmented(augmenter, 0, *inputs)))
    rng = np.random.default_rng(0)
    given = [
        rng.random((2, *input_shape)).astype(np.float32),
        np.eye(classes, dtype=np.float32)[:2],
    ]
    for what, before, after in zip(
        ("images", "labels"), given, model(given, training=False), strict=True
    ):
        if not np.allclose(keras.ops.convert_to_numpy(after), before, atol=1e-6):
            raise _broken(
                augmenter,
                f"its layer changes {what} although it is called with training=False, as in "
                "predictions",
                f"Give call() the argument training=False, and return {what} unchanged then.",
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
