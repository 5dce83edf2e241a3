"""What the trainer demands of an architecture, checked before time is spent on training.

The conformance kit applies the same rules.
"""

from __future__ import annotations

import warnings
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellvision import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

    from cellvision.interfaces.architecture import Architecture

_OWN_TRAINING = ("train_step", "test_step", "compute_loss", "compute_metrics", "fit")
"""Methods that the trainer never calls: it trains the network as a layer of another model."""

_SOFTMAX = 'End with a Dense layer with activation="softmax" and dtype="float32".'

_REGISTER = 'Decorate it: @keras.saving.register_keras_serializable(package="<distribution>")'


_built: weakref.WeakSet[Any] = weakref.WeakSet()
"""Networks of earlier trainings in this process, as long as somebody keeps them: one that is
returned again would go on from its weights, and the runs of a study would not be independent."""


class Fault(NamedTuple):
    """How a network breaks the contract, and what its author should do."""

    what: str
    hint: str


def network_fault(model: Any, shape: Sequence[int], classes: int) -> Fault | None:
    """Return why the trainer cannot train this network as it is; None if it can.

    Parameters
    ----------
    model
        What ``build`` returned.
    shape
        The input shape that it was built for: height, width, channels.
    classes
        The number of classes that it was built for.
    """
    import keras

    if not isinstance(model, keras.Model):
        return Fault(
            f"build() returned {type(model).__name__}, not a keras.Model",
            "Return a keras.Model or keras.Sequential.",
        )
    if model.compiled:
        return Fault("the model is compiled", "Return it uncompiled; cellvision compiles it.")
    own = [
        name
        for name in _OWN_TRAINING
        if getattr(type(model), name, None) is not getattr(_stock(model), name, None)
    ]
    if own:
        return Fault(
            f"{type(model).__name__} defines {', '.join(own)}, which training never calls",
            "Express it by the loss, the callbacks or the layers; see TrainingRecipe.",
        )
    return _shape_fault(model, (None, *shape), (None, classes))


def _shape_fault(
    model: keras.Model, inputs: tuple[int | None, ...], outputs: tuple[int | None, ...]
) -> Fault | None:
    for side, expected in (("input", inputs), ("output", outputs)):
        try:
            actual: Any = tuple(getattr(model, f"{side}_shape"))
        except (AttributeError, TypeError, ValueError):
            return Fault(
                f"the model has no {side} shape: a subclassed model cannot be saved and read back",
                "Connect layers from keras.Input to the output: keras.Model(inputs, outputs).",
            )
        if actual != expected:
            return Fault(
                f"the {side} is {actual}, not {expected}",
                "Begin with keras.Input(input_shape), end with a Dense layer of `classes` units.",
            )
    return None


def _stock(model: keras.Model) -> type[keras.Model]:
    """Return the nearest class of Keras itself that a model derives from."""
    return next(cls for cls in type(model).__mro__ if cls.__module__.startswith("keras."))


def saving_fault(model: keras.Model) -> Fault | None:
    """Return why a saved network could not be loaded as the same network; None if it could."""
    import keras

    for layer in model._flatten_layers():
        cls = type(layer)
        if isinstance(layer, keras.layers.Lambda):
            return Fault(
                f"the layer {layer.name!r} is a Lambda, whose code is not loaded from a file",
                "Write it as a layer class with get_config().",
            )
        if cls.__module__.partition(".")[0] == "keras":
            continue
        name = keras.saving.get_registered_name(cls)
        known = keras.saving.get_registered_object(name)
        if known is None:
            return Fault(
                f"the layer class {cls.__name__} is not registered, so the saved network could "
                "not be loaded",
                f"{_REGISTER} and define get_config().",
            )
        if name.startswith("Custom>"):
            return Fault(
                f"the layer class {cls.__name__} is registered without a package: another "
                "plugin's layer of that name would be loaded in its place",
                f"{_REGISTER}.",
            )
    return None


def settings_fault(model: keras.Model) -> Fault | None:
    """Return which setting of a layer could not be loaded again; None if all could.

    Examples are an activation, initializer or regularizer that the plugin defines, or a subclass
    of ``keras.Model``, if it is not registered.
    """
    import keras

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns about lambdas, refused below
            config = keras.saving.serialize_keras_object(model)
    except Exception as error:  # noqa: BLE001 - of a plugin's get_config
        return Fault(
            f"the network cannot be saved: {errors.first_line(error)[:300]}",
            "Define get_config() of your layers: all arguments of __init__, as plain values.",
        )
    pending: list[Any] = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            fault = _object_fault(value)
            if fault is not None:
                return fault
            pending += value.values()
        elif isinstance(value, list | tuple):
            pending += value
    return None


