"""Reads a Keras model as a list of layer calls, in the order of computation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

_FOLDED = frozenset(
    {"Activation", "BatchNormalization", "Dropout", "LayerNormalization", "LeakyReLU", "ReLU"}
)
"""Layers that a long diagram shows on the line of the layer before them."""

_MOST_NESTED = 80
"""A nested model with more layers than this is one line."""

_MOST_LINES = 30
"""With more calls than this, a diagram folds those of `_FOLDED`."""

_Key = tuple[str, int]
"""Name of a layer and number of the call."""


@dataclass(frozen=True)
class LayerCall:
    """One call of one layer.

    Attributes
    ----------
    kind : str
        Class of the layer.
    text : str
        Class and settings.
    shape : tuple of (int or None)
        Shape of the output, without the batch.
    weights : int
        Number of weights; 0 if an earlier call counted them.
    shared : bool
        Whether the call uses weights of an earlier call.
    inputs : tuple of int
        Indices of the calls that it takes its input from.
    """

    kind: str
    text: str
    shape: tuple[int | None, ...]
    weights: int
    shared: bool
    inputs: tuple[int, ...]


def layer_calls(model: keras.Model) -> list[LayerCall]:
    """Read the calls of a model; nested models are opened.

    If there are many, normalisation, activation and dropout join the line of the layer before them.
    """
    reader = _Reader()
    reader.add_model(model, {})
    return _fold(reader.calls) if len(reader.calls) > _MOST_LINES else reader.calls


class _Reader:
    """Collects calls; remembers the layers whose weights are counted."""

    def __init__(self) -> None:
        self.calls: list[LayerCall] = []
        self._counted: set[int] = set()

    def add_model(self, model: keras.Model, given: dict[int, int]) -> int | None:
        """Add a model's calls, and return the index of its output.

        `given` maps the model's inputs to calls.
        """
        settings = _graph(model)
        if settings is None:
            return self._add_chain(model, given.get(0))
        layers = {layer.name: layer for layer in model.layers}
        inputs_of, shapes = _graph_calls(settings)
        names = _references(settings.get("input_layers"))
        indices: dict[_Key, int | None] = {}
        waiting = dict(inputs_of)
        while waiting:
            ready = [
                key for key, inputs in waiting.items() if all(one in indices for one in inputs)
            ]
            if not ready:
                break  # a graph that cannot be followed is shown as far as possible
            # Depth first, so that a chain stays together.
            key = max(ready, key=lambda k: max((indices[i] or 0 for i in inputs_of[k]), default=0))
            inputs = tuple(n for one in waiting.pop(key) if (n := indices[one]) is not None)
            if key in names and names.index(key) in given:
                indices[key] = given[names.index(key)]
                continue
            shape = shapes.get(key) or model.output_shape
            indices[key] = self._add_call(layers.get(key[0]), key[0], shape, inputs)
        outputs = _references(settings.get("output_layers"))
        last = len(self.calls) - 1 if self.calls else None
        return indices.get(outputs[0]) if outputs else last

    def _add_call(self, layer: Any, name: str, shape: Any, inputs: tuple[int, ...]) -> int | None:
        nested = getattr(layer, "layers", None)
        if nested is not None and len(nested) <= _MOST_NESTED and id(layer) not in self._counted:
            self._counted.add(id(layer))
            return self.add_model(layer, dict(enumerate(inputs)))
        weights = int(layer.count_params()) if layer is not None else 0
        shared = weights > 0 and id(layer) in self._counted
        self._counted.add(id(layer))
        kind = type(layer).__name__ if layer is not None else name
        sides = tuple(shape[1:]) if isinstance(shape, tuple | list) else ()
        text = _describe(layer, name)
        self.calls.append(LayerCall(kind, text, sides, 0 if shared else weights, shared, inputs))
        return len(self.calls) - 1

    def _add_chain(self, model: keras.Model, previous: int | None) -> int | None:
        """Add layers one after the other: a Sequential model, or one without a graph."""
        import keras

        if previous is None and isinstance(model, keras.Sequential):
            shape = tuple(model.input_shape[1:])
            self.calls.append(
                LayerCall("InputLayer", "input", shape, weights=0, shared=False, inputs=())
            )
            previous = len(self.calls) - 1
        for layer in model.layers:
            try:
                shape = tuple(layer.output.shape)
            except (AttributeError, ValueError):
                shape = ()
            inputs = () if previous is None else (previous,)
            previous = self._add_call(layer, layer.name, shape, inputs)
        return previous


def _graph(model: keras.Model) -> dict[str, Any] | None:
    """Return the settings of a functional model; None for any other."""
    import keras

    if isinstance(model, keras.Sequential):
        return None
    try:
        settings = model.get_config()
    except NotImplementedError:
        return None
    return settings if "input_layers" in settings else None


def _graph_calls(
    settings: dict[str, Any],
) -> tuple[dict[_Key, list[_Key]], dict[_Key, tuple[int | None, ...]]]:
    """Return the inputs of each call, and the shapes of outputs."""
    inputs_of: dict[_Key, list[_Key]] = {}
    shapes: dict[_Key, tuple[int | None, ...]] = {}
    for layer in settings["layers"]:
        name = layer.get("name") or layer["config"]["name"]
        if not layer.get("inbound_nodes"):
            inputs_of[name, 0] = []
            continue
        for number, node in enumerate(layer["inbound_nodes"]):
            tensors = list(_tensors([node["args"], node["kwargs"]]))
            inputs = [(t["keras_history"][0], int(t["keras_history"][1])) for t in tensors]
            inputs_of[name, number] = list(dict.fromkeys(inputs))
            shapes.update((key, tuple(t["shape"])) for key, t in zip(inputs, tensors, strict=True))
    return inputs_of, shapes


def _tensors(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            yield value["config"]
        else:
            yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _references(value: Any) -> list[_Key]:
    """Read layers given as ``[name, node, tensor]``, alone or in a list or mapping."""
    if isinstance(value, dict):
        return _references(list(value.values()))
    if not value:
        return []
    if isinstance(value[0], str):
        return [(value[0], int(value[1]))]
    return [key for item in value for key in _references(item)]


def _describe(layer: Any, name: str) -> str:
    if layer is None:
        return name
    kind = type(layer).__name__
    if kind == "InputLayer":
        return "input"
    nested = getattr(layer, "layers", None)
    if nested is not None:
        return f"{layer.name}: a model of {len(nested)} layers"
    try:
        settings = layer.get_config()
    except NotImplementedError:
        return kind
    return f"{kind} {', '.join(_describe_settings(settings))}".strip()


def _describe_settings(settings: dict[str, Any]) -> list[str]:
    parts = [
        "×".join(map(str, settings[key]))
        for key in ("kernel_size", "pool_size")
        if isinstance(settings.get(key), list | tuple)
    ]
    for key, noun in (("filters", "filters"), ("units", "units"), ("rate", "")):
        if settings.get(key) is not None:
            parts.append(f"{settings[key]} {noun}".strip())
    strides = settings.get("strides")
    if isinstance(strides, list | tuple) and set(strides) != {1} and "pool_size" not in settings:
        parts.append(f"stride {strides[0]}")
    if "kernel_size" in settings and settings.get("padding") == "valid":
        parts.append("valid")
    activation = settings.get("activation")
    if isinstance(activation, str) and activation != "linear":
        parts.append(activation)
    return parts


def _fold(calls: Sequence[LayerCall]) -> list[LayerCall]:
    """Join normalisation, activation and dropout with the layer before them."""
    users: dict[int, int] = {}
    for call in calls:
        for number in call.inputs:
            users[number] = users.get(number, 0) + 1
    folded: list[LayerCall] = []
    indices: dict[int, int] = {}
    for number, call in enumerate(calls):
        previous = call.inputs[0] if len(call.inputs) == 1 else -1
        if previous >= 0 and users[previous] == 1 and not call.shared and call.kind in _FOLDED:
            host = folded[indices[previous]]
            if host.kind not in ("InputLayer", "Add"):
                indices[number] = indices[previous]
                folded[indices[number]] = replace(
                    host,
                    text=f"{host.text} + {call.text}",
                    shape=call.shape,
                    weights=host.weights + call.weights,
                )
                continue
        indices[number] = len(folded)
        folded.append(replace(call, inputs=tuple(indices[one] for one in call.inputs)))
    return folded
