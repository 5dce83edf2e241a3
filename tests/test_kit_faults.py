"""Faults of networks, augmenters and data sets that the kit's checks find one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import cellvision as cv
from cellvision import errors
from cellvision.data.catalog import Catalog
from cellvision.testing import (
    ArchitectureChecks,
    AugmenterChecks,
    CheckFailed,
    CheckResult,
    DatasetChecks,
    Isolation,
    ReporterChecks,
    check,
)
from cellvision.testing import dataset as dataset_checks
from cellvision.testing.badge import write_badge
from cellvision.testing.examples import example_experiment

if TYPE_CHECKING:
    import keras


class Amplify(cv.Augmenter):
    """Multiplies each image by a random factor of up to `most`."""

    most: float = 1.2
    policy: str = ""

    def build(self, seed: int) -> keras.layers.Layer:
        import keras

        if self.policy:
            keras.config.set_dtype_policy(self.policy)
        most = self.most

        class Factor(keras.layers.Layer):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__(dtype="float32")
                self.generator = keras.random.SeedGenerator(seed)

            def call(self, images: Any, training: bool = False) -> Any:
                if not training:
                    return images
                shape = (keras.ops.shape(images)[0], 1, 1, 1)
                return images * keras.random.uniform(shape, 0.9 * most, most, seed=self.generator)

        return Factor()


class Blend(cv.Augmenter):
    """Averages neighbours, and labels with the same weights or the other way round."""

    mixes_labels: ClassVar[bool] = True
    swapped: bool = False

    def build(self, seed: int) -> keras.layers.Layer:
        import keras
        from keras import ops

        swapped = self.swapped

        class Average(keras.layers.Layer):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__(dtype="float32")
                self.generator = keras.random.SeedGenerator(seed)

            def call(self, inputs: Any, training: bool = False) -> Any:
                images, labels = inputs
                if not training:
                    return images, labels
                share = keras.random.uniform((), 0.7, 1, seed=self.generator)
                images = share * images + (1 - share) * ops.roll(images, 1, axis=0)
                share = 1 - share if swapped else share
                return images, share * labels + (1 - share) * ops.roll(labels, 1, axis=0)

        return Average()


class Restless(cv.Architecture):
    """A network with one fault, such as dropout that never ends."""

    fault: str = ""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        import keras
        from keras import layers

        if self.fault == "policy":
            keras.config.set_dtype_policy("mixed_bfloat16")
        images = keras.Input(input_shape)
        options = {"data_format": "channels_first"} if self.fault == "channels" else {}
        x = layers.GlobalAveragePooling2D(**options)(images)
        x = layers.Dense(32, activation="relu")(x)
        x = _always_dropped(x) if self.fault == "dropout" else layers.Dropout(0.5)(x)
        x = layers.Dense(classes, activation="softmax", dtype="float32")(x)
        return keras.Model(images, x)


def _always_dropped(x: Any) -> Any:
    import keras

    @keras.saving.register_keras_serializable(package="tests")
    class AlwaysDropped(keras.layers.Layer):  # type: ignore[misc]
        """Drops units whether in training or not."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.generator = keras.random.SeedGenerator(1)

        def call(self, x: Any) -> Any:
            return keras.random.dropout(x, 0.5, seed=self.generator)

    return AlwaysDropped()(x)


class Cells(cv.Dataset):
    """Made-up images with one fault."""

    fault: str = ""

    def catalog(self) -> pd.DataFrame:
        labels: list[Any] = ["a", "b"] * 4
        if self.fault == "floats":
            labels = [0.5, 1.5] * 4
        if self.fault == "lists":
            labels = [["a"], ["b"]] * 4
        if self.fault == "numbers":
            labels = [0, 1] * 4
        return pd.DataFrame({"image": [str(n) for n in range(8)], "label": labels})

    def read(self, image: str) -> np.ndarray:
        if not image.isdigit():
            raise errors.UnreadableImage(image, "no such image")
        if self.fault == "slow":
            import time

            time.sleep(0.03)
        pixels = np.random.default_rng(int(image)).integers(0, 255, (12, 16, 3), np.uint8)
        return pixels.transpose(2, 0, 1) if self.fault == "channels" else pixels

    def read_many(self, images: Sequence[str]) -> Sequence[Any]:
        found = [self.read(image) for image in images]
        return found[::-1] if self.fault == "order" else found

    def pixel_size(self, image: str) -> Any:
        return {"text size": "0.3", "negative size": -1.0}.get(self.fault, 0.3)


