"""The checks of an architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cellvision import errors
from cellvision.interfaces.architecture import Architecture, TrainingPlan, architectures
from cellvision.testing.backends import other_backend
from cellvision.testing.component import ComponentChecks, arrived, conformance_check
from cellvision.testing.process import Process, ProcessFault, shared
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    import keras
    import numpy as np

_SIDES = (32, 64, 128, 256)
_STEPS = 12
"""In how many steps on one batch a loss must fall."""

_CLOSE = 1e-5
"""How far the probabilities of a model may move by saving and loading."""

_CLOSE_ENOUGH = 1e-3
"""How far they may be apart on two backends, which sum in different orders."""


class _Built(NamedTuple):
    """The example's network, and what it makes of some images before any training."""

    model: Any
    images: np.ndarray
    probabilities: np.ndarray


class ArchitectureChecks(ComponentChecks):
    """The checks of an architecture, to subclass in a plugin's tests.

    Attributes
    ----------
    input_shape : tuple of int, optional
        Height, width and channels to check with. None: the first of 32, 64, 128 and 256 pixels
        that the architecture takes, with three channels.
    classes : int
        How many classes to check with.

    Examples
    --------
    >>> from cellvision.testing import ArchitectureChecks
    >>> class TestDeep(ArchitectureChecks):
    ...     name = "deep"
    ...     example = {"dense": 50}
    ...     wrong = {"dense": 0}
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

        def find() -> tuple[int, int, int]:
            for side in _SIDES:
                try:
                    architecture.build((side, side, 3), self.classes)
                except errors.ArchitectureError:
                    if side == _SIDES[-1]:
                        raise
                else:
                    return side, side, 3
            raise AssertionError

        return self.once("building it small", "test_builds_a_model", find)

    @property
    def built(self) -> _Built:
        """The example's network, in float32."""
        shape, architecture = self.shape, self.architecture

        def build() -> _Built:
            model = _build(architecture, shape, self.classes, seed=0)
            images = _images(shape, self.classes)[0]
            return _Built(model, images, model.predict_on_batch(images))

        return self.once("build()", "test_builds_a_model", build)

    @conformance_check
    def test_builds_a_model(self) -> None:
        """`build` gives an uncompiled Keras model, from images to a number for each class."""
        import keras

        model = self.built.model
        self.require(
            isinstance(model, keras.Model),
            f"build() gave {type(model).__name__}",
            "Give a keras.Model or keras.Sequential",
        )
        self.require(not model.compiled, "the model is compiled", "Leave that to cellvision")
        self.require(
            tuple(model.output_shape) == (None, self.classes),
            f"the output is {model.output_shape}, not (None, {self.classes})",
            "End with a Dense layer of as many units as there are classes",
        )
        self.require(
            tuple(model.input_shape) == (None, *self.shape),
            f"the input is {model.input_shape}, not (None, {str(self.shape)[1:]}",
            "Begin with keras.Input(input_shape)",
        )

    @conformance_check
    def test_probabilities_sum_to_one(self) -> None:
        """The outputs are float32 probabilities, which sum to 1 for each image."""
        import numpy as np

        found = self.built.probabilities
        self.require(
            found.dtype == np.float32,
            f"the outputs are {found.dtype}",
            'Give the last layer dtype="float32"',
        )
        self.require(
            np.isfinite(found).all() and (found >= 0).all(),
            "outputs are negative or not numbers",
            'End with a Dense layer with activation="softmax"',
        )
        sums = found.sum(axis=1)
        self.require(
            np.allclose(sums, 1, atol=1e-4),
            f"the outputs of an image sum to {sums[0]:.4f}",
            'End with a Dense layer with activation="softmax"',
        )

    @conformance_check
    def test_takes_other_images_and_classes(self) -> None:
        """It is built for grey images, for two classes, and for images that are not square."""
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
                self.require(error.hint, f"{error.what}: and no way out", _TELL)
            else:
                self.require(
                    tuple(model.output_shape) == (None, classes),
                    f"for {shape} and {classes} classes the output is {model.output_shape}",
                    "Use input_shape and classes as they are given",
                )

    @conformance_check
    def test_tells_what_is_too_small(self) -> None:
        """For images of one pixel it works, or raises ArchitectureError with a way out."""
        assert self.built
        try:
            model = self.architecture.build((1, 1, self.shape[2]), self.classes)
        except errors.ArchitectureError as error:
            self.require(error.hint, f"the error offers no way out: {error.what}", _TELL)
        except Exception as error:
            raise CheckFailed(
                f"for images of one pixel: {errors.summarize(error)}", _TELL
            ) from error
        else:
            self.require(
                tuple(model.output_shape) == (None, self.classes),
                f"for images of one pixel the output is {model.output_shape}",
                _TELL,
            )

    @conformance_check
    def test_seed_makes_the_weights(self) -> None:
        """Built again under the same seed the weights are the same, under another they differ."""
        import numpy as np

        def weights(seed: int) -> list[np.ndarray]:
            model = _build(self.architecture, self.shape, self.classes, seed)
            return _weights(model)

        assert self.built
        first, again, other = weights(5), weights(5), weights(6)
        self.require(first, "there are no weights to train", "Give it a layer that learns")
        self.require(
            all(np.array_equal(one, two) for one, two in zip(first, again, strict=True)),
            "the same seed gives other weights",
            "Draw weights by Keras' initializers, and with no generator of your own",
        )
        self.require(
            any(not np.array_equal(one, two) for one, two in zip(first, other, strict=True)),
            "another seed gives the same weights",
            "Give initializers no fixed seed: cellvision seeds Keras for every run",
        )

    @conformance_check
    def test_trains(self) -> None:
        """A few steps of its own recipe change the weights and lower the loss on one batch."""
        assert self.built
        model = _build(self.architecture, self.shape, self.classes, seed=0)
        changed, losses = _trained(self.architecture, model, self.classes)
        self._judge_training(changed, losses, "")

    def _judge_training(self, changed: bool, losses: Sequence[float | None], where: str) -> None:
        self.require(changed, f"training changes no weight{where}", "Leave some layer trainable")
        numbers = [loss for loss in losses if loss is not None]
        self.require(
            len(numbers) == len(losses),
            f"the loss became infinite or NaN{where}",
            "Lower the learning rate of recipe()",
        )
        self.require(
            min(numbers[1:]) < numbers[0],
            f"{len(losses) - 1} steps on one batch do not lower the loss{where} "
            f"({numbers[0]:.4f} to {min(numbers[1:]):.4f})",
            "Check the optimizer and the loss of recipe()",
        )

    @conformance_check
    def test_computes_in_bfloat16(self) -> None:
        """Built for bfloat16, it gives finite float32 outputs near those of float32."""
        import numpy as np

        from cellvision.backends.precision import policy

        built = self.built
        with policy("bfloat16"):
            model = _build(self.architecture, self.shape, self.classes, seed=0)
        found = model.predict_on_batch(built.images)
        self.require(
            found.dtype == np.float32,
            f"in bfloat16 the outputs are {found.dtype}",
            'Give the last layer dtype="float32"',
        )
        self.require(
            np.isfinite(found).all() and np.abs(found - built.probabilities).max() < 0.1,
            "in bfloat16 the outputs are far from those in float32",
            'Give dtype="float32" to layers that need many digits, such as Rescaling',
        )

    @conformance_check
    def test_reloads_in_a_new_process(self) -> None:
        """Saved, and loaded by a process that did not make it, it gives equal outputs."""
        import numpy as np

        model, images, expected = self.built
        file, data = self.folder / "model.keras", self.folder / "images.npy"
        np.save(data, images)
        arguments = {"file": str(file), "data": str(data)}
        try:
            model.save(file)
            try:
                found = shared("loading models").call(_predicted, **arguments)
            except ProcessFault:
                # Layers of the plugin's own: they are known once it has built a network.
                with Process() as process:
                    found = process.call(
                        _predicted_by_plugin,
                        **arguments,
                        **self.there(),
                        shape=self.shape,
                        classes=self.classes,
                    )
        except Exception as error:
            raise CheckFailed(
                f"the saved model does not load: {errors.first_line(error)}",
                "Use stock layers; or decorate yours with "
                "@keras.saving.register_keras_serializable() and define get_config()",
            ) from error
        difference = float(np.abs(np.asarray(found) - expected).max())
        self.require(
            difference <= _CLOSE,
            f"the reloaded model's outputs differ by {difference:.2g}",
            "Layers of your own must save all that they need: get_config() and weights",
        )

    @conformance_check
    def test_works_on_the_other_backend(self) -> None:
        """On Keras' other backend it gives the same outputs with the same weights, and trains."""
        import numpy as np

        model, images, expected = self.built
        backend, process = other_backend()
        file, data = self.folder / "other.weights.h5", self.folder / "other.npy"
        model.save_weights(file)
        np.save(data, images)
        arguments = self.there()
        try:
            changed, losses, found = process.call(
                _on_the_other,
                **arguments,
                shape=self.shape,
                classes=self.classes,
                file=str(file),
                data=str(data),
            )
        except ProcessFault as fault:
            raise CheckFailed(
                f"on {backend}: {fault}", "Use keras.layers and keras.ops, no backend directly"
            ) from fault
        self._judge_training(changed, losses, f" on {backend}")
        difference = float(np.abs(np.asarray(found) - expected).max())
        self.require(
            difference <= _CLOSE_ENOUGH,
            f"on {backend} the same weights give outputs that differ by {difference:.2g}",
            "Use keras.layers and keras.ops, which do the same on every backend",
        )


