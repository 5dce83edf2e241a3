"""The data set `table`: files, labels, splits and provenance from CSV, TSV and Parquet."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import cellvision as cv
from cellvision import errors
from cellvision.data.catalog import Catalog


def table(folder: Path, text: str, name: str = "cells.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def catalog(path: Path, **settings: object) -> list[dict[str, object]]:
    return cv.datasets.create("table", path=path, **settings).catalog().to_dict("records")


def test_file_label_split_and_provenance(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label,split,well\nx\\1.png,a,train,01\ny/2.png,b,plate 2,\n")
    rows = cv.datasets.create("table", path=path).catalog()
    assert list(rows.columns) == ["image", "label", "split", "well"]
    assert list(rows["image"]) == ["x/1.png", "y/2.png"]
    assert list(rows["split"]) == ["train", "plate 2"]
    assert rows["well"][0] == "01"
    assert rows["well"].isna()[1]


def test_columns_by_other_names(tmp_path: Path) -> None:
    text = "path;moa;fold;label;image\n1.png;a;train;A;i\n2.png;b;test;B;j\n"
    chosen = {"file": "path", "label": "moa", "split": "fold"}
    first = catalog(table(tmp_path, text), **chosen)[0]
    assert first == {
        "image": "1.png",
        "label": "a",
        "split": "train",
        "label_in_table": "A",
        "image_in_table": "i",
    }


@pytest.mark.parametrize("forms", [("NFD", "NFC"), ("NFC", "NFD")])
def test_decomposed_accents_name_the_same_column(tmp_path: Path, forms: tuple[str, str]) -> None:
    names = ["préparation", "Präparat", "étage", "Tür"]
    written, given_ = ([unicodedata.normalize(form, name) for name in names] for form in forms)
    lines = [",".join(written), "1.png,a,train,t1", "2.png,b,train,t2"]
    file, label, split, group = given_
    dataset = cv.datasets.create(
        "table",
        path=table(tmp_path, "\n".join(lines) + "\n"),
        file=file,
        label=label,
        split=split,
        group=group,
    )
    rows = Catalog.of(dataset)
    assert rows.group_column == "Tür"
    assert rows.table[["image", "label", "split", "group"]].to_numpy().tolist() == [
        ["1.png", "a", "train", "t1"],
        ["2.png", "b", "train", "t2"],
    ]


def test_pixels_come_from_the_tables_folder_or_root(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    colour = np.full((3, 4, 3), 90, np.uint8)
    Image.fromarray(colour).save(tmp_path / "images/1.png")
    beside = cv.datasets.create("table", path=table(tmp_path, "file,label\nimages/1.png,a\n"))
    assert np.array_equal(beside.read("images/1.png"), colour)
    path = table(tmp_path, "file,label\n1.png,a\n", "other.csv")
    rooted = cv.datasets.create("table", path=path, root=tmp_path / "images", mono=True)
    assert np.array_equal(rooted.read("1.png"), colour[..., :1])
    absolute = str(tmp_path / "images/1.png")
    assert np.array_equal(beside.read(absolute), colour)
    with pytest.raises(errors.UnreadableImage, match="no such file") as caught:
        beside.read("gone.png")
    assert caught.value.hint == (
        f"Paths count from the folder {tmp_path}: check them, or set dataset.root"
    )


def test_tab_separated(tmp_path: Path) -> None:
    rows = catalog(table(tmp_path, "file\tlabel\n1.png\ta, b\n", "cells.tsv"))
    assert rows == [{"image": "1.png", "label": "a, b"}]


def test_parquet_equals_csv(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pd = pytest.importorskip("pandas")
    table_ = pd.DataFrame({"file": ["1.png", "2.png"], "label": [0, 1], "well": [1, None]})
    table_.to_parquet(tmp_path / "cells.parquet")
    as_parquet = cv.datasets.create("table", path=tmp_path / "cells.parquet").catalog()
    text = "file,label,well\n1.png,0,1\n2.png,1,\n"
    as_csv = cv.datasets.create("table", path=table(tmp_path, text)).catalog()
    # A column with gaps is one of fractions before it is written.
    assert as_parquet.drop(columns="well").equals(as_csv.drop(columns="well"))
    assert list(as_parquet["well"].isna()) == list(as_csv["well"].isna()) == [False, True]


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.CatalogError, match="cannot be read as Parquet"):
        catalog(table(tmp_path, "no parquet", "cells.parquet"))


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("", "cells.csv", "is empty"),
        ("name,label\n1.png,a\n", "cells.csv", "no column 'file'.*name, label"),
        ("file,class\n1.png,a\n", "cells.csv", "no column 'label'.*file, class"),
        ("file;Label\n1.png;a\n", "cells.csv", "did you mean 'Label'.*: file, Label"),
        ("FILE;label\n1.png;a\n", "cells.csv", "did you mean 'FILE'.*: FILE, label"),
        ("file,label\n,a\n", "cells.csv", "line 2: no file"),
        ("file,label\n1.png\n", "cells.csv", "line 2: 1 values"),
        ("file,label\n1.png,a\n", "cells.xlsx", "unknown suffix for a table"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, name: str, says: str) -> None:
    with pytest.raises(errors.CatalogError, match=says):
        catalog(table(tmp_path, text, name))


def test_a_table_with_other_capitals_is_recognised(tmp_path: Path) -> None:
    recognises = cv.datasets.get("table").recognises
    assert recognises(table(tmp_path, "File;Label\n1.png;a\n", "cells.csv"))
    assert not recognises(table(tmp_path, "name;label\n1.png;a\n", "other.csv"))


def test_a_missing_table_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(errors.CatalogError, match="there is no table"):
        catalog(tmp_path / "absent.csv")
    with pytest.raises(errors.CatalogError, match="is a folder"):
        catalog(tmp_path)


def test_rules_of_the_catalog_are_checked_by_the_core(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label\n1.png,a\n1.png,b\n")
    with pytest.raises(errors.CatalogError, match="more than once"):
        Catalog.of(cv.datasets.create("table", path=path))
    path = table(tmp_path, "file,label\n1.png,a\n2.png,\n")
    with pytest.raises(errors.CatalogError, match="no label"):
        Catalog.of(cv.datasets.create("table", path=path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: f"file,label\n{text}"))
def test_any_content_gives_a_table_or_our_error(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    data = cv.datasets.create("table", path=path)
    try:
        problem, images = "", list(data.catalog()["image"])
    except errors.CatalogError as fault:
        problem, images = fault.what, []
    assert str(path) in problem if problem else all(images)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "images/../../secret.png",
        "/etc/passwd",
        "..\\secret.png",
        "ftp://127.0.0.1:1/x.png",
        "file:///etc/passwd",
        "s3://bucket/x.png",
    ],
)
def test_a_table_reaches_nothing_outside_its_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / "table" / "cells.csv"
    path.parent.mkdir()
    path.write_text(f"file,label\ninside.png,a\n{name},b\n")
    with pytest.raises(errors.CatalogError, match=r"cells\.csv, line 3: ") as caught:
        cv.datasets.create("table", path=path).catalog()
    assert name in caught.value.what
    assert "dataset.allowed" in caught.value.hint


def test_a_table_may_name_what_is_below_its_root_or_allowed(tmp_path: Path) -> None:
    path = tmp_path / "table" / "cells.csv"
    path.parent.mkdir()
    names = ["a/../b.png", str(tmp_path / "table" / "c.png"), str(tmp_path / "plates" / "d.png")]
    path.write_text("file,label\n" + "".join(f"{name},a\n" for name in names))
    table = cv.datasets.create("table", path=path, allowed=[tmp_path / "plates"])
    assert list(table.catalog()["image"]) == names
    with pytest.raises(errors.CatalogError, match=r"d\.png is not below"):
        cv.datasets.create("table", path=path, allowed=[tmp_path / "plate"]).catalog()


@pytest.mark.parametrize(
    ("name", "header", "expected"),
    [
        ("labels.csv", "file,label,well", True),
        ("labels.tsv", '\ufeff"file"\t"label"', True),
        ("labels.csv", "label; file ;agreement", True),
        ("groups.csv", "file,well", False),
        ("labels.txt", "file,label", False),
        ("profiles.csv", "file_name,label", False),
    ],
)
def test_a_table_of_files_and_labels_is_recognised(
    tmp_path: Path, name: str, header: str, expected: bool
) -> None:
    (tmp_path / name).write_text(f"{header}\n", encoding="utf-8")
    assert cv.datasets.get("table").recognises(tmp_path / name) is expected
    assert not cv.datasets.get("table").recognises(tmp_path / "nowhere.csv")
