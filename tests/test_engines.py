"""Engines: all give the probabilities of Keras, and auto selects the fastest."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from cellvision_exporters.engines.openvino_engine import OpenVinoEngine

import cellvision as cv
from cellvision import errors
from cellvision.inference.engines import selection
from cellvision.testing import Isolation, example_plugins, example_run
from cellvision.training.network import Network

pytestmark = pytest.mark.usefixtures("tiny_plugins")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))


def conversions(tmp_path: Path) -> list[Path]:
    """The folders of converted networks."""
    return sorted((tmp_path / "cache").glob("engines/*"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for number, (name, level) in enumerate({"dark": 1000, "light": 2000}.items()):
        for k in range(12):
            noise = np.random.default_rng(100 * number + k).integers(0, 1200, (32, 32))
            tiny.write(root / name / f"s{k}.tif", (level + noise).astype(np.uint16))
    return root


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    experiment = tiny.experiment(images, "mixed", epochs=1)
    return cv.train(experiment, tmp_path_factory.mktemp("run") / "run")


def run_of(folder: Path, run: cv.Run, architecture: str, precision: Any, size: int) -> cv.Run:
    """A run's folder with a network of another architecture, as it is before its training."""
    preprocessing = cv.Preprocessing(size=(size, size), channels="gray")
    settings = {"random": True} if architecture == "pretrained" else {}
    experiment = run.experiment.model_copy(
        update={
            "architecture": cv.architectures.create(architecture, **settings),
            "preprocessing": preprocessing,
        }
    )
    shutil.copytree(run.folder, folder)
    plan = cv.TrainingPlan(steps_per_epoch=1, epochs=1, batch_size=10, class_counts=(10, 10))
    intensity_range = (0.0, run.metadata.intensity_scale)
    network = Network(experiment, run.class_names, intensity_range, precision, plan, 1, seed=1)
    # As after a training: no bias is zero, and 50 layers do not make every image alike.
    random = np.random.default_rng(0)
    for weight in network.model.weights:
        if architecture == "pretrained" and "moving_variance" in weight.path:
            weight.assign(random.uniform(0.05, 0.15, weight.shape))
        elif len(weight.shape) == 1:
            weight.assign(np.asarray(weight) + random.uniform(0, 0.1, weight.shape))
    network.model.save(folder / "model.keras")
    record = json.loads((folder / "run.json").read_text())
    record["experiment"] = experiment.model_dump(mode="json")
    record["environment"]["precision"] = precision
    (folder / "run.json").write_text(json.dumps(record))
    return cv.load_run(folder)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("architecture", "size", "engine", "precision"),
    [
        ("deep", 256, "openvino", "bfloat16"),
        ("deep_functional", 16, "onnxruntime", "bfloat16"),
        ("alexnet", 67, "openvino", "float32"),
        ("fmnist_deep", 28, "onnxruntime", "float32"),
        ("fmnist_alexnet", 28, "onnxruntime", "bfloat16"),
        ("perceptron", 16, "openvino", "bfloat16"),
        ("perceptron", 16, "onnxruntime", "float32"),
        ("resnet", 16, "openvino", "float32"),
        ("resnet", 16, "onnxruntime", "bfloat16"),
        ("pretrained", 32, "openvino", "bfloat16"),
    ],
)
def test_every_architecture_gives_the_same_in_every_engine(
    run: cv.Run,
    images: Path,
    tmp_path: Path,
    architecture: str,
    size: int,
    engine: Any,
    precision: Any,
) -> None:
    other = run_of(tmp_path / "run", run, architecture, precision, size)
    few = sorted(images.glob("*/s*.tif"))[::4]
    ours = cv.predict(other, few, engine=engine)
    keras = cv.predict(other, few, engine="keras")
    assert ours.attrs["engine"].startswith(f"{engine} ")
    assert keras.attrs["engine"].startswith("keras ")
    probabilities = tiny.probabilities(keras)
    assert np.ptp(probabilities[:, 0]) > 1e-6  # it is no constant that agrees
    np.testing.assert_allclose(tiny.probabilities(ours), probabilities, atol=1e-5)
    assert list(ours["predicted"]) == list(keras["predicted"])


