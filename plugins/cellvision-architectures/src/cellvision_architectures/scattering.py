"""Wavelet scattering with intensity statistics: only the last layer learns."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from pydantic import Field

from cellvision import Architecture, TrainingPlan, TrainingRecipe
from cellvision_architectures import sizes
from cellvision_architectures.feature_standardization import standardized
from cellvision_architectures.wavelets import HALF_WIDTH, LOWPASS, kernels, rotation_average

if TYPE_CHECKING:
    import keras

_SMALLEST_SCALE = 4
"""The pyramid ends before a side falls below this: wavelets extend this far to each side."""

_FLOOR = 1e-4
"""Added before the logarithm. Well above rounding, well below the texture of any image."""

_PERCENTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""The quantiles of intensity, the extremes included."""


class Scattering(Architecture):
    """Fixed wavelet features with softmax regression: the step between intensity and a network.

    Morlet wavelets in `orientations` directions filter each channel at every scale of a pyramid,
    whose scales halve the image until a side would fall below four pixels. The modulus of each
    response is filtered once more at all coarser scales. Averages over positions and over
    rotations and mirror images of the whole pattern (the angle between the two wavelets stays)
    give the texture of an image, whatever its position and orientation; their logarithm is used.
    Further features are mean, standard deviation and nine quantiles of the intensity of each
    channel, and the correlation of each pair of channels at every scale. All are standardized on
    the training images. Softmax regression with an L2 penalty follows, and only that is trained.

    The problem is convex: there is one best answer, and the seed does not matter. There are no
    weights to download. At 128×128×3 there are 249 features.

    Sources: J. Bruna and S. Mallat (2013), Invariant scattering convolution networks, IEEE
    Transactions on Pattern Analysis and Machine Intelligence 35, 1872-1886; L. Sifre and S.
    Mallat (2013), Rotation, scaling and deformation invariant scattering for texture
    discrimination, IEEE Conference on Computer Vision and Pattern Recognition, 1233-1240. Here
    the scales are those of a pyramid, and the rotations of the pattern are averaged rather than
    filtered.

    Examples
    --------
    >>> import cellvision as cv
    >>> model = cv.architectures.create("scattering").build((64, 64, 3), classes=2)
    >>> model.output_shape
    (None, 2)
    """

    orientations: int = Field(default=6, ge=2, le=16)
    """Directions of the wavelets, over half a turn. Time grows with the square."""

    l2: float = Field(default=0.001, ge=0)
    """Strength of the penalty: this times the sum of the squared weights is added to the loss."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build the network; see `cellvision.Architecture.build`.

        Raises
        ------
        errors.ArchitectureError
            Height or width is below 4, or there are fewer than two classes.
        """
        halvings = [sizes.Window(f"scale_{number}", 2, 2) for number in (1, 2)]
        sizes.check("scattering", input_shape, classes, halvings)
        import keras
        from keras import layers

        image = keras.Input(input_shape, name="image")
        features = layers.Concatenate(name="features", dtype="float32")(
            [*_intensity(image), *self._texture(image)]
        )
        features = standardized(features)
        probabilities = layers.Dense(
            classes,
            activation="softmax",
            kernel_regularizer=keras.regularizers.L2(self.l2),
            dtype="float32",
            name="classes",
        )(features)
        return keras.Model(image, probabilities, name="scattering")

    def recipe(self, plan: TrainingPlan) -> TrainingRecipe:  # noqa: ARG002
        """Train by Adam with rate 0.01, where no exact solution is computed.

        That is with mixed labels, without `l2`, or on several devices.
        """
        import keras

        return TrainingRecipe(keras.optimizers.Adam(0.01))

    def _texture(self, image: Any) -> list[Any]:
        """Two orders of scattering as logarithms, and correlations of channels at every scale."""
        from keras import ops

        height, width, channels = image.shape[1:]
        filters = _Filters(self.orientations)
        count, scales = self.orientations, _scales(height, width)
        # Wavelets ignore the mean; subtracting it reduces rounding errors.
        level = _planes(image - ops.mean(image, axis=(1, 2), keepdims=True))
        averages, correlations = [], []
        pairs = _Pairs(channels)
        for first in range(scales):
            correlations += pairs.correlations(level)
            modulus = filters.modulus(level)
            averages.append(ops.mean(modulus, axis=(1, 2, 3), keepdims=True)[:, 0, 0, :])
            for _ in range(first + 1, scales):
                modulus = filters.halve(modulus)
                response = ops.mean(filters.modulus(_planes(modulus)), axis=(1, 2))
                # Pairs of directions: that of the first wavelet, then that of the second.
                averages.append(filters.average(ops.reshape(response, (-1, count * count))))
            if first + 1 < scales:
                level = filters.halve(level)
        joined = ops.concatenate(averages, axis=-1)
        filters.fill()
        texture = ops.reshape(joined, (-1, channels * joined.shape[-1]))
        return [ops.log(texture + _FLOOR), *correlations]


