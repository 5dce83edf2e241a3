"""The tables of `prepare`: round trips, groups in two spellings, the order of names."""

from __future__ import annotations

import random
import warnings
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepare_folders import manifest
from typer.testing import CliRunner

from cellvision import prepare
from cellvision.cli.prepare import app
from cellvision.cli.text import printable
from cellvision.io import natural_order
from cellvision.prepare.provenance import read_rows, read_table, similar_spellings, to_csv

BREAKS = ("\r", "\n", "\r\n", "\u2028", "\x85", "\x0b", '"', '""', ",", "'", " ", "\t", "é", "a")
values = st.lists(st.sampled_from(BREAKS), max_size=6).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=8
)


@given(st.lists(st.lists(values, min_size=3, max_size=3), max_size=4))
def test_any_text_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.csv"
    columns = ["one", "two\r\n", "three"]
    text = to_csv(columns, [dict(zip(columns, row, strict=True)) for row in rows])
    path.write_bytes(text.encode())
    assert read_rows(path) == [columns, *rows]


@given(st.dictionaries(values.filter(lambda v: v.strip("/. \\") == v and v), values, max_size=4))
def test_provenance_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, groups: dict[str, str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "groups.csv"
    rows = [{"file": f"a/{file.replace('/', '')}x", "well": well} for file, well in groups.items()]
    by_file = {PurePosixPath(row["file"].replace("\\", "/")).as_posix(): row for row in rows}
    rows = list(by_file.values())
    path.write_bytes(to_csv(("file", "well"), rows).encode())
    table = read_table(path)
    assert {file: row["well"] for file, row in table.rows.items()} == {
        file: row["well"] for file, row in by_file.items()
    }


@pytest.mark.parametrize("sign", ["\r", "\n", "\u2028", '"', "\x85", "\\", " ,"])
def test_signs_in_names_of_classes_and_files_survive_every_verb(tmp_path: Path, sign: str) -> None:
    names = [f"cl{sign}ass/im{sign}age{index}.png" for index in (2, 10)]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(name.encode())
    table = prepare.number_images(tmp_path / "in", tmp_path / "out")
    assert list(table["source"]) == names
    assert manifest(tmp_path / "out") == table.to_dict("records")
    again = prepare.number_images(tmp_path / "out", in_place=True, prefix="t")
    assert list(again["field"]) == [name.removesuffix(".png") for name in names]
    once_more = prepare.number_images(tmp_path / "out", tmp_path / "out2")
    assert list(once_more["field"]) == list(again["field"])
    prepare.undo_numbering(tmp_path / "out")
    assert manifest(tmp_path / "out") == table.to_dict("records")
    for name, file in zip(names, table["file"], strict=True):
        assert (tmp_path / "out" / file).read_bytes() == name.encode()


def test_line_ends_of_other_systems(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        path = tmp_path / "groups.csv"
        path.write_bytes(end.join(("file,well", "a.png,B02", 'b.png,"C\r03"', "")).encode())
        rows = read_table(path).rows
        assert [row["well"] for row in rows.values()] == ["B02", "C\r03"]


@pytest.mark.parametrize("sign", [";", "\t"])
def test_other_signs_separate_columns_too(tmp_path: Path, sign: str) -> None:
    path = tmp_path / "groups.csv"
    rows = [["well", "file"], ['"1,5"', "a.png"], ['"x y"', '"b,1.png"']]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(sign.join, rows)).encode())
    assert {file: row["well"] for file, row in read_table(path).rows.items()} == {
        "a.png": "1,5",
        "b,1.png": "x y",
    }


# Groups in two spellings


@pytest.mark.parametrize(
    "spellings",
    [
        ("7", "7.0"),
        ("007", "7"),
        ("P7", "p7"),
        ("A01", "A1"),
        ("P 7", "P7"),
        ("7", " 7"),
        ("a", "A "),
    ],
)
def test_spellings_of_one_group(spellings: tuple[str, str]) -> None:
    assert similar_spellings(["B02", *spellings, "C"]) == [tuple(sorted(spellings))]


@pytest.mark.parametrize(
    "names", [("1", "10"), ("1.5", "1.05"), ("A1", "A11"), ("1 1", "11"), ("A", "B"), ("0", "")]
)
def test_different_groups(names: tuple[str, str]) -> None:
    assert similar_spellings(names) == []


def test_two_spellings_are_warned_of(fields: Path, tmp_path: Path) -> None:
    groups = (fields / "groups.csv").read_text().replace("a2.tif,007", "a2.tif,7")
    (fields / "groups.csv").write_text(groups)
    with pytest.warns(prepare.PrepareWarning, match="column plate: '007' and '7' look like one"):
        prepare.slice_images(fields, tmp_path / "out", tiles=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (fields / "groups.csv").write_text(groups.replace(",7,", ",007,"))
        prepare.slice_images(fields, tmp_path / "out2", tiles=4)


# Names


def test_the_order_of_names() -> None:
    """For ASCII names this is the order that natsort gives."""
    ordered = ["9.png", "10.png", "a b.png", "B2.png", "b9.png", "b10.png"]
    ordered += ["c/2", "c1/1", "c2/1", "c10/1"]
    for seed in range(5):
        shuffled = random.Random(seed).sample(ordered, len(ordered))
        assert sorted(shuffled, key=natural_order) == ordered
    # Unlike natsort: only 0 to 9 are digits, as in the data set `folder`.
    assert sorted(["٣.png", "9.png", "²3.png"], key=natural_order) == ["9.png", "²3.png", "٣.png"]


def test_escape_sequences_do_not_reach_the_terminal(tmp_path: Path) -> None:
    assert printable("a\x1b[31mb\r\nc\u202e\udc80é") == r"a\x1b[31mb\r\nc\u202e\udc80é"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\x1b[2J.txt").write_text("")
    (tmp_path / "in" / "a.png").write_bytes(b"image")
    out = tmp_path / "out\x1b[2J"
    result = CliRunner().invoke(app, ["number", str(tmp_path / "in"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "\x1b[2J" not in result.output
    assert "\\x1b[2J" in result.stderr
