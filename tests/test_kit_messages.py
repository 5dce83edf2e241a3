"""What the kit says of common mistakes: one failure for one fault, with what was returned."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import cellvision as cv
from cellvision import errors
from cellvision.statistics import ControlMeaning
from cellvision.testing import check
from cellvision.testing.result import CheckResult


class Folds(cv.Splitter):
    """Returns what its attribute returns."""

    returns: ClassVar[Any] = None

    def folds(self, catalog: pd.DataFrame) -> Any:
        return self.returns(catalog)


class Reports(cv.Reporter):
    """Returns what its attribute returns."""

    returns: ClassVar[Any] = None

    def run(self, run: cv.Run, folder: Path) -> Any:
        path = folder / "report.txt"
        path.write_text("report", encoding="utf-8")
        return self.returns(path)


class Lists(cv.Dataset):
    """Lists its images wrongly."""

    returns: ClassVar[Any] = None

    def catalog(self) -> Any:
        return self.returns()

    def read(self, image: str) -> np.ndarray:
        number = int(image) if image.isdigit() else -1
        if number < 0:
            raise errors.UnreadableImage(image, "there is no such image")
        return np.full((8, 8, 1), number, np.uint8)


class Augments(cv.Augmenter):
    """Builds no layer."""

    returns: ClassVar[Any] = None

    def build(self, seed: int) -> Any:
        return self.returns


class Chooses(cv.Recipe):
    """Chooses wrongly."""

    returns: ClassVar[Any] = None

    def experiment(self, facts: cv.ImageFacts) -> Any:
        return self.returns(facts)


class Predicts(cv.Control):
    """Predicts wrongly."""

    returns: ClassVar[Any] = None

    def meaning(self) -> ControlMeaning:
        return ControlMeaning("lower rung", "nothing")

    def predict(self, data: cv.ControlData, seed: int) -> Any:
        return self.returns(data)


class Images(cv.Control):
    """Changes images wrongly."""

    returns: ClassVar[Any] = None

    def meaning(self) -> ControlMeaning:
        return ControlMeaning("lower rung", "nothing")

    def change_image(self, pixels: np.ndarray) -> Any:
        return self.returns(pixels)


class WithoutEngine(cv.Exporter):
    """Names an engine that it cannot open."""

    returns: ClassVar[Any] = None
    suffix: ClassVar[str] = ".txt"
    engine: ClassVar[str] = "numpy"

    def export(self, run: cv.Run, folder: Any) -> Any:
        path = folder / "model.txt"
        path.write_text("weights")
        return path

    def verify(self, run: cv.Run, folder: Any) -> Any:
        (folder / "model.txt").read_text()
        return {"images": 0}


class WritesNothing(WithoutEngine):
    """Returns a path and writes nothing."""

    engine: ClassVar[str] = ""

    def export(self, run: cv.Run, folder: Any) -> Any:
        return folder / "model.txt"


class ReturnsOther(WithoutEngine):
    """Returns something else than the path of its file."""

    engine: ClassVar[str] = ""

    def export(self, run: cv.Run, folder: Any) -> Any:
        super().export(run, folder)
        return self.returns(folder)

    def verify(self, run: cv.Run, folder: Any) -> Any:
        if not (folder / "model.txt").read_text():
            raise ValueError("the file is empty")
        return {"images": 0}


class WithoutSuffix(ReturnsOther):
    """Lacks a suffix."""

    suffix: ClassVar[str] = ""


class Unregistered(cv.Architecture):
    """Has a layer that is not registered."""

    returns: ClassVar[Any] = None

    def build(self, input_shape: tuple[int, int, int], classes: int) -> Any:
        import keras

        class Twice(keras.layers.Layer):  # type: ignore[misc]
            def call(self, x: Any) -> Any:
                return 2 * x

        return keras.Sequential(
            [
                keras.Input(input_shape),
                keras.layers.Flatten(),
                Twice(),
                keras.layers.Dense(classes, activation="softmax", dtype="float32"),
            ]
        )


def failures(base: type[Any], returns: Any) -> list[CheckResult]:
    wrapped = staticmethod(returns) if callable(returns) else returns
    cls = type("Mine", (base,), {"returns": wrapped, "__module__": __name__, "__doc__": "Mine."})
    cls.__annotations__ = {"returns": ClassVar[Any]}
    base.registry.register("mine", cls)
    ignored = {"loads_alone_and_cheaply", "refuses_what_cannot_be_divided", "survives_pickle"}
    try:
        results = check(base.registry.kind, "mine")
    finally:
        base.registry.unregister("mine")
    return [each for each in results if each.outcome == "failed" and each.check not in ignored]


def _no_labels() -> pd.DataFrame:
    return pd.DataFrame({"image": list("0123"), "class": list("abab")})


def _by_donor(table: pd.DataFrame) -> Any:
    raise errors.SplitError("there is no column donor", "Set column.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "returns", "name", "what", "hint"),
    [
        (
            Reports,
            lambda path: path,
            "reports_on_a_run",
            "Path, not a list",
            "Return a list of",
        ),
        (
            Reports,
            lambda path: None,
            "reports_on_a_run",
            "NoneType, not a list",
            "Return a list of",
        ),
        (Lists, _no_labels, "lists_its_images", "no column 'label'", "image and label"),
        (Lists, list, "lists_its_images", "catalog() returned list", "pandas.DataFrame"),
        (Augments, 3, "builds_a_layer", "build() returned int", "keras.layers.Layer"),
        (Folds, _by_donor, "divides_a_catalog", "no column donor", "columns image, label, group"),
    ],
)
def test_a_wrong_type_is_one_failure(
    base: type[Any], returns: Any, name: str, what: str, hint: str
) -> None:
    (failure,) = failures(base, returns)
    assert failure.check == name
    assert what in failure.reason
    assert hint in failure.hint


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("base", "returns", "name", "what", "hint"),
    [
        (
            Folds,
            lambda t: [["test" if row % 2 else "train" for row in range(len(t))]],
            "keeps_blocks_whole",
            "fold 1 divides 23 blocks",
            "Assign splits to blocks",
        ),
        (Folds, lambda t: None, "divides_a_catalog", "returned NoneType, not", "Return a split"),
        (Folds, lambda t: {1: ["train"]}, "divides_a_catalog", "returned dict, not", "Return a"),
        (Folds, lambda t: ["train"], "divides_a_catalog", "fold 1 is str", "Return a split"),
        (Folds, lambda t: [["test"]], "divides_a_catalog", "1 splits for 96", "each row"),
        (
            Folds,
            lambda t: t["lab"],
            "divides_a_catalog",
            "KeyError: 'lab'",
            "tests/test_kit_messages.py",
        ),
        (Chooses, lambda f: f.size, "chooses_settings", "no attribute 'size'", "See line"),
        (
            Predicts,
            lambda data: np.full((len(data.table), 3), 1 / 3),
            "predicts",
            "72×3 float64, not 72×2",
            "one column per class",
        ),
        (Images, lambda x: x.size_of_cells, "changes_images", "change_image() fails", "See line"),
        (Images, lambda x: np.negative(x, out=x), "changes_images", "read-only", "change a copy"),
    ],
)
def test_one_fault_is_one_failure(
    base: type[Any], returns: Any, name: str, what: str, hint: str
) -> None:
    (failure,) = failures(base, returns)
    assert failure.check == name
    assert what in failure.reason
    assert hint in failure.hint


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("base", "name", "what", "hint"),
    [
        (WithoutEngine, "its_engine_predicts", "open_engine is not defined", "Define open_engine"),
        (WritesNothing, "exports_a_run", "wrote nothing to model.txt", "Write the file"),
        (Unregistered, "names_its_layers", "class Twice is not registered", "Decorate it"),
    ],
)
def test_the_cure_fits_the_fault(base: type[Any], name: str, what: str, hint: str) -> None:
    found = {failure.check: failure for failure in failures(base, None)}
    assert what in found[name].reason
    assert hint in found[name].hint


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("base", "returns", "name", "what"),
    [
        (ReturnsOther, lambda folder: None, "exports_a_run", "returned NoneType None"),
        (ReturnsOther, lambda folder: str(folder / "model.txt"), "exports_a_run", "returned str"),
        (ReturnsOther, lambda folder: folder / "weights", "exports_a_run", "returned weights, not"),
        (WithoutSuffix, lambda folder: folder / "model", "declares_its_suffix", "suffix is ''"),
    ],
)
def test_a_wrong_path_of_an_export_is_one_failure(
    base: type[Any], returns: Any, name: str, what: str
) -> None:
    (failure,) = failures(base, returns)
    assert failure.check == name
    assert what in failure.reason
