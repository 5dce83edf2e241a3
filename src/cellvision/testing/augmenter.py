"""The checks of an augmenter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision.interfaces.augmenter import Augmenter, augmenters
from cellvision.testing.backends import other_backend
from cellvision.testing.component import ComponentChecks, arrived, conformance_check
from cellvision.testing.process import ProcessFault
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    import numpy as np


class AugmenterChecks(ComponentChecks):
    """The checks of an augmenter, to subclass in a plugin's tests.

    The example must change images: a rotation by 0 degrees shows nothing.

    Examples
    --------
    >>> from cellvision.testing import AugmenterChecks
    >>> class TestRotation(AugmenterChecks):
    ...     name = "rotation"
    ...     example = {"degrees": 30}
    ...     wrong = {"degrees": -1}
    """

    registry: ClassVar = augmenters

    @property
    def augmenter(self) -> Augmenter:
        """The example."""
        component = self.component
        assert isinstance(component, Augmenter)
        return component

    def layer(self, seed: int = 0) -> Any:
        """Make the example's layer, when it is known that it can be made."""
        augmenter = self.augmenter
        assert self.once("build()", "test_builds_a_layer", lambda: augmenter.build(0)) is not None
        return augmenter.build(seed)

    def changed(self, images: np.ndarray, seed: int = 0, calls: int = 1) -> list[np.ndarray]:
        """What a new layer makes of a batch in training, in calls one after another."""
        import keras

        layer = self.layer(seed)
        return [keras.ops.convert_to_numpy(layer(images, training=True)) for _ in range(calls)]

    @conformance_check
    def test_builds_a_layer(self) -> None:
        """`build` gives a Keras layer."""
        import keras

        layer = self.layer()
        self.require(
            isinstance(layer, keras.layers.Layer),
            f"build() gave {type(layer).__name__}",
            "Give a keras.layers.Layer",
        )

    @conformance_check
    def test_keeps_shape_and_dtype(self) -> None:
        """Images of one and of three channels keep their shape and dtype, and stay finite."""
        import keras
        import numpy as np

        for channels in (1, 3):
            images = _images(channels=channels)
            found = keras.ops.convert_to_numpy(self.layer()(images, training=True))
            self.require(
                (found.shape, found.dtype) == (images.shape, images.dtype),
                f"{images.shape} {images.dtype} became {found.shape} {found.dtype}",
                "Cast and reshape what is given back to what came in",
            )
            self.require(
                np.isfinite(found).all(), "pixels became infinite or NaN", "Mind divisions by 0"
            )

    @conformance_check
    def test_is_off_at_inference(self) -> None:
        """With ``training=False`` images come out exactly as they went in."""
        import keras
        import numpy as np

        images = _images()
        found = keras.ops.convert_to_numpy(self.layer()(images, training=False))
        self.require(
            np.array_equal(found, images),
            "images are changed with training=False",
            "In call(self, images, training=False): return the images unless training",
        )

    @conformance_check
    def test_varies(self) -> None:
        """In training images are changed, and otherwise at every call."""
        import numpy as np

        images = _images()
        first, second = self.changed(images, calls=2)
        self.require(
            not np.array_equal(first, images),
            "images are not changed in training",
            "Give an example that changes them",
        )
        self.require(
            not np.array_equal(first, second),
            "two calls make the same change",
            "Draw from a keras.random.SeedGenerator that the layer holds, not from a number",
        )

    @conformance_check
    def test_same_seed_same_changes(self) -> None:
        """Two layers with one seed make the same sequence of changes."""
        import keras
        import numpy as np

        images, layers = _images(), (self.layer(7), self.layer(7))
        for _ in range(2):
            one, other = (
                keras.ops.convert_to_numpy(layer(images, training=True)) for layer in layers
            )
            self.require(
                np.array_equal(one, other),
                "two layers with one seed make different changes",
                "Draw from keras.random with SeedGenerator(seed) alone",
            )

    @conformance_check
    def test_other_seed_other_changes(self) -> None:
        """Layers with different seeds make different changes."""
        import numpy as np

        images = _images()
        one, other = self.changed(images, seed=1)[0], self.changed(images, seed=2)[0]
        self.require(
            not np.array_equal(one, other),
            "layers with different seeds make the same change",
            "Use the seed: keras.random.SeedGenerator(seed)",
        )

    @conformance_check
    def test_leaves_labels_true(self) -> None:
        """Each image is changed by itself: none is mixed with another, or changes place."""
        import keras
        import numpy as np

        images = _images()
        altered = images.copy()
        altered[0] = 1 - altered[0]
        one, other = (
            keras.ops.convert_to_numpy(self.layer(3)(batch, training=True))
            for batch in (images, altered)
        )
        self.require(
            np.allclose(one[1:], other[1:], atol=1e-6),
            "changing the first image of a batch changes what becomes of the others",
            "Keep the order of the batch, and use no image for another: labels stay as they are",
        )

    @conformance_check
    def test_works_jitted(self) -> None:
        """A network with it trains when the whole step is compiled just in time."""
        assert self.layer() is not None
        loss = self.once(
            "training it jitted", "test_works_jitted", lambda: _trained_jitted(self.augmenter)
        )
        self.require(
            loss == loss,  # not NaN
            "the loss of a jitted training step is not a number",
            "Use keras.ops only, with shapes that are known",
        )

    @conformance_check
    def test_works_on_the_other_backend(self) -> None:
        """On Keras' other backend too: shape kept, off at inference, trains jitted."""
        backend, process = other_backend()
        arguments = self.there()
        assert self.layer() is not None
        try:
            kept, off, loss = process.call(_on_the_other, **arguments)
        except ProcessFault as fault:
            raise CheckFailed(
                f"on {backend}: {fault}", "Use keras.ops and keras.random in place of one backend's"
            ) from fault
        self.require(kept, f"on {backend} shape or dtype change", "Use keras.ops only")
        self.require(off, f"on {backend} images change with training=False", "Use keras.ops only")
        self.require(loss is not None, f"on {backend} the loss is not a number", "Use keras.ops")


def _images(channels: int = 3) -> np.ndarray:
    import numpy as np

    noise = np.random.default_rng(0)
    return noise.random((8, 24, 32, channels)).astype(np.float32)


def _trained_jitted(augmenter: Augmenter) -> float:
    import keras
    import numpy as np

    images = _images()
    image = keras.Input(images.shape[1:])
    flat = keras.layers.Flatten()(augmenter.build(0)(image))
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(flat))
    model.compile("sgd", "categorical_crossentropy", jit_compile=True)
    return float(model.train_on_batch(images, np.eye(2, dtype=np.float32)[[0, 1] * 4]))


def _on_the_other(reference: str, settings: Mapping[str, Any]) -> tuple[bool, bool, float | None]:
    import keras
    import numpy as np

    augmenter, images = arrived(reference, settings), _images()
    layer = augmenter.build(0)
    changed = keras.ops.convert_to_numpy(layer(images, training=True))
    kept = (changed.shape, changed.dtype) == (images.shape, images.dtype)
    off = np.array_equal(keras.ops.convert_to_numpy(layer(images, training=False)), images)
    loss = _trained_jitted(augmenter)
    return kept, bool(off), loss if np.isfinite(loss) else None
