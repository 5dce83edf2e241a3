"""What does not fit into the memory or the cache is refused before the work starts."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.backends import memory
from cellvision.data import array_cache
from cellvision.training import memory_needs
from cellvision.training.batches import BatchLoader
from cellvision.training.memory_needs import step_needs
from cellvision.training.network import prediction_batch_size

pytestmark = pytest.mark.usefixtures("tiny_plugins")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("memory") / "images")


def test_needs_are_those_of_the_declared_shapes() -> None:
    import keras
    from keras import layers

    source = keras.Input((8, 8, 3))
    convolved = layers.Conv2D(4, 3, padding="same")(source)
    shortcut = layers.Conv2D(4, 1)(source)  # the same input, which is kept once
    stack = [keras.Input((8, 8, 4)), layers.BatchNormalization(), layers.Conv2D(4, 1)]
    inner = keras.Sequential(stack)
    added = layers.Add()([inner(convolved), shortcut])
    model = keras.Model(source, layers.Dense(2)(layers.GlobalAveragePooling2D()(added)))
    needs = step_needs(model, batch_size=10, sample_bytes=4)
    assert needs.least == 40 * (8 * 8 * 3 + 8 * 8 * 4 + 4)
    assert needs.likely == 40 * (5 * 8 * 8 * 4 + 4 + 2)


def test_a_step_that_cannot_fit_is_refused_and_leaves_a_free_folder(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = tiny.experiment(images, "mixed", epochs=1, devices="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(memory_needs, "attainable_memory", lambda: 9000)
        with pytest.raises(errors.ExperimentError) as caught:
            cv.train(experiment, tmp_path / "run")
    assert "a training step on 10 images of 16×16×1 needs at least" in caught.value.what
    assert "this process can have 9.0 kB" in caught.value.what
    for setting in ("training.batch_size", "preprocessing.size", "prepare slice"):
        assert setting in caught.value.hint
    assert not cv.train(experiment, tmp_path / "run").interrupted


def test_a_step_that_may_not_fit_is_a_warning(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory_needs, "free_memory", lambda: 9000)
    with caplog.at_level(logging.WARNING):
        cv.train(tiny.experiment(images, "mixed", epochs=1, devices="cpu"), tmp_path / "run")
    (warning,) = [each.getMessage() for each in caplog.records if "of memory" in each.getMessage()]
    assert "the process may be killed" in warning


@pytest.mark.slow
def test_features_that_cannot_fit_are_refused(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = tiny.experiment(images, cv.architectures.create("scattering"))
    monkeypatch.setattr(memory_needs, "attainable_memory", lambda: 100)
    with pytest.raises(errors.ExperimentError, match=r"solving the network on .* features of"):
        cv.train(experiment, tmp_path / "run")


def test_a_process_can_have_what_is_free_and_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemAvailable: 5000 kB\nSwapFree: 300 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    monkeypatch.setattr(memory, "control_groups", lambda controller: [])
    most = memory.attainable_memory()
    assert most is not None
    assert most > 5300 * 1024 + 10_000_000  # this process uses more
    meminfo.unlink()
    assert memory.attainable_memory() is None


def test_an_array_that_the_disk_cannot_hold_is_refused_before_it_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    space = SimpleNamespace(free=2_000_000_000)
    monkeypatch.setattr("cellvision.data.cache_space.shutil.disk_usage", lambda path: space)

    def compute(target: np.ndarray) -> None:
        pytest.fail("it is computed")

    with pytest.raises(errors.FolderError, match=r"4\.0 GB are to be written, but 2\.0 GB are"):
        array_cache.open_array("features", "key", (10**9,), np.dtype("float32"), compute)


def test_16_bit_images_that_the_disk_cannot_hold_are_refused_at_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "images"
    read: list[str] = []

    class Deep(cv.Dataset):
        def catalog(self) -> Any:
            raise NotImplementedError

        def fingerprint(self, image: str) -> str:
            return image

        def read(self, image: str) -> np.ndarray:
            read.append(image)
            return np.full((500, 500, 1), 999, np.uint16)

    from cellvision.data.pixel_cache import open_pixels

    names = [str(folder / f"{number}.tif") for number in range(2000)]
    space = SimpleNamespace(free=600_000_000)  # enough for one byte per sample
    monkeypatch.setattr("cellvision.data.cache_space.shutil.disk_usage", lambda path: space)
    with pytest.raises(errors.FolderError, match=r"1\.0 GB are to be written, but 600\.0 MB"):
        open_pixels(Deep(), names, cv.Preprocessing(size=(500, 500)))
    assert len(read) < 200  # what is read ahead


def test_large_images_are_predicted_in_small_batches() -> None:
    assert prediction_batch_size((28, 28, 1)) == 1024
    assert prediction_batch_size((1024, 1024, 3)) == 16
    assert prediction_batch_size((4096, 4096, 3)) == 1


@pytest.mark.parametrize(("size", "ahead"), [(256, 8), (4096, 2)])
def test_few_batches_of_large_images_are_prepared_ahead(size: int, ahead: int) -> None:
    preprocessing = cv.Preprocessing(size=(size, size), channels="rgb")
    prepared: Any = SimpleNamespace(experiment=SimpleNamespace(preprocessing=preprocessing))
    with BatchLoader(prepared, np.arange(40), 20, seed=0) as loader:
        assert loader._groups_ahead() == ahead
