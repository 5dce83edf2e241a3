"""Studies whose folds leave out something coarser than groups, such as donors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import tiny

import cellvision as cv
from cellvision.studies.permuted_units import have_one_class


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    with tiny.on_offer():
        yield


def study(tmp_path: Path, mixed: bool, group: str | None = "well") -> cv.Study:
    """Run a study that leaves out donors, of one class or of both, with permuted groups."""
    root = tiny.make_folder(tmp_path / "images", count=6, wells=6)
    table = pd.read_csv(root / "groups.csv")
    number = table["well"].str[-1].astype(int) // 3
    table["donor"] = [
        f"{'' if mixed else well[:4]}{k}" for well, k in zip(table["well"], number, strict=True)
    ]
    table.to_csv(root / "groups.csv", index=False)
    experiment = tiny.experiment(root, group=group, epochs=1, split={"validation": 0})
    out = tmp_path / "study"
    return cv.study(experiment, 2, out, leave_out="donor", controls="permuted_groups")


def labels_of(run: cv.Run) -> pd.DataFrame:
    """Return the labels that a run was trained for, and the donor of each image."""
    return run.predictions[["image", "group", "label"]].merge(
        run.provenance[["image", "donor"]], on="image"
    )


@pytest.mark.slow
@pytest.mark.parametrize("group", ["well", None])
def test_donors_of_one_class_exchange_labels_whole(group: str | None, tmp_path: Path) -> None:
    result = study(tmp_path, mixed=False, group=group)
    for run in result.controls["permuted_groups"]:
        table = labels_of(run)
        assert table.groupby("donor")["label"].nunique().max() == 1
        assert sorted(table["label"]) == ["dark"] * 6 + ["light"] * 6
    (verdict,) = result.verdicts
    assert (verdict.groups, verdict.unit_column) == (4, "donor")
    # Four donors have six arrangements: the control could not have shown a leak, and says so.
    assert verdict.controls[0].finding == "could not show a leak"
    for example in (result.runs[0], result):
        assert cv.banners(example).groups == ""
    assert not any("are unknown" in line for line in result.runs[0].warnings)


@pytest.mark.slow
def test_wells_exchange_labels_where_donors_hold_both_classes(tmp_path: Path) -> None:
    result = study(tmp_path, mixed=True)
    tables = [labels_of(run) for run in result.controls["permuted_groups"]]
    assert any(table.groupby("donor")["label"].nunique().max() == 2 for table in tables)
    (verdict,) = result.verdicts
    assert (verdict.groups, verdict.unit_column) == (2, "donor")


def test_units_are_exchanged_if_they_hold_one_class_and_whole_groups() -> None:
    labels = ["a", "a", "b", "b"]
    assert have_one_class(["d1", "d1", "d2", "d2"], labels, ["w1", "w2", "w3", "w3"])
    assert have_one_class(["d1", "d1", "d2", "d2"], labels, None)
    assert not have_one_class(["d1", "d2", "d2", "d1"], labels, None)
    assert not have_one_class(["d1", "d2", "d3", "d3"], labels, ["w1", "w1", "w3", "w3"])
    assert not have_one_class(["d1", None, "d2", "d2"], labels, None)
