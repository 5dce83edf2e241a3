"""A data set that breaks its contract is named, with its distribution, before any training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cellvision as cv
from cellvision import errors
from cellvision.data.catalog import Catalog
from cellvision.recognised_paths import recognising_dataset
from cellvision.testing import SyntheticImages, example_experiment, example_plugins
from cellvision.testing.isolation import Isolation


class Faulty(SyntheticImages):
    """Synthetic images; a test spoils one method."""

    handle: object = None


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    cv.datasets.register("faulty", Faulty)
    with example_plugins():
        yield
    cv.datasets.unregister("faulty")


def _with(name: str, values: Callable[[int], Any]) -> Callable[[Faulty], Any]:
    def catalog(self: Faulty) -> Any:
        table = SyntheticImages.catalog(self)
        table[name] = [values(row) for row in range(len(table))]
        return table

    return catalog


def _without_labels(self: Faulty) -> Any:
    return SyntheticImages.catalog(self).drop(columns="label")


def _no_rows(self: Faulty) -> Any:
    return SyntheticImages.catalog(self).iloc[:0]


def _exit(*_: object) -> Any:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("catalog", "what"),
    [
        (_without_labels, "the catalog has no column 'label'"),
        (_no_rows, "the data set contains no images"),
        (_with("image", lambda row: row // 2), "image ids occur more than once"),
        (_with("label", lambda row: ["a"]), "is ['a'], a list: no name of a class"),
        (_with("dose", lambda row: {"mM": row}), "the column 'dose' of"),
        (_with("group", lambda row: [row]), "the column 'group' of"),
        (_with("place", lambda row: np.zeros(2)), "a ndarray"),
        (_exit, "cannot list its images: SystemExit: 3"),
    ],
)
def test_a_table_that_breaks_a_rule_names_the_data_set(
    catalog: Callable[[Faulty], Any], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Faulty, "catalog", catalog)
    with pytest.raises(errors.CellvisionError) as caught:
        Catalog.of(Faulty())
    assert caught.value.what.startswith("dataset 'faulty' (registered here)")
    assert what in caught.value.what
    assert caught.value.hint


def test_dates_and_missing_values_may_be_provenance(monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime

    day = datetime.date(2026, 11, 29)
    monkeypatch.setattr(Faulty, "catalog", _with("day", lambda row: day if row else None))
    assert "day" in Catalog.of(Faulty()).table


def test_a_setting_that_cannot_be_recorded_is_found_before_the_training(tmp_path: Path) -> None:
    experiment = example_experiment(dataset=Faulty(handle=lambda: 0))
    with pytest.raises(errors.PluginContractError, match="which cannot be written to a file"):
        cv.train(experiment, tmp_path / "run")
    with pytest.raises(errors.PluginContractError, match="which cannot be written to a file"):
        cv.study(experiment, 1, tmp_path / "study")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("returned", [None, "a.txt", [None], ["a.txt"], 3])
def test_skipped_files_are_a_list(returned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Faulty, "skipped_files", lambda self: returned)
    with pytest.raises(errors.PluginContractError, match="not a list of") as caught:
        cv.audit(example_experiment(dataset=Faulty()))
    assert caught.value.what.startswith("dataset 'faulty' (registered here): skipped_files()")


def _flat(self: Faulty, image: str) -> Any:
    return SyntheticImages.decode(SyntheticImages(), image).pixels[..., 0]


def test_a_data_set_that_can_read_no_image_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice to skip the images would leave none."""
    monkeypatch.setattr(Faulty, "read", _flat)
    monkeypatch.setattr(Faulty, "decode", cv.Dataset.decode)
    with pytest.raises(errors.UnreadableImages, match="not \\(H, W, C\\) numbers") as caught:
        cv.train(example_experiment(dataset=Faulty()), tmp_path / "run")
    assert "dataset 'faulty' (registered here): it can read no image" in caught.value.hint


SOURCES = """
import cellvision as cv


class Plate(cv.Dataset):
    \"\"\"Images of a plate.\"\"\"

    path: object

    @classmethod
    def recognises(cls, path):
        {answer}

    def catalog(self):
        raise cv.errors.CatalogError("plate of lab-{name}", "None.")

    def read(self, image): ...
"""


@pytest.mark.parametrize(
    ("fault", "warning"),
    [
        ("return 1 / 0", "recognises('a.plate') failed: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "recognises('a.plate') failed: SystemExit: 3"),
        ("import nothing_installed", "recognises('a.plate') failed: ModuleNotFoundError"),
    ],
)
def test_a_fault_in_recognising_keeps_nobody_from_their_files(
    fault: str,
    warning: str,
    isolated_registries: Isolation,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, answer in (("faulty", fault), ("sound", "return path.suffix == '.plate'")):
        source = SOURCES.format(name=name, answer=answer)
        entry_points = {"dataset": {f"{name}_plate": f"lab_{name}:Plate"}}
        isolated_registries.install(f"lab-{name}", entry_points, {f"lab_{name}": source})
    (tmp_path / "a.plate").touch()
    with pytest.raises(errors.CatalogError, match="plate of lab-sound"):
        Catalog.of(recognised_dataset(tmp_path / "a.plate"))
    assert any(
        message.startswith("dataset 'faulty_plate' (lab-faulty 1.0): ") and warning in message
        for message in caplog.messages
    )


def recognised_dataset(path: Path) -> cv.Dataset:
    recognised = recognising_dataset(path)
    assert recognised is not None
    return cv.datasets.create(recognised.name, path=path)
