"""Exported networks give the probabilities of the run."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import cli, errors

pytestmark = pytest.mark.usefixtures("tiny_plugins")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    root = tiny.make_folder(tmp_path_factory.mktemp("images"), count=10)
    experiment = tiny.experiment(root, "mixed", epochs=1, group="well")
    return cv.train(experiment, tmp_path_factory.mktemp("run") / "run")


def by_onnx(path: Path, pixels: np.ndarray) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return session.run(["probabilities"], {"pixels": pixels})[0]


def by_openvino(path: Path, pixels: np.ndarray) -> Any:
    import openvino

    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(path, "CPU", exact)([pixels])[0]


def by_litert(path: Path, pixels: np.ndarray) -> Any:
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(str(path))
    number = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(number, pixels.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(number, pixels)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def by_tensorflow(path: Path, pixels: np.ndarray) -> Any:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return loaded.serve(pixels)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("kind", "name", "compute"),
    [
        ("onnx", "cells.onnx", by_onnx),
        ("openvino", "cells.xml", by_openvino),
        ("litert", "cells.tflite", by_litert),
        ("saved_model", "cells", by_tensorflow),
    ],
)
def test_another_program_gives_the_numbers_of_the_record(
    run: cv.Run, tmp_path: Path, kind: Any, name: str, compute: Callable[[Path, Any], Any]
) -> None:
    path = cv.export(run, kind, tmp_path / name)
    assert path == tmp_path / name
    pixels = run.model_input(list(run.predictions["image"])).astype(np.float32)
    np.testing.assert_allclose(
        compute(path, pixels), tiny.probabilities(run.predictions), atol=1e-5
    )
    beside = {name, f"{name}.json"} | ({"cells.bin"} if kind == "openvino" else set())
    assert {other.name for other in tmp_path.iterdir()} == beside
    description = json.loads((tmp_path / f"{name}.json").read_text())
    assert description["class_names"] == ["dark", "light"]
    inputs = description["input"]
    assert inputs["shape"] == ["images", 16, 16, 1]
    assert inputs["trained_on"] == "uint8"
    assert (inputs["intensity_zero"], inputs["intensity_scale"]) == (0, 255)
    assert description["checked"]["images"] == 16
    assert description["checked"]["largest_difference"] < 1e-5


@pytest.mark.slow
def test_an_onnx_file_contains_its_description(run: cv.Run, tmp_path: Path) -> None:
    import onnxruntime

    with pytest.raises(SystemExit) as end:
        cli.main(["export", str(run.folder), "--format", "onnx", "--out", f"{tmp_path}/a.onnx"])
    assert end.value.code == 0
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["class_names"]) == ["dark", "light"]
    description = json.loads((tmp_path / "a.onnx.json").read_text())
    assert json.loads(properties["cellvision"]) == description
    assert session.get_inputs()[0].shape == ["images", 16, 16, 1]


@pytest.mark.slow
def test_a_training_in_bfloat16_is_exported_in_float32(tmp_path: Path) -> None:
    root = tiny.make_folder(tmp_path / "images", count=10)
    run = cv.train(tiny.experiment(root, "mixed", epochs=1, precision="bfloat16"), tmp_path / "run")
    path = cv.export(run, "onnx")
    assert path == run.folder / "model.onnx"
    description = json.loads((run.folder / "model.onnx.json").read_text())
    assert description["checked"]["largest_difference_from_float32"] < 1e-5
    table = cv.predict(run, root, engine="keras")
    names = [Path(name).relative_to(root).as_posix() for name in table["image"]]
    pixels = run.model_input(names).astype(np.float32)
    np.testing.assert_allclose(by_onnx(path, pixels), tiny.probabilities(table), atol=1e-5)


@pytest.mark.slow
def test_an_export_with_other_probabilities_is_removed(run: cv.Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    table = run.predictions.copy()
    table[["p_dark", "p_light"]] = table[["p_light", "p_dark"]].to_numpy()
    table.to_csv(tmp_path / "run" / "predictions.csv", index=False)
    other = cv.load_run(tmp_path / "run")
    with pytest.raises(errors.ConversionError, match="other probabilities"):
        cv.export(other, "openvino", tmp_path / "out" / "cells.xml")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_invalid_requests_are_refused(
    run: cv.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(errors.InvalidInput, match=r"ends in \.onnx"):
        cv.export(run, "onnx", tmp_path / "cells.pb")
    with pytest.raises(errors.InvalidInput, match="no exporter is called 'torch'"):
        cv.export(run, "torch", tmp_path / "cells.pt")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(errors.FolderError, match="not empty"):
        cv.export(run, "saved_model", tmp_path / "taken")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(errors.InvalidInput, match="pip install tf2onnx"):
        cv.export(run, "onnx", tmp_path / "cells.onnx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(errors.InvalidInput, match="pip install openvino"):
        cv.export(run, "openvino", tmp_path / "cells.xml")


@pytest.mark.slow
def test_a_run_without_its_images_is_not_exported(run: cv.Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["experiment"]["dataset"]["path"] = str(tmp_path / "gone")
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    with pytest.raises(errors.FolderError, match="checked on images of the run"):
        cv.export(cv.load_run(tmp_path / "run"), "saved_model", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.exhaustive
def test_on_jax_a_separate_process_writes_the_file(run: cv.Run, tmp_path: Path) -> None:
    script = f"""
import json, keras, tiny
import cellvision as cv
run = cv.load_run({str(run.folder)!r})
with tiny.on_offer():
    path = cv.export(run, "onnx", {str(tmp_path / "cells.onnx")!r})
print(json.dumps([keras.backend.backend(), path.name]))
"""
    cache = str(tmp_path / "cache")
    assert tiny.json_of(script, KERAS_BACKEND="jax", CELLVISION_CACHE=cache) == [
        "jax",
        "cells.onnx",
    ]
    pixels = run.model_input(list(run.predictions["image"])).astype(np.float32)
    np.testing.assert_allclose(
        by_onnx(tmp_path / "cells.onnx", pixels), tiny.probabilities(run.predictions), atol=1e-5
    )


LAYER_NET = '''
"""A network with a custom layer."""
import cellvision as cv
import keras

@keras.saving.register_keras_serializable("lab")
class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs

class LayerNet(cv.Architecture):
    """One dense layer."""

    def build(self, input_shape, classes):
        """Build it."""
        return keras.Sequential([
            keras.Input(input_shape), Doubled(), keras.layers.Flatten(),
            keras.layers.Dense(classes, activation="softmax", dtype="float32"),
        ])
'''


@pytest.mark.slow
def test_the_separate_process_knows_local_plugins_and_no_modules_of_the_current_folder(
    tmp_path: Path,
) -> None:
    root = tiny.make_folder(tmp_path / "images", count=10)
    (tmp_path / "layer_net.py").write_text(LAYER_NET)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "numpy.py").write_text("raise RuntimeError('a stranger')")
    script = f"""
import json, os, sys, tiny
import cellvision as cv
cv.load_plugins({str(tmp_path / "layer_net.py")!r})
with tiny.on_offer():
    experiment = tiny.experiment({str(root)!r}, "layer_net", epochs=1)
    run = cv.train(experiment, {str(tmp_path / "run")!r})
    sys.path.remove("")
    os.chdir({str(tmp_path / "elsewhere")!r})
    print(json.dumps(str(cv.export(run, "onnx").name)))
"""
    cache = str(tmp_path / "cache")
    assert tiny.json_of(script, KERAS_BACKEND="jax", CELLVISION_CACHE=cache) == "model.onnx"
