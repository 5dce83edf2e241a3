"""A Keras model as the list of what its layers do, one entry each time a layer is applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

_FOLDED = frozenset(
    {"Activation", "BatchNormalization", "Dropout", "LayerNormalization", "LeakyReLU", "ReLU"}
)
"""What may be told in one line with the layer before it."""

_MOST_NESTED = 80
"""A model inside the model is one line where it has more layers than that."""


@dataclass(frozen=True)
class Step:
    """One application of one layer.

    Attributes
    ----------
    kind : str
        The layer's class.
    text : str
        What it does, with its settings.
    shape : tuple of (int or None)
        Of its output, without the batch.
    weights : int
        How many it brings; 0 where they were counted at an earlier application.
    shared : bool
        Whether it applies weights again.
    inputs : tuple of int
        The steps before it.
    """

    kind: str
    text: str
    shape: tuple[int | None, ...]
    weights: int
    shared: bool
    inputs: tuple[int, ...]


def steps_of(model: keras.Model, most: int = 30) -> list[Step]:
    """Read a model's steps in the order of computation.

    Models inside it are opened up. Where there are more than `most` steps, normalisation,
    activation and dropout are told together with the layer before them.
    """
    steps: list[Step] = []
    _append(model, steps, {}, set())
    return _fold(steps) if len(steps) > most else steps


_Key = tuple[str, int]


def _append(
    model: keras.Model, steps: list[Step], given: dict[int, int], counted: set[int]
) -> int | None:
    """Add a model's steps; `given` maps its inputs to steps. Gives the step of its output."""
    settings = _graph(model)
    if settings is None:
        return _append_chain(model, steps, given.get(0), counted)
    layers = {layer.name: layer for layer in model.layers}
    calls, shapes = _calls(settings)
    names = _references(settings.get("input_layers"))
    place: dict[_Key, int | None] = {}
    waiting = dict(calls)
    while waiting:
        ready = [key for key, inputs in waiting.items() if all(i in place for i in inputs)]
        if not ready:
            break  # a graph that cannot be followed is told as far as it goes
        # Depth first, so that a chain stays together.
        key = max(ready, key=lambda k: max((place[i] or 0 for i in calls[k]), default=0))
        inputs = tuple(p for i in waiting.pop(key) if (p := place[i]) is not None)
        layer = layers.get(key[0])
        if key in names and names.index(key) in given:
            place[key] = given[names.index(key)]
            continue
        shape = shapes.get(key) or model.output_shape
        place[key] = _append_call(layer, key[0], shape, inputs, steps, counted)
    outputs = _references(settings.get("output_layers"))
    return place.get(outputs[0]) if outputs else (len(steps) - 1 if steps else None)


def _append_call(
    layer: Any,
    name: str,
    shape: Any,
    inputs: tuple[int, ...],
    steps: list[Step],
    counted: set[int],
) -> int | None:
    inner = getattr(layer, "layers", None)
    if inner is not None and len(inner) <= _MOST_NESTED and id(layer) not in counted:
        counted.add(id(layer))
        return _append(layer, steps, dict(enumerate(inputs)), counted)
    weights = int(layer.count_params()) if layer is not None else 0
    shared = weights > 0 and id(layer) in counted
    counted.add(id(layer))
    kind = type(layer).__name__ if layer is not None else name
    plain = tuple(shape[1:]) if isinstance(shape, tuple | list) else ()
    steps.append(
        Step(kind, _describe(layer, name), plain, 0 if shared else weights, shared, inputs)
    )
    return len(steps) - 1


def _append_chain(
    model: keras.Model, steps: list[Step], before: int | None, counted: set[int]
) -> int | None:
    """Add the layers of a model one after the other: a Sequential, or one without a graph."""
    import keras

    if before is None and isinstance(model, keras.Sequential):
        steps.append(Step("InputLayer", "input", tuple(model.input_shape[1:]), 0, False, ()))
        before = len(steps) - 1
    for layer in model.layers:
        try:
            shape = tuple(layer.output.shape)
        except (AttributeError, ValueError):
            shape = ()
        inputs = () if before is None else (before,)
        before = _append_call(layer, layer.name, shape, inputs, steps, counted)
    return before


def _graph(model: keras.Model) -> dict[str, Any] | None:
    """The settings of a functional model; None for any other."""
    import keras

    if isinstance(model, keras.Sequential):
        return None
    try:
        settings = model.get_config()
    except NotImplementedError:
        return None
    return settings if "input_layers" in settings else None


def _calls(
    settings: dict[str, Any],
) -> tuple[dict[_Key, list[_Key]], dict[_Key, tuple[int | None, ...]]]:
    """Which applications there are, with their inputs; and the shapes of what they give."""
    calls: dict[_Key, list[_Key]] = {}
    shapes: dict[_Key, tuple[int | None, ...]] = {}
    for layer in settings["layers"]:
        name = layer.get("name") or layer["config"]["name"]
        if not layer.get("inbound_nodes"):
            calls[name, 0] = []
            continue
        for number, node in enumerate(layer["inbound_nodes"]):
            tensors = list(_tensors([node["args"], node["kwargs"]]))
            inputs = [(t["keras_history"][0], int(t["keras_history"][1])) for t in tensors]
            calls[name, number] = list(dict.fromkeys(inputs))
            shapes.update((key, tuple(t["shape"])) for key, t in zip(inputs, tensors, strict=True))
    return calls, shapes


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
    """Layers named as ``[name, node, tensor]``, alone or in a list or mapping."""
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
    inner = getattr(layer, "layers", None)
    if inner is not None:
        return f"{layer.name}: a model of {len(inner)} layers"
    try:
        settings = layer.get_config()
    except NotImplementedError:
        return kind
    told = [kind]
    told += [
        "×".join(map(str, settings[key]))
        for key in ("kernel_size", "pool_size")
        if isinstance(settings.get(key), list | tuple)
    ]
    for key, unit in (("filters", "filters"), ("units", "units"), ("rate", "")):
        if settings.get(key) is not None:
            told.append(f"{settings[key]} {unit}".strip())
    strides = settings.get("strides")
    if isinstance(strides, list | tuple) and set(strides) != {1} and "pool_size" not in settings:
        told.append(f"stride {strides[0]}")
    if "kernel_size" in settings and settings.get("padding") == "valid":
        told.append("valid")
    activation = settings.get("activation")
    if isinstance(activation, str) and activation != "linear":
        told.append(activation)
    return f"{told[0]} {', '.join(told[1:])}".strip()


def _fold(steps: Sequence[Step]) -> list[Step]:
    users: dict[int, int] = {}
    for step in steps:
        for number in step.inputs:
            users[number] = users.get(number, 0) + 1
    folded: list[Step] = []
    place: dict[int, int] = {}
    for number, step in enumerate(steps):
        before = step.inputs[0] if len(step.inputs) == 1 else None
        alone = before is not None and users.get(before) == 1 and not step.shared
        host = folded[place[before]] if before is not None and alone else None
        if host is not None and step.kind in _FOLDED and host.kind not in ("InputLayer", "Add"):
            place[number] = place[before]  # type: ignore[index]
            folded[place[number]] = replace(
                host,
                text=f"{host.text} + {step.text}",
                shape=step.shape,
                weights=host.weights + step.weights,
            )
            continue
        place[number] = len(folded)
        folded.append(replace(step, inputs=tuple(place[i] for i in step.inputs)))
    return folded
