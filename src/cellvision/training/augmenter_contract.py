"""What the trainer demands of an augmenter, checked where its layer joins the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellvision import errors

if TYPE_CHECKING:
    from cellvision.interfaces.augmenter import Augmenter

_AUTHOR = "Its author can test it: cellvision check."


def augmented(augmenter: Augmenter, seed: int, images: Any, labels: Any) -> tuple[Any, Any]:
    """Return symbolic images and labels behind the layer of an augmenter.

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
        It builds no layer, or the layer returns something of another shape.
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
