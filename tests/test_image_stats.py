"""Per-image statistics: exact values, notes by kind, bounded memory, one failure per image."""

from __future__ import annotations

import json
import threading
import time
import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from cellvision import Dataset, DecodedImage, errors
from cellvision.concurrency import available_processors
from cellvision.data.batch_reads import scan
from cellvision.data.image_stats import ImageStats, decode, measure, summarize_notes
from cellvision.data.near_duplicates import sketch
from cellvision.data.threaded_map import in_threads
from cellvision.interfaces.decoded_image import Note

PIXELS = np.zeros((4, 4, 1), np.uint8)


class Made(Dataset):
    """Images made by a function of their id."""

    make: Any

    def catalog(self) -> pd.DataFrame:
        return pd.DataFrame({"image": ["a", "b"], "label": ["x", "y"]})

    def read(self, image: str) -> np.ndarray:
        pixels: np.ndarray = self.make(image)
        return pixels


def of(pixels: np.ndarray, *notes: str, bit_depth: int = 0) -> ImageStats:
    depth = bit_depth or 8 * pixels.dtype.itemsize
    return ImageStats.of("a", DecodedImage(pixels, depth, notes))


def test_values_of_one_image() -> None:
    pixels = np.array([[[0], [7]], [[4095], [4095]]], np.uint16)
    facts = of(pixels, bit_depth=12)
    assert (facts.low, facts.high, facts.saturated_fraction) == (0.0, 4095.0, 0.5)
    assert (facts.shape, facts.dtype, facts.status) == ((2, 2, 1), "uint16", "read")


def test_digests_ignore_memory_layout() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (700, 900, 1), np.uint8)
    turned = np.asfortranarray(pixels)
    assert not turned.flags.c_contiguous
    assert of(turned).digest == of(pixels).digest
    assert of(pixels[::-1]).digest != of(pixels).digest
    assert of(pixels.astype(np.uint16)).digest != of(pixels).digest


def test_image_stats_survive_json() -> None:
    note = Note("alpha channel dropped, although it varies", "varying_alpha_dropped", warning=True)
    facts = of(np.arange(400, dtype=np.uint8).reshape(20, 20, 1), note, "a plugin's own note")
    back = ImageStats.from_json(json.loads(json.dumps(facts.to_json())))
    assert back == facts
    assert len(back.sketch) == 100
    older = {k: v for k, v in facts.to_json().items() if k not in ("compression", "means")}
    assert ImageStats.from_json(older).compression == ""
    assert [(n.kind, n.warning) for n in back.notes] == [
        ("varying_alpha_dropped", True),
        ("a plugin's own note", False),
    ]


def test_notes_are_counted_by_kind() -> None:
    pixels = np.zeros((2, 2, 1), np.uint8)

    def facts(name: str, *notes: Note) -> ImageStats:
        return ImageStats.of(name, DecodedImage(pixels, 8, notes))

    images = [
        facts("a", Note("EXIF orientation 6 applied", "orientation_applied")),
        facts("b", Note("EXIF orientation 3 applied", "orientation_applied")),
        facts("c"),
        facts("d", Note("alpha dropped, though it varies", "varying", warning=True)),
        facts("e", *[Note("twice in one image", "orientation_applied")] * 2),
    ]
    varying, orientation = summarize_notes(images)
    assert (varying.kind, varying.count, varying.image, varying.warning) == (
        "varying",
        1,
        "d",
        True,
    )
    assert (orientation.count, orientation.warning) == (3, False)
    assert str(varying) == "'d': alpha dropped, though it varies."
    assert str(orientation) == "3 images: EXIF orientation 6 applied (such as 'a')."
    assert summarize_notes([]) == []


@pytest.mark.parametrize(
    ("value", "word"),
    [(np.nan, "not finite"), (-np.inf, "not finite"), (1e300, "1e+300"), (-3e38, "3e+38")],
)
def test_intensities_that_32_bits_do_not_hold(value: float, word: str) -> None:
    pixels = np.ones((12, 12, 1))
    pixels[3, 4] = value
    facts, decoded_pixels = decode(Made(make=lambda _: pixels), "a")
    assert decoded_pixels is None
    assert facts.status == "refused"
    assert word in facts.reason
    pixels[3, 4] = 1e18
    assert decode(Made(make=lambda _: pixels), "a")[0].status == "read"


@pytest.mark.parametrize("fault", [MemoryError(), RuntimeError("odd\nsecond line")])
def test_one_image_that_fails_is_refused_and_the_others_are_read(fault: Exception) -> None:
    def make(image: str) -> np.ndarray:
        if image == "3":
            raise fault
        return np.full((12, 12, 1), int(image), np.uint8)

    names = [str(number) for number in range(20)]
    facts = scan(Made(make=make), names)
    assert [fact.image for fact in facts] == names
    assert [fact.image for fact in facts if fact.status == "refused"] == ["3"]
    assert "memory" in facts[3].reason or "RuntimeError: odd" in facts[3].reason


def test_measuring_takes_little_memory() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 2000, 3), np.uint8)
    of(pixels)
    tracemalloc.start()
    of(pixels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < pixels.nbytes / 4


def test_threads_keep_the_order_and_few_results() -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.0005)
        return number * number

    steps: list[tuple[int, int]] = []
    results = in_threads(work, range(500), lambda done, total: steps.append((done, total)))
    first = next(results)
    assert most < 200  # the others are not made before they are wanted
    assert [first, *results] == [number * number for number in range(500)]
    assert steps == [(done, 500) for done in range(1, 501)]