def _scales(height: int, width: int) -> int:
    """Return the number of scales of the pyramid."""
    side, scales = min(height, width), 0
    while side >= _SMALLEST_SCALE:
        side, scales = side // 2, scales + 1
    return scales


def _planes(image: Any) -> Any:
    """Treat each channel as a separate image: (n, h, w, c) to (n·c, h, w, 1)."""
    from keras import ops

    height, width = image.shape[1:3]
    return ops.reshape(ops.transpose(image, (0, 3, 1, 2)), (-1, height, width, 1))


class _Filters:
    """The fixed layers: each is used at every scale."""

    def __init__(self, orientations: int) -> None:
        from keras import layers

        self.orientations = orientations
        fixed: dict[str, Any] = {"use_bias": False, "trainable": False, "dtype": "float32"}
        self._wavelets = layers.Conv2D(
            2 * orientations, 2 * HALF_WIDTH + 1, name="wavelets", **fixed
        )
        size = len(LOWPASS)
        self._lowpass = {
            depth: layers.DepthwiseConv2D(size, strides=2, name=f"lowpass_{depth}", **fixed)
            for depth in (1, orientations)
        }
        self.average = layers.Dense(orientations // 2 + 1, name="rotation_average", **fixed)

    def modulus(self, planes: Any) -> Any:
        """Amplitude of the response in each direction: (n, h, w, 1) to (n, h, w, directions)."""
        from keras import ops

        parts = ops.square(self._wavelets(_mirrored(planes, HALF_WIDTH)))
        real, imaginary = ops.split(parts, 2, axis=-1)
        return ops.sqrt(real + imaginary)

    def halve(self, images: Any) -> Any:
        """Smooth and keep every second pixel."""
        return self._lowpass[images.shape[-1]](_mirrored(images, len(LOWPASS) // 2 - 1))

    def fill(self) -> None:
        """Set the weights of the layers, once they are built."""
        import numpy as np

        self._wavelets.set_weights([kernels(self.orientations)])
        plane = np.outer(LOWPASS, LOWPASS).astype(np.float32)[:, :, None, None]
        for depth, layer in self._lowpass.items():
            if layer.built:
                layer.set_weights([np.repeat(plane, depth, axis=2)])
        if self.average.built:
            self.average.set_weights([rotation_average(self.orientations)])


def _mirrored(images: Any, border: int) -> Any:
    """Pad images with their mirror image."""
    from keras import ops

    around = (border, border)
    return ops.pad(images, ((0, 0), around, around, (0, 0)), mode="symmetric")


class _Pairs:
    """Correlations of each pair of channels; the layers are used at every scale."""

    def __init__(self, channels: int) -> None:
        from keras import layers

        self.channels = channels
        if channels == 1:
            return
        pairs = list(itertools.combinations(range(channels), 2))
        self._products = layers.Dot(axes=2, name="channel_products", dtype="float32")
        self._selection = layers.Dense(
            len(pairs), use_bias=False, trainable=False, name="channel_pairs", dtype="float32"
        )
        self._cells = [i * channels + j for i, j in pairs]

    def correlations(self, planes: Any) -> list[Any]:
        """Correlate channels that `_planes` has separated; nothing for a single one."""
        import numpy as np
        from keras import ops

        if self.channels == 1:
            return []
        pixels = planes.shape[1] * planes.shape[2]
        values = ops.reshape(planes, (-1, self.channels, pixels))
        values = values - ops.mean(values, axis=2, keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.square(values), axis=2, keepdims=True))
        unit = values / ((deviation + _FLOOR) * pixels**0.5)
        products = ops.reshape(self._products([unit, unit]), (-1, self.channels**2))
        correlations = self._selection(products)
        kernel = np.zeros((self.channels**2, len(self._cells)), np.float32)
        kernel[self._cells, range(len(self._cells))] = 1
        self._selection.set_weights([kernel])
        return [correlations]


def _intensity(image: Any) -> list[Any]:
    """Mean, standard deviation and percentiles of each channel."""
    from keras import ops

    height, width, channels = image.shape[1:]
    pixels = ops.reshape(image, (-1, height * width, channels))
    mean = ops.mean(pixels, axis=1, keepdims=True)
    deviation = ops.sqrt(ops.mean(ops.square(pixels - mean), axis=1))
    ranked = ops.sort(pixels, axis=1)
    last = height * width - 1
    ranks = [ranked[:, round(share * last)] for share in _PERCENTILES]
    return [mean[:, 0], deviation, *ranks]
