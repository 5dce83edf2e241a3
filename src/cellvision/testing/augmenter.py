"""The checks of an augmenter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision.interfaces.augmenter import Augmenter, augmenters
from cellvision.testing.backends import other_backend
from cellvision.testing.component import ComponentChecks, conformance_check, from_reference
from cellvision.testing.network_checks import keras_settings_restored
from cellvision.testing.process import ProcessFault
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    import numpy as np

_CLASSES = 4

_FURTHEST = 2.0
"""How far intensities may leave the range from 0 to 1."""

_LABEL_ERROR = 0.15
"""Largest difference of a mixed label from the share of its class in the image, for smoothing."""

_SAME_WEIGHTS = "Mix one-hot labels with the weights with which the images are mixed."


class AugmenterChecks(ComponentChecks):
    """The checks of an augmenter, to subclass in a plugin's tests.

    The example must change images: a rotation by 0 degrees shows nothing.

    Examples
    --------
    >>> from cellvision.testing import AugmenterChecks
    >>> class TestRotation(AugmenterChecks):
    ...     name = "rotation"
    ...     example = {"degrees": 30}
    ...     invalid_settings = {"degrees": -1}
    """

    registry: ClassVar = augmenters

    @property
    def augmenter(self) -> Augmenter:
        """The example."""
        component = self.component
        assert isinstance(component, Augmenter)
        return component

    def layer(self, seed: int = 0) -> Any:
        """Return a new layer of the example."""
        augmenter = self.augmenter

        def build() -> object:
            import keras

            layer: object = augmenter.build(0)
            if not isinstance(layer, keras.layers.Layer):
                raise CheckFailed(
                    f"build() returned {type(layer).__name__}", "Return a keras.layers.Layer."
                )
            return layer

        with keras_settings_restored():
            self.once("build()", "test_builds_a_layer", build)
            return augmenter.build(seed)

    def changed(self, images: np.ndarray, seed: int = 0, calls: int = 1) -> list[np.ndarray]:
        """Return what a new layer makes of a batch in training, in successive calls."""
        layer = self.layer(seed)
        mixes = self.augmenter.mixes_labels
        return [_apply(layer, images, mixes_labels=mixes, training=True)[0] for _ in range(calls)]

    @conformance_check
    def test_builds_a_layer(self) -> None:
        """`build` returns a Keras layer."""
        self.require(self.layer() is not None, "there is no layer", "")

    @conformance_check
    def test_keeps_shape_and_dtype(self) -> None:
        """Images of one and of three channels keep their shape and dtype, and stay finite."""
        import numpy as np

        for channels in (1, 3):
            images = _images(channels=channels)
            result, _ = _apply(
                self.layer(), images, mixes_labels=self.augmenter.mixes_labels, training=True
            )
            self.require(
                (result.shape, result.dtype) == (images.shape, images.dtype),
                f"{images.shape} {images.dtype} became {result.shape} {result.dtype}",
                "Cast and reshape the result to the shape and dtype of the input.",
            )
            self.require(
                np.isfinite(result).all(), "pixels became infinite or NaN", "Avoid division by 0."
            )

    @conformance_check
    def test_keeps_intensities_in_range(self) -> None:
        """Intensities between 0 and 1 stay near that range, so networks see familiar values."""
        images = _images()
        low, high = 0.0, 0.0
        for seed in range(4):
            result = self.changed(images, seed=seed)[0]
            low, high = min(low, float(result.min())), max(high, float(result.max()))
        self.require(
            low > -_FURTHEST and high < 1 + _FURTHEST,
            f"intensities from 0 to 1 became {low:.3g} to {high:.3g}",
            "Images are floats from 0 to 1, not 0 to 255; limit the change.",
        )

    @conformance_check
    def test_leaves_keras_as_it_is(self) -> None:
        """`build` changes no setting of Keras, such as the dtype policy."""
        augmenter = self.augmenter
        assert self.layer() is not None
        with keras_settings_restored() as changed:
            augmenter.build(0)
        self.require(
            not changed,
            f"build() changes {', '.join(changed)}",
            "Give settings to layers, not to Keras.",
        )

    @conformance_check
    def test_is_off_at_inference(self) -> None:
        """With ``training=False`` images, and labels if it mixes them, come out unchanged."""
        import numpy as np

        images = _images()
        result, labels = _apply(
            self.layer(), images, mixes_labels=self.augmenter.mixes_labels, training=False
        )
        self.require(
            np.array_equal(result, images) and np.array_equal(labels, _labels(len(images))),
            "images or labels change with training=False",
            "In call(self, images, training=False): return the input unless training.",
        )

    @conformance_check
    def test_varies(self) -> None:
        """In training images change, and differently at every call."""
        import numpy as np

        images = _images()
        first, second = self.changed(images, calls=2)
        self.require(
            not np.array_equal(first, images),
            "images do not change in training",
            "Give an example that changes them.",
        )
        self.require(
            not np.array_equal(first, second),
            "two calls make the same change",
            "Draw from a keras.random.SeedGenerator that the layer keeps, not from a number.",
        )

    @conformance_check
    def test_same_seed_same_changes(self) -> None:
        """Two layers with one seed make the same sequence of changes."""
        import numpy as np

        images = _images()
        for one, other in zip(
            self.changed(images, seed=7, calls=2),
            self.changed(images, seed=7, calls=2),
            strict=True,
        ):
            self.require(
                np.array_equal(one, other),
                "two layers with one seed make different changes",
                "Draw from keras.random with SeedGenerator(seed) only.",
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
            "Use the seed: keras.random.SeedGenerator(seed).",
        )

    @conformance_check
    def test_leaves_labels_true(self) -> None:
        """No image is mixed with another or changes its place, unless its label is mixed too."""
        import numpy as np

        images = _images()
        if self.augmenter.mixes_labels:
            _, labels = _apply(self.layer(3), images, mixes_labels=True, training=True)
            self.require(
                labels.shape == (len(images), _CLASSES)
                and (labels >= -1e-6).all()
                and np.allclose(labels.sum(axis=1), 1, atol=1e-4),
                "mixed labels are not probabilities that sum to 1",
                _SAME_WEIGHTS,
            )
            error = max(_label_error(self.layer(seed)) for seed in range(4))
            self.require(
                error <= _LABEL_ERROR,
                f"labels differ by up to {error:.2f} from the shares of the classes in an image",
                _SAME_WEIGHTS,
            )
            return
        altered = images.copy()
        altered[0] = 1 - altered[0]
        one, other = self.changed(images, seed=3)[0], self.changed(altered, seed=3)[0]
        self.require(
            np.allclose(one[1:], other[1:], atol=1e-6),
            "changing the first image of a batch changes the result for the others",
            "Keep the order of the batch and every image to itself, or set mixes_labels.",
        )

    @conformance_check
    def test_works_jitted(self) -> None:
        """A network with it trains when the whole step is compiled just in time."""
        assert self.layer() is not None
        loss = self.once(
            "training it jitted", "test_works_jitted", lambda: _jitted_loss(self.augmenter)
        )
        self.require(
            loss == loss,  # not NaN
            "the loss of a jitted training step is not a number",
            "Use keras.ops only, with static shapes.",
        )

    @conformance_check
    def test_works_on_the_other_backend(self) -> None:
        """On the other Keras backend too: shape kept, off at inference, trains jitted."""
        assert self.layer() is not None
        backend, process = other_backend()
        arguments = self.to_reference()
        try:
            kept, off, loss = process.call(_check_here, **arguments)
        except ProcessFault as fault:
            raise CheckFailed(
                f"on {backend}: {fault}", "Use keras.ops and keras.random, no backend directly."
            ) from fault
        self.require(kept, f"on {backend} shape or dtype change", "Use keras.ops only.")
        self.require(off, f"on {backend} images change with training=False", "Use keras.ops only.")
        self.require(loss is not None, f"on {backend} the loss is not a number", "Use keras.ops.")


def _images(channels: int = 3) -> np.ndarray:
    import numpy as np

    noise = np.random.default_rng(0)
    return noise.random((8, 24, 32, channels)).astype(np.float32)


def _labels(count: int) -> np.ndarray:
    import numpy as np

    return np.eye(_CLASSES, dtype=np.float32)[np.arange(count) % _CLASSES]


def _apply(
    layer: Any, images: np.ndarray, *, mixes_labels: bool, training: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels after the layer."""
    import keras

    labels = _labels(len(images))
    if mixes_labels:
        images, labels = layer((images, labels), training=training)
    else:
        images = layer(images, training=training)
    return keras.ops.convert_to_numpy(images), keras.ops.convert_to_numpy(labels)


