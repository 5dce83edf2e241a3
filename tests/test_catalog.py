"""The table of images: its rules, names, groups and batches."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from images import InMemory, write_folder

import cellvision as cv
from cellvision import errors
from cellvision.data.catalog import Catalog, is_test, is_training, is_validation
from cellvision.data.names import canonical_name


def catalog(labels: list[Any], settings: dict[str, Any] | None = None, **columns: Any) -> Catalog:
    images = [f"{number}.png" for number in range(len(labels))]
    dataset = InMemory.of({"image": images, "label": labels, **columns}, **(settings or {}))
    return Catalog.of(dataset)


def refused(says: str, *args: Any, **kwargs: Any) -> errors.CatalogError:
    with pytest.raises(errors.CatalogError, match=says) as caught:
        catalog(*args, **kwargs)
    assert caught.value.hint
    return caught.value


def test_a_catalog_of_files(tmp_path: Path) -> None:
    write_folder(tmp_path, {"b": 2, "a": 1})
    result = Catalog.of(cv.datasets.create("folder", path=tmp_path))
    assert result.class_names == ("a", "b")
    assert list(result.table.columns) == ["image", "label", "split", "group", "batch"]
    assert len(result) == 3
    assert not result.has_splits
    assert result.group_column is None
    assert "Groups (field, well, slide, donor) are unknown" in result.warnings[0]


@pytest.mark.parametrize("names", [("NA", "nan"), ("1", "true"), ("null", "None"), (1, 2), (0, 1)])
def test_classes_keep_strange_names(names: tuple[Any, Any]) -> None:
    result = catalog([*names, *names])
    assert result.class_names == tuple(sorted(map(str, names)))
    assert result.table["label"].map(type).eq(str).all()


def test_strange_names_from_folders(tmp_path: Path) -> None:
    write_folder(tmp_path, {"NA": 1, "1": 1, "true": 1, "None": 1})
    result = Catalog.of(cv.datasets.create("folder", path=tmp_path))
    assert result.class_names == ("1", "NA", "None", "true")
    subset = Catalog.of(cv.datasets.create("folder", path=tmp_path, classes=[1, "NA"]))
    assert subset.class_names == ("1", "NA")
    assert len(subset.left_out) == 2


def test_names_that_look_alike_are_one_class() -> None:
    apart = unicodedata.normalize("NFD", "Zürich")
    result = catalog(["Zürich", apart, " Zürich ", "b"], {"classes": (apart, "b")})
    assert result.class_names == ("Zürich", "b")
    assert list(result.table["label"]) == ["Zürich"] * 3 + ["b"]


def test_spelling_between_splits() -> None:
    apart = unicodedata.normalize("NFD", "über")
    result = catalog(["über", "b", apart, "b "], split=["train", "train", "test", " test"])
    assert result.counts() == {"train": {"b": 1, "über": 1}, "test": {"b": 1, "über": 1}}


def test_classes_that_differ_in_case_are_reported() -> None:
    result = catalog(["DMSO", "dmso", "b"])
    assert any("'DMSO', 'dmso' differ only in upper and lower case" in w for w in result.warnings)


@pytest.mark.parametrize(
    "other", ["con\N{ZERO WIDTH SPACE}trol", "\N{RIGHT-TO-LEFT OVERRIDE}control", "ｃontrol"]
)
def test_classes_that_look_alike(other: str) -> None:
    result = catalog(["control", other, "a", "control"])
    assert any("look alike: are they one class?" in warning for warning in result.warnings)
    assert not any("look alike" in warning for warning in catalog(["a+", "a-", "b"]).warnings)


def test_repeated_ids() -> None:
    dataset = InMemory.of({"image": ["x", "y", "x"], "label": ["a", "b", "a"]})
    with pytest.raises(errors.CatalogError, match=r"'x' \(rows 2, 4\)"):
        Catalog.of(dataset)


@pytest.mark.parametrize("blank", [None, np.nan, "", "  ", pd.NA])
def test_missing_labels(blank: Any) -> None:
    assert "row 3" in refused("1 image has no label: '1.png'", ["a", blank, "b"]).what


@pytest.mark.parametrize("blank", [None, np.nan, ""])
def test_missing_ids(blank: Any) -> None:
    with pytest.raises(errors.CatalogError, match=r"1 image has no id \(row 2\)"):
        Catalog.of(InMemory.of({"image": [blank, "y"], "label": ["a", "b"]}))


def test_too_few_classes() -> None:
    refused(r"all 2 images are of class 'a'", ["a", "a"])
    refused("all 1 images are of class", ["a"])
    refused("all 1 images are of class", ["a", "b"], {"classes": ("a",)})


@pytest.mark.parametrize("columns", [{}, {"image": [], "label": []}])
def test_no_images(columns: dict[str, Any]) -> None:
    with pytest.raises(errors.CatalogError, match="contains no images"):
        Catalog.of(InMemory.of(columns))


def test_classes_that_are_chosen() -> None:
    result = catalog(["a", "b", "c"], {"classes": ("c", "a")})
    assert result.class_names == ("a", "c")
    assert result.left_out == {"1.png": "class 'b' is not in dataset.classes"}
    assert list(result.table.index) == [0, 1]
    assert "Classes: a, b" in refused("names 'x'", ["a", "b"], {"classes": ("a", "x")}).hint
    refused("names no class", ["a", "b"], {"classes": ()})


def test_groups_by_a_column() -> None:
    result = catalog(list("abab"), {"group": "donor"}, donor=[1, 1, 2, 2], stain=["x"] * 4)
    assert result.group_column == "donor"
    assert list(result.table["group"]) == ["1", "1", "2", "2"]
    assert result.warnings == ()
    assert (
        "set dataset.group; columns that may name it: donor"
        in catalog(list("ab"), donor=[1, 2]).warnings[0]
    )
    # The class itself, as many tables repeat it, is no group.
    assert "may name it: donor)" in catalog(list("ab"), class_=list("ab"), donor=[1, 2]).warnings[0]


def test_groups_by_the_data_sets_own_column() -> None:
    result = catalog(list("abab"), group=[1, 1, 2, 2])
    assert (result.group_column, list(result.table["group"])) == ("group", ["1", "1", "2", "2"])


def test_wells_are_numbered_within_each_plate() -> None:
    result = catalog(
        list("abab"), {"group": "well"}, plate=["P1", "P1", "P2", "P2"], well=["B1", "B2"] * 2
    )
    assert result.group_column == "well"
    assert list(result.table["group"]) == ["P1/B1", "P1/B2", "P2/B1", "P2/B2"]


def test_groups_by_several_columns() -> None:
    result = catalog(list("abab"), {"group": ("day", "dish")}, day=[1, 1, 2, 2], dish=[1, 2, 1, 2])
    assert result.group_column == "day+dish"
    assert result.table["group"].nunique() == 4


@pytest.mark.parametrize("blank", [None, np.nan, "", " "])
def test_images_of_unknown_groups_are_left_out(blank: Any) -> None:
    result = catalog(list("aabb"), {"group": "donor"}, donor=["x", blank, "y", "z"])
    assert result.left_out == {"1.png": "its donor is unknown"}
    assert "1 image is left out because the donor is unknown" in result.warnings[0]
    assert list(result.table["image"]) == ["0.png", "2.png", "3.png"]
    assert list(result.table.index) == [0, 1, 2]


def test_a_class_of_unknown_groups() -> None:
    fault = refused(
        "no image of class 'b' has a 'donor'",
        list("aab"),
        {"group": "donor"},
        donor=["x", "y", None],
    )
    assert "row 4" in fault.what


def test_rows_are_numbered_as_in_the_data_set() -> None:
    fault = refused(
        "no image of class 'c' has a 'donor'",
        list("abbcc"),
        {"group": "donor", "classes": ("b", "c")},
        donor=["u", "v", "w", None, None],
    )
    assert "rows 5, 6" in fault.what


@pytest.mark.parametrize("group", ["plate", "label", "split", ("donor", "plate")])
def test_columns_that_cannot_be_groups(group: Any) -> None:
    fault = refused("which is not a provenance column", list("ab"), {"group": group}, donor=[1, 2])
    assert fault.hint == "Provenance columns: donor"


def test_a_column_in_other_capitals_is_named_and_not_taken() -> None:
    fault = refused("no column 'well'", list("ab"), {"group": "well"}, Well=[1, 2], Day=[1, 1])
    assert fault.what == "dataset.group: there is no column 'well'; did you mean 'Well'?"
    assert fault.hint == "Provenance columns: Well, Day"
    refused("did you mean 'Day'", list("ab"), {"batch": ("Well", "day")}, Well=[1, 2], Day=[1, 1])


def test_no_columns_at_all() -> None:
    assert "groups.csv" in refused("names 'well'", list("ab"), {"group": "well"}).hint
    refused("names no column", list("ab"), {"group": ()}, donor=[1, 2])


def test_splits_keep_their_names_and_order() -> None:
    result = catalog(
        list("ab") * 4, split=["day 2"] * 2 + ["val"] * 2 + ["day 1"] * 2 + ["Train"] * 2
    )
    assert result.has_splits
    assert result.splits() == ("Train", "val", "day 1", "day 2")
    assert result.counts()["day 1"] == {"a": 1, "b": 1}
    assert [is_training("Train"), is_validation("Valid"), is_test("Train"), is_test("x")] == [
        *(True, True, False, True)
    ]


@pytest.mark.parametrize(
    ("split", "says"),
    [
        (["train", "train", "test", None], "1 image has no split while others do: '3.png'"),
        (["train", "train", "test", ""], "1 image has no split while others do: '3.png'"),
        (["x", "x", "test", "test"], "none is called 'train'"),
        (["train", "train", "training", "training"], "two of them are for training"),
        (["train", "train", "val", "valid"], "two of them are for validation"),
        (["train", "test", "test", "train"], "'test' has class 'b', which 'train' lacks"),
    ],
)
def test_invalid_splits(split: list[Any], says: str) -> None:
    refused(
        says,
        ["a", "b", "a", "a" if "two" in says else "b"]
        if "class" not in says
        else ["a", "b", "a", "a"],
        split=split,
    )


@pytest.mark.parametrize(
    ("tested", "hint"),
    [("Ctrl", "'train' are 'ctrl', 'drug': rename 'Ctrl' to 'ctrl'"), ("dmso", "spell them alike")],
)
def test_the_classes_to_rename_are_named(tested: str, hint: str) -> None:
    with pytest.raises(errors.CatalogError) as caught:
        catalog(["ctrl", "drug", tested, "drug"], split=["train", "train", "test", "test"])
    assert hint in caught.value.hint


def test_counts_include_zeros() -> None:
    result = catalog(["a", "b", "a"], split=["train", "train", "test"])
    assert result.counts() == {"train": {"a": 1, "b": 1}, "test": {"a": 1, "b": 0}}


def test_many_classes() -> None:
    result = catalog(
        [f"class {number % 5000}" for number in range(20_000)], split=["train"] * 20_000
    )
    assert len(result.class_names) == 5000
    assert sum(result.counts()["train"].values()) == 20_000


def test_take() -> None:
    result = catalog(list("aab"))
    assert list(result.take([True, False, True]).table["image"]) == ["0.png", "2.png"]
    with pytest.raises(errors.CatalogError, match="no image of class 'b' is left"):
        result.take([True, True, False])


class Failing(cv.Dataset):
    gives: Any = None

    def catalog(self) -> pd.DataFrame:
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives  # type: ignore[no-any-return]

    def read(self, image: str) -> np.ndarray:
        raise NotImplementedError


def test_a_data_set_that_fails() -> None:
    with pytest.raises(
        errors.CellvisionError, match=r"dataset Failing .* cannot list .* KeyError: 'x'"
    ) as e:
        Catalog.of(Failing(gives=KeyError("x")))
    assert isinstance(e.value.__cause__, KeyError)
    assert e.value.exit_code == 1
    error = errors.FolderError("there is no folder x")
    with pytest.raises(errors.FolderError, match="no folder x"):
        Catalog.of(Failing(gives=error))


def test_catalog_of_a_wrong_type() -> None:
    with pytest.raises(errors.PluginContractError, match=r"returned list, not a pandas\.DataFrame"):
        Catalog.of(Failing(gives=[1]))
    with pytest.raises(errors.CatalogError, match="no column 'label'"):
        Catalog.of(Failing(gives=pd.DataFrame({"image": ["x"]})))
    twice = pd.DataFrame([["x", "a", "b"]], columns=["image", "label", "label"])
    with pytest.raises(errors.CatalogError, match="column 'label' more than once"):
        Catalog.of(Failing(gives=twice))


def test_any_index_and_column_type_is_accepted() -> None:
    table = pd.DataFrame(
        {"image": ["x", "y"], "label": pd.Categorical(["a", "b"]), 7: [1.5, 2.5]}, index=[9, 9]
    )
    result = Catalog.of(Failing(gives=table, group=7))
    assert list(result.table["group"]) == ["1.5", "2.5"]
    assert list(result.table.index) == [0, 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7", "7.0"),
        ("007", "7"),
        ("P7", "p7"),
        ("A01", "A1"),
        ("P 7", "P7"),
        ("plate_3", "Plate-03"),
        ("７", "7"),
        ("1.50", "1.5"),
        ("P1/A01", "p1/a1"),
        ("-07", "-7"),
        ("day 1", "day1"),
        ("P7.0", "p7"),
        ("donor.1", "donor 1"),
        ("P\N{EN DASH}7", "P-7"),
        ("P7\N{ZERO WIDTH SPACE}", "P7"),
        ("\N{MINUS SIGN}7", "-7"),
        ("7,0", "7"),
        ("1,50", "1.5"),
        ("+7", "7"),
        ("7.", "7"),
        ("A1.", "A1"),
        ("A-01", "a1"),
        ("'7", "7"),
        ('"P 7"', "P7"),
        ("\N{ARABIC-INDIC DIGIT SEVEN}", "7"),
        ("\N{DEVANAGARI DIGIT ZERO}\N{DEVANAGARI DIGIT SEVEN}", "7"),
        ("\N{CYRILLIC CAPITAL LETTER A}1", "A1"),
        ("P\N{NO-BREAK SPACE}7", "P7"),
        ("donor#7", "Donor 7"),
        ("#07", "7"),
        ("donor (7)", "donor 7"),
        ("P:7", "P7"),
        ("P7;", "P7"),
        ("1.00E+02", "100"),
        ("1E+05", "100000.0"),
        ("-2.5e-01", "-0.25"),
    ],
)
def test_spellings_of_one_name(one: str, other: str) -> None:
    assert canonical_name(one) == canonical_name(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7", "70"),
        ("1.05", "1.5"),
        ("A1", "A11"),
        ("1-2", "12"),
        ("1_2", "1_20"),
        ("-7", "7"),
        ("A0", "A"),
        ("0", ""),
        ("P1/A1", "P1A1"),
        ("P1/A1", "P11/A1"),
        ("field_1_2", "field_12"),
        ("A1.5", "A15"),
        ("A1.5", "A1"),
        ("A10", "A1.0"),
        ("CD4+", "CD4-"),
        ("CD4-", "CD4"),
        ("1:2", "12"),
        ("1(2)", "12"),
        ("A1E+1", "A10"),
        ("1E+02", "1"),
        ("12e+01", "120"),
        ("A'", "A"),
        ("1,2,3", "1,2"),
        ("1+2", "12"),
    ],
)
def test_names_that_differ(one: str, other: str) -> None:
    assert canonical_name(one) != canonical_name(other)


@given(number=st.integers(0, 10**6), zeros=st.integers(0, 3), letter=st.sampled_from("aBz"))
def test_padded_numbers_are_one_name(number: int, zeros: int, letter: str) -> None:
    padded = "0" * zeros + str(number)
    assert canonical_name(padded) == canonical_name(str(number)) == str(number)
    assert canonical_name(f"{letter} {padded}") == canonical_name(f"{letter.swapcase()}{number}")


def test_one_group_in_two_spellings_is_reported() -> None:
    result = catalog(list("abab"), {"group": "well"}, well=["A01", "A1", "B02", "B03"])
    (warning,) = result.warnings
    assert "'A01', 'A1'" in warning
    assert "look like spellings of one name" in warning
    assert list(result.table["group"]) == ["A01", "A1", "B02", "B03"]


@pytest.mark.parametrize(
    "word",
    [
        *("NA", "nan", "None", "#N/A", "?", "n/a", "NULL", "<NA>", "-", "#NV", "1.#QNAN", "n/d"),
        *(
            "N.A",
            "n. a.",
            "(none)",
            '"NA"',
            "<null>",
            "\\N",
            "#CALC!",
            "#BLOCKED!",
            "Err:502",
            "unk",
        ),
        *("\uff2e\uff21", "N\N{ZERO WIDTH SPACE}A", "unspecified"),
    ],
)
def test_words_for_missing_values_are_no_group(word: str) -> None:
    result = catalog(list("aabb"), {"group": "donor"}, donor=["x", word, "y", "z"])
    assert result.left_out == {"1.png": "its donor is unknown"}
    assert any(f"contains {word!r} in 1 row" in warning for warning in result.warnings)
    assert any("left out because the donor is unknown" in warning for warning in result.warnings)


@pytest.mark.parametrize("word", ["ND", "#A", "#12", "N", "A.N", "None 1", "(A)", "un-k", "0"])
def test_names_that_only_resemble_such_words(word: str) -> None:
    result = catalog(list("aabb"), {"group": "donor"}, donor=["x", word, "y", "z"])
    assert list(result.table["group"]) == ["x", word, "y", "z"]


def test_words_for_missing_values_in_one_of_several_columns() -> None:
    result = catalog(
        list("aabb"), {"group": ("day", "dish")}, day=[1, 1, 2, 2], dish=["NA", "1", "1", "2"]
    )
    assert list(result.table["group"]) == ["1/1", "2/1", "2/2"]


def test_batches_by_a_column() -> None:
    result = catalog(
        list("abab"),
        {"group": "well", "batch": "plate"},
        plate=[1, 1, 2, 2],
        well=list("ABAB"),
        stain=["x"] * 4,
    )
    assert result.batch_column == "plate"
    assert list(result.table["batch"]) == ["1", "1", "2", "2"]
    assert list(result.table["group"]) == ["1/A", "1/B", "2/A", "2/B"]
    assert {"plate", "well", "stain"} <= set(result.table.columns)
    assert result.warnings == ()


def test_batches_by_the_data_sets_own_column() -> None:
    assert catalog(list("abab"), batch=[1, 1, 2, 2]).batch_column == "batch"
    assert catalog(list("abab")).batch_column is None
    two = catalog(list("ab"), {"batch": ("lab", "day")}, lab=["x", "y"], day=[1, 1])
    assert (two.batch_column, list(two.table["batch"])) == ("lab+day", ["x/1", "y/1"])


def test_images_without_a_batch_are_kept() -> None:
    result = catalog(list("abab"), {"batch": "plate"}, plate=["1", None, "NA", "2"])
    assert list(result.table["batch"]) == ["1", None, None, "2"]
    assert any("2 images have no batch" in warning for warning in result.warnings)
    donors = {"group": "donor", "batch": "plate"}
    result = catalog(list("ababa"), donors, donor=[1, 2, 3, 4, None], plate=[1, 2, 1, None, None])
    assert any("1 image has no batch" in warning for warning in result.warnings)
    refused("dataset.batch names 'day'", list("ab"), {"batch": "day"}, plate=[1, 2])


def test_a_short_repr() -> None:
    result = catalog(list("abab"), {"group": "donor"}, donor=[1, 2, 3, 4])
    assert repr(result) == "<Catalog: 4 images of 2 classes, groups by donor>"
