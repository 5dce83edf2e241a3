"""The network of the architecture that is checked, built step by step.

Each step belongs to one check; if it fails, the checks that build on it are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cellvision import errors
from cellvision.interfaces.architecture import Architecture, architectures
from cellvision.testing.component import ComponentChecks, from_reference
from cellvision.testing.network_checks import (
    build,
    check_layers,
    check_model,
    check_probabilities,
    example_batch,
    train_really,
)
from cellvision.testing.process import Process, ProcessFault, shared
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    import numpy as np

_SIDES = (32, 64, 128, 256)
CLOSE = 1e-5
"""Largest change of a probability by saving and loading."""


class BuiltNetwork(NamedTuple):
    """The network of the example, and its output for some images before any training."""

    model: Any
    images: np.ndarray
    probabilities: np.ndarray


class NetworkUnderTest(ComponentChecks):
    """What the checks of an architecture examine; see `ArchitectureChecks`."""

    registry: ClassVar = architectures
    input_shape: ClassVar[tuple[int, int, int] | None] = None
    classes: ClassVar[int] = 3

    @property
    def architecture(self) -> Architecture:
        """The example."""
        component = self.component
        assert isinstance(component, Architecture)
        return component

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels to check with."""
        if self.input_shape is not None:
            return self.input_shape
        architecture = self.architecture

        def smallest() -> tuple[int, int, int]:
            for side in _SIDES:
                try:
                    build(architecture, (side, side, 3), self.classes, seed=0)
                except errors.ArchitectureError:
                    if side == _SIDES[-1]:
                        raise
                else:
                    return side, side, 3
            raise AssertionError

        return self.once("building a small network", "test_builds_a_model", smallest)

    @property
    def built(self) -> BuiltNetwork:
        """The network of the example, in float32, after it has passed `test_builds_a_model`."""
        shape, architecture = self.shape, self.architecture

        def checked() -> BuiltNetwork:
            model = build(architecture, shape, self.classes, seed=0)
            check_model(model, shape, self.classes)
            images = example_batch(shape, self.classes)[0]
            return BuiltNetwork(model, images, model.predict_on_batch(images))

        return self.once("build()", "test_builds_a_model", checked)

    @property
    def classifier(self) -> BuiltNetwork:
        """The same network, after its outputs have proved to be probabilities."""
        built = self.built

        def checked() -> BuiltNetwork:
            check_probabilities(built.probabilities)
            return built

        return self.once("its outputs", "test_probabilities_sum_to_one", checked)

    @property
    def steady(self) -> BuiltNetwork:
        """The same network, whose predictions do not change by themselves."""
        import numpy as np

        built = self.classifier

        def checked() -> BuiltNetwork:
            again = built.model.predict_on_batch(built.images)
            difference = float(np.abs(again - built.probabilities).max())
            if difference > CLOSE:
                raise CheckFailed(
                    f"two predictions of the same images differ by {difference:.2g}",
                    "Pass `training` on to dropout and noise; do not fix training=True.",
                )
            return built

        return self.once("predicting again", "test_predicts_the_same_again", checked)

    @property
    def named(self) -> BuiltNetwork:
        """The network of the example, whose layers name their package."""
        built = self.built

        def checked() -> BuiltNetwork:
            check_layers(built.model)
            return built

        return self.once("its layers", "test_names_its_layers", checked)

    @property
    def reloaded(self) -> np.ndarray:
        """The outputs of the saved and reloaded network."""
        assert self.steady
        assert self.named
        return self.once(
            "saving and loading", "test_reloads_in_a_new_process", self._reload_elsewhere
        )

    def _reload_elsewhere(self) -> np.ndarray:
        """Return the outputs of the network in a process that did not build it."""
        import numpy as np

        model, images, _ = self.classifier
        file, data = self.folder / "model.keras", self.folder / "images.npy"
        np.save(data, images)
        arguments = {"file": str(file), "data": str(data)}
        try:
            model.save(file)
            try:
                outputs = shared("loading models").call(_predict_here, **arguments)
            except ProcessFault:
                # The plugin's own layers are known once it has built a network.
                with Process() as process:
                    outputs = process.call(
                        _predict_with_plugin,
                        **arguments,
                        **self.to_reference(),
                        shape=self.shape,
                        classes=self.classes,
                    )
        except Exception as error:
            raise CheckFailed(
                f"the saved model does not load: {errors.first_line(error)}",
                "Use Keras' own layers; or decorate yours with "
                '@keras.saving.register_keras_serializable(package="<distribution>") and define '
                "get_config().",
            ) from error
        return np.asarray(outputs)

    @property
    def trained(self) -> tuple[bool, list[float | None]]:
        """Whether training changed a weight, and its losses; see `train_really`."""
        assert self.reloaded is not None
        architecture, shape, classes, folder = (
            self.architecture,
            self.shape,
            self.classes,
            self.folder,
        )
        return self.once(
            "training",
            "test_trains",
            lambda: train_really(architecture, shape, classes, folder),
        )


def _predict_here(file: str, data: str) -> list[list[float]]:
    import keras
    import numpy as np

    model = keras.models.load_model(file, compile=False)
    outputs: list[list[float]] = model.predict_on_batch(np.load(data)).tolist()
    return outputs


def _predict_with_plugin(
    file: str,
    data: str,
    reference: str,
    settings: Mapping[str, Any],
    shape: Sequence[int],
    classes: int,
) -> list[list[float]]:
    build(from_reference(reference, settings), shape, classes, seed=1)
    return _predict_here(file, data)
