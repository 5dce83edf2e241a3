"""Answers for groups: the table of a run, wells of several plates, and the worst batch."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from images import InMemory

from cellvision import errors, statistics
from cellvision.data.catalog import Catalog
from cellvision.inference.image_groups import GroupAnswers, dataset_groups, file_groups
from cellvision.inference.image_search import ImageFile
from cellvision.results.group_table import group_table
from cellvision.results.worst_batch import worst_batch_of_run


def predictions() -> pd.DataFrame:
    table = pd.DataFrame(
        [
            ("a", "test", "p1/A01", "dark", 0.9),
            ("b", "test", "p1/A01", "dark", 0.2),
            ("c", "test", "p2/A01", "light", 0.4),
            ("d", "test", "p2/B02", "dark", 0.6),
            ("e", "test", "p2/B02", "light", 0.4),
            ("f", "train", "p1/A01", "dark", 0.1),
            ("g", "test", None, "dark", 0.1),
        ],
        columns=["image", "split", "group", "label", "p_dark"],
    )
    table["p_light"] = 1 - table["p_dark"]
    table["predicted"] = np.where(table["p_dark"] >= 0.5, "dark", "light")
    return table


def test_the_table_of_groups_has_one_answer_for_each_split_and_group() -> None:
    table = predictions()
    provenance = table[["image", "group"]].assign(
        batch=[str(name)[:2] for name in table["group"]], site=list("1212121")
    )
    result = group_table(table, provenance, ("dark", "light")).set_index(["split", "group"])
    assert list(result.index) == [
        *(("test", "p1/A01"), ("test", "p2/A01"), ("test", "p2/B02")),
        ("train", "p1/A01"),
    ]
    first = result.loc[("test", "p1/A01")]
    assert (first["images"], first["label"], first["predicted"]) == (2, "dark", "dark")
    assert first["p_dark"] == pytest.approx(0.55)
    assert first["image_accuracy"] == 0.5
    assert result["predicted"].isna().tolist() == [False, False, True, False]  # a tie
    assert result["label"].isna().tolist() == [False, False, True, False]  # two labels
    assert result["batch"].tolist() == ["p1", "p2", "p2", "p1"]
    assert "site" not in result.columns


def test_wells_of_different_plates_are_different_groups(tmp_path: Path) -> None:
    rows = ["file,plate,well,donor", "a.png,p1,A01,d1", "b.png,p2,A01,d1", "c.png,,A02,d2"]
    (tmp_path / "groups.csv").write_text("\n".join(rows) + "\n")
    images = [ImageFile(tmp_path / f"{name}.png", f"{name}.png", tmp_path) for name in "abc"]
    assert file_groups(images, "well") == {"a.png": "p1/A01", "b.png": "p2/A01", "c.png": "A02"}
    assert file_groups(images, "donor") == {"a.png": "d1", "b.png": "d1", "c.png": "d2"}
    columns = {"label": ["x", "y"], "plate": ["p1", "p2"], "well": ["A01", "A01"]}
    dataset = InMemory.of({"image": ["a", "b"], **columns})
    assert dataset_groups(dataset, "well") == {"a": "p1/A01", "b": "p2/A01"}


def test_one_group_in_two_spellings_gets_one_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = ["file;well", "./a.png;A01", "b.png;a1", "c.png;B 2", "d.png;B2.0", "sub\\e.png;C3"]
    (tmp_path / "groups.csv").write_text("\n".join(rows) + "\n")
    names = ("a.png", "b.png", "c.png", "d.png", "sub/e.png")
    images = [ImageFile(tmp_path / name, name, tmp_path) for name in names]
    with caplog.at_level("WARNING"):
        groups = file_groups(images, "well")
    assert list(groups.values()) == ["A01", "A01", "B 2", "B 2", "C3"]
    assert "'A01', 'a1', which look like spellings of one name" in caplog.text
    dataset = InMemory.of({"image": ["a", "b"], "label": ["x", "y"], "donor": ["7", "7.0"]})
    assert dataset_groups(dataset, "donor") == {"a": "7", "b": "7"}


@pytest.mark.parametrize("forms", [("NFD", "NFC"), ("NFC", "NFD")])
def test_decomposed_accents_name_the_same_column(tmp_path: Path, forms: tuple[str, str]) -> None:
    written, asked = (unicodedata.normalize(form, "Präparat") for form in forms)
    (tmp_path / "groups.csv").write_text(f"file,{written}\na.png,P1\n", encoding="utf-8")
    assert file_groups([ImageFile(tmp_path / "a.png", "a", tmp_path)], asked) == {"a": "P1"}
    dataset = InMemory.of({"image": ["a"], "label": ["x"], written: ["P1"]})
    assert dataset_groups(dataset, asked) == {"a": "P1"}
    two = {"image": ["a", "b"], "label": ["x", "y"], written: ["P1", "P2"]}
    assert Catalog.of(InMemory.of(two, group=asked)).group_column == "Präparat"


@pytest.mark.parametrize("word", ["NA", "#N/A", "?", "none", " "])
def test_words_for_missing_values_are_no_group(tmp_path: Path, word: str) -> None:
    (tmp_path / "groups.csv").write_text(f"file,well\na.png,A01\nb.png,{word}\n")
    images = [ImageFile(tmp_path / name, name, tmp_path) for name in ("a.png", "b.png")]
    with pytest.raises(errors.CatalogError, match=r"1 of 2 images has no 'well', such as b\.png"):
        file_groups(images, "well")


def test_a_tie_of_a_group_is_no_answer() -> None:
    answers = GroupAnswers("well", {"a": "A01", "b": "A01", "c": "A02"}, ["dark", "light"])
    for image, probability in (("a", 0.7), ("b", 0.3), ("c", 0.3)):
        answers.add(image, np.array([probability, 1 - probability]))
    table = answers.table()
    assert table["predicted"].isna().tolist() == [True, False]
    assert table["predicted"].iloc[1] == "light"


def test_the_worst_batch_comes_first_with_an_interval_for_all_batches_together() -> None:
    rng = np.random.default_rng(3)
    batches = np.repeat(["p1", "p2", "p3"], 40)
    groups = np.arange(120) // 4
    correct = rng.random(120) < np.repeat([0.9, 0.4, 0.8], 40)
    results = statistics.batch_accuracies(correct, batches, groups)
    assert results[0].batch == "p2"
    worst = results[0].accuracy
    rows = batches == "p2"
    alone = statistics.accuracy_interval(correct[rows], groups[rows])
    assert worst.estimate == alone.estimate
    assert worst.low < alone.low
    assert (worst.n, worst.groups) == (40, 10)
    widened = statistics.batch_accuracies(correct, batches, groups, cross_validated=True)
    assert widened[0].accuracy.high - worst.estimate == pytest.approx(
        1.3 * (worst.high - worst.estimate)
    )


def test_the_worst_batch_of_a_run_is_that_of_its_predictions() -> None:
    table = pd.DataFrame(
        {
            "image": [f"{k}.png" for k in range(8)],
            "split": "test",
            "group": [f"w{k // 2}" for k in range(8)],
            "label": "dark",
            "predicted": ["dark"] * 6 + ["light"] * 2,
        }
    )
    provenance = table[["image"]].assign(batch=["p1"] * 4 + ["p2"] * 4)
    run: Any = SimpleNamespace(
        predictions_of=lambda split: table[table["split"] == split],
        provenance=provenance,
        batch_column="plate",
        independent_units=lambda images: table.set_index("image").loc[images, "group"],
        cross_validated=False,
    )
    worst = worst_batch_of_run(run, "test")
    assert worst is not None
    assert (worst.batch, worst.accuracy, worst.batches, worst.n, worst.groups) == (
        *("p2", 0.5, 2, 4, 2),
    )
    assert worst.sentence("plate").startswith("Worst of 2 batches (plate): p2, accuracy 0.50 (")
    # Batches that are equally accurate have no worst one.
    run.provenance = provenance.assign(batch=["p1", "p2"] * 4)
    assert worst_batch_of_run(run, "test") is None
    run.provenance = provenance.assign(batch="p1")
    assert worst_batch_of_run(run, "test") is None
