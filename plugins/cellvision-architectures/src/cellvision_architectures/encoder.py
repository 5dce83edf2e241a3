"""An encoder from a file, frozen, with softmax regression on its features."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cellvision import Architecture, TrainingPlan, TrainingRecipe, errors
from cellvision_architectures import sizes
from cellvision_architectures.feature_standardization import standardized

if TYPE_CHECKING:
    import keras

_SCALINGS: dict[str, tuple[list[float], list[float]]] = {
    "unit": ([1.0], [0.0]),
    "byte": ([255.0], [0.0]),
    "symmetric": ([2.0], [-1.0]),
    "imagenet": (
        [1 / 0.229, 1 / 0.224, 1 / 0.225],
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
    ),
}
"""Scale and offset that turn intensities of 0 to 1 into what an encoder expects."""


class Encoder(Architecture):
    """A frozen encoder from a Keras or ONNX file, with softmax regression on its features.

    The file holds a network from images to features: one input (height, width, channels), and
    one output: either numbers per image, or maps, which are averaged. The encoder does not
    learn; its features are standardized on the training images, and softmax regression with an
    L2 penalty is trained on them. Nothing is downloaded.

    An ONNX file needs ``pip install cellvision[onnx]``. Its operations become stock Keras
    layers, so that the trained model needs neither the file nor ONNX; a file with operations
    that have no counterpart is refused.

    Encoders were trained on other images, which may include public images of yours. Record
    where the file comes from (`origin`) and under which terms (`license`); its `digest` is
    recorded in any case.

    Examples
    --------
    >>> import cellvision as cv
    >>> encoder = cv.architectures.create(
    ...     "encoder", path="efficientnet_lite0.keras", license="Apache-2.0", origin="ImageNet"
    ... )
    >>> encoder.build((224, 224, 3), classes=5)  # doctest: +SKIP
    """

    path: Path
    """File of the encoder: ``.keras`` or ``.onnx``."""

    channels: Literal["auto", "each"] | tuple[Annotated[int, Field(ge=0)], ...] = "auto"
    """How image channels map to those of the encoder. ``each``: every channel alone, copied to
    all inputs, with concatenated features. A list names the image channel for each input, such as
    ``[0, 0, 1]``. ``auto``: unchanged where the numbers agree, else as ``each``."""

    scaling: Literal["unit", "byte", "symmetric", "imagenet"] = "unit"
    """Intensities that the encoder expects: ``unit`` 0 to 1, ``byte`` 0 to 255, ``symmetric`` -1
    to 1, ``imagenet`` standardized by mean and deviation of ImageNet's red, green and blue."""

    l2: float = Field(default=0.01, ge=0)
    """Strength of the penalty: this times the sum of the squared weights is added to the loss."""

    license: str | None = None
    """Terms under which the encoder may be used, such as ``Apache-2.0``."""

    origin: str | None = None
    """Where the encoder comes from and which images it was trained on."""

    digest: str | None = None
    """SHA-256 of the file. Computed if not given; if given, the file must match."""

    @model_validator(mode="after")
    def _identify(self) -> Self:
        if self.digest is None and self.path.is_file():
            object.__setattr__(self, "digest", _digest_of(self.path))
        return self

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build the network; see `cellvision.Architecture.build`.

        Raises
        ------
        errors.ArchitectureError
            The file is missing, has changed or is no encoder, or it does not take images of
            this size or these channels.
        """
        name = f"encoder ({self.path.name})"
        sizes.check(name, input_shape, classes)
        import keras
        from keras import layers

        encoder = self._load(name)
        self._check_fit(name, encoder, input_shape)
        encoder.trainable = False
        image = keras.Input(input_shape, name="image")
        depth = encoder.input_shape[-1]
        x, repeats = self._mapped(name, image, depth)
        scale, offset = _SCALINGS[self.scaling]
        if len(scale) not in (1, depth):
            raise errors.ArchitectureError(
                f"{name}: scaling {self.scaling!r} is for 3 channels; the encoder takes {depth}",
                "Choose another: --set architecture.scaling=unit, byte or symmetric",
            )
        x = layers.Rescaling(_scalar(scale), _scalar(offset), name="scaling", dtype="float32")(x)
        try:
            features = encoder(x)
        except ValueError as error:
            what = " ".join(str(error).split())
            raise errors.ArchitectureError(
                f"{name}: does not take images of {input_shape[0]}×{input_shape[1]} pixels: "
                f"{what:.200}",
                "Use the size that the encoder was trained with: --set preprocessing.size=...",
            ) from None
        if len(features.shape) == 4:
            features = layers.GlobalAveragePooling2D(name="mean", dtype="float32")(features)
        if repeats > 1:
            features = keras.ops.reshape(features, (-1, repeats * features.shape[-1]))
        features = standardized(features)
        probabilities = layers.Dense(
            classes,
            activation="softmax",
            kernel_regularizer=keras.regularizers.L2(self.l2),
            dtype="float32",
            name="classes",
        )(features)
        return keras.Model(image, probabilities, name="encoder_classifier")

    def recipe(self, plan: TrainingPlan) -> TrainingRecipe:  # noqa: ARG002
        """Train by Adam with rate 0.001, where no exact solution is computed.

        That is with mixed labels, without `l2`, or on several devices.
        """
        import keras

        return TrainingRecipe(keras.optimizers.Adam(0.001))

    def warnings(self) -> tuple[str, ...]:
        """State what a reader of the results should know about the encoder."""
        origin = self.origin or "images of unknown origin"
        lines = [
            f"Encoder {self.path.name} was pretrained ({origin}): if that included these test "
            "images, the accuracy is optimistic."
        ]
        if self.license is None:
            lines.append(
                f"The license of encoder {self.path.name} is not recorded (architecture.license)."
            )
        return tuple(lines)

    def _load(self, name: str) -> keras.Model:
        """Read the file as a Keras model with one input and one output."""
        import keras

        if not self.path.is_file():
            raise errors.ArchitectureError(
                f"{name}: there is no file {self.path}",
                "Correct architecture.path; it is relative to the working directory",
            )
        if self.digest != _digest_of(self.path):
            raise errors.ArchitectureError(
                f"{name}: the file differs from the recorded one (SHA-256 {self.digest})",
                "Restore that file, or remove architecture.digest to use this one",
            )
        if self.path.suffix == ".onnx":
            from cellvision_architectures.onnx_layers import to_keras

            encoder = to_keras(self.path)
        elif self.path.suffix == ".keras":
            try:
                encoder = keras.models.load_model(self.path, compile=False)
            except Exception as error:  # noqa: BLE001 - Keras raises many kinds here
                what = " ".join(str(error).split())
                raise errors.ArchitectureError(
                    f"{name}: Keras cannot load it: {what:.200}",
                    "Save the encoder with model.save('encoder.keras'), of stock layers",
                ) from None
        else:
            raise errors.ArchitectureError(
                f"{name}: files of this kind are not supported",
                "Save the encoder as .keras or .onnx",
            )
        shapes = (encoder.input_shape, encoder.output_shape)
        if not all(isinstance(shape, tuple) for shape in shapes) or (
            len(shapes[0]) != 4 or len(shapes[1]) not in (2, 4)
        ):
            raise errors.ArchitectureError(
                f"{name}: maps {shapes[0]} to {shapes[1]}, not images to features",
                "It needs one input (height, width, channels) and one output: numbers or maps",
            )
        return encoder

    def _check_fit(
        self, name: str, encoder: keras.Model, input_shape: tuple[int, int, int]
    ) -> None:
        height, width, depth = encoder.input_shape[1:]
        if depth is None or encoder.output_shape[-1] is None:
            raise errors.ArchitectureError(
                f"{name}: its number of channels or features is not fixed",
                "Save the encoder with a fixed number of input channels and features",
            )
        if (height or input_shape[0], width or input_shape[1]) != input_shape[:2]:
            raise errors.ArchitectureError(
                f"{name}: takes images of {height}×{width} pixels, "
                f"not {input_shape[0]}×{input_shape[1]}",
                f'Resize the images: --set preprocessing.size="[{height},{width}]"',
            )

    def _mapped(self, name: str, image: Any, depth: int) -> tuple[Any, int]:
        """Return the encoder's input, and how many times each image passes through the encoder."""
        from keras import layers, ops

        height, width, available = image.shape[1:]
        if isinstance(self.channels, tuple):
            if len(self.channels) != depth or max(self.channels) >= available:
                raise errors.ArchitectureError(
                    f"{name}: channels {list(self.channels)} do not map the {available} of an "
                    f"image to {depth} of the encoder",
                    f"List {depth} numbers from 0 to {available - 1}: "
                    "--set architecture.channels=[...]",
                )
            picked = [image[..., index : index + 1] for index in self.channels]
            return (layers.Concatenate(dtype="float32")(picked) if depth > 1 else picked[0]), 1
        if self.channels == "auto" and available == depth:
            return image, 1
        planes = image
        if available > 1:
            planes = ops.transpose(image, (0, 3, 1, 2))
            planes = ops.reshape(planes, (-1, height, width, 1))
        if depth > 1:
            planes = layers.Concatenate(name="copies", dtype="float32")([planes] * depth)
        return planes, available


def _scalar(values: list[float]) -> list[float] | float:
    return values if len(values) > 1 else values[0]


def _digest_of(path: Path) -> str:
    status = path.stat()
    return _hash(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=32)
def _hash(path: Path, _modified: int, _size: int) -> str:
    """SHA-256 of a file, computed again if its time or size changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
