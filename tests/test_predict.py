"""Prediction of new images: reading, warnings, outputs and averages."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import time
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from cellvision_exporters.engines import onnxruntime_engine
from PIL import Image

import cellvision as cv
from cellvision import errors
from cellvision.cli import main
from cellvision.cli.train import show
from cellvision.concurrency import available_processors
from cellvision.inference import image_reader, prediction_job, prediction_table
from cellvision.inference.image_search import ImageFile
from cellvision.inference.sorting import ClassFolders

pytestmark = pytest.mark.usefixtures("tiny_plugins")


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
    experiment = tiny.experiment(images, "mixed", epochs=2)
    return cv.train(experiment, tmp_path_factory.mktemp("run") / "run")


def record_of(dataset: cv.Dataset) -> Any:
    """Return as much of a run's record as names its data set."""
    return SimpleNamespace(experiment={"dataset": dataset.model_dump(mode="json")}, plugins={})


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


@pytest.mark.exhaustive
def test_the_saved_model_loads_without_cellvision(
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
    experiment = tiny.experiment(images, "mixed", epochs=2, precision="bfloat16")
    run = cv.train(experiment, tmp_path / "run")
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
        image = read_image(file)
        alive.add(id(image.pixels))
        weakref.finalize(image.pixels, alive.discard, id(image.pixels))
        most = max(most, len(alive))
        return image

    read_image = cv.io.read_image
    monkeypatch.setattr(cv.io, "read_image", watched)
    monkeypatch.setattr(prediction_job, "_CHUNK", 4)
    monkeypatch.setattr(image_reader, "_SAMPLE", 4)
    monkeypatch.setattr(prediction_table, "_ROWS", 10)
    monkeypatch.setattr(onnxruntime_engine, "BATCH_VALUES", 2 * 16 * 16)
    twelve_times = [images] * 12
    blocks = cv.predict(run, twelve_times, tmp_path / "blocks.csv", engine="onnxruntime")
    assert len(blocks) == 12 * 32
    # Four are read to try the engine; then each thread has two, and a third on the way.
    assert 0 < most <= max(4, 3 * available_processors())
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


def test_another_pixel_type_is_refused(run: cv.Run, tmp_path: Path) -> None:
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
    assert "--skip-unreadable" in caught.value.hint
    with caplog.at_level("WARNING"):
        table = cv.predict(run, mixed, skip_unreadable=True)
    assert len(table) == 16
    assert "2 unreadable files are left out" in caplog.text
    with pytest.raises(errors.UnreadableImages) as caught:
        cv.predict(run, [mixed / "bad.tif", mixed / "worse.png"], skip_unreadable=True)
    assert "--set" not in caught.value.hint  # which predict has not


def test_a_damaged_file_is_found_before_an_engine_starts(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    mixed = shutil.copytree(images / "dark", tmp_path / "mixed", dirs_exist_ok=True)
    for number in range(16, 40):
        shutil.copyfile(mixed / "s1.tif", mixed / f"s{number}.tif")
    for name in ("s7.tif", "s39.tif"):
        (mixed / name).write_bytes((mixed / name).read_bytes()[:-100])
    program = """
import sys
from cellvision.cli import main
try:
    main(sys.argv[1:])
finally:
    print(sorted({"keras", "tensorflow", "jax"} & sys.modules.keys()))
"""
    words = ["predict", run.folder, mixed, "--out", tmp_path / "new.csv"]
    process = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert process.stdout == "[]\n"
    assert process.stderr.startswith("error: 2 files cannot be read:\n")
    assert "s7.tif" in process.stderr
    assert "s39.tif" in process.stderr
    assert not (tmp_path / "new.csv").exists()


def test_hostile_files_are_refused_and_the_others_predicted(
    run: cv.Run,
    images: Path,
    tmp_path: Path,
    shared_data: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    mixed = shutil.copytree(images / "dark", tmp_path / "mixed")
    hostile = [path for path in (shared_data / "hostile").iterdir() if path.suffix != ".md"]
    hostile = [path for path in hostile if path.name not in ("ome_lol.ome.tif", "laugh.yaml")]
    assert len(hostile) == 8
    for path in hostile:
        shutil.copyfile(path, mixed / path.name)
    out = tmp_path / "new.csv"
    words = ["predict", str(run.folder), str(mixed), "--out", str(out)]
    start = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("error: 8 files cannot be read:\n")
    refusals = said.splitlines()[1:-1]
    assert sorted(line.split(": ")[0].strip() for line in refusals) == sorted(
        str(mixed / path.name) for path in hostile
    )
    assert not out.exists()
    with pytest.raises(SystemExit) as ended:
        main([*words, "--skip-unreadable"])
    assert ended.value.code == 0
    assert "8 unreadable files are left out" in caplog.text
    table = pd.read_csv(out)
    assert [Path(image).name for image in table["image"]] == sorted(
        path.name for path in (images / "dark").iterdir()
    )
    assert time.monotonic() - start < 60  # a ring of pages once hung


def test_a_source_without_images_is_refused(run: cv.Run, tmp_path: Path) -> None:
    with pytest.raises(errors.FolderError, match="no images"):
        cv.predict(run, tmp_path)
    with pytest.raises(errors.FolderError, match="no such file"):
        cv.predict(run, tmp_path / "missing.png")
    with pytest.raises(errors.FolderError, match="no images were given"):
        cv.predict(run, [])


# --- reading as the run's data set reads ---------------------------------------------------


def test_images_are_read_as_the_data_set_of_the_run_reads_them(tmp_path: Path) -> None:
    # In luma the classes differ, in the mean of the channels they do not.
    from PIL import Image

    for name, (red, green) in {"dark": (200, 40), "light": (40, 200)}.items():
        for k in range(12):
            noise = np.random.default_rng(k).integers(-20, 20, (16, 16, 3))
            rgb = np.array([red, green, 60]) + noise
            (tmp_path / "images" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(rgb.astype(np.uint8)).save(tmp_path / "images" / name / f"s{k}.png")
    experiment = cv.Experiment(
        dataset=cv.datasets.create("folder", path=tmp_path / "images", mono=True),
        architecture={"type": "level"},
        preprocessing={"size": (16, 16), "channels": [0]},
        training={"epochs": 4, "batch_size": 6, "precision": "float32"},
        reporters=(),
    )
    run = cv.train(experiment, tmp_path / "run")
    table = cv.predict(run, tmp_path / "images")
    np.testing.assert_allclose(
        by_image(table, tmp_path / "images"), by_image(run.predictions), atol=1e-5
    )


@pytest.mark.slow
def test_a_data_set_that_reads_no_files_is_refused_and_predicted_itself(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    class Store(cv.Dataset):
        path: Path

        def catalog(self) -> pd.DataFrame:
            names = [f"{label}/s{k}.tif" for label in ("dark", "light") for k in range(16)]
            labels = [name.partition("/")[0] for name in names]
            wells = [f"{name[0]}{int(name[-5]) % 2}" for name in names]
            return pd.DataFrame({"image": names, "label": labels, "well": wells})

        def read(self, image: str) -> np.ndarray:
            return cv.io.read_image(self.path / image).pixels

    cv.datasets.register("store", Store)
    try:
        store = Store(path=images)
        experiment = run.experiment.model_copy(update={"dataset": store})
        stored = cv.train(experiment, tmp_path / "run")
        with pytest.raises(errors.ExperimentError, match="'store' does not read single files"):
            cv.predict(stored, images)
        table = cv.predict(stored, store, by="well")
        np.testing.assert_allclose(by_image(table), by_image(stored.predictions), atol=1e-5)
        groups = pd.DataFrame(table.attrs["groups"])
        assert sorted(groups["well"]) == ["d0", "d1", "l0", "l1"]
        cv.datasets.unregister("store")
        with pytest.raises(errors.UnknownPlugin, match="unknown how it reads images"):
            cv.predict(cv.load_run(stored.folder), images)
        cv.predict(cv.load_run(stored.folder), cv.datasets.create("folder", path=images))
    finally:
        cv.datasets.unregister("store")


def test_the_files_of_an_audit_are_found(
    run: cv.Run, images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "new"
    shutil.copytree(images / "dark", folder / "dark")
    (folder / "light").symlink_to(images / "light")
    (folder / "dark" / "loop").symlink_to(folder)
    shutil.copy(images / "dark/s0.tif", folder / "dark" / "no_suffix")
    for hidden in (".ipynb_checkpoints", ".trash", "@eaDir", "$RECYCLE.BIN"):
        shutil.copytree(images / "dark", folder / "dark" / hidden)
    (folder / "dark" / "notes.txt").write_text("no image")
    (folder / "groups.csv").write_text("file,well\n")
    with caplog.at_level("WARNING"):
        table = cv.predict(run, folder)
    names = {Path(name).relative_to(folder).as_posix() for name in table["image"]}
    (folder / "groups.csv").unlink()
    audit = cv.audit(cv.datasets.create("folder", path=folder))
    assert names == {file.file for file in audit.files if file.status == "read"}
    assert "dark/no_suffix" in names
    assert len(names) == 33
    assert "1 file is skipped, being no image" in caplog.text
    assert "notes.txt" in caplog.text


def test_names_that_are_not_unicode_survive(run: cv.Run, images: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.tif")
    (tmp_path / "images").mkdir()
    shutil.copy(images / "dark/s0.tif", tmp_path / "images" / name)
    cv.predict(run, tmp_path / "images", tmp_path / "new.csv", sort_into=tmp_path / "sorted")
    table = pd.read_csv(tmp_path / "new.csv")
    assert table["image"][0].endswith("caf\\xe9.tif")
    assert (tmp_path / "sorted" / table["predicted"][0] / name).is_file()


# --- unlike images -------------------------------------------------------------------------


def test_images_unlike_those_of_the_training_are_warned_of(
    run: cv.Run, images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING"):
        cv.predict(run, images)
    (warning,) = caplog.messages
    assert warning.startswith("26 of 32 images are of the training or validation split, such as ")
    caplog.clear()
    rng = np.random.default_rng(0)
    tiny.write(tmp_path / "large.tif", rng.integers(0, 4000, (200, 100)).astype(np.uint16))
    tiny.write(tmp_path / "bright.tif", rng.integers(0, 63536, (32, 32)).astype(np.uint16))
    colour = rng.integers(0, 4000, (32, 32, 3)).astype(np.uint16)
    import tifffile

    tifffile.imwrite(tmp_path / "colour.tif", colour, photometric="rgb")
    with caplog.at_level("WARNING"):
        cv.predict(run, tmp_path)
    assert "1 of 3 images is 200×100; training images are 32×32" in caplog.text
    assert "1 of 3 images has 3 channels; training images have 1" in caplog.text
    assert "1 of 3 images holds intensities beyond the range of the training, 0 to 4095" in (
        caplog.text
    )
    assert "bright.tif" in caplog.text


def test_what_reading_lost_is_warned_of(images: Path, tmp_path: Path) -> None:
    run: Any = SimpleNamespace(
        preprocessing=cv.Preprocessing(size=(8, 8)),
        audit=None,
        intensity_range=(0.0, 255.0),
        metadata=record_of(cv.datasets.create("folder", path=images)),
    )
    reader = image_reader.ImageReader(run)
    pixels = np.zeros((8, 8, 4), np.uint8)
    for name, alpha in (("a.png", 255), ("b.png", range(8)), ("c.png", range(8))):
        pixels[..., 3] = alpha
        Image.fromarray(pixels).save(tmp_path / name)
        reader.read(ImageFile(tmp_path / name, name, tmp_path))
    assert reader.unlike.warnings() == [
        "2 of 3 images: alpha channel dropped, although it varies (0 to 7). Such as b.png."
    ]


def test_channels_of_other_axes_are_warned_of(tmp_path: Path) -> None:
    import tifffile

    rng, options = np.random.default_rng(0), {"photometric": "minisblack"}
    for number in range(8):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        stack = rng.integers(0, 255, (2, 3, 8, 8)).astype(np.uint8)
        tifffile.imwrite(path, stack, metadata={"axes": "ZCYX"}, **options)
    dataset = cv.datasets.create("folder", path=tmp_path / "images")
    run: Any = SimpleNamespace(
        preprocessing=cv.Preprocessing(size=(8, 8), channels=tuple(range(6))),
        audit=cv.audit(dataset),
        intensity_range=(0.0, 255.0),
        metadata=record_of(dataset),
    )
    reader = image_reader.ImageReader(run)
    for axes in ("ZCYX", "TCYX"):
        tifffile.imwrite(tmp_path / "new.tif", stack, metadata={"axes": axes}, **options)
        reader.read(ImageFile(tmp_path / "new.tif", f"{axes}.tif", tmp_path))
    (warning,) = reader.unlike.warnings()
    assert warning.startswith(
        "1 of 2 images has TC 2x3 channels; training images have ZC 2x3. Such as TCYX.tif."
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_images_that_training_refuses_are_not_predicted(
    images: Path, tmp_path: Path, value: float
) -> None:
    """An image without a finite intensity would get the first class."""
    run: Any = SimpleNamespace(
        preprocessing=cv.Preprocessing(size=(32, 32)),
        audit=None,
        intensity_range=(0.0, 1.0),
        metadata=record_of(cv.datasets.create("folder", path=images)),
    )
    pixels = np.ones((32, 32))
    pixels[3, 4] = value
    tiny.write(tmp_path / "bad.tif", pixels)
    result = image_reader.ImageReader(run).read(
        ImageFile(tmp_path / "bad.tif", "bad.tif", tmp_path)
    )
    assert isinstance(result, errors.UnreadableImage)
    assert "intensit" in result.reason


# --- outputs -------------------------------------------------------------------------------


def test_the_table_that_lists_the_images_is_never_overwritten(tmp_path: Path) -> None:
    table = tmp_path / "cells.csv"
    table.write_text("file,label\na.tif,dark\n")
    dataset = cv.datasets.create("table", path=table)
    with pytest.raises(errors.FolderError, match="this lists the images"):
        prediction_table.check_table_path(table, [], dataset)
    prediction_table.check_table_path(tmp_path / "new.csv", [], dataset)


@pytest.mark.parametrize("name", ["x" * 256, "細" * 86, "a\0b", "a/b", ".."])
def test_a_class_that_no_folder_can_be_named_after_is_refused_first(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(errors.FolderError, match="cannot be the name of a folder"):
        ClassFolders(tmp_path / "sorted", ["dark", name])
    assert not (tmp_path / "sorted").exists()


def test_an_image_is_never_overwritten(run: cv.Run, images: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(images / "dark", tmp_path / "images")
    before = (folder / "s0.tif").read_bytes()
    for name in ("s0.tif", "new.xls", "new"):
        with pytest.raises(errors.ExperimentError, match="is a CSV file or an Excel workbook"):
            cv.predict(run, folder, folder / name)
    assert (folder / "s0.tif").read_bytes() == before
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "first.png")
    picture = (folder / "first.png").read_bytes()
    with pytest.raises(errors.FolderError, match=r"first\.png: this is not a contact sheet"):
        cv.predict(run, images, contact_sheet=folder / "first.png")
    assert (folder / "first.png").read_bytes() == picture
    (folder / "groups.csv").write_text("file,well\ns0.tif,1\n")
    with pytest.raises(errors.FolderError, match="says where images come from"):
        cv.predict(run, images, folder / "groups.csv")
    image = shutil.copy(folder / "s0.tif", folder / "image.csv")
    with pytest.raises(errors.FolderError, match="one of the images"):
        cv.predict(run, image, image)
    assert Path(image).read_bytes() == before


def test_pictures_are_not_put_among_the_images(
    run: cv.Run, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next command would take them for images."""
    folder = shutil.copytree(images / "dark", tmp_path / "images")
    before = sorted(folder.rglob("*"))
    monkeypatch.chdir(folder)
    by_folder = cv.datasets.create("folder", path=folder)
    for option, output in (("sort_into", folder / "sorted"), ("contact_sheet", Path("sheet.png"))):
        for source in (folder, [images / "light", "."], by_folder):
            with pytest.raises(errors.FolderError, match="lies in the folder of images"):
                cv.predict(run, source, **{option: output})
    assert sorted(folder.rglob("*")) == before
    single = cv.predict(run, folder / "s0.tif", contact_sheet=folder / "sheet.png")
    assert len(single) == 1


def test_two_predictions_into_one_table_exclude_each_other(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    from cellvision.locks import folder_lock

    with (
        folder_lock(tmp_path / "new.csv", "predict"),
        pytest.raises(errors.FolderError, match="in use by: predict"),
    ):
        cv.predict(run, images, tmp_path / "new.csv")
    for option in ("sort_into", "contact_sheet"):
        with (
            folder_lock(tmp_path / "new", "predict"),
            pytest.raises(errors.FolderError, match="in use by: predict"),
        ):
            cv.predict(run, images, **{option: tmp_path / "new"})


def test_tables_of_results_are_never_overwritten(run: cv.Run, images: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run.folder, tmp_path / "run")
    before = (folder / "predictions.csv").read_bytes()
    for name in ("predictions.csv", "history.csv"):
        with pytest.raises(errors.FolderError, match="a table of a run or study"):
            cv.predict(run, images, folder / name)
    assert (folder / "predictions.csv").read_bytes() == before
    cv.predict(run, images, folder / "new.csv", progress=False)


def test_a_network_that_gives_no_numbers_is_refused(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(run.folder, tmp_path / "run")
    model = run.model()
    model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
    model.save(folder / "model.keras")
    with pytest.raises(errors.CellvisionError, match="gives no numbers"):
        cv.predict(cv.load_run(folder), images, tmp_path / "out.csv", engine="keras")


def test_a_model_of_another_run_is_refused(run: cv.Run, images: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run.folder, tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    record["class_names"] = record["class_names"][:1]
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(errors.FolderError, match=r"model\.keras: this network takes images"):
        cv.predict(cv.load_run(folder), images, engine="keras", progress=False)


def test_groups_get_the_mean_of_their_images(run: cv.Run, images: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(images, tmp_path / "images")
    rows = [f"{label}/s{k}.tif;{label}{k % 3}" for label in ("dark", "light") for k in range(16)]
    (folder / "groups.csv").write_text("\n".join(["file;well", *rows]) + "\n")
    table = cv.predict(run, folder / "light", tmp_path / "new.csv", by="well")
    assert list(table.columns) == ["image", "well", "predicted", "p_dark", "p_light"]
    groups = pd.read_csv(tmp_path / "new_by_well.csv")
    assert list(groups.columns) == ["well", "images", "predicted", "p_dark", "p_light"]
    assert set(groups["well"]) == {"light0", "light1", "light2"}
    expected = table.groupby("well")[["p_dark", "p_light"]].mean()
    np.testing.assert_allclose(
        tiny.probabilities(groups), expected.loc[groups["well"]].to_numpy(), atol=1e-6
    )
    names = np.array(["dark", "light"])
    assert list(groups["predicted"]) == list(names[tiny.probabilities(groups).argmax(axis=1)])
    by_folder = cv.predict(run, folder, by="folder")
    assert len(by_folder.attrs["groups"]["folder"]) == 2
    with pytest.raises(errors.CatalogError, match="no 'donor'"):
        cv.predict(run, folder, by="donor")
    (folder / "groups.csv").write_text("\n".join(["file;Well", *rows]) + "\n")
    with pytest.raises(errors.CatalogError, match="no 'well'") as caught:
        cv.predict(run, folder, by="well")
    assert "did you mean 'Well'? Its columns are: file, Well" in caught.value.hint


def test_skipped_files_need_no_group(run: cv.Run, images: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(images / "dark", tmp_path / "images")
    (folder / "bad.tif").write_bytes(b"not an image")
    rows = [f"s{k}.tif,A{k % 2}" for k in range(16)]
    (folder / "groups.csv").write_text("\n".join(["file,well", *rows]) + "\n")
    table = cv.predict(run, folder, by="well", skip_unreadable=True)
    assert sorted(table.attrs["groups"]["images"]) == [8, 8]
    dataset = cv.datasets.create("table", path=tmp_path / "table.csv", root=folder)
    lines = [f"s{k}.tif,{('dark', 'light')[k // 8]},A{k % 2}" for k in range(16)]
    lines = ["file,label,well", "bad.tif,dark,", *lines]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    table = cv.predict(run, dataset, by="well", skip_unreadable=True)
    assert sorted(table.attrs["groups"]["images"]) == [8, 8]
    with pytest.raises(errors.CatalogError, match=r"no 'well', such as .*bad\.tif"):
        cv.predict(run, folder, by="well", skip_unreadable=False)
    (folder / "groups.csv").write_text("\n".join(["file,well", *rows[1:]]) + "\n")
    with pytest.raises(errors.CatalogError, match=r"1 of 17 images has no 'well', such as .*s0"):
        cv.predict(run, folder, by="well", skip_unreadable=True)


def test_identical_images_of_one_group_are_warned_of(
    run: cv.Run, images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(images / "dark", tmp_path / "images")
    for number in range(3):  # one in another well, where it counts once
        shutil.copy(folder / "s1.tif", folder / f"copy{number}.tif")
    for number in range(2):
        tiny.write(folder / f"empty{number}.tif", np.full((32, 32), 900, np.uint16))
    rows = [f"s{k}.tif,A1" for k in range(16)] + ["copy0.tif,A1", "copy1.tif,A1", "copy2.tif,A2"]
    rows += ["empty0.tif,A1", "empty1.tif,A1"]  # flat images are no copies
    (folder / "groups.csv").write_text("\n".join(["file,well", *rows]) + "\n")
    with caplog.at_level("WARNING"):
        cv.predict(run, folder)
    assert "are identical" not in caplog.text
    with caplog.at_level("WARNING"):
        cv.predict(run, folder, by="well")
    assert "2 images are identical to another one of their 'well'" in caplog.text
    assert f"{folder / 'copy0.tif'} = {folder / 'copy1.tif'}" in caplog.text


def test_an_excel_workbook_is_one(run: cv.Run, images: Path, tmp_path: Path) -> None:
    table = cv.predict(run, images, tmp_path / "new.xlsx", by="folder")
    head, *rows = sheet_of(tmp_path / "new.xlsx")
    assert head == ["image", "folder", "predicted", "p_dark", "p_light"]
    assert [row[:3] for row in rows] == table[head[:3]].to_numpy().tolist()
    np.testing.assert_allclose(
        np.array([row[3:] for row in rows], float), tiny.probabilities(table), rtol=1e-6
    )
    assert len(sheet_of(tmp_path / "new_by_folder.xlsx")) == 3
    assert {path.suffix for path in tmp_path.iterdir()} == {".xlsx"}


def sheet_of(path: Path) -> list[list[str]]:
    """Return the cells of the first sheet, as text."""
    from xml.etree import ElementTree
    from zipfile import ZipFile

    space = {"x": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    with ZipFile(path) as archive:
        assert {"[Content_Types].xml", "xl/workbook.xml"} <= set(archive.namelist())
        root = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    return [
        ["".join(cell.itertext()) for cell in row.findall("x:c", space)]
        for row in root.findall(".//x:row", space)
    ]


def test_cells_are_text_numbers_or_empty(tmp_path: Path) -> None:
    from cellvision.inference import table_files

    table = pd.DataFrame(
        {"image": ["=1+1", "http://x"], "p": [np.nan, 0.25], "unlike": [True, None]}
    )
    table_files.write_whole_table(tmp_path / "a.xlsx", table)
    assert sheet_of(tmp_path / "a.xlsx")[1:] == [["=1+1", "1"], ["http://x", "0.25"]]


def test_too_many_rows_for_a_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellvision.inference import table_files

    monkeypatch.setattr(table_files, "_MOST_ROWS", 3)
    with pytest.raises(errors.ExperimentError, match="at most 3 rows"):
        table_files.write_whole_table(tmp_path / "a.xlsx", pd.DataFrame({"image": list("abc")}))
    assert not (tmp_path / "a.xlsx").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_workbook_on_a_full_disk_is_named(tmp_path: Path) -> None:
    from cellvision.inference import table_files

    resource = pytest.importorskip("resource", reason="limits need POSIX")
    table = pd.DataFrame({"image": [str(number) for number in range(20)]})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(errors.CellvisionError, match=r"a\.xlsx: cannot be written: File too"):
            table_files.write_whole_table(tmp_path / "a.xlsx", table)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    gc.collect()  # a ZipFile that could not be finished complains now, not in another test
    assert not (tmp_path / "a.xlsx").exists()


def test_columns_of_any_name_give_a_table_of_groups(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(images / "dark", tmp_path / "images")
    rows = [f"s{k}.tif,=1+{k % 2}" for k in range(16)]
    (folder / "groups.csv").write_text("\n".join(["file,plate/well: no.", *rows]) + "\n")
    cv.predict(run, folder, tmp_path / "new.csv", by="plate/well: no.")
    table = pd.read_csv(tmp_path / "new_by_plate-well- no..csv")
    assert set(table["plate/well: no."]) == {"'=1+0", "'=1+1"}  # no formula for a spreadsheet


def test_black_and_white_images_are_predicted_as_8_bits(run: cv.Run, tmp_path: Path) -> None:
    """A network trained on 1-bit and 8-bit PNGs predicts both, whichever was the first."""
    for first in ("bool", "uint8"):
        shape = (32, 32, 1)
        file = SimpleNamespace(status="read", dtype=first, shape=shape, bit_depth=1, reason="")
        trained = SimpleNamespace(
            preprocessing=run.preprocessing,
            metadata=record_of(run.dataset),
            audit=SimpleNamespace(files=[file]),
            intensity_range=(0.0, 255.0),
        )
        reader = image_reader.ImageReader(trained)  # type: ignore[arg-type]
        for dtype in (bool, np.uint8):
            path = tmp_path / f"{dtype.__name__}.png"
            Image.fromarray(np.ones((32, 32), dtype)).save(path)
            read = reader.read(ImageFile(path, path.name, tmp_path))
            assert isinstance(read, image_reader.InputImage)
            assert read.pixels.dtype == np.uint8


def test_images_are_sorted_and_shown(run: cv.Run, images: Path, tmp_path: Path) -> None:
    sheet, folder = tmp_path / "sheet.png", tmp_path / "sorted"
    cv.predict(run, images / "dark", contact_sheet=sheet)
    table = cv.predict(run, images, sort_into=folder, contact_sheet=sheet)  # replaces the sheet
    counts = table["predicted"].value_counts().to_dict()
    assert {path.name: len(list(path.iterdir())) for path in folder.iterdir()} == counts
    copies = {path.read_bytes() for path in folder.rglob("*.tif")}
    assert copies == {path.read_bytes() for path in images.rglob("*.tif")}
    assert np.asarray(Image.open(sheet)).std() > 10
    with pytest.raises(errors.FolderError, match="is not empty"):
        cv.predict(run, images, sort_into=folder)
    with pytest.raises(errors.FolderError, match=r"/proc/sheet\.png: cannot be written"):
        cv.predict(run, images, contact_sheet="/proc/sheet.png")


# --- averages ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(images: Path, tmp_path_factory: pytest.TempPathFactory) -> cv.Study:
    experiment = tiny.experiment(images, "mixed", epochs=1)
    return cv.study(experiment, 2, tmp_path_factory.mktemp("study") / "study")


def test_a_study_predicts_the_mean_of_its_runs(
    study: cv.Study, images: Path, tmp_path: Path
) -> None:
    table = cv.predict(study, images, tmp_path / "new.csv")
    assert set(table["model"]) == {"mean of 2 runs"}
    recorded = np.mean([by_image(run.predictions) for run in study.runs], axis=0)
    predictions = table.drop(columns="model")
    np.testing.assert_allclose(by_image(predictions, images), recorded, atol=1e-5)
    with pytest.raises(errors.ExperimentError, match="no experiment 'other'"):
        cv.predict(study, images, experiment="other")
    with pytest.raises(errors.ExperimentError, match="one experiment"):
        cv.predict(study.runs[0], images, experiment="mixed")


def test_a_network_that_several_runs_have_counts_for_each(images: Path, tmp_path: Path) -> None:
    """Runs whose last layer is solved exactly have the same network, whatever their seeds."""
    study = cv.study(tiny.experiment(images, "mixed", epochs=1), 3, tmp_path / "study")
    first, second, third = study.runs
    shutil.copy(first.folder / "model.keras", third.folder / "model.keras")
    table = cv.predict(study, images)
    assert set(table["model"]) == {"mean of 3 runs"}
    expected = (2 * by_image(first.predictions) + by_image(second.predictions)) / 3
    np.testing.assert_allclose(by_image(table.drop(columns="model"), images), expected, atol=1e-5)


def test_orientations_are_averaged(run: cv.Run, images: Path) -> None:
    table = cv.predict(run, images / "dark", tta=True)
    assert set(table["model"]) == {"mean of 8 orientations"}
    pixels = run.model_input([f"dark/{Path(name).name}" for name in table["image"]])
    model = run.model()
    turned = [np.rot90(pixels, k, axes=(1, 2)) for k in range(4)]
    turned += [image[:, ::-1] for image in turned]
    expected = np.mean(
        [np.asarray(model.predict_on_batch(each.astype(np.float32))) for each in turned], axis=0
    )
    np.testing.assert_allclose(tiny.probabilities(table.drop(columns="model")), expected, atol=1e-5)


def test_a_run_scores_the_average_over_orientations(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = cv.train(tiny.experiment(images, "mixed", epochs=1, tta=True), tmp_path / "run")
    scores = run.metadata.tta_scores
    assert set(scores) == {"validation", "test"}
    predicted = cv.predict(run, images, tta=True)
    names = [Path(name).relative_to(images).as_posix() for name in predicted["image"]]
    labels = run.predictions.set_index("image")["label"]
    rows = [number for number, name in enumerate(names) if name in _of_split(run, "test")]
    right = [predicted["predicted"][row] == labels[names[row]] for row in rows]
    assert scores["test"].accuracy == np.mean(right)
    assert scores["test"].n == run.scores["test"].n == len(rows)
    show(run, "")
    printed = capsys.readouterr().out
    assert "test, averaged*" in printed
    assert "* mean over flips and quarter turns of each image" in printed


def _of_split(run: cv.Run, split: str) -> set[str]:
    table = run.predictions
    return set(table.loc[table["split"] == split, "image"])
