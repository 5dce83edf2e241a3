"""Copies of training images among new ones: found by predict and evaluate, in many guises."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image
from scipy import ndimage

import cellvision as cv
from cellvision.studies.looks import VARIABLE

LEVELS = {"dark": 70, "light": 150}

Guise = Callable[[np.ndarray, Path], Path]


@pytest.fixture(autouse=True, scope="module")
def _state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch, tiny.on_offer():
        patch.setenv("CELLVISION_CACHE", str(folder / "cache"))
        patch.setenv(VARIABLE, str(folder / "looks.jsonl"))
        yield


def texture(level: int, seed: int) -> np.ndarray:
    """Blotches that differ from image to image."""
    rng = np.random.default_rng(seed)
    blotches = ndimage.gaussian_filter(rng.normal(0, 1, (48, 48)), 4)
    light = level + 30 * blotches / blotches.std() + rng.normal(0, 2, (48, 48))
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def make_images(root: Path, seed: int, count: int = 12) -> Path:
    for number, (name, level) in enumerate(LEVELS.items()):
        for k in range(count):
            pixels = texture(level, seed + 1000 * number + k)
            tiny.write(root / name / f"s{k}.png", pixels)
    return root


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images") / "images", 0, count=24)


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    experiment = tiny.experiment(images, epochs=1)
    return cv.train(experiment, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def unrecorded(run: cv.Run, tmp_path: Path) -> cv.Run:
    """The run as an earlier version wrote it, without sketches."""
    shutil.copytree(run.folder, tmp_path / "earlier")
    (tmp_path / "earlier" / "sketches.npy").unlink()
    return cv.load_run(tmp_path / "earlier")


def png(pixels: np.ndarray, path: Path) -> Path:
    return tiny.write(path.with_suffix(".png"), np.ascontiguousarray(pixels))


def jpeg(pixels: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path.with_suffix(".jpg"), quality=60)
    return path.with_suffix(".jpg")


def smaller(pixels: np.ndarray, path: Path) -> Path:
    return png(np.asarray(Image.fromarray(pixels).resize((44, 44))), path)


GUISES: dict[str, Guise] = {
    "compressed": jpeg,
    "smaller": smaller,
    "brighter": lambda pixels, path: png(np.rint(pixels * 1.1 + 3).astype(np.uint8), path),
    "turned": lambda pixels, path: png(np.rot90(pixels), path),
}


def trained_on(run: cv.Run, split: str = "train") -> str:
    return str(run.predictions_of(split)["image"].iloc[0])


@pytest.mark.parametrize("guise", GUISES)
def test_a_copy_of_a_training_image_is_a_leak(
    run: cv.Run, images: Path, tmp_path: Path, guise: str
) -> None:
    original = trained_on(run)
    plate = make_images(tmp_path / "plate", 5000)
    pixels = np.asarray(Image.open(images / original))
    copy = GUISES[guise](pixels, plate / Path(original).parent / "copy")
    evaluation = cv.evaluate(run, plate, tmp_path / "e", engine="keras")
    name = copy.relative_to(plate).as_posix()
    (leak,) = evaluation.record.leaks
    assert (leak.kind, leak.splits) == ("near_duplicate", ("training", "plate"))
    assert leak.files == (name, original)
    assert cv.banners(evaluation).leak == (
        "LEAK: training and plate share near-duplicates (1). If they are copies, the scores are "
        "too optimistic."
    )
    (line,) = [line for line in evaluation.warnings if "near-duplicate" in line]
    assert "1 of 25 images looks like a near-duplicate of a training or validation image: " in line
    assert f"{name!r} and {original!r}. Check them by eye" in line
    assert cv.load_evaluation(tmp_path / "e").leaks == evaluation.leaks


def test_new_images_and_test_images_are_no_copies(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    plate = make_images(tmp_path / "plate", 5000)
    for name in run.predictions_of("test")["image"]:
        jpeg(
            np.asarray(Image.open(images / name)),
            plate / Path(name).parent / f"t_{Path(name).stem}",
        )
    evaluation = cv.evaluate(run, plate, tmp_path / "e", engine="keras")
    assert evaluation.record.leaks == ()
    assert cv.banners(evaluation).leak == ""
    assert not any("ear-duplicates" in line for line in evaluation.warnings)


def test_an_exact_copy_is_no_near_duplicate_as_well(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    original = trained_on(run, "validation")
    plate = make_images(tmp_path / "plate", 5000)
    shutil.copyfile(images / original, plate / Path(original).parent / "copy.png")
    evaluation = cv.evaluate(run, plate, tmp_path / "e", engine="keras")
    assert [leak.kind for leak in evaluation.record.leaks] == ["identical_pixels"]


@pytest.mark.parametrize(("copied", "held_out"), [(jpeg, True), (png, False)])
def test_only_exact_copies_leave_the_verdict_open(
    images: Path, tmp_path: Path, copied: Guise, held_out: bool
) -> None:
    """Two sites of a well can look alike without being copies."""
    reporters = (cv.reporters.create("html"),)
    run = cv.train(tiny.experiment(images, epochs=1, reporters=reporters), tmp_path / "run")
    original = trained_on(run)
    plate = make_images(tmp_path / "plate", 5000)
    pixels = np.asarray(Image.open(images / original))
    copied(pixels, plate / Path(original).parent / "copy")
    evaluation = cv.evaluate(run, plate, tmp_path / "e", engine="keras")
    assert len(evaluation.record.leaks) == 1
    (page,) = [each.path for each in evaluation.artifacts if each.kind == "page"]
    assert ("these images are not held out" in page.read_text("utf-8")) is not held_out


def test_predict_warns_of_copies(
    run: cv.Run, images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plate = make_images(tmp_path / "plate", 5000)
    cv.predict(run, plate, engine="keras")
    assert "near-duplicate" not in caplog.text
    originals = run.predictions_of("train")["image"].iloc[:2]
    for number, name in enumerate(originals):
        jpeg(np.asarray(Image.open(images / name)), plate / f"copy{number}")
    cv.predict(run, plate, engine="keras")
    line = "2 of 26 images look like near-duplicates of training or validation images: "
    assert line in caplog.text
    for number, name in enumerate(originals):
        assert f"{str(plate / f'copy{number}.jpg')!r} and {name!r}" in caplog.text


def test_a_run_without_sketches_says_that_copies_are_not_found(
    unrecorded: cv.Run, images: Path, tmp_path: Path
) -> None:
    original = trained_on(unrecorded)
    plate = make_images(tmp_path / "plate", 5000)
    jpeg(np.asarray(Image.open(images / original)), plate / Path(original).parent / "copy")
    evaluation = cv.evaluate(unrecorded, plate, tmp_path / "e", engine="keras")
    assert evaluation.record.leaks == ()
    (line,) = [line for line in evaluation.warnings if "ear-duplicates" in line]
    assert line == (
        "Near-duplicates of training images were not searched: "
        f"{unrecorded.folder} recorded no sketches of its images. Only identical pixels were "
        "compared."
    )


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array"])
def test_damaged_sketches_are_a_warning(unrecorded: cv.Run, tmp_path: Path, content: bytes) -> None:
    (unrecorded.folder / "sketches.npy").write_bytes(content)
    plate = make_images(tmp_path / "plate", 5000)
    evaluation = cv.evaluate(unrecorded, plate, tmp_path / "e", engine="keras")
    (line,) = [line for line in evaluation.warnings if "ear-duplicates" in line]
    assert "sketches.npy: cannot be read" in line


def test_sketches_of_other_images_are_not_used(unrecorded: cv.Run, tmp_path: Path) -> None:
    np.save(unrecorded.folder / "sketches.npy", np.ones((3, 10, 10), np.int8))
    evaluation = cv.evaluate(
        unrecorded, make_images(tmp_path / "plate", 5000), tmp_path / "e", engine="keras"
    )
    assert any("does not belong to the 48 images" in line for line in evaluation.warnings)


def test_the_folder_of_a_run_holds_one_sketch_for_each_image(run: cv.Run) -> None:
    sketches = np.load(run.folder / "sketches.npy", allow_pickle=False)
    assert (sketches.shape, sketches.dtype) == ((48, 10, 10), np.int8)
    assert sketches.any(axis=(1, 2)).all()


@pytest.mark.slow
def test_every_image_of_a_cross_validated_study_was_trained_on(
    images: Path, tmp_path: Path
) -> None:
    experiment = tiny.experiment(images, epochs=1, split={"splitter": "group_k_fold"})
    study = cv.study(experiment, out=tmp_path / "study", runs=1, controls=())
    plate = make_images(tmp_path / "plate", 5000)
    for name in ("dark/s1.png", "light/s9.png"):
        jpeg(np.asarray(Image.open(images / name)), plate / Path(name).parent / "copy")
    evaluation = cv.evaluate(study, plate, tmp_path / "e", engine="keras")
    assert {leak.files for leak in evaluation.record.leaks} == {
        ("dark/copy.jpg", "dark/s1.png"),
        ("light/copy.jpg", "light/s9.png"),
    }
