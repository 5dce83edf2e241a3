"""Permuted labels: what is exchanged, and that every seed draws another permutation."""

from __future__ import annotations

import pandas as pd
from cellvision_controls.permutation import permute_labels
from hypothesis import given, settings
from hypothesis import strategies as st

tables = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from("abc"), st.sampled_from(["train", "test"])),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40)
@given(tables, st.integers(0, 9), st.booleans())
def test_labels_are_permuted_over_whole_groups(
    rows: list[tuple[int, str, str]], seed: int, pure: bool
) -> None:
    table = pd.DataFrame(rows, columns=["group", "label", "split"])
    if pure:
        table["label"] = table["group"].map(lambda group: "abc"[group % 3])
    new = permute_labels(table, table["group"], [seed])
    assert list(new) == list(permute_labels(table, table["group"], [seed]))
    drawn = table.assign(new=new)
    before = table.groupby("group")["label"].agg(lambda values: tuple(sorted(values)))
    after = drawn.groupby("group")["new"].agg(lambda values: tuple(sorted(values)))
    # A group with one label has one label again, unless a mixed group gave it its composition.
    if (before.map(set).map(len) == 1).all():
        assert (after.map(set).map(len) == 1).all()
    # Over whole groups, as many have each label as before, in each split where none is shared.
    firsts = drawn.drop_duplicates("group")
    if pure:
        shared = drawn.groupby("group")["split"].nunique().max() > 1
        parts = [(0, firsts)] if shared else firsts.groupby("split")
        for _, part in parts:
            assert sorted(part["label"]) == sorted(part["new"])


wells = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("PQR"), st.sampled_from(["train", "test"])),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60)
@given(wells, st.integers(0, 9))
def test_labels_are_exchanged_within_batches(rows: list[tuple[str, str, str]], seed: int) -> None:
    table = pd.DataFrame(rows, columns=["label", "batch", "split"])
    table = pd.concat([table.assign(group=table.index)] * 2, ignore_index=True)
    new = table.assign(new=permute_labels(table, table["group"], [seed]))
    for _, split in new.groupby("split"):
        nested = split.groupby("batch")["label"].nunique().max() == 1
        for _, batch in split.groupby("batch"):
            if nested:  # whole batches exchange labels
                assert len(set(batch["new"])) == 1
            else:
                assert sorted(batch["label"]) == sorted(batch["new"])


def test_of_nested_batches_whole_ones_exchange_labels() -> None:
    table = pd.DataFrame({"label": list("aabb") * 2, "batch": list("PQRS") * 2, "split": "train"})
    groups = pd.Series(range(8))
    drawn = {"".join(permute_labels(table, groups, [seed])) for seed in range(60)}
    # Two of four plates get each label: six arrangements, the same for both wells of a plate.
    assert len(drawn) == 6
    assert all(labels[:4] == labels[4:] for labels in drawn)


def test_a_mixed_group_exchanges_its_composition() -> None:
    table = pd.DataFrame({"label": list("aaab" + "bbbb" + "aaaa"), "split": "train"})
    groups = pd.Series([0] * 4 + [1] * 4 + [2] * 4)
    drawn = ["".join(permute_labels(table, groups, [seed])) for seed in range(60)]
    parts = [[text[k : k + 4] for k in (0, 4, 8)] for text in drawn]
    for part in parts:
        assert sorted(map("".join, map(sorted, part))) == ["aaaa", "aaab", "bbbb"]
    assert {"".join(sorted(part[0])) for part in parts} == {"aaaa", "aaab", "bbbb"}
    assert len({text for part in parts for text in part if len(set(text)) == 2}) == 4


def test_without_all_batches_groups_exchange_across_them() -> None:
    table = pd.DataFrame({"label": list("aabb"), "batch": ["P", None, "P", None], "split": "t"})
    drawn = {"".join(permute_labels(table, pd.Series(range(4)), [seed])) for seed in range(60)}
    assert len(drawn) == 6


def test_each_seed_draws_another_permutation() -> None:
    table = pd.DataFrame({"label": list("ab") * 10, "split": "train"})
    groups = pd.Series(range(20))
    drawn = {tuple(permute_labels(table, groups, [seed, 0])) for seed in range(5)}
    assert len(drawn) == 5
    assert tuple(table["label"]) not in drawn