def _label_error(layer: Any) -> float:
    """Mix images that are bright in the channel of their class; compare channels and labels."""
    import keras

    labels = _labels(len(_images()))
    images = _images(channels=_CLASSES) * 0 + labels[:, None, None, :]
    images, mixed = layer((images, labels), training=True)
    content = keras.ops.convert_to_numpy(images).mean(axis=(1, 2))
    shares = content / content.sum(axis=1, keepdims=True).clip(1e-6)
    return float(abs(shares - keras.ops.convert_to_numpy(mixed)).max())


def _jitted_loss(augmenter: Augmenter) -> float:
    import keras

    images = _images()
    labels = _labels(len(images))
    image, label = keras.Input(images.shape[1:]), keras.Input(labels.shape[1:])
    layer = augmenter.build(0)
    changed, target = layer((image, label)) if augmenter.mixes_labels else (layer(image), label)
    flat = keras.layers.Flatten()(changed)
    scores = keras.layers.Dense(_CLASSES)(flat)
    difference = keras.layers.Subtract()([scores, target])
    model = keras.Model([image, label], difference)
    model.compile("sgd", "mean_squared_error", jit_compile=True)
    return float(model.train_on_batch([images, labels], 0 * labels))


def _check_here(reference: str, settings: Mapping[str, Any]) -> tuple[bool, bool, float | None]:
    import numpy as np

    augmenter, images = from_reference(reference, settings), _images()
    layer, mixes = augmenter.build(0), augmenter.mixes_labels
    changed, _ = _apply(layer, images, mixes_labels=mixes, training=True)
    kept = (changed.shape, changed.dtype) == (images.shape, images.dtype)
    off = np.array_equal(_apply(layer, images, mixes_labels=mixes, training=False)[0], images)
    loss = _jitted_loss(augmenter)
    return kept, bool(off), loss if np.isfinite(loss) else None
