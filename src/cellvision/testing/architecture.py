"""The checks of an architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.testing.backends import other_backend
from cellvision.testing.component import conformance_check, from_reference
from cellvision.testing.network_checks import (
    build,
    channels_first_layers,
    keras_settings_restored,
    step_losses,
    weights_of,
)
from cellvision.testing.network_under_test import CLOSE, NetworkUnderTest
from cellvision.testing.process import ProcessFault
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    import numpy as np

_CLOSE_ENOUGH = 1e-3
"""Largest difference between two backends, which sum in different orders."""

_TOO_SMALL = (
    "raise errors.ArchitectureError(what, hint): which layer vanished, and which size works"
)


class ArchitectureChecks(NetworkUnderTest):
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

    @conformance_check
    def test_builds_a_model(self) -> None:
        """`build` returns an uncompiled Keras model that maps images to one number per class."""
        self.require(self.built.model, "there is no model", "Return a keras.Model.")

    @conformance_check
    def test_probabilities_sum_to_one(self) -> None:
        """The outputs are float32 probabilities that sum to 1 for each image."""
        self.require(len(self.classifier.probabilities), "there are no outputs", "")

    @conformance_check
    def test_predicts_the_same_again(self) -> None:
        """Two predictions of the same images are equal: dropout and noise act in training only."""
        self.require(self.steady, "there are no outputs", "")

    @conformance_check
    def test_leaves_keras_as_it_is(self) -> None:
        """`build` changes no setting of Keras, such as the dtype policy."""
        assert self.built
        height, width, channels = self.shape
        with keras_settings_restored() as changed:
            self.architecture.build((height, width, channels), self.classes)
        self.require(
            not changed,
            f"build() changes {', '.join(changed)}",
            "Give settings to layers, not to Keras.",
        )

    @conformance_check
    def test_channels_come_last(self) -> None:
        """No layer expects channels before rows and columns, which images do not have there."""
        names = channels_first_layers(self.built.model)
        self.require(
            not names,
            f"layers expect channels first: {', '.join(names)}",
            'Images are (height, width, channels): omit data_format="channels_first".',
        )

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
                model = build(self.architecture, shape, classes, seed=0)
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
            model = build(self.architecture, (1, 1, self.shape[2]), self.classes, seed=0)
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
        once, twice = (build(self.architecture, self.shape, self.classes, 5) for _ in range(2))
        self.require(
            once is not twice,
            "build() returns the same network twice, with its trained weights",
            "Create a new network in every call.",
        )
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
        changed, losses = self.trained
        self._require_training(losses, changed=changed)

    def _require_training(
        self, losses: Sequence[float | None], where: str = "", *, changed: bool
    ) -> None:
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

        built = self.steady
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

    @conformance_check
    def test_reloads_in_a_new_process(self) -> None:
        """Saved, and loaded by a process that did not build it, it gives equal outputs."""
        import numpy as np

        difference = float(np.abs(self.reloaded - self.steady.probabilities).max())
        self.require(
            difference <= CLOSE,
            f"the reloaded model's outputs differ by {difference:.2g}",
            "Save all that your layers need: get_config() and weights.",
        )

    @conformance_check
    def test_works_on_the_other_backend(self) -> None:
        """On the other Keras backend the same weights give the same outputs, and it trains."""
        import numpy as np

        model, images, expected = self.steady
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
        self._require_training(losses, f" on {backend}", changed=changed)
        difference = float(np.abs(np.asarray(outputs) - expected).max())
        self.require(
            difference <= _CLOSE_ENOUGH,
            f"on {backend} the same weights give outputs that differ by {difference:.2g}",
            "Use keras.layers and keras.ops, which agree on every backend.",
        )


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