@pytest.mark.slow
def test_pixels_of_8_bits_are_predicted_alike(tmp_path: Path) -> None:
    folder = tiny.make_folder(tmp_path / "images", count=8, wells=8)
    run = cv.train(tiny.experiment(folder, "mixed", epochs=1), tmp_path / "run")
    for engine in ("openvino", "onnxruntime"):
        table = cv.predict(run, folder, engine=engine)
        known = run.predictions.set_index("image")
        names = [Path(name).relative_to(folder).as_posix() for name in table["image"]]
        np.testing.assert_allclose(
            tiny.probabilities(table), tiny.probabilities(known.loc[names]), atol=1e-5
        )


@pytest.mark.slow
def test_auto_converts_if_it_pays_off_and_starts_without_keras_after_that(
    run: cv.Run, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = cv.predict(run, images)
    assert few.attrs["engine"].startswith("keras ")
    assert conversions(tmp_path) == []
    monkeypatch.setattr(selection, "CONVERT_ABOVE", 0)
    table = cv.predict(run, images)
    assert table.attrs["engine"].startswith("onnxruntime ")
    np.testing.assert_allclose(tiny.probabilities(table), tiny.probabilities(few), atol=1e-5)
    (folder,) = conversions(tmp_path)
    script = f"""
import collections, json, sys
from cellvision.cli import main
opened = collections.Counter()
def count(event, details):
    if event == "open" and str(details[0]).endswith(".tif"):
        opened[str(details[0])] += 1
sys.addaudithook(count)
try:
    main(["predict", {str(run.folder)!r}, {str(images)!r}, "--out", {str(tmp_path / "n.csv")!r}])
except SystemExit as error:
    started = ["keras" in sys.modules, "tensorflow" in sys.modules]
    print(json.dumps([error.code, *started, sorted(opened.values())]))
"""
    code, keras, tensorflow, reads = tiny.json_of(script)
    assert (code, keras, tensorflow) == (0, False, False)
    # Nothing slow starts, so files are not checked beforehand: only the sample is read twice.
    assert reads == 8 * [1] + 16 * [2]
    again = pd.read_csv(tmp_path / "n.csv")
    np.testing.assert_allclose(tiny.probabilities(again), tiny.probabilities(few), atol=1e-5)
    assert conversions(tmp_path) == [folder]


@pytest.mark.exhaustive
def test_a_damaged_conversion_is_made_again(
    run: cv.Run, images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = tmp_path / "cache" / "engines" / ".conversion.of-a-killed-process"
    (left / "variables").mkdir(parents=True)
    (left / "variables" / "weights.bin").write_bytes(b"half")
    for path in (left / "variables" / "weights.bin", left / "variables", left):
        os.utime(path, (0, 0))
    whole = cv.predict(run, images, engine="openvino")
    (folder,) = conversions(tmp_path)
    weights = folder / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-8] + b"damaged!")
    with caplog.at_level(logging.WARNING, "cellvision"):
        again = cv.predict(run, images, engine="openvino")
    assert "damaged" in caplog.text
    assert conversions(tmp_path) == [folder]
    np.testing.assert_array_equal(tiny.probabilities(again), tiny.probabilities(whole))
    (folder / "index.json").unlink()
    assert cv.predict(run, images).attrs["engine"].startswith("keras ")
    assert conversions(tmp_path) == []


@pytest.mark.slow
def test_an_engine_that_is_not_installed(
    run: cv.Run, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "CONVERT_ABOVE", 0)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(errors.InvalidInput, match="pip install onnxruntime"):
        cv.predict(run, images, engine="onnxruntime")
    assert cv.predict(run, images).attrs["engine"].startswith("openvino ")
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert cv.predict(run, images).attrs["engine"].startswith("keras ")
    with pytest.raises(errors.InvalidInput, match="One of auto, keras"):
        cv.predict(run, images, engine="abacus")  # type: ignore[arg-type]


