"""The speed of earlier trainings, from which the next one says how long it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellvision.training.earlier_speeds import EarlierSpeeds, TrainingSpeed, operations


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def speeds(work: str = "resnet", count: float = 100.0, machine: str = "here") -> EarlierSpeeds:
    return EarlierSpeeds([machine], [work], count)


def test_the_last_speed_of_this_training_on_this_machine() -> None:
    assert speeds().expected() is None
    speeds().record(0.5, 3.0)
    speeds().record(0.25, 2.0)
    assert speeds().expected() == TrainingSpeed(0.25, 2.0, 100.0)
    assert speeds(machine="elsewhere").expected() is None


def test_a_comparable_network_stands_for_one_that_is_new() -> None:
    speeds().record(0.5, 3.0)
    speeds("far", 1000.0).record(0.1, 1.0)
    assert speeds("larger", 200.0).expected() == TrainingSpeed(1.0, 3.0, 200.0)
    assert speeds("smaller", 50.0).expected() == TrainingSpeed(0.25, 3.0, 50.0)
    assert speeds("much smaller", 10.0).expected() is None
    assert speeds("unknown", 0.0).expected() is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"seconds_per_image": 0}', "\0"])
def test_damaged_records_are_ignored(cache: Path, content: str) -> None:
    speeds().record(0.5, 3.0)
    (file,) = cache.rglob("*.json")
    file.write_text(content)
    assert speeds().expected() is None


def test_a_cache_that_cannot_be_written_is_no_error(cache: Path) -> None:
    cache.write_text("a file where a folder should be")
    speeds().record(0.5, 3.0)
    assert speeds().expected() is None


def test_operations_of_a_network() -> None:
    from keras import Sequential, layers

    inner = Sequential([layers.Input((6, 6, 4)), layers.Conv2D(2, 1)])
    layer_list = [
        *(layers.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()),
        *(inner, layers.Flatten(), layers.Dense(5)),
    ]
    counted = [3 * 3 * 3 * 4 * 36, 4 * 2 * 36, 72 * 5]
    assert operations(Sequential(layer_list)) == sum(counted)
