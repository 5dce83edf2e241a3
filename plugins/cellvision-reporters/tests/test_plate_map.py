"""The plate map: positions of wells, and what is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cellvision_reporters.figures.wells import plate_shape, well_position, wells_of
from figure_checks import assert_is_a_picture, assert_nothing_is_clipped, texts
from written_results import write_run

import cellvision as cv


@pytest.mark.parametrize(
    ("name", "position"),
    [
        ("A01", (0, 0)),
        ("a1", (0, 0)),
        ("H12", (7, 11)),
        ("P24", (15, 23)),
        ("plate 3/B07", (1, 6)),
        ("Q01", None),
        ("A25", None),
        ("A00", None),
        ("A001", None),
        ("donor", None),
        (None, None),
    ],
)
def test_names_of_wells_have_positions(name: Any, position: tuple[int, int] | None) -> None:
    assert well_position(name) == position


def write_provenance(run: cv.Run, wells: list[str], plates: list[str]) -> None:
    table = run.predictions[["image", "group"]].copy()
    count = len(table)
    table["batch"] = [plates[k % len(plates)] for k in range(count)]
    table["well"] = [wells[k % len(wells)] for k in range(count)]
    table.to_csv(run.folder / "provenance.csv", index=False)


def test_the_accuracy_of_each_well_is_drawn_at_its_position(
    tmp_path: Path, out: Path, drawn: list[Any]
) -> None:
    run = write_run(tmp_path / "run", n=24, wrong=6, splits=("train", "test"))
    write_provenance(run, ["A01", "B02", "C03", "H12"], ["p1", "p2"])
    wells = wells_of(run, "test")
    assert wells["images"].sum() == 24
    assert (wells["accuracy"] * wells["images"]).sum() == pytest.approx(18)
    assert set(zip(wells["row"], wells["column"], strict=True)) == {(0, 0), (1, 1), (2, 2), (7, 11)}
    (artifact,) = cv.reporters.create("plate_map").run(run, out)
    assert_is_a_picture(artifact.path)
    (figure,) = drawn
    assert_nothing_is_clipped(figure)
    assert {"p1", "p2"} <= set(texts(figure))
    assert "2 wells at the edge" in artifact.caption
    assert "1 = control, 2 = treated" in artifact.caption


def test_a_well_has_the_label_of_most_of_its_images(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", n=24, splits=("train", "test"))
    write_provenance(run, ["B02", "A01", "C03"], ["p2", "p1"])
    rows = run.predictions[run.predictions["split"] == "test"]
    provenance = run.provenance.set_index("image").loc[rows["image"]]
    wells = wells_of(run, "test")
    assert list(zip(wells["plate"], wells["row"], strict=True)) == [
        (plate, row) for plate in ("p1", "p2") for row in (0, 1, 2)
    ]
    for well in wells.itertuples():
        name = f"{'ABC'[int(str(well.row))]}0{int(str(well.row)) + 1}"
        inside = (provenance["well"] == name) & (provenance["batch"] == well.plate)
        labels = list(rows["label"][inside.to_numpy()])
        assert well.images == len(labels)
        assert well.label == max(labels, key=labels.count)  # of equal ones, the first


def test_plates_are_read_once_for_all_figures(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run", n=28, splits=("train", "test"))
    write_provenance(run, ["A01", "B02"], [f"p{k:02d}" for k in range(1, 15)])
    reads = []

    def counted(*arguments: Any) -> Any:
        reads.append(arguments)
        return wells_of(*arguments)

    monkeypatch.setattr("cellvision_reporters.plate_map.wells_of", counted)
    assert len(cv.reporters.create("plate_map").run(run, out)) == 2
    assert len(reads) == 2  # to find the splits, and to draw one


def test_further_plates_are_in_further_figures(
    tmp_path: Path, out: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run", n=28, splits=("train", "test"))
    write_provenance(run, ["A01", "B02"], [f"p{k:02d}" for k in range(1, 15)])
    first, second = cv.reporters.create("plate_map").run(run, out)
    assert "Plates 1 to 12 of 14, in the order of their names." in first.caption
    assert "Plates 13 to 14 of 14, in the order of their names." in second.caption
    assert second.path.name == "plate_map_test_plates_13_to_14.png"
    assert [{"p01", "p13"} & set(texts(figure)) for figure in drawn] == [{"p01"}, {"p13"}]
    for figure in drawn:
        assert_nothing_is_clipped(figure)
    monkeypatch.setattr("cellvision_reporters.plate_map._MOST_FIGURES", 1)
    (only,) = cv.reporters.create("plate_map").run(run, out)
    assert "the last 2 are not drawn." in only.caption
    assert any("the last 2 are not drawn." in text.replace("\n", " ") for text in texts(drawn[-1]))


def test_nothing_is_drawn_where_wells_have_other_names(tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run")
    assert cv.reporters.create("plate_map").run(run, out) == []
    write_provenance(run, ["A01", "control well"], ["p1"])
    assert cv.reporters.create("plate_map").run(run, out) == []


def test_the_smallest_plate_with_all_wells_is_drawn() -> None:
    positions = [well_position(name) for name in ("A01", "H12")]
    assert plate_shape([each for each in positions if each]) == (8, 12)
    beyond = well_position("A13")
    assert beyond is not None
    assert plate_shape([beyond]) == (16, 24)
