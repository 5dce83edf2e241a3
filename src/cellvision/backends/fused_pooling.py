"""Max pooling without overlap as an elementwise operation (JAX)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def fuse_max_pooling(model: keras.Model) -> None:
    """Let max pooling layers without overlap reduce over an axis of a reshaped image.

    XLA computes the gradient of a window by scattering, which is slow on a GPU and on a CPU; that
    of a maximum over an axis is elementwise. The layers, their settings, their outputs and what is
    saved stay as they are. Where several pixels of a window share the maximum, each gets an equal
    part of the gradient instead of the first all of it. Other backends are not changed.

    Parameters
    ----------
    model
        A built model.
    """
    import keras

    if keras.backend.backend() != "jax":
        return
    for layer in model._flatten_layers():
        if _is_plain(layer):
            layer.call = partial(_call, layer, layer.call)


def _is_plain(layer: Any) -> bool:
    """Whether it is Keras' own max pooling, with windows side by side."""
    import keras

    return (
        type(layer) is keras.layers.MaxPooling2D
        and tuple(layer.strides) == tuple(layer.pool_size)
        and layer.data_format == "channels_last"
        and not isinstance(layer.call, partial)
    )


def _call(layer: Any, stock: Any, inputs: Any) -> Any:
    from keras import ops

    height, width, channels = inputs.shape[1:]
    rows, columns = layer.pool_size
    if None in (height, width) or height % rows or width % columns:
        return stock(inputs)
    windows = (-1, height // rows, rows, width // columns, columns, channels)
    return ops.max(ops.reshape(inputs, windows), axis=(2, 4))
