"""The pixel cache decodes images once, repairs damage, and is never stale."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import resource
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from images import InMemory, noise, unreadable, write, write_folder

import cellvision as cv
from cellvision import errors
from cellvision.data.image_stats import ImageStats
from cellvision.data.pixel_cache import StoredPixels, open_pixels
from cellvision.user_folders import cache_folder

SMALL = cv.Preprocessing(size=(6, 5))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test."""
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    InMemory.decoded.clear()
    return tmp_path / "cache"


def data(pixels: dict[str, Any]) -> InMemory:
    return InMemory.of({"image": list(pixels), "label": ["a"] * len(pixels)}, pixels)


def open_all(dataset: cv.Dataset, preprocessing: cv.Preprocessing = SMALL) -> StoredPixels:
    return open_pixels(dataset, list(dataset.catalog()["image"]), preprocessing)


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "pixels").iterdir())


def noise_images(count: int = 3, dtype: Any = np.uint8, channels: int = 1) -> dict[str, Any]:
    return {f"{n}.png": noise(n, (6, 5, channels), dtype) for n in range(count)}


def test_decoded_once() -> None:
    pixels = noise_images()
    dataset = data(pixels)
    progress: list[tuple[int, int]] = []
    first = open_pixels(dataset, list(pixels), SMALL, lambda *counts: progress.append(counts))
    assert progress == [(1, 3), (2, 3), (3, 3)]
    assert sorted(InMemory.decoded) == sorted(pixels)
    second = open_all(dataset)
    assert len(InMemory.decoded) == 3
    for stored in (first, second):
        assert np.array_equal(stored.pixels, np.stack(list(pixels.values())))
        assert stored.images == tuple(pixels)
        assert [stat.status for stat in stored.stats] == ["read"] * 3
    assert first.stats == second.stats


def test_mapped_not_loaded(cache: Path) -> None:
    stored = open_all(data(noise_images(dtype=np.uint16)))
    assert isinstance(stored.pixels, np.memmap)
    assert not stored.pixels.flags.writeable
    assert stored.pixels.dtype == np.uint16
    assert stored.pixels.base is not None
    (entry,) = entries(cache)
    assert (entry / "pixels.bin").stat().st_size == 3 * 6 * 5 * 2


def test_grey_images_need_one_channel() -> None:
    assert open_all(data(noise_images())).pixels.shape == (3, 6, 5, 1)
    assert open_all(data(noise_images(channels=3))).pixels.shape == (3, 6, 5, 3)


def test_the_key_depends_on_what_shapes_the_pixels(cache: Path) -> None:
    dataset = data(noise_images())
    open_all(dataset)
    open_all(dataset, cv.Preprocessing(size=(6, 5), intensity=99, on_unreadable="skip"))
    assert len(entries(cache)) == 1
    open_all(dataset, cv.Preprocessing(size=(6, 4)))
    open_all(dataset, cv.Preprocessing(size=(6, 5), channels="gray"))
    open_all(dataset, cv.Preprocessing(size=(6, 5), intensity="per_image"))
    open_all(dataset, cv.Preprocessing(size=(6, 5), fit="crop"))
    open_pixels(dataset, ["1.png", "0.png"], SMALL)
    assert len(entries(cache)) == 6


class Brighter(InMemory):
    def read(self, image: str) -> np.ndarray:
        return super().read(image) // 2 + 100


def test_the_key_depends_on_the_class_of_the_data_set() -> None:
    dataset = data(noise_images())
    other = Brighter(name=dataset.name)
    assert not np.array_equal(open_all(dataset).pixels, open_all(other).pixels)


