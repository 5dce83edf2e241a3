"""p-values of several experiments and test sets of a study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny

import cellvision as cv


@pytest.fixture(autouse=True)
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiny networks, and a separate cache."""
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CELLVISION_ODOMETER", "off")
    with tiny.on_offer():
        yield


@pytest.mark.slow
def test_a_test_set_of_one_class_is_no_further_test(tmp_path: Path) -> None:
    both, one = {"dark": 8, "light": 8}, {"light": 6}
    sets = tiny.make_splits(tmp_path / "sets", {"train": both, "plate": both, "other": one})
    study = cv.study(tiny.experiment(sets, epochs=2), 1, tmp_path / "study")
    verdicts = {each.split: each for each in study.verdicts}
    assert verdicts["plate"].p == verdicts["plate"].unadjusted_p
    assert verdicts["other"].p == 1.0
    # Its one class is no reason to call a network untrained.
    assert verdicts["other"].dead_runs == verdicts["plate"].dead_runs

    third = {"train": both, "plate": both, "day": both, "other": one}
    sets = tiny.make_splits(tmp_path / "more", third)
    study = cv.study(tiny.experiment(sets, epochs=2), 1, tmp_path / "more-study")
    verdicts = {each.split: each for each in study.verdicts}
    pair = [verdicts["plate"].unadjusted_p, verdicts["day"].unadjusted_p]
    adjusted = cv.statistics.holm([p for p in pair if p is not None])
    assert [verdicts["plate"].p, verdicts["day"].p] == adjusted


@pytest.mark.slow
def test_experiments_on_other_images_are_adjusted_for_each_other(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images")
    experiments = {
        f"seed {seed}": tiny.experiment(images, group="well", split=cv.Split(seed=seed, test=0.5))
        for seed in range(3)
    }
    study = cv.study(experiments, 1, tmp_path / "study")
    assert len({frozenset(run.predictions_of("test")["image"]) for run in study.runs}) == 3
    alone = [[each.unadjusted_p] for each in study.verdicts]
    adjusted = cv.statistics.holm_over_families(alone)
    assert [[each.p] for each in study.verdicts] == adjusted
    assert min(each.p for each in study.verdicts) == pytest.approx(3 * min(p for (p,) in alone))
