"""The checks of an architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cellvision import errors
from cellvision.interfaces.architecture import Architecture, architectures
from cellvision.testing.backends import other_backend
from cellvision.testing.component import ComponentChecks, conformance_check, from_reference
from cellvision.testing.networks import (
    build,
    check_model,
    check_probabilities,
    example_batch,
    layers_without_package,
    step_losses,
    train_really,
    weights_of,
)
from cellvision.testing.process import Process, ProcessFault, shared
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    import numpy as np

_SIDES = (32, 64, 128, 256)
_CLOSE = 1e-5
"""Largest change of a probability by saving and loading."""

_CLOSE_ENOUGH = 1e-3
"""Largest difference between two backends, which sum in different orders."""

_TOO_SMALL = (
    "raise errors.ArchitectureError(what, hint): which layer vanished, and which size works"
)


class _Built(NamedTuple):
    """The network of the example, and its output for some images before any training."""

    model: Any
    images: np.ndarray
    probabilities: np.ndarray


class ArchitectureChecks(ComponentChecks):
    """The checks of an architecture, to subclass in a plugin's tests.

    Attributes
    ----------
    input_shape : tuple of int, optional
        Height, width and channels to check with. None: three channels, and the first of 32, 64,
        128 and 256 pixels that the architecture accepts.
    classes : int
        Number of classes to check with.

    Examples
    --------
    >>> from cellvision.testing import ArchitectureChecks
    >>> class TestDeep(ArchitectureChecks):
    ...     name = "deep"
    ...     example = {"dense": 50}
    ...     invalid_settings = {"dense": 0}
    """

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
                    architecture.build((side, side, 3), self.classes)
                except errors.ArchitectureError:
                    if side == _SIDES[-1]:
                        raise
                else:
                    return side, side, 3
            raise AssertionError

        return self.once("building a small network", "test_builds_a_model", smallest)

    @property
    def built(self) -> _Built:
        """The network of the example, in float32, after it has passed `test_builds_a_model`."""
        shape, architecture = self.shape, self.architecture

        def checked() -> _Built:
            model = build(architecture, shape, self.classes, seed=0)
            check_model(model, shape, self.classes)
            images = example_batch(shape, self.classes)[0]
            return _Built(model, images, model.predict_on_batch(images))

        return self.once("build()", "test_builds_a_model", checked)

    @property
    def classifier(self) -> _Built:
        """The same network, after its outputs have proved to be probabilities."""
        built = self.built

        def checked() -> _Built:
            check_probabilities(built.probabilities)
            return built

        return self.once("its outputs", "test_probabilities_sum_to_one", checked)

    @conformance_check
    def test_builds_a_model(self) -> None:
        """`build` returns an uncompiled Keras model that maps images to one number per class."""
        self.require(self.built.model, "there is no model", "Return a keras.Model.")

    @conformance_check
    def test_probabilities_sum_to_one(self) -> None:
        """The outputs are float32 probabilities that sum to 1 for each image."""
        self.require(len(self.classifier.probabilities), "there are no outputs", "")

    @conformance_check
    def test_takes_other_images_and_classes(self) -> None:
        """It works for grey images, for two classes, and for images that are not square."""
        height, width, _ = self.shape
        assert self.built
        for shape, classes in (
            ((height, width, 1), self.classes),
            ((height, width, 3), 2),
            ((height, width + 16, 3), self.classes),
        ):
            try:
                model = self.architecture.build(shape, classes)
            except errors.ArchitectureError as error:
                self.require(error.hint, f"the error has no hint: {error.what}", _TOO_SMALL)
            else:
                self.require(
                    tuple(model.output_shape) == (None, classes),
                    f"for {shape} and {classes} classes the output is {model.output_shape}",
                    "Use the arguments input_shape and classes.",
                )

    @conformance_check
    def test_tells_what_is_too_small(self) -> None:
        """For images of one pixel it works, or raises ArchitectureError with a hint."""
        assert self.built
        try:
            model = self.architecture.build((1, 1, self.shape[2]), self.classes)
        except errors.ArchitectureError as error:
            self.require(error.hint, f"the error has no hint: {error.what}", _TOO_SMALL)
        except Exception as error:
            raise CheckFailed(
                f"for images of one pixel: {errors.summarize(error)}", _TOO_SMALL
            ) from error
        else:
            self.require(
                tuple(model.output_shape) == (None, self.classes),
                f"for images of one pixel the output is {model.output_shape}",
                _TOO_SMALL,
            )

    @conformance_check
    def test_seed_makes_the_weights(self) -> None:
        """Built again with the same seed the weights are equal; with another they differ."""
        import numpy as np

        def weights(seed: int) -> list[np.ndarray]:
            return weights_of(build(self.architecture, self.shape, self.classes, seed))

        assert self.built
        first, again, other = weights(5), weights(5), weights(6)
        self.require(first, "there are no weights to train", "Add a layer that learns.")
        self.require(
            all(np.array_equal(one, two) for one, two in zip(first, again, strict=True)),
            "the same seed gives other weights",
            "Draw weights with Keras initializers, not with a generator of your own.",
        )
        self.require(
            any(not np.array_equal(one, two) for one, two in zip(first, other, strict=True)),
            "another seed gives the same weights",
            "Give initializers no fixed seed: cellvision seeds Keras for every run.",
        )

    @conformance_check
    def test_trains(self) -> None:
        """`cellvision.train` with its own recipe changes the weights and lowers the loss."""
        self._require_training(*self.trained, "")

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

    def _require_training(self, changed: bool, losses: Sequence[float | None], where: str) -> None:
        self.require(changed, f"training changes no weight{where}", "Leave a layer trainable.")
        numbers = [loss for loss in losses if loss is not None]
        self.require(
            len(numbers) == len(losses),
            f"the loss became infinite or NaN{where}",
            "Lower the learning rate of recipe().",
        )
        self.require(
            min(numbers[1:]) < numbers[0],
            f"{len(losses) - 1} steps on one batch do not lower the loss{where} "
            f"({numbers[0]:.4f} to {min(numbers[1:]):.4f})",
            "Check the optimizer and the loss of recipe().",
        )

    @conformance_check
    def test_computes_in_bfloat16(self) -> None:
        """Built for bfloat16, its outputs are finite, float32 and close to those of float32."""
        import numpy as np

        from cellvision.backends.precision import policy

        built = self.classifier
        with policy("bfloat16"):
            model = build(self.architecture, self.shape, self.classes, seed=0)
        outputs = model.predict_on_batch(built.images)
        self.require(
            outputs.dtype == np.float32,
            f"in bfloat16 the outputs are {outputs.dtype}",
            'Give the last layer dtype="float32".',
        )
        self.require(
            np.isfinite(outputs).all() and np.abs(outputs - built.probabilities).max() < 0.1,
            "in bfloat16 the outputs are far from those in float32",
            'Give dtype="float32" to layers that need many digits, such as Rescaling.',
        )

    @conformance_check
    def test_names_its_layers(self) -> None:
        """Custom layers are registered with the distribution's name as their package."""
        self.require(self.named, "there are no layers", "Connect layers to a keras.Model.")

    @property
    def named(self) -> _Built:
        """The network of the example, whose layers name their package."""
        built = self.built

        def checked() -> _Built:
            names = layers_without_package(built.model)
            if names:
                raise CheckFailed(
                    f"registered without a package: {', '.join(names)}; another plugin's layer "
                    "of that name would be loaded in its place",
                    "Decorate it: "
                    '@keras.saving.register_keras_serializable(package="<distribution>")',
                )
            return built

        return self.once("its layers", "test_names_its_layers", checked)

    @conformance_check
    def test_reloads_in_a_new_process(self) -> None:
        """Saved, and loaded by a process that did not build it, it gives equal outputs."""
        import numpy as np

        difference = float(np.abs(self.reloaded - self.classifier.probabilities).max())
        self.require(
            difference <= _CLOSE,
            f"the reloaded model's outputs differ by {difference:.2g}",
            "Save all that your layers need: get_config() and weights.",
        )

    @property
    def reloaded(self) -> np.ndarray:
        """The outputs of the saved and reloaded network."""
        assert self.classifier
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

    @conformance_check
    def test_works_on_the_other_backend(self) -> None:
        """On the other Keras backend the same weights give the same outputs, and it trains."""
        import numpy as np

        model, images, expected = self.classifier
        assert self.trained
        backend, process = other_backend()
        file, data = self.folder / "other.weights.h5", self.folder / "other.npy"
        model.save_weights(file)
        np.save(data, images)
        try:
            changed, losses, outputs = process.call(
                _train_and_predict_here,
                **self.to_reference(),
                shape=self.shape,
                classes=self.classes,
                file=str(file),
                data=str(data),
            )
        except ProcessFault as fault:
            raise CheckFailed(
                f"on {backend}: {fault}", "Use keras.layers and keras.ops, no backend directly."
            ) from fault
        self._require_training(changed, losses, f" on {backend}")
        difference = float(np.abs(np.asarray(outputs) - expected).max())
        self.require(
            difference <= _CLOSE_ENOUGH,
            f"on {backend} the same weights give outputs that differ by {difference:.2g}",
            "Use keras.layers and keras.ops, which agree on every backend.",
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


def _train_and_predict_here(
    reference: str,
    settings: Mapping[str, Any],
    shape: Sequence[int],
    classes: int,
    file: str,
    data: str,
) -> tuple[bool, list[float | None], list[list[float]]]:
    import numpy as np

    architecture = from_reference(reference, settings)
    model = build(architecture, shape, classes, seed=0)
    model.load_weights(file)
    outputs = model.predict_on_batch(np.load(data)).tolist()
    return *step_losses(architecture, model, classes), outputs