@pytest.mark.parametrize("seconds", [0, 0.0005])
def test_many_items_are_tried_alone_and_in_threads(seconds: float) -> None:
    """Whichever is faster does the rest; items that wait outside Python's lock go to threads."""
    threads = []

    def work(number: int) -> int:
        time.sleep(seconds)
        threads.append(threading.get_ident())
        return number * number

    assert list(in_threads(work, range(4000))) == [number * number for number in range(4000)]
    here = threading.get_ident()
    if available_processors() == 1:
        assert set(threads) == {here}
        return
    assert {thread == here for thread in threads[:2000]} == {True, False}
    if seconds:
        assert here not in threads[2000:]


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    def work(number: int) -> int:
        if number == 30:
            raise errors.CatalogError("no such row")
        return number

    with pytest.raises(errors.CatalogError, match="no such row"):
        list(in_threads(work, range(100)))


@pytest.mark.parametrize(
    ("decoded", "reason"),
    [
        (PIXELS, "decode() returned ndarray, not a cellvision.DecodedImage"),
        (None, "decode() returned NoneType"),
        (DecodedImage.of_pixels(None), "returned shape (), dtype object"),  # type: ignore[arg-type]
        (DecodedImage(PIXELS, None), "a bit depth of None for uint8, not from 1 to 8"),  # type: ignore[arg-type]
        (DecodedImage(PIXELS, "8"), "a bit depth of '8'"),  # type: ignore[arg-type]
        (DecodedImage(PIXELS, True), "a bit depth of True"),
        (DecodedImage(PIXELS, 12), "a bit depth of 12 for uint8"),
        (DecodedImage(PIXELS, 8, "cropped"), "the notes 'cropped', not a tuple"),  # type: ignore[arg-type]
        (DecodedImage(PIXELS, 8, None), "the notes None"),  # type: ignore[arg-type]
    ],
)
def test_what_a_data_set_decodes_is_checked(decoded: Any, reason: str) -> None:
    stats, pixels = measure("a", lambda: decoded)
    assert (stats.status, pixels) == ("refused", None)
    assert reason in stats.reason


# --- sketches ---------------------------------------------------------------------------------

IMAGES = st.sampled_from([np.uint8, np.uint16, np.int32, np.float32, np.bool_]).flatmap(
    lambda dtype: arrays(
        dtype,
        # of an odd size, Pillow rounds the middle of a pixel either way
        st.tuples(st.integers(5, 16), st.integers(5, 16), st.integers(1, 3)).map(
            lambda half: (2 * half[0], 2 * half[1], half[2])
        ),
        elements={"min_value": 0, "max_value": 60000} if dtype == np.float32 else None,
    )
)


def reference(pixels: np.ndarray) -> np.ndarray | None:
    """The sketch by Pillow's box filter, as floats before rounding."""
    grey = Image.fromarray(pixels.astype(np.float32).mean(-1))
    means = np.asarray(grey.resize((10, 10), Image.Resampling.BOX), np.float64)
    means = means - means.mean()
    largest = np.abs(means).max()
    return None if largest == 0 else 127 * means / largest


@settings(max_examples=80, deadline=None)
@given(pixels=IMAGES)
def test_sketches_are_means_of_blocks(pixels: np.ndarray) -> None:
    reduced, expected = sketch(pixels), reference(pixels)
    if not reduced or expected is None:
        values = pixels.astype(np.float64)
        assert not reduced
        assert expected is None or np.ptp(values.mean(-1)) < 1e-2 * np.abs(values).max()
        return
    numbers = np.frombuffer(reduced, np.int8).reshape(10, 10)
    assert np.abs(numbers - expected).max() <= 1.5


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([np.uint8, np.uint16, np.int16, np.float32, np.bool_]),
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12)),
    st.integers(0, 2**32 - 1),
)
def test_channel_means(dtype: type, shape: tuple[int, int, int], seed: int) -> None:
    pixels = (np.random.default_rng(seed).random(shape) * 60000).astype(dtype)
    expected = pixels.astype(np.float64).mean(axis=(0, 1))[:8]
    assert of(pixels).means == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(700, 900, 2), (12, 400_000, 3), (400_000, 3, 1), (9, 2, 1)])
def test_channel_means_of_large_and_narrow_images(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, shape, np.uint16)
    expected = pixels.astype(np.float64).mean(axis=(0, 1))
    assert of(pixels).means == pytest.approx(expected, rel=1e-12)


def test_large_images_are_summed_without_a_copy() -> None:
    large = np.random.default_rng(0).integers(0, 256, (2000, 1500, 3), np.uint8)
    tracemalloc.start()
    sketch(large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < large.nbytes / 10


def test_wide_images_are_summed_in_blocks() -> None:
    random = np.random.default_rng(0)
    wide = random.integers(0, 65536, (12, 400_000, 3), np.uint16)
    tracemalloc.start()
    reduced = sketch(wide)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21
    edges = np.floor(np.arange(11) * 1.2 + 0.5).astype(int)
    means = [
        [wide[a:b, c : c + 40_000].mean(dtype=np.float64) for c in range(0, 400_000, 40_000)]
        for a, b in pairwise(edges)
    ]
    centred = np.array(means) - np.mean(means)
    expected = np.rint(127 * centred / np.abs(centred).max())
    numbers = np.frombuffer(reduced, np.int8).reshape(10, 10)
    assert np.abs(numbers - expected).max() <= 1
