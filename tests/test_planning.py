"""Planning: nested subsets of training groups, learning curves, and the verb ``plan``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from images import InMemory

import cellvision as cv
from cellvision import errors
from cellvision.cli import main
from cellvision.data.catalog import Catalog
from cellvision.data.training_subset import keep_training_groups
from cellvision.results.verdicts import LearningCurveRecord
from cellvision.statistics import Pilot, accuracy_interval, groups_for_interval


def table(sizes: list[int], splits: int = 4) -> pd.DataFrame:
    """Groups of these sizes; two of three are dark, one of `splits` is for testing."""
    rows = [
        {
            "block": group,
            "label": ("dark", "dark", "light")[group % 3],
            "split": "test" if group % splits == 1 else "train",
        }
        for group, size in enumerate(sizes)
        for _ in range(size)
    ]
    return pd.DataFrame(rows)


@settings(max_examples=8)
@given(st.lists(st.integers(1, 3), min_size=12, max_size=30), st.integers(0, 99))
def test_subsets_are_nested_and_keep_groups_whole_and_classes_in_proportion(
    sizes: list[int], seed: int
) -> None:
    images = table(sizes)
    blocks = images["block"].to_numpy()
    trained = images["split"] == "train"
    total = images.loc[trained, "block"].nunique()
    before = np.zeros(len(images), bool)
    for number in range(4, total + 1):
        keep = keep_training_groups(images, blocks, number, seed)
        assert keep[~trained].all()
        assert images.loc[trained & keep, "block"].nunique() == number
        assert images.assign(keep=keep)[trained].groupby("block")["keep"].nunique().max() == 1
        assert keep[before].all()
        before = keep
        kept = images[trained & keep].drop_duplicates("block")
        everything = images[trained].drop_duplicates("block")
        share = (everything["label"] == "dark").mean()
        assert abs((kept["label"] == "dark").sum() - share * number) <= 1.5
    assert before.all()


def test_more_groups_than_there_are_is_an_error() -> None:
    images = table([2] * 12)
    with pytest.raises(errors.SplitError, match="20 training groups are requested"):
        keep_training_groups(images, images["block"].to_numpy(), 20, 0)
    with pytest.raises(errors.SplitError, match="class 'light' has none of 1"):
        keep_training_groups(images, images["block"].to_numpy(), 1, 0)


def test_a_split_leaves_training_groups_out_and_nothing_else() -> None:
    names = [f"w{k // 2}" for k in range(48)]
    labels = [("dark", "light")[k // 2 % 2] for k in range(48)]
    images = {"image": [f"{k}.png" for k in range(48)], "label": labels, "group": names}
    catalog = Catalog.of(InMemory.of(images))
    whole = cv.Split().apply(catalog).table
    part = cv.Split(training_groups=6).apply(catalog).table
    assert part.loc[part["split"] == "train", "group"].nunique() == 6
    others = whole["split"] != "train"
    assert list(part.loc[others, "split"]) == list(whole.loc[others, "split"])


def test_a_curve_is_told_with_its_limits_and_without_a_target() -> None:
    values: dict[str, Any] = {"split": "test", "measured_groups": (8, 16, 32), "test_groups": 20}
    measured = (0.6, 0.7, 0.75)
    curve = LearningCurveRecord(
        measured_accuracy=measured,
        groups=(8, 16, 32, 64, 128),
        accuracy=(0.6, 0.7, 0.75, 0.78, 0.8),
        low=(0.5, 0.6, 0.7, 0.7, 0.7),
        high=(0.7, 0.8, 0.8, 0.86, 0.9),
        **values,
    )
    assert curve.sentences == (
        "Accuracy by training groups: 8 groups: 0.60, 16 groups: 0.70, 32 groups: 0.75.",
        "With 64 groups, the curve expects 0.78 (0.70 to 0.86).",
        "With 128 groups, the curve expects 0.80 (0.70 to 0.90).",
    )
    none = LearningCurveRecord(
        measured_accuracy=measured, reason="12 test groups: too few", **values
    )
    assert none.sentences[1] == "No curve is fitted: 12 test groups: too few."


# --- the verb plan -------------------------------------------------------------------------


def plan(*words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["plan", *words, "--json"])
    assert ended.value.code == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def test_guesses_are_enough_for_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--accuracy", "0.9", "--correlation", "0.1", "--images", "10")
    content = plan(*words, "--half-width", "0.1", capsys=capsys)
    pilot = Pilot(0.9, 0.1, 10)
    guesses = {"accuracy": 0.9, "correlation": 0.1, "images": 10}
    assert content["pilot"] == {**guesses, "recalls": None, "within_classes": None}
    assert content["groups_for_interval"] == groups_for_interval(pilot, 0.1)
    assert content["groups_for_interval_cross_validated"] == groups_for_interval(pilot, 0.1 / 1.3)
    assert content["groups_per_class_for_test"] == 3  # of 20 arrangements one is the true one
    assert content["simulated_power"]["3"] >= 0.8
    # Three groups of each class are not enough for an interval above chance.
    folds = content["simulated_power_cross_validated"]
    assert folds["3"] < 0.8
    assert folds[str(content["groups_per_class_cross_validated"])] >= 0.8


def test_a_plan_says_what_is_planned_and_what_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--accuracy", "0.9", "--correlation", "0.1", "--images", "10", "--half-width", "0.1")
    with pytest.raises(SystemExit):
        main(["plan", *words])
    lines = capsys.readouterr().out.splitlines()
    on_test_set = (
        'For "learned" on a test set (p <= 0.05) with probability 0.8: about 3 test groups'
    )
    assert any(line.startswith(on_test_set) for line in lines)
    folds = 'For "learned" in a cross-validated study (p <= 0.05, and the interval above chance): '
    assert any(line.startswith(folds) for line in lines)
    assert any(line.startswith("Not planned: whether the network does more") for line in lines)


def test_a_guess_at_chance_has_no_number_of_groups(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--accuracy", "0.5", "--correlation", "0.1", "--images", "10")
    content = plan(*words, "--half-width", "0.2", capsys=capsys)
    assert (content["at_chance"], content["groups_per_class_for_test"]) == (True, None)
    with pytest.raises(SystemExit):
        main(["plan", *words, "--half-width", "0.2"])
    assert "no number of groups is enough" in capsys.readouterr().out


def test_an_incomplete_guess_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--accuracy", "0.9"])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "nothing says the correlation" in message
    assert "--images" in message


# --- a study of sizes ----------------------------------------------------------------------


@pytest.mark.exhaustive
def test_a_study_of_sizes_and_a_plan_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    images = tiny.make_folder(tmp_path / "images", count=24, wells=24)
    with tiny.on_offer():
        experiment = tiny.experiment(
            images, group="well", epochs=2, split=cv.Split(test=0.5), reporters=None
        )
        study = cv.study(experiment, 1, tmp_path / "study", sizes=[4, 8, 12])
    assert study.names == ("4 groups", "8 groups", "12 groups")
    counts = [sum(each.runs[0].counts["train"].values()) for each in study.experiments]
    assert counts == [4, 8, 12]
    (curve,) = study.learning_curves
    assert curve.measured_groups == (4, 8, 12)
    assert curve.test_groups == 24
    assert curve.groups == (4, 8, 12, 24, 48)
    assert curve.reason is None
    assert (study.folder / "reports" / "training_size_test.png").is_file()
    content = plan(str(study.folder), "--experiment", "12 groups", capsys=capsys)
    assert content["classes"] == 2
    assert content["pilot"]["images"] == 1


@pytest.mark.parametrize("accuracy", [0.0, 0.99, 1.0])
def test_a_pilot_without_errors_does_not_plan_two_groups(accuracy: float) -> None:
    """Independent images, one to a group: the planned number gives the interval asked for."""
    pilot = Pilot(accuracy, correlation=0.0, images=1)
    for half_width in (0.02, 0.05, 0.2):
        n = groups_for_interval(pilot, half_width)
        right = np.arange(n) < round(accuracy * n)
        interval = accuracy_interval(right)
        assert (interval.high - interval.low) / 2 <= half_width + 0.003
        assert n > 0.4 / half_width
