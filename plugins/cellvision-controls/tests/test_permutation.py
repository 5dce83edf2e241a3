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
    one = before.map(lambda values: len(set(values)) == 1)
    # A group with one label has one label again; in a group with several, images are swapped.
    assert after[one].map(lambda values: len(set(values)) == 1).all()
    assert (after[~one] == before[~one]).all()
    # Over whole groups, as many have each label as before, in each split where none is shared.
    firsts = drawn[drawn["group"].isin(one.index[one])].drop_duplicates("group")
    shared = drawn.groupby("group")["split"].nunique().max() > 1
    for _, part in firsts.groupby("label" if shared else "split") if not shared else [(0, firsts)]:
        assert sorted(part["label"]) == sorted(part["new"])


def test_each_seed_draws_another_permutation() -> None:
    table = pd.DataFrame({"label": list("ab") * 10, "split": "train"})
    groups = pd.Series(range(20))
    drawn = {tuple(permute_labels(table, groups, [seed, 0])) for seed in range(5)}
    assert len(drawn) == 5
    assert tuple(table["label"]) not in drawn
