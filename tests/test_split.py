"""Splits: groups stay whole, identical images together, classes near their proportions."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from images import InMemory

import cellvision as cv
from cellvision import errors
from cellvision.data.catalog import Catalog
from cellvision.data.groups import linked_groups


def catalog(labels: list[str], groups: list[Any] | None = None, **columns: Any) -> Catalog:
    images = [f"{number}.png" for number in range(len(labels))]
    group_column = {} if groups is None else {"group": groups}
    return Catalog.of(InMemory.of({"image": images, "label": labels, **group_column, **columns}))


def sides(divided: Catalog) -> dict[str, set[str]]:
    table = divided.table
    return {split: set(table.loc[table["split"] == split, "image"]) for split in divided.splits()}


group_sizes = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 4)), min_size=8, max_size=30
).filter(lambda drawn: all(sum(c == name for c, _ in drawn) >= 3 for name in {c for c, _ in drawn}))


@settings(max_examples=10)
@given(sizes=group_sizes, seed=st.integers(0, 2**31 - 1), twins=st.data())
def test_groups_and_identical_images_stay_in_one_split(
    sizes: list[tuple[str, int]], seed: int, twins: st.DataObject
) -> None:
    assume(len({label for label, _ in sizes}) > 1)
    labels = [label for label, size in sizes for _ in range(size)]
    groups = [f"u{number}" for number, (_, size) in enumerate(sizes) for _ in range(size)]
    whole = catalog(labels, groups)
    images = list(whole.table["image"])
    pair = twins.draw(st.lists(st.sampled_from(images), min_size=2, max_size=2, unique=True))
    digests = {image: image for image in images} | {pair[1]: pair[0]}
    try:
        result = cv.Split(seed=seed).apply(whole, digests)
    except errors.SplitError:  # the twins may link two of a class's three groups
        same = {groups[images.index(image)] for image in pair}
        assert len(same) == 2
        return
    table = result.table
    assert list(table["image"]) == images
    assert table["split"].notna().all()
    assert table.groupby("group")["split"].nunique().max() == 1
    assert len(set(table.set_index("image").loc[pair, "split"])) == 1
    assert set(result.splits()) == {"train", "validation", "test"}
    again = cv.Split(seed=seed).apply(whole, digests).table
    assert list(again["split"]) == list(table["split"])


@settings(max_examples=6)
@given(
    counts=st.lists(st.integers(3, 60), min_size=2, max_size=4),
    size=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
def test_every_class_is_in_every_split(counts: list[int], size: int, seed: int) -> None:
    labels = [f"c{n}" for n, count in enumerate(counts) for _ in range(count * size)]
    groups = [number // size for number in range(len(labels))] if size > 1 else None
    result = cv.Split(seed=seed).apply(catalog(labels, groups))
    assert all(count > 0 for by_class in result.counts().values() for count in by_class.values())


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize(
    ("validation", "test"), [(0.15, 0.2), (0.25, 0.25), (0.1, 0.6), (0.3, 0.4), (0.0, 0.75)]
)
def test_shares_are_near(size: int, validation: float, test: float) -> None:
    labels = ["a"] * 200 + ["b"] * 100
    groups = [number // size for number in range(300)] if size > 1 else None
    result = cv.Split(validation=validation, test=test).apply(catalog(labels, groups)).counts()
    for split, share in (("validation", validation), ("test", test)):
        for name, total in (("a", 200), ("b", 100)):
            assert result.get(split, {}).get(name, 0) / total == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("rare", ["0", "b", "z"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [1, 4])
def test_a_rare_class_does_not_change_the_shares_of_the_others(
    rare: str, seed: int, size: int
) -> None:
    """Wherever its name stands in the alphabet; once 40 % of the others were for validation."""
    labels = ["a"] * 200 * size + ["c"] * 120 * size + [rare] * 3 * size
    groups = [number // size for number in range(len(labels))] if size > 1 else None
    result = cv.Split(seed=seed).apply(catalog(labels, groups)).counts()
    for name, number in (("a", 200 * size), ("c", 120 * size)):
        assert result["test"][name] / number == pytest.approx(0.2, abs=0.03)
        assert result["validation"][name] / number == pytest.approx(0.15, abs=0.03)
    assert [by_class[rare] for by_class in result.values()] == [size] * 3


def test_groups_of_several_classes() -> None:
    labels = ["a", "b"] * 60
    groups = [number // 6 for number in range(120)]
    result = cv.Split().apply(catalog(labels, groups))
    assert result.table.groupby("group")["split"].nunique().max() == 1
    assert result.counts()["test"] == {"a": 12, "b": 12}


@pytest.mark.parametrize("seed", range(5))
def test_classes_keep_their_shares_within_batches(seed: int) -> None:
    # Five plates with five wells of each class, three images each.
    wells = [(f"p{plate}", label, n) for plate in range(5) for label in "ab" for n in range(5)]
    rows = [well for well in wells for _ in range(3)]
    labels = [label for _, label, _ in rows]
    groups = [f"{plate}{label}{n}" for plate, label, n in rows]
    images = InMemory.of(
        {
            "image": [f"{number}.png" for number in range(len(rows))],
            "label": labels,
            "group": groups,
            "plate": [plate for plate, _, _ in rows],
        },
        batch="plate",
    )
    table = cv.Split(seed=seed, validation=0).apply(Catalog.of(images)).table
    tested = table[table["split"] == "test"].groupby(["plate", "label"])["group"].nunique()
    assert len(tested) == 10
    assert tested.eq(1).all()


def test_batches_of_one_group_each() -> None:
    labels = ["a", "b"] * 20
    images = InMemory.of(
        {
            "image": [f"{number}.png" for number in range(40)],
            "label": labels,
            "plate": [f"p{number}" for number in range(40)],
        },
        batch="plate",
    )
    counts = cv.Split().apply(Catalog.of(images)).counts()
    assert counts["test"] == {"a": 4, "b": 4}


def test_very_many_groups() -> None:
    labels = [f"c{number % 7}" for number in range(12_000)]
    groups = [number // 3 for number in range(12_000)]
    result = cv.Split().apply(catalog(labels, groups))
    assert result.table.groupby("group")["split"].nunique().max() == 1
    assert (result.table["split"] == "test").mean() == pytest.approx(0.2, abs=0.01)


def test_seeds_differ() -> None:
    whole = catalog(["a", "b"] * 40, [number // 4 for number in range(80)])
    tests = {frozenset(sides(cv.Split(seed=seed).apply(whole))["test"]) for seed in range(4)}
    assert len(tests) > 2


def test_named_splits_are_kept_and_validation_is_carved_from_training() -> None:
    split = ["train"] * 40 + ["plate 2"] * 10 + ["plate 3"] * 10
    whole = catalog(["a", "b"] * 30, split=split)
    result = sides(cv.Split(validation=0.25, test=0.9 - 0.25).apply(whole))
    before = sides(whole)
    assert result["plate 2"] == before["plate 2"]
    assert result["plate 3"] == before["plate 3"]
    assert result["train"] | result["validation"] == before["train"]
    assert len(result["validation"]) == 10


def test_a_named_validation_split_is_kept() -> None:
    whole = catalog(["a", "b"] * 6, split=["Training"] * 8 + ["val"] * 4)
    assert sides(cv.Split().apply(whole)) == sides(whole)
    assert whole.splits() == ("Training", "val")


def test_without_validation_or_test() -> None:
    whole = catalog(["a", "b"] * 10)
    assert cv.Split(validation=0).apply(whole).splits() == ("train", "test")
    assert cv.Split(test=0).apply(whole).splits() == ("train", "validation")
    assert cv.Split(test=0, validation=0).apply(whole).splits() == ("train",)
    named = catalog(["a", "b"] * 3, split=["train"] * 4 + ["test"] * 2)
    assert sides(cv.Split(validation=0).apply(named)) == sides(named)


def test_too_few_groups() -> None:
    one_each = catalog(["a", "a", "b", "b", "b"], ["w1", "w1", "w2", "w3", "w4"])
    with pytest.raises(errors.SplitError, match="class 'a' has one group left") as caught:
        cv.Split().apply(one_each)
    assert "--set split.test=0" in caught.value.hint
    two_each = catalog(["a", "a", "b", "b"])
    with pytest.raises(errors.SplitError, match="class 'a' has one image left") as caught:
        cv.Split().apply(two_each)
    assert "--set split.validation=0" in caught.value.hint
    assert cv.Split(validation=0).apply(two_each).counts()["test"] == {"a": 1, "b": 1}


def test_training_takes_precedence_over_validation() -> None:
    result = cv.Split().apply(catalog(["a", "a", *"bbbbb"])).counts()
    assert (result["train"]["a"], result["validation"]["a"], result["test"]["a"]) == (1, 0, 1)
    assert min(by_class["b"] for by_class in result.values()) > 0


@pytest.mark.parametrize("seed", range(4))
def test_identical_images_that_leave_too_few(seed: int) -> None:
    whole = catalog(["a", "a", "b", "b"])
    digests = {"0.png": "x", "1.png": "y", "2.png": "y", "3.png": "z"}
    with pytest.raises(errors.SplitError, match="one image left"):
        cv.Split(seed=seed).apply(whole, digests)
    result = cv.Split(seed=seed, validation=0).apply(whole, digests).table
    assert result["split"][1] == result["split"][2]


def test_the_catalog_given_is_not_changed() -> None:
    whole = catalog(["a", "b"] * 10)
    cv.Split().apply(whole)
    assert whole.table["split"].isna().all()


@pytest.mark.parametrize(
    "wrong", [{"test": 1.0}, {"validation": -0.1}, {"test": 0.6, "validation": 0.4}, {"seed": -1}]
)
def test_invalid_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.ExperimentError):
        cv.Split(**wrong)


def test_two_spellings_of_a_group_stay_together() -> None:
    labels = ["a", "b"] * 30
    groups = [f"w{n}" if side else f"W0{n}" for n in range(30) for side in (0, 1)]
    for seed in range(3):
        table = cv.Split(seed=seed).apply(catalog(labels, groups)).table
        sides_of_group = table.assign(number=[n // 2 for n in range(60)]).groupby("number")["split"]
        assert sides_of_group.nunique().max() == 1
        assert table["split"].nunique() == 3


def test_linked_groups() -> None:
    table = pd.DataFrame({"image": list("uvwxyz"), "group": ["g1", "g1", "g2", None, None, "G 02"]})
    numbers = cv.Split.linked_groups(table, {"v": "same", "x": "same", "y": "other"})
    assert list(numbers) == [0, 0, 1, 0, 2, 1]


@given(
    keys=st.lists(
        st.tuples(st.integers(0, 5) | st.none(), st.integers(0, 5) | st.none()), min_size=1
    )
)
def test_linked_groups_are_connected_components(keys: list[tuple[Any, Any]]) -> None:
    columns = [pd.Series(list(column), dtype=object) for column in zip(*keys, strict=True)]
    numbers = linked_groups(*columns)
    parent = list(range(len(keys)))  # a plain union-find as reference

    def root(row: int) -> int:
        return row if parent[row] == row else root(parent[row])

    for one in range(len(keys)):
        for other in range(one):
            if any(a is not None and a == b for a, b in zip(keys[one], keys[other], strict=True)):
                parent[root(one)] = root(other)
    for one in range(len(keys)):
        for other in range(one):
            assert (numbers[one] == numbers[other]) == (root(one) == root(other))
