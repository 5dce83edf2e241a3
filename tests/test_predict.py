"""New images through a run's model: the same numbers again, and no guess about what they are."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.data.image_stats import processors
from cellvision.inference import predict as module
from cellvision.inference.engines import onnxruntime_engine


@pytest.fixture(autouse=True, scope="module")
def _plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, tiny.on_offer():
        patch.setenv("CELLVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16-bit TIFFs of 12-bit range."""
    root = tmp_path_factory.mktemp("images")
    for number, (name, level) in enumerate({"dark": 1000, "light": 2000}.items()):
        for k in range(16):
            noise = np.random.default_rng(100 * number + k).integers(0, 1200, (32, 32))
            tiny.write(root / name / f"s{k}.tif", (level + noise).astype(np.uint16))
    return root


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    asked = tiny.experiment(images, "mixed", epochs=2)
    return cv.train(asked, tmp_path_factory.mktemp("run") / "run")


def by_image(table: pd.DataFrame, root: Path | None = None) -> np.ndarray:
    """Probabilities in the order of the images' names."""
    names = (
        table["image"]
        if root is None
        else [Path(n).relative_to(root).as_posix() for n in table["image"]]
    )
    return tiny.probabilities(table.assign(image=names).sort_values("image"))


def test_predict_gives_the_probabilities_of_the_record(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    table = cv.predict(run, images, tmp_path / "new.csv")
    assert list(table.columns) == ["image", "predicted", "p_dark", "p_light"]
    np.testing.assert_allclose(by_image(table, images), by_image(run.predictions), atol=1e-5)
    written = pd.read_csv(tmp_path / "new.csv")
    assert list(written["image"]) == list(table["image"])
    np.testing.assert_allclose(tiny.probabilities(written), tiny.probabilities(table), atol=1e-7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv"]


def test_a_new_process_needs_neither_cellvision_nor_another_door(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "pixels.npy", run.model_input(list(run.predictions["image"])))
    script = f"""
import json, sys
import keras, numpy
pixels = numpy.load({str(tmp_path / "pixels.npy")!r}).astype("float32")
model = keras.models.load_model({str(run.folder / "model.keras")!r})
plain = model.predict(pixels, verbose=0).tolist()
alone = "cellvision" not in sys.modules
from cellvision.cli import main
try:
    main(["predict", {str(run.folder)!r}, {str(images)!r}, "--out", {str(tmp_path / "new.csv")!r}])
except SystemExit as error:
    code = error.code
print(json.dumps([alone, code, plain]))
"""
    alone, code, plain = tiny.json_of(script)
    assert alone
    assert code == 0
    np.testing.assert_allclose(plain, tiny.probabilities(run.predictions), atol=1e-5)
    table = pd.read_csv(tmp_path / "new.csv")
    np.testing.assert_allclose(by_image(table, images), by_image(run.predictions), atol=1e-5)


def test_bfloat16_gives_the_same_probabilities_to_its_own_precision(
    images: Path, tmp_path: Path
) -> None:
    asked = tiny.experiment(images, "mixed", epochs=2, precision="bfloat16")
    run = cv.train(asked, tmp_path / "run")
    table = cv.predict(run, images)
    # The record was computed in bfloat16, whose sums are rounded to 8 bits.
    np.testing.assert_allclose(by_image(table, images), by_image(run.predictions), atol=1e-2)


def test_memory_is_flat_and_blocks_change_nothing(
    run: cv.Run, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cv.predict(run, images, tmp_path / "whole.csv", engine="onnxruntime")
    alive: set[int] = set()
    most = 0

    def watched(file: Path) -> cv.DecodedImage:
        nonlocal most
        image = cv.io.read_image(file)
        alive.add(id(image.pixels))
        weakref.finalize(image.pixels, alive.discard, id(image.pixels))
        most = max(most, len(alive))
        return image

    monkeypatch.setattr(module, "read_image", watched)
    monkeypatch.setattr(module, "_TOGETHER", 4)
    monkeypatch.setattr(module, "_ROWS", 10)
    monkeypatch.setattr(onnxruntime_engine, "VALUES", 2 * 16 * 16)
    twelve_times = [images] * 12
    blocks = cv.predict(run, twelve_times, tmp_path / "blocks.csv", engine="onnxruntime")
    assert len(blocks) == 12 * 32
    # Four are read to try the engine; then each thread has two, and a third on the way.
    assert 0 < most <= max(4, 3 * processors())
    assert list(blocks["image"]) == 12 * list(whole["image"])
    np.testing.assert_allclose(
        tiny.probabilities(blocks), np.tile(tiny.probabilities(whole), (12, 1)), atol=1e-6
    )
    lines = (tmp_path / "blocks.csv").read_text().splitlines()
    assert len(lines) == 1 + 12 * 32
    assert lines[0] == (tmp_path / "whole.csv").read_text().splitlines()[0]


def test_files_and_folders_in_the_order_given(run: cv.Run, images: Path, tmp_path: Path) -> None:
    one, other = images / "light/s3.tif", images / "dark/s10.tif"
    table = cv.predict(run, one)
    assert list(table["image"]) == [one.as_posix()]
    table = cv.predict(run, [one, other, images / "dark"])
    assert list(table["image"][:2]) == [one.as_posix(), other.as_posix()]
    assert len(table) == 18
    known = run.predictions.set_index("image").loc["light/s3.tif"]
    assert table["p_light"][0] == pytest.approx(known["p_light"], abs=1e-5)
    assert table["predicted"][0] == known["predicted"]


def test_pixels_of_another_kind_are_refused(run: cv.Run, tmp_path: Path) -> None:
    tiny.write(tmp_path / "eight.png", tiny.pixels(100, 0))
    with pytest.raises(errors.PreprocessingError, match=r"eight\.png.*uint8.*uint16"):
        cv.predict(run, tmp_path)
    tiny.write(tmp_path / "deep/five.tif", np.zeros((5, 32, 32), np.uint16))
    with pytest.raises(errors.PreprocessingError, match=r"five\.tif.*5 channels"):
        cv.predict(run, tmp_path / "deep")


def test_unreadable_files_are_listed_or_skipped(
    run: cv.Run, images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mixed = shutil.copytree(images / "dark", tmp_path / "mixed")
    for name in ("bad.tif", "worse.png"):
        (mixed / name).write_bytes(b"not an image")
    (mixed / "._s0.tif").write_bytes(b"phantom")
    (mixed / "notes.txt").write_text("no image")
    with pytest.raises(errors.UnreadableImages) as caught:
        cv.predict(run, mixed, tmp_path / "new.csv")
    assert {Path(fault.file).name for fault in caught.value.faults} == {"bad.tif", "worse.png"}
    assert not (tmp_path / "new.csv").exists()
    lenient = cv.load_run(run.folder)
    lenient.metadata.experiment["preprocessing"]["on_unreadable"] = "skip"
    with caplog.at_level("WARNING"):
        table = cv.predict(lenient, mixed)
    assert len(table) == 16
    assert "2 file(s) cannot be read and are left out" in caplog.text
    with pytest.raises(errors.UnreadableImages):
        cv.predict(lenient, [mixed / "bad.tif", mixed / "worse.png"])


def test_nothing_to_predict_is_said(run: cv.Run, tmp_path: Path) -> None:
    with pytest.raises(errors.FolderError, match="no image"):
        cv.predict(run, tmp_path)
    with pytest.raises(errors.FolderError, match="no such file"):
        cv.predict(run, tmp_path / "missing.png")