_TELL = "raise errors.ArchitectureError(what, how): which layer vanished, and which size is enough"


def _images(shape: Sequence[int], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Two images of each class, or one where they are large, with one-hot labels."""
    import numpy as np

    noise = np.random.default_rng(0)
    count = classes * (2 if shape[0] * shape[1] < 128**2 else 1)
    labels = np.arange(count) % classes
    images = 0.2 * noise.random((count, *shape))
    for image, label in zip(images, labels, strict=True):
        image[:, label * shape[1] // classes :] += 0.7 * (label + 1) / classes
    return images.astype(np.float32), np.eye(classes, dtype=np.float32)[labels]


def _build(
    architecture: Architecture, shape: Sequence[int], classes: int, seed: int
) -> keras.Model:
    import keras

    keras.utils.set_random_seed(seed)
    height, width, channels = shape
    return architecture.build((height, width, channels), classes)


def _weights(model: keras.Model) -> list[np.ndarray]:
    import keras

    return [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]


def _trained(
    architecture: Architecture, model: keras.Model, classes: int
) -> tuple[bool, list[float | None]]:
    """Whether weights changed, and the loss of each step; None where it is not a number."""
    import numpy as np

    images, labels = _images(model.input_shape[1:], classes)
    before = _weights(model)
    plan = TrainingPlan(_STEPS, 1, len(images), (len(images) // classes,) * classes)
    recipe = architecture.recipe(plan)
    model.compile(recipe.optimizer, recipe.loss)
    losses: list[float] = []
    while len(losses) <= _STEPS and not (len(losses) > 3 and losses[-1] < losses[0]):
        losses.append(float(model.train_on_batch(images, labels)))
    changed = any(
        not np.array_equal(old, new) for old, new in zip(before, _weights(model), strict=True)
    )
    return changed, [loss if np.isfinite(loss) else None for loss in losses]


def _predicted(file: str, data: str) -> list[list[float]]:
    import keras
    import numpy as np

    model = keras.models.load_model(file, compile=False)
    found: list[list[float]] = model.predict_on_batch(np.load(data)).tolist()
    return found


def _predicted_by_plugin(
    file: str,
    data: str,
    reference: str,
    settings: Mapping[str, Any],
    shape: Sequence[int],
    classes: int,
) -> list[list[float]]:
    _build(arrived(reference, settings), shape, classes, seed=1)
    return _predicted(file, data)


def _on_the_other(
    reference: str,
    settings: Mapping[str, Any],
    shape: Sequence[int],
    classes: int,
    file: str,
    data: str,
) -> tuple[bool, list[float | None], list[list[float]]]:
    import numpy as np

    architecture = arrived(reference, settings)
    model = _build(architecture, shape, classes, seed=0)
    model.load_weights(file)
    outputs = model.predict_on_batch(np.load(data)).tolist()
    return *_trained(architecture, model, classes), outputs
