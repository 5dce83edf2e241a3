"""Pages without a server, the tables they return, and the tables that are exported."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelling import begin, label, make_labelled_images, rows_of

import cellvision as cv
from cellvision import errors
from cellvision.csv_cells import escape_cell, format_table, unescape_cell
from cellvision.labelling.export_answers import export_answers
from cellvision.labelling.import_answers import COLUMNS, import_answers
from cellvision.labelling.plan import Display, ImageToLabel, Plan
from cellvision.labelling.rules import Rules
from cellvision.labelling.store import Store
from cellvision.labelling.validation import InvalidAnswerError, check_rater

TIME = "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An answer file with practice, and the session in the page that was written for it."""
    root = tmp_path_factory.mktemp("sent")
    images = make_labelled_images(root / "images", 10)
    file = begin(images, root / "key.sqlite", "--practice", "2")
    text = (root / "key-page" / "label.html").read_text(encoding="utf-8")
    data = re.search(r'id="session">(.*?)</script>', text, re.S)
    assert data is not None
    return file, json.loads(data[1])


@pytest.fixture
def file(sent: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    return Path(shutil.copy(sent[0], tmp_path))


@pytest.fixture
def session(sent: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    return sent[1]


def answered(session: dict[str, Any], rater: str = "Bo", **changes: Any) -> list[dict[str, Any]]:
    """What a page returns if a rater calls every image dark."""
    fixed = {"page": session["page"], "rater": rater, "answer": "dark", "seconds": "1.5"}
    return [
        {**fixed, "showing": showing["id"], "time": TIME, **changes}
        for showing in session["showings"]
    ]


def write_table(target: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> Path:
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return target


def counts(file: Path) -> int:
    with Store(file) as store:
        return len(store.answers())


# --- the page ----------------------------------------------------------------------------


def test_a_page_to_send_reveals_the_classes_of_practice_and_examples_only(
    sent: tuple[Path, dict[str, Any]],
) -> None:
    file, session = sent
    page = file.parent / "key-page"
    assert sorted(path.name for path in page.iterdir()) == ["images", "label.html"]
    pictures = list((page / "images").iterdir())
    # Both views of each presentation (20 images, 2 of them twice, 2 for practice); 6 examples.
    assert len(pictures) == 2 * (2 + 22) + 6
    assert all(re.fullmatch(r"[0-9a-f]{24}\.png", path.name) for path in pictures)
    assert len({path.stat().st_mtime for path in pictures}) == 1
    assert sum("truth" in showing for showing in session["showings"]) == 2
    text = (page / "label.html").read_text(encoding="utf-8")
    with Store(file) as store:
        plan = store.plan()
        examples = {key for key, _ in store.examples()}
    assert not any(image.image in text for image in plan.images)
    assert {entry["id"] for entry in session["examples"]} == examples
    assert {key for entry in session["classes"] for key in entry["examples"]} == examples


def test_python_imports_returned_answers(
    file: Path, session: dict[str, Any], tmp_path: Path
) -> None:
    table = write_table(tmp_path / "Bo.csv", answered(session))
    answers = cv.label(file, returned=[table])
    assert set(answers["rater"]) == {"Bo"}
    assert len(answers) == counts(file) > 0


# --- import ------------------------------------------------------------------------------


def test_returned_answers_are_imported_once(
    file: Path, session: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = answered(session, "Cé", seconds="1,5")
    rows[-1]["answer"] = ""  # cannot say
    table = write_table(tmp_path / "returned.csv", rows, ";")
    table.write_text("\ufeff" + table.read_text(encoding="utf-8"), encoding="utf-8")
    for new in (24, 0):
        assert label(file, "--returned", table, "--export", tmp_path / "out.csv") == 0
        assert f"{new} new answers" in capsys.readouterr().out
    exported = rows_of(tmp_path / "out.csv")
    assert len(exported) == 22
    assert {row["rater"] for row in exported} == {"Cé"}
    assert {row["seconds"] for row in exported} == {"1.5"}
    assert {row["time"] for row in exported} == {"2026-01-01T00:00:00.000+00:00"}
    assert len({row["image"] for row in exported}) == 20
    assert [row["answer"] for row in exported].count("") == 1


def test_json_is_imported_as_csv_is(file: Path, session: dict[str, Any], tmp_path: Path) -> None:
    rows = answered(session, seconds=2)
    rows[-1]["answer"] = None
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    with Store(file) as store:
        assert import_answers(store, tmp_path / "a.json") == 24
        assert [row.answer for row in store.answers()].count(None) == 1


BAD_CELLS = (
    ("rater", "", "characters"),
    ("rater", "  ", "characters"),
    ("rater", "x" * 81, "81"),
    ("rater", "x" * 100_000, "100000"),
    ("rater", "a\0b", "control"),
    ("rater", "a\x1b[31mb", "control"),
    ("rater", "\u202eoB", "control"),
    ("rater", "=HYPERLINK(1)", "start with '='"),
    ("rater", "+1", "start with '+'"),
    ("rater", "@SUM(1)", "start with '@'"),
    ("answer", "grey", "no class 'grey'"),
    ("answer", "=1+1", "no class '=1+1'"),
    ("answer", "x" * 100_000, "no class"),
    ("seconds", "long", "seconds"),
    ("seconds", "-1", "seconds"),
    ("seconds", "nan", "seconds"),
    ("seconds", "9" * 400, "seconds"),
    ("seconds", "", "seconds"),
    ("time", "", "time"),
    ("time", "yesterday", "time"),
    ("time", "=NOW()", "time"),
    ("time", "2026-01-01T00:00:00", "time"),
    ("time", "0001-01-01T00:00:00+14:00", "time"),
    ("time", "2026-13-01T00:00:00Z", "time"),
    ("page", "p0", "not made from"),
    ("page", "", "not made from"),
    ("showing", "s0", "not on that page"),
    ("showing", "\0", "not on that page"),
)


@pytest.mark.parametrize(("column", "value", "reason"), BAD_CELLS)
@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_table_with_one_bad_row_is_refused_whole(
    file: Path,
    session: dict[str, Any],
    tmp_path: Path,
    suffix: str,
    column: str,
    value: str,
    reason: str,
) -> None:
    rows = answered(session)
    rows[7][column] = value
    table = tmp_path / f"bad.{suffix}"
    if suffix == "csv":
        write_table(table, rows)
    else:
        table.write_text(json.dumps(rows), encoding="utf-8")
    with Store(file) as store:
        with pytest.raises(errors.InvalidInput) as caught:
            import_answers(store, table)
        assert caught.value.what.startswith(f"{table}: row 9: ")
        assert reason in caught.value.what
        assert len(caught.value.what) < 400
        assert store.raters() == []
        assert store.answers() == []


def test_the_server_refuses_the_same_names(file: Path) -> None:
    with Store(file) as store:
        for column, value, _ in BAD_CELLS:
            if column == "rater":
                with pytest.raises(InvalidAnswerError):
                    store.begin(value)
        assert store.raters() == []
    for name in ("Ana", "O'Brien", "Łukasz", "陳", "'t Hooft", "नि\u200dष", "(anon)", "A-1"):
        assert check_rater(name) == name


def test_one_bad_rater_keeps_the_answers_of_others_out(
    file: Path, session: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*answered(session, "Ana"), *answered(session, "Bo")]
    rows[-1]["rater"] = ""
    assert label(file, "--returned", write_table(tmp_path / "two.csv", rows)) == 2
    message = capsys.readouterr().err
    assert f"row {len(rows) + 1}" in message
    assert "nothing was imported" in message
    assert counts(file) == 0


def test_an_answer_that_contradicts_an_earlier_one_is_refused(
    file: Path, session: dict[str, Any], tmp_path: Path
) -> None:
    with Store(file) as store:
        import_answers(store, write_table(tmp_path / "a.csv", answered(session, "Bo")))
        for changed in (answered(session, "bo", answer="light"), answered(session, answer="")):
            with pytest.raises(errors.InvalidInput, match=r"row 2: Bo: .*'dark' before"):
                import_answers(store, write_table(tmp_path / "b.csv", changed))
        assert {row.answer for row in store.answers()} == {"dark"}


def test_a_pipe_and_a_huge_file_are_no_tables(file: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    with Store(file) as store:
        table.touch()
        os.truncate(table, 2**40)  # a hole, which takes no space
        with pytest.raises(errors.InvalidInput, match="has more than 67108864 bytes"):
            import_answers(store, table)
        if hasattr(os, "mkfifo"):
            table.unlink()
            os.mkfifo(table)
            with pytest.raises(errors.InvalidInput, match="not a regular file"):
                import_answers(store, table)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no answer"),
        (b"page,rater\r\n", "no column 'showing'"),
        (b"page,rater,showing,answer,seconds,time\r\n", "no answer"),
        (b"page,page,rater,showing,answer,seconds,time\r\n1,2,3,4,5,6,7\r\n", "two columns"),
        (b"page,rater,showing,answer,seconds,time\r\n1,2,3\r\n", "row 2: it has 3 cells"),
        (b"page,rater,showing,answer,seconds,time\r\n1,2,3,4,5,6,7\r\n", "row 2: it has 7"),
        (b"page,rater,showing,answer,seconds,time\r\n" + b"x" * 200_000, "row 2: not valid CSV"),
        (b"\xff\xfep\0a\0g\0e\0", "not UTF-8"),
        ("page,rater\u2028".encode("utf-16"), "not UTF-8"),
        (b"page,\xe9", "not UTF-8"),
        (b"[" * 100_000, "not valid JSON"),
        (b"{}", "JSON list"),
        (b"[1]", "row 2: expected a JSON object"),
        (b"[{}]", "no column 'page'"),
        (
            b'[{"page":1,"rater":"a","showing":"a","answer":"a","seconds":1,"time":"a"}]',
            "row 2: page is not text",
        ),
        (
            b'[{"page":"a","rater":"a","showing":"a","answer":false,"seconds":1,"time":"a"}]',
            "row 2: answer is not text",
        ),
        (
            b'[{"page":"\\ud800","rater":"a","showing":"a","answer":"a","seconds":1,"time":"a"}]',
            "row 2: page is not text",
        ),
    ],
)
def test_tables_that_cannot_be_read_are_refused(
    file: Path, tmp_path: Path, content: bytes, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "bad.csv"
    table.write_bytes(content)
    assert label(file, "--returned", table) == 2
    message = capsys.readouterr().err
    assert reason in message
    assert str(table) in message.replace("\n", "")
    assert counts(file) == 0


# --- round trip --------------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.text(
    "'=+-@\t\r\n\x0b\x85\u2028,;\" a", min_size=1, max_size=6
)


@given(NAMES)
def test_every_cell_round_trips_and_none_is_a_formula(text: str) -> None:
    assert unescape_cell(escape_cell(text)) == text
    assert escape_cell(text)[0] not in "=+-@\t\r\n"


@given(st.lists(st.lists(NAMES, min_size=2, max_size=2), max_size=4))
def test_tables_round_trip(rows: list[list[str]]) -> None:
    text = format_table(["a", "b"], rows)
    cells = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [[unescape_cell(cell) for cell in row] for row in cells] == rows


@settings(max_examples=20)  # each writes files to disk
@given(images=st.lists(NAMES, min_size=1, max_size=3, unique=True), classes=st.data())
def test_names_round_trip_through_page_import_and_export(
    images: list[str], classes: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names = tuple(classes.draw(st.lists(NAMES, min_size=2, max_size=3, unique=True)))
    root = tmp_path_factory.mktemp("names")
    plan = Plan(
        {},
        None,
        None,
        Rules(repeats=0),
        names,
        Display((0, 1), (0, 1), (0, 1)),
        tuple(ImageToLabel(image, "test", image, names[0], "") for image in images),
    )
    with Store.create(root / "a.sqlite", plan) as store:
        page = store.add_page()
        rows = [
            (page, "Bo", showing, names[number % len(names)], 1.5, TIME)
            for number, (showing, _, _) in enumerate(store.page_showings(page))
        ]
        (root / "back.csv").write_text(format_table(COLUMNS, rows), "utf-8", newline="")
        assert import_answers(store, root / "back.csv") == len(images)
        shown = [image.image for _, image, _ in store.page_showings(page)]
        export_answers(store, root / "out.csv")
    written = rows_of(root / "out.csv")
    exported = [{name: unescape_cell(cell) for name, cell in row.items()} for row in written]
    assert [row["image"] for row in exported] == shown
    assert [row["group"] for row in exported] == shown
    assert {row["label"] for row in exported} == {names[0]}
    assert [row["answer"] for row in exported] == [row[3] for row in rows]
    assert not any(cell[:1] in tuple("=+-@") for row in written for cell in row.values())


def test_names_that_are_no_unicode_text_are_refused(tmp_path: Path) -> None:
    image = ImageToLabel("a\udcff.png", "test", None, "a", "")
    display = Display((0, 1), (0, 1), (0, 1))
    plan = Plan({}, None, None, Rules(), ("a", "b"), display, (image,))
    with pytest.raises(errors.InvalidInput, match="not valid Unicode"):
        Store.create(tmp_path / "a.sqlite", plan)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=50)
@given(st.text(max_size=100))
def test_accepted_names_are_printable_and_stable(text: str) -> None:
    try:
        name = check_rater(text)
    except InvalidAnswerError:
        return
    assert check_rater(name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert 1 <= len(name) <= 80
    assert name[0] not in "=+-@"
    assert "\n" not in name
