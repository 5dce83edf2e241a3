"""Splitters keep blocks whole, test what they promise, and say what is missing."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellvision as cv
from cellvision import errors


def catalog(wells: int = 12, images: int = 3, compounds: int = 2) -> pd.DataFrame:
    """Two classes; wells are groups, compounds hold wells, plates cross them."""
    rows = [
        {
            "image": f"{label}{well}_{k}",
            "label": label,
            "group": f"{label}{well}",
            "block": f"{label}{well}",
            "compound": f"{label}{well % compounds}",
            "plate": f"p{well % 3}",
            "day": f"2024-01-{1 + well % 9:02d}",
        }
        for label in "ab"
        for well in range(wells)
        for k in range(images)
    ]
    return pd.DataFrame(rows)


def check(table: pd.DataFrame, folds: Sequence[Sequence[str]]) -> None:
    for fold in folds:
        assert len(fold) == len(table)
        assert set(fold) <= {"train", "validation", "test", ""}
        splits = pd.Series(list(fold)).groupby(table["block"].to_numpy()).nunique()
        assert (splits == 1).all()
        train = table.loc[[split == "train" for split in fold], "label"]
        assert set(train) == set(table["label"])


@settings(max_examples=25, deadline=None)
@given(st.integers(6, 15), st.integers(1, 4), st.integers(2, 6), st.integers(0, 5))
def test_every_group_is_tested_once(wells: int, images: int, k: int, seed: int) -> None:
    table = catalog(wells, images)
    folds = cv.splitters.create("group_k_fold", k=k, seed=seed).folds(table)
    check(table, folds)
    assert len(folds) == k
    tested = pd.DataFrame(folds).eq("test").sum()
    assert (tested == 1).all()


def test_folds_balance_classes_within_batches() -> None:
    table = catalog(wells=15)  # five wells of each class on each of three plates
    table["batch"] = table["plate"]
    for seed in range(3):
        folds = cv.splitters.create("group_k_fold", k=5, seed=seed).folds(table)
        check(table, folds)
        for fold in folds:
            tested = table[[split == "test" for split in fold]]
            wells = tested.groupby(["plate", "label"])["group"].nunique()
            assert len(wells) == 6
            assert wells.eq(1).all()


def test_batches_of_one_well_do_not_unbalance_the_classes() -> None:
    table = catalog(wells=15)
    table["batch"] = table["group"]
    for fold in cv.splitters.create("group_k_fold", k=5).folds(table):
        tested = table.loc[[split == "test" for split in fold]].groupby("label")["group"].nunique()
        assert dict(tested) == {"a": 3, "b": 3}


def test_too_few_groups_for_the_folds_are_refused() -> None:
    with pytest.raises(errors.SplitError, match=r"too few groups \(3\) for 5"):
        cv.splitters.create("group_k_fold").folds(catalog(wells=3))


def test_each_compound_is_left_out_once() -> None:
    table = catalog()
    folds = cv.splitters.create("leave_one_out", column="compound").folds(table)
    check(table, folds)
    tested = [set(table.loc[[s == "test" for s in fold], "compound"]) for fold in folds]
    assert tested == [{"a0"}, {"a1"}, {"b0"}, {"b1"}]


def test_training_images_on_the_plates_of_the_test_images_are_left_out() -> None:
    table = catalog(compounds=4)
    table["compound"] = table["label"] + table["plate"]
    splitter = cv.splitters.create("leave_one_out", column="compound", not_same=("plate",))
    for fold in splitter.folds(table):
        plates = {
            split: set(table.loc[[s == split for s in fold], "plate"])
            for split in ("train", "validation", "test")
        }
        assert len(plates["test"]) == 1
        assert not plates["test"] & (plates["train"] | plates["validation"])


@pytest.mark.parametrize(
    ("settings", "change", "what"),
    [
        ({"column": "donor"}, {}, "'donor' is not known"),
        ({"column": "compound"}, {"compound": "same"}, "one value only"),
        ({"column": "compound", "not_same": ["plate"]}, {"plate": "p"}, "no training image"),
        ({"column": "image"}, {}, "holds several values"),
    ],
)
def test_groups_that_cannot_be_left_out_are_reported(
    settings: dict[str, object], change: dict[str, str], what: str
) -> None:
    table = catalog().assign(**change)
    with pytest.raises(errors.SplitError, match=what):
        cv.splitters.create("leave_one_out", **settings).folds(table)


def test_later_days_are_tested() -> None:
    table = catalog()
    (fold,) = cv.splitters.create("temporal", column="day", test=0.3).folds(table)
    check(table, [fold])
    test = table.loc[[s == "test" for s in fold], "day"]
    train = table.loc[[s in ("train", "validation") for s in fold], "day"]
    assert max(train) < min(test)
    assert 0.3 <= len(test) / len(table) < 0.5


def test_numbered_days_are_sorted_as_numbers() -> None:
    table = catalog()
    table["day"] = table.index % 36 // 3  # 0 to 11: as text, 10 would come before 2
    (fold,) = cv.splitters.create("temporal", column="day", test=0.2).folds(table)
    assert set(table.loc[[s == "test" for s in fold], "day"]) == {9, 10, 11}


def test_days_of_several_time_zones_are_sorted() -> None:
    table = catalog()
    zones = ["+01:00", "+02:00", ""]
    table["day"] = [
        f"2025-03-{1 + k % 36 // 3:02}T12:00{zones[k % 36 // 3 % 3]}" for k in table.index
    ]
    (fold,) = cv.splitters.create("temporal", column="day", test=0.2).folds(table)
    assert {day[8:10] for day in table.loc[[s == "test" for s in fold], "day"]} == {
        "10",
        "11",
        "12",
    }


def test_columns_are_named_with_composed_accents() -> None:
    """As in catalogs, whatever the file or the keyboard wrote."""
    name = unicodedata.normalize("NFD", "Präparat")
    left_out = cv.splitters.create("leave_one_out", column=name, not_same=(name,))
    assert left_out.column == left_out.not_same[0] == "Präparat"
    assert cv.splitters.create("temporal", column=name).column == "Präparat"


def test_unknown_time_is_refused() -> None:
    with pytest.raises(errors.SplitError, match="'batch' is not known"):
        cv.splitters.create("temporal").folds(catalog())