def test_an_interrupt_that_an_engine_swallows_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def importing(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    monkeypatch.setattr("cellvision.inference.engines.selection.open_converted", importing)
    exporter = cv.exporters.create("onnx")
    with pytest.raises(KeyboardInterrupt):
        selection._existing(example_run(tmp_path / "run"), [exporter])


@pytest.mark.exhaustive
def test_an_engine_with_other_probabilities_is_not_used(
    run: cv.Run,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    right = OpenVinoEngine.predict
    monkeypatch.setattr(OpenVinoEngine, "predict", lambda *arguments: right(*arguments) + 0.002)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(selection, "CONVERT_ABOVE", 0)
    with caplog.at_level(logging.WARNING, "cellvision"):
        assert cv.predict(run, images).attrs["engine"].startswith("keras ")
    assert "openvino is not used" in caplog.text
    assert "differ by 0.002" in caplog.text
    with pytest.raises(errors.ConversionError, match=r"differ by 0\.002"):
        cv.predict(run, images, engine="openvino")
    assert conversions(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nvidia0", True), ("nvidia3", True), ("kfd", True), ("dxg", True), ("nvidiactl", False)],
)
def test_the_device_file_of_a_gpu_is_found(name: str, expected: bool, tmp_path: Path) -> None:
    assert not selection.has_gpu_device(tmp_path)
    (tmp_path / name).touch()
    assert selection.has_gpu_device(tmp_path) is expected


LAB_EXPORTER = '''
"""An engine that is Keras under another name, and fails on demand."""
import os
from typing import ClassVar

import cellvision as cv
from cellvision.inference.engines.keras_engine import KerasEngine

class Lab(cv.Exporter):
    """Copies the network."""

    suffix: ClassVar[str] = ".lab"
    engine: ClassVar[str] = "lab_engine"
    engine_order: ClassVar[int] = -1

    def export(self, run, folder):
        """Copy it."""
        path = folder / "model.lab"
        path.write_bytes((run.folder / "model.keras").read_bytes())
        return path

    def verify(self, run, folder):
        """Compare nothing."""
        return {}

    def open_engine(self, path, run):
        """Open it, unless the test does not want that."""
        if fault := os.environ.get("LAB_FAULT"):
            raise getattr(__import__("builtins"), fault)("not now")
        engine = KerasEngine(run)
        engine.name = "lab_engine"
        return engine
'''


@pytest.mark.parametrize("fault", ["MemoryError", "PermissionError", "ImportError", "ValueError"])
def test_only_a_damaged_conversion_is_removed(
    fault: str,
    tmp_path: Path,
    isolated_registries: Isolation,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    modules = {"lab_exporter": LAB_EXPORTER, "lab_engine": '__version__ = "1"'}
    isolated_registries.install("lab", {"exporter": {"lab": "lab_exporter:Lab"}}, modules)
    with example_plugins():
        run = example_run(tmp_path / "run")
        assert (
            cv.predict(run, run.dataset, engine="lab_engine")
            .attrs["engine"]
            .startswith("lab_engine ")
        )
        (folder,) = conversions(tmp_path)
        with monkeypatch.context() as patch:
            patch.setenv("LAB_FAULT", fault)
            patch.setattr(selection, "CONVERT_ABOVE", 0)
            with pytest.raises(errors.CellvisionError, match="not now"):
                cv.predict(run, run.dataset, engine="lab_engine")
            assert cv.predict(run, run.dataset).attrs["engine"].startswith("keras ")
        assert "lab_engine is not used" in caplog.text
        assert conversions(tmp_path) == [folder]
        (folder / "model.lab").write_bytes(b"damaged")
        assert cv.predict(run, run.dataset).attrs["engine"].startswith("keras ")
        assert "is damaged and is removed" in caplog.text
        assert conversions(tmp_path) == []