class Greedy(Cells):
    """Recognises paths, without a setting for them."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.suffix == ".h5"


KINDS = {
    "architecture": (ArchitectureChecks, Restless),
    "augmenter": (AugmenterChecks, Amplify),
    "dataset": (DatasetChecks, Cells),
}


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    for checks, cls in KINDS.values():
        checks.registry.register("faulty", cls)
    yield
    for checks, _ in KINDS.values():
        checks.registry.unregister("faulty")


def run_check(kind: str, method: str, **example: Any) -> Any:
    checks = type("Checks", (KINDS[kind][0],), {"name": "faulty", "example": example})()
    getattr(checks, f"test_{method}")()
    return checks


@pytest.mark.parametrize(
    ("kind", "method", "example", "says"),
    [
        ("augmenter", "keeps_intensities_in_range", {"most": 50}, "became 0 to 4"),
        ("augmenter", "keeps_intensities_in_range", {"most": -50}, "became -4"),
        ("augmenter", "leaves_keras_as_it_is", {"policy": "mixed_bfloat16"}, "dtype_policy"),
        ("architecture", "predicts_the_same_again", {"fault": "dropout"}, "two predictions"),
        ("architecture", "leaves_keras_as_it_is", {"fault": "policy"}, "changes dtype_policy"),
        ("architecture", "channels_come_last", {"fault": "channels"}, "channels first"),
        ("dataset", "reads_its_images", {"fault": "channels"}, "channels seem to come first"),
        ("dataset", "reads_many_as_it_reads_one", {"fault": "order"}, "different pixels"),
        ("dataset", "catalog_keeps_the_rules", {"fault": "floats"}, "0.5, a float"),
        ("dataset", "catalog_keeps_the_rules", {"fault": "lists"}, "['a'], a list"),
        ("dataset", "pixel_sizes_are_micrometres", {"fault": "text size"}, "returned '0.3'"),
        ("dataset", "pixel_sizes_are_micrometres", {"fault": "negative size"}, "returned -1.0"),
    ],
)
def test_a_fault_fails_its_check(kind: str, method: str, example: Any, says: str) -> None:
    import keras

    with pytest.raises(CheckFailed) as caught:
        run_check(kind, method, **example)
    assert says in caught.value.what
    assert keras.config.dtype_policy().name == "float32"
    run_check(kind, method)  # passes without the fault


def test_labels_are_mixed_with_the_weights_of_the_images() -> None:
    cv.augmenters.register("blend", Blend)
    try:
        for swapped in (False, True):
            settings = {"name": "blend", "example": {"swapped": swapped}}
            checks = type("Checks", (AugmenterChecks,), settings)()
            if swapped:
                with pytest.raises(CheckFailed, match="from the shares of the classes"):
                    checks.test_leaves_labels_true()
            else:
                checks.test_leaves_labels_true()
    finally:
        cv.augmenters.unregister("blend")


def test_runs_that_train_at_once_share_no_state() -> None:
    class Live(cv.Reporter):
        """Follows epochs."""

        fault: str = ""
        _lines: list[str] = []

        def on_run_begin(self, folder: Path, experiment: cv.Experiment) -> Any:
            if self.fault == "nothing":
                return None
            follower = self if self.fault == "itself" else self.model_copy()
            if not self.fault:
                follower._lines = []
            return follower

        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            self._lines.append(f"{epoch}: {logs['loss']}")

    cv.reporters.register("live", Live)
    try:
        for fault, says in (
            *(("itself", "share _lines"), ("a copy alone", "share _lines")),
            *(("nothing", "returned NoneType"), ("", "")),
        ):
            example = {"name": "live", "example": {"fault": fault}}
            checks = type("Checks", (ReporterChecks,), example)()
            if says:
                with pytest.raises(CheckFailed, match=says):
                    checks.test_follows_epochs()
            else:
                checks.test_follows_epochs()
    finally:
        cv.reporters.unregister("live")


def test_slow_reads_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    (note,) = run_check("dataset", "reads_fast_enough", fault="slow").notes
    assert note.startswith("reading an image takes ")
    assert "read_many" in note
    assert "fingerprint" in note
    monkeypatch.setattr(dataset_checks, "_SLOW_READ", 60)
    assert run_check("dataset", "reads_fast_enough", fault="slow").notes == ()


def test_recognised_paths_need_a_setting() -> None:
    cv.datasets.register("greedy", Greedy)
    try:
        checks = type("Checks", (DatasetChecks,), {"name": "greedy"})()
        with pytest.raises(CheckFailed, match="there is no setting 'path'"):
            checks.test_recognises_no_foreign_paths()
    finally:
        cv.datasets.unregister("greedy")


def test_whole_numbers_are_names_of_classes() -> None:
    assert cv.Catalog.of(Cells(fault="numbers")).class_names == ("0", "1")


@pytest.mark.exhaustive
def test_dropout_at_inference_is_one_failure(tmp_path: Path) -> None:
    results = check("architecture", "faulty", {"fault": "dropout"})
    failed = {result.check for result in results if result.outcome == "failed"}
    undocumented = {"is_documented", "loads_alone_and_cheaply"}  # of this file, not of the network
    assert failed - undocumented == {"predicts_the_same_again"}


def test_a_badge_says_which_checks_passed(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    passed = CheckResult("loads", "It loads.", "passed")
    expected = CheckResult("trains", "It trains.", "expected", "frozen")
    path = write_badge(tmp_path / "checks.svg", [passed, expected], "0.3.1")
    image = ElementTree.parse(path).getroot()
    assert image.get("aria-label") == "cellvision: passes the checks of 0.3"
    shield = json.loads(write_badge(tmp_path / "c.json", [passed], "0.3.1").read_text())
    assert shield["message"] == "passes the checks of 0.3"
    failed = CheckResult("reloads", "It reloads.", "failed", "no")
    with pytest.raises(errors.CellvisionError, match="because reloads failed"):
        write_badge(tmp_path / "no.svg", [passed, failed], "0.3.1")
    with pytest.raises(errors.CellvisionError, match="no check passed"):
        write_badge(tmp_path / "no.svg", [], "0.3.1")
    omitted = CheckResult("exports_a_run", "It exports.", "skipped", "not installed: onnx")
    with pytest.raises(errors.CellvisionError, match="exports_a_run did not run: not installed"):
        write_badge(tmp_path / "no.svg", [passed, omitted], "0.3.1")
    with pytest.raises(errors.ExperimentError, match=r"is an \.svg or a \.json"):
        write_badge(tmp_path / "no.png", [passed], "0.3.1")
    assert not list(tmp_path.glob("no.*"))


@pytest.mark.slow
@pytest.mark.parametrize(("drawn", "missing"), [(True, ""), (False, "dots.png looks the same")])
def test_figures_must_carry_the_warnings(drawn: bool, missing: str) -> None:
    class Dots(cv.Reporter):
        """Draws a dot for each image, and the warnings if it is a good one."""

        def run(self, run: cv.Run, folder: Path) -> Sequence[cv.Artifact]:
            from PIL import Image, ImageDraw

            image = Image.new("L", (400, 60), 255)
            lines = "\n".join(line for line in cv.banners(run)[:2] if line)
            ImageDraw.Draw(image).text((2, 2), lines if drawn else "dots")
            image.save(folder / "dots.png")
            caption = cv.banners(run).groups if drawn else ""
            return [cv.Artifact(folder / "dots.png", "Dots", "figure", caption)]

    cv.reporters.register("dots", Dots)
    try:
        checks = type("Checks", (ReporterChecks,), {"name": "dots"})()
        if drawn:
            checks.test_figures_carry_the_warnings()
        else:
            with pytest.raises(CheckFailed, match=f"{missing} for a run of the kind 'leak'"):
                checks.test_figures_carry_the_warnings()
    finally:
        cv.reporters.unregister("dots")


class ByGroup(cv.Splitter):
    """Keeps groups whole, and divides groups that share an image."""

    tables: ClassVar[list[pd.DataFrame]] = []

    def folds(self, catalog: pd.DataFrame) -> Sequence[Sequence[str]]:
        self.tables.append(catalog)
        groups = sorted(set(catalog["group"]))
        if len(groups) < 2:
            raise errors.SplitError("too few groups", "Add some.")
        return [["test" if g in groups[: len(groups) // 4] else "train" for g in catalog["group"]]]


def test_blocks_in_the_kit_are_those_of_a_training(isolated_registries: Isolation) -> None:
    cv.splitters.register("by_group", ByGroup)
    failed = {each.check: each.reason for each in check("splitter", "by_group") if each.reason}
    assert failed["keeps_blocks_whole"] == "fold 1 divides 1 block, first: ['0']"
    in_kit = ByGroup.tables[0]
    cv.Split(splitter=ByGroup()).apply(Catalog.of(example_experiment().dataset), {})
    in_training = ByGroup.tables[-1]
    assert in_training is not in_kit
    assert in_training["block"].dtype == in_kit["block"].dtype == np.int64
