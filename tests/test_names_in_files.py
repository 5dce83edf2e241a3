"""Names of others in the files that we write: CSV without formulas, Markdown without markup."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from images import noise, write

import cellvision as cv
from cellvision import errors, prepare
from cellvision.csv_cells import escape_cell, format_frame, unescape_cell
from cellvision.io import escape_markdown
from cellvision.results.tables import read_table, write_table

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8) | st.text(
    "'=+-@\t\r\n\u2028,;\" a0", min_size=1, max_size=6
)
FORMULAS = ("=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "\r=1")


def cells_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@given(NAMES)
def test_escaped_cells_are_restored(text: str) -> None:
    assert unescape_cell(escape_cell(text, keep_signs=True)) == text


@pytest.mark.parametrize("text", ["+", "-", "--", "-1.5", "+2e3", "CD4+", "treated", "'t Hooft"])
def test_signs_numbers_and_ordinary_names_stay(text: str) -> None:
    assert escape_cell(text, keep_signs=True) == text


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_get_an_apostrophe(text: str) -> None:
    assert escape_cell(text, keep_signs=True) == f"'{text}"


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4), NAMES)
def test_tables_of_results_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], column: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "results.csv"
    names = [f"{column}1", f"{column}2", "p"]
    table = pd.DataFrame([(*row, 0.25) for row in rows], columns=names)
    write_table(path, table)
    again = read_table(path, dict.fromkeys([escape_cell(n, keep_signs=True) for n in names], str))
    assert list(again.columns) == names
    assert [tuple(row) for row in again[names[:2]].to_numpy()] == rows
    assert (again["p"].astype(float) == 0.25).all()


def _saved_by_excel(path: Path, *, comma: bool, sign: str) -> None:
    """Write a table again as a spreadsheet does: mark at the start, carriage returns, signs."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if comma:
        rows = [[re.sub(r"^(-?\d+)\.(\d+(e-?\d+)?)$", r"\1,\2", c) for c in row] for row in rows]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=sign, lineterminator="\r\n").writerows(rows)


def test_tables_that_a_spreadsheet_saved_are_read_or_refused_by_name(
    example_run: cv.Run, example_study: cv.Study
) -> None:
    results: list[tuple[Path, Callable[[], Any]]] = [
        (
            example_run.folder / "predictions.csv",
            lambda: cv.load_run(example_run.folder).predictions,
        ),
        (example_run.folder / "history.csv", lambda: cv.load_run(example_run.folder).history),
        (example_run.folder / "provenance.csv", lambda: cv.load_run(example_run.folder).provenance),
        (example_study.folder / "runs.csv", lambda: cv.load_study(example_study.folder).table),
    ]
    for path, read in results:
        before, content = read(), path.read_bytes()
        _saved_by_excel(path, comma=False, sign=",")
        pd.testing.assert_frame_equal(read(), before)
        for comma, sign, what in (
            (True, ";", "semicolons separate its columns"),
            (False, "\t", "tabs separate its columns"),
            (True, ",", "has decimal commas"),
        ):
            path.write_bytes(content)
            _saved_by_excel(path, comma=comma, sign=sign)
            if what == "has decimal commas" and path.name == "provenance.csv":
                continue  # its values are text, whatever they look like
            with pytest.raises(errors.FolderError, match=f"{path.name}: .*{what}") as caught:
                read()
            assert "A spreadsheet saved it" in caught.value.hint
        path.write_bytes(content)
    path, read = results[0]
    for value in ("1234", "0.1.2", "-3"):
        table = pd.read_csv(path, dtype=str)
        table.iloc[2, -1] = value
        table.to_csv(path, index=False)
        with pytest.raises(errors.FolderError, match=rf"holds {value}(\.0)?, which is no"):
            read()


def test_missing_values_and_columns_of_one_name_survive() -> None:
    table = pd.DataFrame([["a", None], [None, "=b"]], columns=["=x", "=x"])
    assert format_frame(table) == "'=x,'=x\na,\n,'=b\n"
    assert format_frame(table, header=False) == "a,\n,'=b\n"


def test_hostile_names_of_classes_and_groups_reach_the_data_set_unchanged(tmp_path: Path) -> None:
    """Slicing writes a manifest, the data set reads it: returns and formulas are kept."""
    names = ("=1+1", "a\rb")
    for number, name in enumerate(names):
        write(tmp_path / "in" / name / f"im\r{number}.png", noise(number, (8, 8)))
    rows = [f'"{name}/im\r{k}.png","@{name}"' for k, name in enumerate(names)]
    (tmp_path / "in" / "groups.csv").write_text(
        "\n".join(['"file","well"', *rows]) + "\n", encoding="utf-8", newline=""
    )
    prepare.slice_images(tmp_path / "in", tmp_path / "out", tiles=4)
    for row in cells_of((tmp_path / "out" / "manifest.csv").read_bytes().decode()):
        assert not any(cell.startswith(("=", "@")) for cell in row)
    catalog = cv.datasets.create("folder", path=tmp_path / "out", group="well").catalog()
    assert set(catalog["label"]) == set(names)
    assert set(catalog["well"]) == {f"@{name}" for name in names}
    assert set(catalog["field"]) == {f"{name}/im\r{k}" for k, name in enumerate(names)}


NO_NUL = NAMES.filter(lambda name: "\0" not in name)  # which Markdown replaces


@given(NO_NUL | st.text("[]()!*_`<>|#\\&;~ab1 ", min_size=1, max_size=12))
def test_markdown_shows_names_as_text(name: str) -> None:
    from markdown_it import MarkdownIt

    shown = " ".join(name.split())
    (paragraph,) = [
        token
        for token in MarkdownIt("commonmark").enable("table").parse(f"x {escape_markdown(name)} y")
        if token.type == "inline"
    ]
    kinds = {token.type for token in paragraph.children or ()}
    assert kinds <= {"text", "text_special"}
    if "&" not in name:
        text = "".join(token.content for token in paragraph.children or ())
        assert " ".join(text.split()) == f"x {shown} y".replace("  ", " ")


def test_a_line_end_in_a_name_starts_no_line() -> None:
    fault = errors.UnreadableImage("a\nerror: b.png", "it is empty")
    assert fault.what == "a\\nerror: b.png: it is empty"
    assert str(errors.UnreadableImages([fault])).count("\n") == 2
