"""Batch loader, buffers and threads."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import tiny

from cellvision.data.prepared import PreparedData, prepare_data
from cellvision.training.batches import BatchLoader
from cellvision.training.buffers import BufferPool


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """22 training images: three batches of six and a short one of four."""
    images = tiny.make_folder(tmp_path_factory.mktemp("feed") / "images", count=11)
    return prepare_data(tiny.experiment(images, "deep", split={"validation": 0, "test": 0}))


def epochs(prepared: PreparedData, together: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rows = prepared.rows("train")
    with BatchLoader(prepared, rows, 6, seed=3, group_size=together) as loader:
        assert loader.steps == 4
        return list(itertools.islice(loader.batches(), 2 * loader.steps))


@pytest.mark.slow
@pytest.mark.parametrize("together", [2, 3, 50])
def test_group_size_does_not_change_batches(prepared: PreparedData, together: int) -> None:
    alone, grouped = epochs(prepared, 1), epochs(prepared, together)
    assert [len(pixels) for pixels, _ in alone] == [6, 6, 6, 4] * 2
    for one, other in zip(alone, grouped, strict=True):
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])


def test_an_epoch_has_every_image_once_and_the_next_another_order(prepared: PreparedData) -> None:
    both = epochs(prepared, 3)
    first, second = (
        [image.tobytes() for pixels, _ in both[start : start + 4] for image in pixels]
        for start in (0, 4)
    )
    assert len(set(first)) == 22
    assert set(first) == set(second)
    assert first != second
    assert all(pixels.dtype == np.uint8 for pixels, _ in both)


def test_batches_in_use_are_not_overwritten(prepared: PreparedData) -> None:
    rows = prepared.rows("train")
    with BatchLoader(prepared, rows, 6, seed=3) as loader:
        views, copies = [], []
        for pixels, _ in itertools.islice(loader.batches(), 60):
            views.append(pixels[1:, ::2])  # a view keeps its memory as well
            copies.append(views[-1].copy())
    for view, copy in zip(views, copies, strict=True):
        np.testing.assert_array_equal(view, copy)


def test_memory_of_released_batches_is_reused(prepared: PreparedData) -> None:
    rows = prepared.rows("train")
    with BatchLoader(prepared, rows, 6, seed=3) as loader:
        places = {pixels.ctypes.data for pixels, _ in itertools.islice(loader.batches(), 200)}
    assert len(places) <= 24  # of two sizes, as many as are made ahead and a few more


def test_memory_of_backend_tensors_is_not_overwritten() -> None:
    """Keras' backends take an array's memory as theirs where they can."""
    import keras

    memory = BufferPool()
    array = memory.array((64, 64, 3), "uint8")
    array[:] = 1
    tensor = keras.ops.convert_to_tensor(array)
    del array
    for _ in range(3):
        memory.array((64, 64, 3), "uint8")[:] = 2
    assert (keras.ops.convert_to_numpy(tensor) == 1).all()


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") == "jax", reason="a way of TensorFlow's")
def test_batches_in_tensorflow_are_not_overwritten(prepared: PreparedData) -> None:
    from cellvision.backends import tensorflow

    expected = epochs(prepared, 1)
    with BatchLoader(prepared, prepared.rows("train"), 6, seed=3) as loader:
        dataset = tensorflow.dataset(
            loader.batches, prepared.pixels.shape[1:], "uint8", 2, grouped=False
        )
        batches = [pixels for pixels, _ in itertools.islice(dataset, 8)]
        for _ in itertools.islice(dataset, 40):  # begun anew, by the same loader
            pass
    for pixels, (expected_pixels, _) in zip(batches, expected, strict=True):
        np.testing.assert_array_equal(pixels.numpy(), expected_pixels)


def test_arrays_have_the_requested_shape_and_dtype() -> None:
    memory = BufferPool()
    arrays = [memory.array((2, 5, 3), dtype) for dtype in ("uint8", "uint16", "float32") * 2]
    for number, array in enumerate(arrays):
        array[:] = number
    assert [str(array.dtype) for array in arrays] == ["uint8", "uint16", "float32"] * 2
    assert [(array == number).all() for number, array in enumerate(arrays)] == [True] * 6
    assert all(array.ctypes.data % 64 == 0 for array in arrays)


def test_grey_images_are_repeated_for_rgb_networks(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images", count=6)
    experiment = tiny.experiment(
        images, "deep", split={"validation": 0, "test": 0}, preprocessing={"channels": "rgb"}
    )
    grey = prepare_data(experiment)
    assert grey.pixels.shape[-1] == 1
    with BatchLoader(grey, np.arange(4), 4, seed=0) as loader:
        pixels, _ = next(loader.batches())
    expected = np.repeat(grey.pixels[:4], 3, axis=-1)
    assert sorted(map(bytes, pixels)) == sorted(map(bytes, expected))


_SETTLE = """
import json, logging
import cellvision as cv
from cellvision.backends.threads import configure_threads

messages = []
logging.getLogger("cellvision").addHandler(
    type("Keep", (logging.Handler,), {"emit": lambda self, record: messages.append(record.msg)})()
)
dataset = cv.datasets.create("folder", path=".")
small = cv.Experiment(dataset=dataset, preprocessing={"size": (28, 28), "channels": "gray"})
large = cv.Experiment(dataset=dataset)
import tensorflow as tf

thread_counts = []
for experiments in ([large], [small, large], [small], [large]):
    configure_threads(*experiments)
    thread_counts.append(tf.config.threading.get_intra_op_parallelism_threads())
print(json.dumps([thread_counts, len(messages)]))
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") == "jax", reason="a setting of TensorFlow")
def test_small_images_are_computed_with_one_thread_per_operation() -> None:
    thread_counts, warnings = tiny.json_of(_SETTLE)
    assert thread_counts == [0, 0, 1, 1]
    assert warnings == 1  # the last one, which comes too late
    assert tiny.json_of(_SETTLE, TF_NUM_INTRAOP_THREADS="2") == [[0, 0, 0, 0], 0]
