"""Rebuild a convolutional ONNX network from stock Keras layers.

ONNX orders images as (channels, height, width), Keras as (height, width, channels). Maps are kept
in Keras' order throughout, and are reordered before they are flattened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors

if TYPE_CHECKING:
    import keras

_EXPORT = "Export the encoder without these, or convert it to a .keras file"


class _Graph:
    """The values of an ONNX graph while it is rebuilt: constants and Keras tensors by name."""

    def __init__(self, path: Path, constants: Mapping[str, np.ndarray]) -> None:
        self.path = path
        self.constants = dict(constants)
        self.tensors: dict[str, Any] = {}
        self.weights: list[tuple[Any, list[np.ndarray]]] = []

    def layer(self, layer: Any, x: Any, *weights: np.ndarray) -> Any:
        """Apply a layer and remember its weights, which are set when the model is complete."""
        self.weights.append((layer, [np.asarray(weight, np.float32) for weight in weights]))
        return layer(x)

    def fail(self, what: str) -> errors.ArchitectureError:
        return errors.ArchitectureError(f"{self.path}: {what}", _EXPORT)


def to_keras(path: Path) -> keras.Model:
    """Rebuild the network of an ONNX file.

    Parameters
    ----------
    path
        Maps one image tensor (n, channels, height, width) to one output.

    Returns
    -------
    keras.Model
        Maps (n, height, width, channels) to the same numbers.

    Raises
    ------
    errors.ArchitectureError
        The package ``onnx`` is missing, the file is damaged, or it uses operations without a
        counterpart.
    """
    try:
        import onnx
    except ImportError:
        raise errors.ArchitectureError(
            f"{path}: reading ONNX files needs the package onnx", "pip install cellvision[onnx]"
        ) from None
    import keras
    from onnx import numpy_helper

    try:
        graph = onnx.load(path).graph
    except Exception as error:  # noqa: BLE001 - the parser defines its own exceptions
        raise errors.ArchitectureError(
            f"{path}: not a readable ONNX file: {' '.join(str(error).split()):.200}",
            "Export the encoder again",
        ) from None
    state = _Graph(path, {item.name: numpy_helper.to_array(item) for item in graph.initializer})
    unknown = sorted({node.op_type for node in graph.node} - set(_OPERATIONS))
    if unknown:
        raise state.fail(f"operations without a counterpart in Keras: {', '.join(unknown)}")
    inputs = [value for value in graph.input if value.name not in state.constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise state.fail(f"{len(inputs)} inputs and {len(graph.output)} outputs, not one of each")
    sides = [size.dim_value or None for size in inputs[0].type.tensor_type.shape.dim]
    if len(sides) != 4 or sides[1] is None:
        raise state.fail(f"the input has shape {sides}, not (n, channels, height, width)")
    image = keras.Input((sides[2], sides[3], sides[1]), name="image", dtype="float32")
    state.tensors[inputs[0].name] = image
    for node in graph.node:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        try:
            result = _OPERATIONS[node.op_type](state, node, attributes)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            what = " ".join(str(error).split())
            raise state.fail(f"operation {node.op_type} {node.name!r}: {what:.200}") from None
        if isinstance(result, np.ndarray):
            state.constants[node.output[0]] = result
        else:
            state.tensors[node.output[0]] = result
    model = keras.Model(image, state.tensors[graph.output[0].name], name=_name(path))
    for layer, weights in state.weights:
        layer.set_weights(weights)
    return model


def _name(path: Path) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in path.stem) or "encoder"


def _layers() -> Any:
    from keras import layers

    return layers


def _require(condition: bool, what: str) -> None:  # noqa: FBT001 - reads as assert does
    if not condition:
        raise ValueError(what)


def _padded(x: Any, attributes: Mapping[str, Any], fill: float = 0.0) -> Any:
    """Pad as the attributes say; ONNX lists top and left before bottom and right."""
    from keras import ops

    automatic = attributes.get("auto_pad", b"NOTSET")
    _require(automatic in (b"NOTSET", b"VALID", b""), f"auto_pad {automatic!r}")
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    if not any((top, left, bottom, right)):
        return x
    if fill == 0.0:
        return _layers().ZeroPadding2D(((top, bottom), (left, right)), dtype="float32")(x)
    around = ((0, 0), (top, bottom), (left, right), (0, 0))
    return ops.pad(x, around, mode="constant", constant_values=fill)


def _conv(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    x, kernel = state.tensors[node.input[0]], state.constants[node.input[1]]
    bias = [state.constants[node.input[2]]] if len(node.input) > 2 and node.input[2] else []
    groups = attributes.get("group", 1)
    settings: dict[str, Any] = {
        "strides": tuple(attributes.get("strides", [1, 1])),
        "dilation_rate": tuple(attributes.get("dilations", [1, 1])),
        "use_bias": bool(bias),
        "dtype": "float32",
    }
    x = _padded(x, attributes)
    filters, inputs = kernel.shape[:2]
    if groups > 1 and inputs == 1 and groups == x.shape[-1]:
        # Filters of one channel are adjacent in both orders.
        multiplier = filters // groups
        layer = _layers().DepthwiseConv2D(kernel.shape[2:], depth_multiplier=multiplier, **settings)
        depthwise = kernel.reshape(groups, multiplier, *kernel.shape[2:]).transpose(2, 3, 0, 1)
        return state.layer(layer, x, depthwise, *bias)
    layer = _layers().Conv2D(filters, kernel.shape[2:], groups=groups, **settings)
    return state.layer(layer, x, kernel.transpose(2, 3, 1, 0), *bias)


def _batch_normalization(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    epsilon = float(attributes.get("epsilon", 1e-5))
    layer = _layers().BatchNormalization(epsilon=epsilon, dtype="float32")
    parts = [state.constants[name] for name in node.input[1:5]]
    return state.layer(layer, state.tensors[node.input[0]], *parts)


def _activation(name: str) -> Callable[..., Any]:
    def apply(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
        del attributes
        return _layers().Activation(name, dtype="float32")(state.tensors[node.input[0]])

    return apply


def _hard_sigmoid(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    slope, middle = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
    _require(abs(slope - 1 / 6) < 1e-4 and abs(middle - 0.5) < 1e-4, f"slope {slope}, not 1/6")
    return _activation("hard_sigmoid")(state, node, attributes)


def _leaky_relu(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    slope = float(attributes.get("alpha", 0.01))
    return _layers().LeakyReLU(slope, dtype="float32")(state.tensors[node.input[0]])


def _clip(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    from keras import ops

    low, high = attributes.get("min"), attributes.get("max")
    if len(node.input) > 1 and node.input[1]:
        low = state.constants[node.input[1]]
    if len(node.input) > 2 and node.input[2]:
        high = state.constants[node.input[2]]
    _require(low is not None and high is not None, "a limit is missing")
    limits = [float(np.asarray(limit).ravel()[0]) for limit in (low, high)]
    return ops.clip(state.tensors[node.input[0]], *limits)


def _pool(kind: str) -> Callable[..., Any]:
    def apply(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
        _require(not attributes.get("ceil_mode", 0), "ceil_mode")
        _require(set(attributes.get("dilations", [1])) == {1}, "dilations")
        pads = any(attributes.get("pads", [0]))
        if kind == "AveragePooling2D":
            _require(not pads or attributes.get("count_include_pad", 0) == 1, "uneven padding")
        fill = -3.0e38 if kind == "MaxPooling2D" else 0.0
        x = _padded(state.tensors[node.input[0]], attributes, fill)
        layer = getattr(_layers(), kind)(
            tuple(attributes["kernel_shape"]),
            strides=tuple(attributes.get("strides", [1, 1])),
            dtype="float32",
        )
        return layer(x)

    return apply


def _global_average(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    del attributes
    layer = _layers().GlobalAveragePooling2D(keepdims=True, dtype="float32")
    return layer(state.tensors[node.input[0]])


def _reduce_mean(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    x = state.tensors[node.input[0]]
    axes = attributes.get("axes")
    if axes is None:
        axes = state.constants[node.input[1]]
    _require(sorted(int(axis) % 4 for axis in axes) == [2, 3] and len(x.shape) == 4, "axes")
    keep = bool(attributes.get("keepdims", 1))
    return _layers().GlobalAveragePooling2D(keepdims=keep, dtype="float32")(x)


def _flatten(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    x = state.tensors[node.input[0]]
    if node.op_type == "Flatten":
        _require(attributes.get("axis", 1) == 1, "only axis 1")
    elif node.op_type == "Reshape":
        target = [int(size) for size in state.constants[node.input[1]]]
        _require(len(target) == 2, f"to {target}; only to (n, features)")
    elif len(x.shape) == 4:
        _require(x.shape[1:3] == (1, 1), "of maps larger than one pixel")
    if len(x.shape) == 4:
        if x.shape[1:3] != (1, 1):
            x = _layers().Permute((3, 1, 2), dtype="float32")(x)
        x = _layers().Flatten(dtype="float32")(x)
    return x


def _dense(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    x, kernel = state.tensors[node.input[0]], state.constants[node.input[1]]
    _require(len(x.shape) == 2 and kernel.ndim == 2, "only (n, features) times a matrix")
    _require(not attributes.get("transA", 0), "transA")
    if attributes.get("transB", 0):
        kernel = kernel.T
    kernel = kernel * attributes.get("alpha", 1.0)
    bias = []
    if len(node.input) > 2 and node.input[2]:
        bias = [state.constants[node.input[2]] * attributes.get("beta", 1.0)]
    layer = _layers().Dense(kernel.shape[1], use_bias=bool(bias), dtype="float32")
    return state.layer(layer, x, kernel, *(np.ravel(part) for part in bias))


def _arithmetic(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    """Sum, difference, product or quotient of tensors, or of a tensor and constants."""
    del attributes
    from keras import ops

    names = list(node.input)
    operation = {
        "Add": ops.add,
        "Sub": ops.subtract,
        "Mul": ops.multiply,
        "Div": ops.divide,
    }[node.op_type]
    rank = max(len(state.tensors[name].shape) for name in names if name in state.tensors)

    def value(name: str) -> Any:
        if name in state.tensors:
            return state.tensors[name]
        constant = np.asarray(state.constants[name], np.float32)
        if rank == 4 and constant.ndim:
            # (c, 1, 1) or (1, c, 1, 1) to (1, 1, 1, c)
            constant = constant.reshape((1,) * (4 - constant.ndim) + constant.shape)
            constant = constant.transpose(0, 2, 3, 1)
        return float(constant.ravel()[0]) if constant.size == 1 else constant

    return operation(value(names[0]), value(names[1]))


def _concatenate(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    tensors = [state.tensors[name] for name in node.input]
    _require(attributes["axis"] in (1, 1 - len(tensors[0].shape)), "only along channels")
    return _layers().Concatenate(axis=-1, dtype="float32")(tensors)


def _identity(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    del attributes
    name = node.input[0]
    return state.tensors[name] if name in state.tensors else state.constants[name]


def _constant(state: _Graph, node: Any, attributes: Mapping[str, Any]) -> Any:
    del state, node
    from onnx import numpy_helper

    if "value" in attributes:
        return np.asarray(numpy_helper.to_array(attributes["value"]))
    return np.asarray(next(iter(attributes.values())))


_OPERATIONS: dict[str, Callable[[_Graph, Any, Mapping[str, Any]], Any]] = {
    "Add": _arithmetic,
    "AveragePool": _pool("AveragePooling2D"),
    "BatchNormalization": _batch_normalization,
    "Clip": _clip,
    "Concat": _concatenate,
    "Constant": _constant,
    "Conv": _conv,
    "Div": _arithmetic,
    "Dropout": _identity,
    "Flatten": _flatten,
    "Gemm": _dense,
    "GlobalAveragePool": _global_average,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _activation("hard_silu"),
    "Identity": _identity,
    "LeakyRelu": _leaky_relu,
    "MatMul": _dense,
    "MaxPool": _pool("MaxPooling2D"),
    "Mul": _arithmetic,
    "ReduceMean": _reduce_mean,
    "Relu": _activation("relu"),
    "Reshape": _flatten,
    "Sigmoid": _activation("sigmoid"),
    "Squeeze": _flatten,
    "Sub": _arithmetic,
    "Tanh": _activation("tanh"),
}
"""How each ONNX operation is rebuilt."""