def test_a_changed_file_of_equal_size_and_time_is_noticed(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images", {"a": 2, "b": 2}, ".tif")
    dataset = cv.datasets.create("folder", path=root)
    before = open_all(dataset)
    changed = root / "a" / "0.tif"
    status = changed.stat()
    write(changed, noise(99))
    assert changed.stat().st_size == status.st_size
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = open_all(dataset)
    assert np.array_equal(after.pixels[0, ..., 0], noise(99))
    assert not np.array_equal(before.pixels[0], after.pixels[0])
    assert np.array_equal(before.pixels[1:], after.pixels[1:])


def flip_bit(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x01
    path.write_bytes(bytes(content))


def damage_pixels(entry: Path) -> None:
    flip_bit(entry / "pixels.bin", 40)


def truncate(entry: Path) -> None:
    os.truncate(entry / "pixels.bin", 50)


def damage_a_statistic(entry: Path) -> None:
    index = entry / "index.json"
    text = index.read_text()
    position = text.index('"high": ') + len('"high": ')
    digit = "1" if text[position] != "1" else "2"
    index.write_text(text[:position] + digit + text[position + 1 :])


def half_index(entry: Path) -> None:
    index = entry / "index.json"
    index.write_text(index.read_text()[:60])


def empty_index(entry: Path) -> None:
    (entry / "index.json").write_text("")


def no_index(entry: Path) -> None:
    (entry / "index.json").unlink()


def no_pixels(entry: Path) -> None:
    (entry / "pixels.bin").unlink()


def old_index(entry: Path) -> None:
    index = entry / "index.json"
    index.write_text(index.read_text().partition("\n")[2])


def rewrite_index(entry: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the index but keep its checksum right, as a faulty program might."""
    *stats, whole = map(json.loads, (entry / "index.json").read_text().splitlines()[1:])
    index = {**whole, "stats": stats}
    change(index)
    stats = index.pop("stats")
    text = "".join(json.dumps(line) + "\n" for line in (*stats, index))
    (entry / "index.json").write_text(f"{zlib.crc32(text.encode())}\n{text}")


def other_shape(entry: Path) -> None:
    rewrite_index(entry, lambda index: index.update(shape=[3, 5, 6, 1]))


def fewer_images(entry: Path) -> None:
    rewrite_index(entry, lambda index: index["stats"].pop())


def other_images(entry: Path) -> None:
    rewrite_index(entry, lambda index: index["stats"][0].update(image="9.png"))


def other_dtype(entry: Path) -> None:
    rewrite_index(entry, lambda index: index.update(dtype="O"))


def endless_shape(entry: Path) -> None:
    rewrite_index(entry, lambda index: index.update(shape=[2**62, 5, 6, 1]))


def nested_shape(entry: Path) -> None:
    rewrite_index(entry, lambda index: index.update(shape=[[3], 5, 6, {}]))


def no_reader(entry: Path) -> None:
    """No image is read, and the pixels of the others take petabytes."""

    def change(index: dict[str, Any]) -> None:
        index.update(shape=[2**50, 5, 6, 1], counts_above=[])
        for row in index["stats"]:
            row["status"] = "refused"

    rewrite_index(entry, change)


def uncounted(entry: Path) -> None:
    rewrite_index(entry, lambda index: index["counts_above"].__setitem__(1, [0]))


def no_statistics(entry: Path) -> None:
    rewrite_index(entry, lambda index: index["stats"][1].update(low=None, shape=None))


def short_sketch(entry: Path) -> None:
    rewrite_index(entry, lambda index: index["stats"][2].update(sketch="00ff"))


def means_of_words(entry: Path) -> None:
    rewrite_index(entry, lambda index: index["stats"][0].update(means=["dark"]))


def numbered_compression(entry: Path) -> None:
    rewrite_index(entry, lambda index: index["stats"][0].update(compression=[7]))


def deep_index(entry: Path) -> None:
    text = "[" * 50_000 + "]" * 50_000 + "\n"
    (entry / "index.json").write_text(f"{zlib.crc32(text.encode())}\n{text}")


def list_for_index(entry: Path) -> None:
    text = "3\n[]\n"
    (entry / "index.json").write_text(f"{zlib.crc32(text.encode())}\n{text}")


@pytest.mark.parametrize(
    "damage",
    [
        *(other_dtype, endless_shape, nested_shape, no_reader, uncounted, no_statistics),
        *(short_sketch, means_of_words, numbered_compression),
        *(deep_index, list_for_index),
        *(damage_pixels, truncate, damage_a_statistic, half_index, empty_index),
        *(no_index, no_pixels, old_index, other_shape, fewer_images, other_images),
    ],
)
def test_damage_is_noticed_and_repaired(cache: Path, damage: Any) -> None:
    pixels = noise_images()
    dataset = data(pixels)
    stats = open_all(dataset).stats
    damage(entries(cache)[0])
    repaired = open_all(dataset)
    assert len(InMemory.decoded) == 6
    assert np.array_equal(repaired.pixels, np.stack(list(pixels.values())))
    assert repaired.stats == stats
    assert len(entries(cache)) == 1
    open_all(dataset)
    assert len(InMemory.decoded) == 6


def test_stale_folders_of_killed_processes_are_removed(cache: Path) -> None:
    dataset = data(noise_images())
    open_all(dataset)
    (entry,) = entries(cache)
    for name, age in (("fresh", 60.0), ("stale", 2 * 3600.0)):
        unfinished = cache / "pixels" / f".{entry.name}.{name}"
        unfinished.mkdir()
        (unfinished / "pixels.bin").write_bytes(b"half")
        modified = entry.stat().st_mtime - age
        os.utime(unfinished / "pixels.bin", (modified, modified))
        os.utime(unfinished, (modified, modified))
    open_all(data(noise_images(4)))
    assert [path.name.rpartition(".")[2] for path in entries(cache) if "." in path.name] == [
        "fresh"
    ]


def _open_in_a_process(root: str, start: Any, answers: Any) -> None:
    dataset = cv.datasets.create("folder", path=root)
    images = list(dataset.catalog()["image"])
    start.wait()
    answers.put(int(open_pixels(dataset, images, SMALL).pixels.astype(np.int64).sum()))


def test_two_processes_at_once(tmp_path: Path, cache: Path) -> None:
    root = write_folder(tmp_path / "images", {"a": 20, "b": 20})
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=_open_in_a_process, args=(str(root), start, answers))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    result = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    expected = sum(int(noise(seed).sum(dtype=np.int64)) for seed in range(1, 41))
    assert result == [expected, expected]
    assert len(entries(cache)) == 1


@pytest.mark.parametrize("order", [[1, 1, 3, 1], [3, 1, 3, 1], [1, 3, 3, 1]])
def test_grey_among_colour(order: list[int]) -> None:
    pixels = {f"{n}.png": noise(n, (6, 5, depth)) for n, depth in enumerate(order)}
    dataset = data(pixels)
    for _ in range(2):
        stored = open_all(dataset)
        assert stored.pixels.shape == (4, 6, 5, 3)
        for result, image in zip(stored.pixels, pixels.values(), strict=True):
            assert np.array_equal(result, np.broadcast_to(image, (6, 5, 3)))


def test_mixed_pixel_types_are_refused(cache: Path) -> None:
    pixels = {**noise_images(2), "deep.tif": noise(9, (6, 5, 1), np.uint16)}
    with pytest.raises(errors.PreprocessingError, match="2 are uint8, 1 are uint16"):
        open_all(data(pixels))
    assert entries(cache) == []
    stretched = open_all(data(pixels), cv.Preprocessing(size=(6, 5), intensity="per_image"))
    assert stretched.pixels.dtype == np.uint16


def test_binary_images_mix_with_8_bits() -> None:
    pixels = {**noise_images(1), "mask.png": np.eye(6, 5, dtype=bool)[..., np.newaxis]}
    stored = open_all(data(pixels))
    assert np.array_equal(stored.pixels[1, ..., 0], np.eye(6, 5, dtype=np.uint8) * 255)
    assert stored.stats[1].dtype == "bool"


def test_byte_order_makes_no_difference() -> None:
    native = noise(1, (6, 5, 1), np.uint16)
    stored = open_all(data({"x": native, "y": native.astype(">u2")}))
    assert stored.pixels.dtype == np.uint16
    assert np.array_equal(stored.pixels[0], stored.pixels[1])
    assert stored.stats[0].digest == stored.stats[1].digest


def test_unreadable_images_are_listed_and_left_out() -> None:
    pixels = {
        **noise_images(1),
        "cut": unreadable("cut"),
        "odd": ValueError("odd\nmore"),
        "flat": np.zeros((6, 5), np.uint8),
        "nan": np.full((6, 5, 1), np.nan, np.float32),
        "text": np.full((6, 5, 1), "x"),
        "empty": np.zeros((0, 5, 1), np.uint8),
    }
    for _ in range(2):
        stored = open_all(data(pixels))
        assert stored.images == ("0.png",)
        assert stored.pixels.shape == (1, 6, 5, 1)
        assert [stat.status for stat in stored.stats] == ["read"] + ["refused"] * 6
        reasons = {stat.image: stat.reason for stat in stored.stats}
        assert reasons["cut"] == "it is cut off"
        assert reasons["odd"] == "reading it failed: ValueError: odd"
        assert "shape (6, 5)" in reasons["flat"]
        assert "not finite" in reasons["nan"]


def test_no_image_can_be_read() -> None:
    for _ in range(2):
        stored = open_all(data({"x": unreadable("x"), "y": unreadable("y")}))
        assert (stored.images, stored.pixels.shape) == ((), (0, 6, 5, 3))


class ConstantFingerprint(InMemory):
    def fingerprint(self, image: str) -> str:
        return image


def test_unreadable_images_are_tried_again() -> None:
    pixels = noise_images()
    dataset = data(pixels)
    unchanged = ConstantFingerprint(name=dataset.name)
    InMemory.arrays[dataset.name]["1.png"] = MemoryError()
    assert open_all(unchanged).images == ("0.png", "2.png")
    InMemory.arrays[dataset.name]["1.png"] = pixels["1.png"]
    assert open_all(unchanged).images == tuple(pixels)


class Plane(InMemory):
    """A fingerprint that knows the file, and neither the setting nor the code."""

    plane: int = 0

    def read(self, image: str) -> np.ndarray:
        return super().read(image) + self.plane


def test_a_setting_that_changes_pixels_is_noticed(cache: Path) -> None:
    pixels = noise_images(9)
    name = data(pixels).name
    expected = np.stack(list(pixels.values()))
    for plane in (0, 3, 0, 3):
        stored = open_all(Plane(name=name, plane=plane))
        assert np.array_equal(stored.pixels, expected + np.uint8(plane))
    assert len(entries(cache)) == 2  # neither replaces the other
    read = len(InMemory.decoded)
    open_all(Plane(name=name, plane=0))
    assert len(InMemory.decoded) == read
    open_all(Plane(name=name, plane=0, classes=("a",)))  # changes no pixel
    assert len(InMemory.decoded) <= read + 4
    assert len(entries(cache)) == 2


LOCAL = """
import numpy as np
import cellvision as cv


class Edited(cv.Dataset):
    def catalog(self):
        raise NotImplementedError

    def fingerprint(self, image):
        return image

    def read(self, image):
        return np.full((6, 5, 1), int(image[0]) + {level}, np.uint8)
"""


def test_an_edited_local_plugin_is_noticed(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "edited_images.py"
    try:
        for level in (1, 2, 2, 1):
            file.write_text(LOCAL.format(level=level))
            cv.load_plugins(file)
            stored = open_pixels(cv.datasets.create("edited"), ["0.png", "1.png"], SMALL)
            assert list(stored.pixels[:, 0, 0, 0]) == [level, level + 1]
    finally:
        cv.datasets.unregister("edited")
    assert len(entries(cache)) == 2


def test_an_edit_for_one_kind_of_file_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "edited_images.py"
    images = [f"{n}.{'png' if n != 7 else 'tif'}" for n in range(20)]
    only_tiff = LOCAL.replace("int(image[0])", "image.endswith('tif')")
    try:
        for factor in (1, 2):
            file.write_text(only_tiff.format(level="0").replace("tif')", f"tif') * {factor}"))
            cv.load_plugins(file)
            stored = open_pixels(cv.datasets.create("edited"), images, SMALL)
            assert stored.pixels[7].max() == factor
    finally:
        cv.datasets.unregister("edited")


PACKAGE = """
import cellvision as cv
from .decoding import helpers


class Packaged(cv.Dataset):
    def catalog(self):
        raise NotImplementedError

    def fingerprint(self, image):
        return image

    def read(self, image):
        return helpers.decode(image)
"""
HELPERS = """
import numpy as np


def decode(image):
    return np.full((6, 5, 1), int(image[0]) + {level}, np.uint8)
"""


def test_an_edit_of_another_module_of_the_plugin_is_noticed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "packaged_images"
    (package / "decoding").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "decoding" / "__init__.py").write_text("")
    (package / "data.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    for level in (1, 20, 300, 1):  # of other lengths, so that Python compiles them again
        helpers = package / "decoding" / "helpers.py"
        helpers.write_text(HELPERS.format(level=f"{level} % 256"))
        for name in [name for name in sys.modules if name.startswith("packaged_images")]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        dataset = importlib.import_module("packaged_images.data").Packaged()
        stored = open_pixels(dataset, ["0.png", "1.png"], SMALL)
        assert list(stored.pixels[:, 0, 0, 0]) == [level % 256, level % 256 + 1]
    assert len(entries(cache)) == 3


class WithoutFingerprint(InMemory):
    fingerprint = cv.Dataset.fingerprint


class InBatches(WithoutFingerprint):
    def read_many(self, images: Sequence[str]) -> Sequence[np.ndarray]:
        return [self.read(image) for image in images]


@pytest.mark.parametrize("cls", [WithoutFingerprint, InBatches])
def test_the_first_time_every_image_is_read_once(cls: type[InMemory], cache: Path) -> None:
    pixels = {**noise_images(5), "9.png": noise(9, (6, 5, 1))}
    dataset = cls(name=data(pixels).name)
    first = open_all(dataset)
    assert sorted(InMemory.decoded) == sorted(pixels)
    again = open_all(dataset)  # reads to find out whether an image has changed
    assert len(InMemory.decoded) == 2 * len(pixels)
    assert again.stats == first.stats
    assert len(entries(cache)) == 1
    InMemory.arrays[dataset.name]["3.png"] = noise(77, (6, 5, 1))
    assert np.array_equal(open_all(dataset).pixels[3], noise(77, (6, 5, 1)))
    assert len(entries(cache)) == 2


def test_other_byte_orders_and_unreadable_images_are_found_again(cache: Path) -> None:
    swapped = noise(1, (6, 5, 1), np.uint16).astype(">u2")
    pixels = {"0": swapped, "1": unreadable("1"), "2": np.zeros((6, 5), np.uint16)}
    dataset = WithoutFingerprint(name=data(pixels).name)
    first, second = open_all(dataset), open_all(dataset)
    assert [stat.status for stat in first.stats] == ["read", "refused", "refused"]
    assert second.stats == first.stats
    assert len(entries(cache)) == 1


def test_channels_that_an_image_lacks() -> None:
    with pytest.raises(
        errors.PreprocessingError, match=r"^2\.png: preprocessing.channels requests channel 1"
    ):
        open_all(data({"2.png": noise(1, (6, 5, 1))}), cv.Preprocessing(size=(6, 5), channels=(1,)))


def test_location_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("CELLVISION_CACHE", "~/cells")
    assert cache_folder() == Path.home() / "cells"
    monkeypatch.setenv("CELLVISION_CACHE", "")
    assert cache_folder().name == "cellvision"


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(errors.FolderError, match="cannot be written: Not a directory") as caught:
        open_all(data(noise_images()))
    assert "CELLVISION_CACHE" in caught.value.hint


def test_a_full_disk(cache: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    dataset = data({"big": noise(1, (200, 200, 1))})
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with pytest.raises(errors.FolderError, match="cannot be written: File too large"):
            open_all(dataset, cv.Preprocessing(size=(200, 200)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert entries(cache) == []
    assert open_all(dataset, cv.Preprocessing(size=(200, 200))).pixels.shape == (1, 200, 200, 1)


def test_sizes_that_nothing_can_hold_are_refused_before_an_image_is_read(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: InMemory, image: str) -> np.ndarray:
        pytest.fail("an image is read")

    dataset = data(noise_images(20))
    monkeypatch.setattr(InMemory, "fingerprint", lambda self, image: image)
    monkeypatch.setattr(InMemory, "read", read)
    what = r"preprocessing.size is \[100000,100000\]: an image of 10.0 GB"
    with pytest.raises(errors.PreprocessingError, match=what) as caught:
        open_all(dataset, cv.Preprocessing(size=(100_000, 100_000)))
    assert "prepare slice" in caught.value.hint
    space = SimpleNamespace(free=2_000_000_000)
    monkeypatch.setattr("cellvision.data.cache_space.shutil.disk_usage", lambda path: space)
    what = r"20 images take at least 4\.0 GB, but 2\.0 GB are free in the cache"
    with pytest.raises(errors.PreprocessingError, match=what) as caught:
        open_all(dataset, cv.Preprocessing(size=(10_000, 10_000), channels=(0, 1)))
    assert "CELLVISION_CACHE" in caught.value.hint
    space.free = 900
    what = r"20 images take at least 2\.0 kB, but 900 bytes are free in the cache"
    with pytest.raises(errors.PreprocessingError, match=what):
        open_all(dataset, cv.Preprocessing(size=(10, 10), channels=(0,)))
    assert not (cache / "pixels").exists()


def test_an_interruption_leaves_no_entry(cache: Path) -> None:
    def interrupt(count: int, total: int) -> None:
        raise KeyboardInterrupt

    dataset = data(noise_images(100))
    with pytest.raises(KeyboardInterrupt):
        open_pixels(dataset, [f"{n}.png" for n in range(100)], SMALL, interrupt)
    assert entries(cache) == []


def test_statistics(tmp_path: Path) -> None:
    deep = np.full((6, 5), 17, np.uint16)
    deep[0, 0] = 65535
    root = tmp_path / "images"
    write(root / "a" / "0.tif", deep)
    write(root / "b" / "0.tif", deep // 2)
    dataset = cv.datasets.create("folder", path=root)
    stat = open_all(dataset).stats[0]
    assert (stat.shape, stat.dtype, stat.bit_depth) == ((6, 5, 1), "uint16", 16)
    assert (stat.low, stat.high, stat.saturated_fraction) == (17, 65535, 1 / 30)
    assert ImageStats.from_json(json.loads(json.dumps(stat.to_json()))) == stat