def _object_fault(entry: dict[str, Any]) -> Fault | None:
    """Return why one object of a network's configuration could not be loaded again."""
    import keras

    kind = entry.get("class_name")
    if kind == "__lambda__" or _is_code(entry):
        return Fault(
            "a layer has a lambda among its settings, whose code is not loaded from a file",
            f"Write it as a function. {_REGISTER}.",
        )
    module = str(entry.get("module") or "keras")
    if module.partition(".")[0] == "keras" or not entry.get("registered_name"):
        return None
    name = str(entry["config"] if kind == "function" else entry["registered_name"])
    noun = "function" if kind == "function" else "class"
    if keras.saving.get_registered_object(name) is None:
        return Fault(
            f"the {noun} {name} is not registered, so the saved network could not be loaded",
            f"{_REGISTER}.",
        )
    if name.startswith("Custom>"):
        return Fault(
            f"the {noun} {name.partition('>')[2]} is registered without a package: that of another "
            "plugin would be loaded in its place",
            f"{_REGISTER}.",
        )
    return None


def _is_code(entry: dict[str, Any]) -> bool:
    """Whether an entry is the code of a lambda, as Keras writes it for an activation."""
    value = entry.get("value")
    return (
        len(entry) == 1
        and isinstance(value, list | tuple)
        and len(value) == 3
        and isinstance(value[0], str)
    )


def probability_fault(outputs: np.ndarray, tolerance: float = 1e-4) -> Fault | None:
    """Return why outputs are not probabilities; None if they are.

    Parameters
    ----------
    outputs
        Shape (images, classes).
    tolerance
        Largest difference of a sum from 1 that counts as rounding.
    """
    if outputs.dtype != np.float32:
        return Fault(f"the outputs are {outputs.dtype}, not float32", _SOFTMAX)
    if not (np.isfinite(outputs).all() and (outputs >= 0).all()):
        return Fault("outputs are negative or not numbers: no probabilities", _SOFTMAX)
    sums = outputs.sum(axis=1)
    if not np.allclose(sums, 1, atol=tolerance):
        worst = sums[np.abs(sums - 1).argmax()]
        return Fault(f"the outputs of an image sum to {worst:.4f}, not 1", _SOFTMAX)
    return None


def require_network(
    architecture: Architecture, network: Any, shape: Sequence[int], classes: int
) -> None:
    """Refuse a network that cannot be trained as it is, is not new, or could not be loaded again.

    Raises
    ------
    errors.PluginContractError
        It breaks the contract; the message names the plugin, its distribution and the cure.
    """
    fault = network_fault(network, shape, classes) or saving_fault(network)
    if fault is None and network in _built:
        fault = Fault(
            "build() returned a network that it has returned before, with the weights of that "
            "training",
            "Create a new network in every call.",
        )
    if fault is not None:
        raise _contract_error(architecture, fault)
    _built.add(network)


def require_saveable(architecture: Architecture, network: keras.Model) -> None:
    """Refuse a network with settings that could not be loaded again.

    Raises
    ------
    errors.PluginContractError
        A function or class that the plugin defines is not registered.
    """
    fault = settings_fault(network)
    if fault is not None:
        raise _contract_error(architecture, fault)


def architecture_warnings(architecture: Architecture) -> tuple[str, ...]:
    """Return the warnings of an architecture, for the record of the run.

    Raises
    ------
    errors.PluginContractError
        They are not a list of text.
    """
    lines: Any = architecture.warnings()
    if not isinstance(lines, list | tuple) or not all(isinstance(line, str) for line in lines):
        fault = Fault(f"warnings() returned {lines!r:.80}", "Return a list of text.")
        raise _contract_error(architecture, fault)
    return tuple(lines)


def require_probabilities(architecture: Architecture, network: keras.Model) -> None:
    """Refuse a network whose outputs for a few images are not probabilities.

    A network that ends with a softmax is not run, which saves time.

    Raises
    ------
    errors.PluginContractError
        The outputs are not probabilities.
    """
    if _ends_with_softmax(network):
        return
    shape = tuple(network.input_shape[1:])
    # Different images of several intensities: outputs for a single one may sum to 1 by chance.
    levels = np.linspace(0.1, 1, 8, dtype=np.float32).reshape(-1, *(1 for _ in shape))
    images = levels * np.random.default_rng(0).random((8, *shape), np.float32)
    import keras

    outputs = keras.ops.convert_to_numpy(network(images, training=False))
    # Probabilities in bfloat16, with 8 significant bits, sum to 1 within about 0.01.
    fault = probability_fault(outputs.astype(np.float32), tolerance=0.02)
    if fault is not None:
        raise _contract_error(architecture, fault)


def _ends_with_softmax(network: keras.Model) -> bool:
    import keras

    operation: Any = network
    while isinstance(operation, keras.Model):
        operation = operation.outputs[0]._keras_history.operation
    activation = getattr(operation, "activation", None)
    return activation is keras.activations.softmax or isinstance(operation, keras.layers.Softmax)


def _contract_error(architecture: Architecture, fault: Fault) -> errors.PluginContractError:
    plugin = architecture.registry.origin_of(type(architecture))
    return errors.PluginContractError(
        f"{plugin}: {fault.what}", f"{fault.hint} Its author can test it: cellvision check."
    )
