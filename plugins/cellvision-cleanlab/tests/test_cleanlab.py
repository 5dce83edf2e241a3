"""Suspicious labels: planted ones are found, by networks that have not seen their unit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.testing import DatasetChecks, ReporterChecks, write_images

pytest.importorskip("cellvision_cleanlab", reason="cellvision-cleanlab is not installed")

from cellvision_cleanlab.folds import assign_folds, pixel_digests
from cellvision_cleanlab.suspicious import rank

PLANTED = ("light/w0.png", "light/w1.png", "dark/w2.png")


class TestOneFold(DatasetChecks):
    name = "one_fold"
    invalid_settings = {"fold": -1}

    def settings(self, folder: Path) -> dict[str, object]:
        files = write_images(folder / "images")
        rows = [
            {
                "image": file.relative_to(folder / "images").as_posix(),
                "label": file.parent.name,
                "group": "",
                "fold": place % 3,
            }
            for place, file in enumerate(files)
        ]
        pd.DataFrame(rows).to_csv(folder / "folds.csv", index=False)
        source = cv.datasets.create("folder", path=folder / "images")
        return {"source": source, "table": folder / "folds.csv"}


class TestSuspiciousLabels(ReporterChecks):
    name = "suspicious_labels"
    example = {"folds": 2}
    invalid_settings = {"folds": 1}


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> Iterator[None]:
    with tiny.on_offer():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    """Dark and light images of eight wells each; three have the other class's label."""
    home = tmp_path_factory.mktemp("cleanlab")
    root = tiny.make_folder(home / "images")
    with (root / "groups.csv").open("a") as table:
        for number, image in enumerate(PLANTED):
            level = tiny.BRIGHTNESS["dark" if image.startswith("light") else "light"]
            tiny.write(root / image, tiny.pixels(level, 9000 + number))
            table.write(f"{image},extra{number}\n")
    asked = tiny.experiment(root, group="well", epochs=10)
    return cv.train(asked, home / "run")


@pytest.fixture(scope="module")
def made(run: cv.Run) -> list[Path]:
    folder = run.folder / "reports"
    folder.mkdir(exist_ok=True)
    reporter = cv.reporters.create("suspicious_labels", folds=3, images=6)
    return list(reporter.run(run, folder))


def table_of(run: cv.Run) -> pd.DataFrame:
    return pd.read_csv(run.folder / "reports" / "suspicious_labels.csv")


def test_planted_labels_come_first(run: cv.Run, made: list[Path]) -> None:
    table = table_of(run)
    assert sorted(table["image"]) == sorted(run.predictions["image"])
    assert list(table["rank"]) == list(range(1, len(table) + 1))
    assert table["quality"].is_monotonic_increasing
    assert set(table["image"][:3]) == set(PLANTED)
    flagged = table[table["suspicious"]]
    assert set(flagged["image"]) == set(PLANTED)
    assert (flagged["suggested"] != flagged["label"]).all()


def test_no_network_saw_the_unit_that_it_judges(run: cv.Run, made: list[Path]) -> None:
    table = table_of(run)
    assert table[["group", "fold"]].drop_duplicates()["group"].is_unique
    for number in range(3):
        fold = cv.load_run(run.folder / "reports" / "suspicious_labels" / f"fold_{number}")
        answers = fold.predictions
        taught, tested = answers[answers["split"] == "train"], answers[answers["split"] == "test"]
        assert set(answers["split"]) == {"train", "test"}
        assert set(taught["group"]) & set(tested["group"]) == set()
        assert set(tested["image"]) == set(table["image"][table["fold"] == number])
        assert len(tested) > 0
        recorded = table.set_index("image").loc[tested["image"], "p_dark"]
        np.testing.assert_allclose(recorded, tested["p_dark"], rtol=1e-4)
        assert fold.experiment.architecture == run.experiment.architecture


def test_networks_are_used_again_and_made_anew_where_the_folds_differ(
    run: cv.Run, made: list[Path]
) -> None:
    folder = run.folder / "reports"
    before = (folder / "suspicious_labels" / "fold_0" / "model.keras").stat().st_mtime_ns
    table = (folder / "suspicious_labels.csv").read_bytes()
    cv.reporters.create("suspicious_labels", folds=3).run(run, folder)
    assert (folder / "suspicious_labels" / "fold_0" / "model.keras").stat().st_mtime_ns == before
    assert (folder / "suspicious_labels.csv").read_bytes() == table
    again = cv.reporters.create("suspicious_labels", folds=2).run(run, folder)
    assert (folder / "suspicious_labels" / "fold_0" / "model.keras").stat().st_mtime_ns != before
    assert not (folder / "suspicious_labels" / "fold_2").exists()
    assert folder / "suspicious_labels" / "fold_1" / "run.json" in again


def images(units: dict[str, list[str | None]]) -> pd.DataFrame:
    rows = [
        {"image": f"{label}{place}", "label": label, "group": unit}
        for label, names in units.items()
        for place, unit in enumerate(names)
    ]
    return pd.DataFrame(rows)


def test_identical_pixels_share_a_fold() -> None:
    table = images({"a": [None] * 20, "b": [None] * 20})
    pixels = [str(place) for place in range(40)]
    pixels[3] = pixels[29] = pixels[11]
    for seed in range(5):
        folds = assign_folds(table, pixels, 4, seed)
        assert folds[3] == folds[11] == folds[29]
        assert set(folds) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("units", "folds", "what"),
    [
        ({"a": ["u", "u", "u"], "b": ["v", "w", "x"]}, 2, "class 'a' has one unit"),
        ({"a": ["u", "v"], "b": ["w", "x"]}, 5, "cannot be put into 5 folds"),
    ],
)
def test_too_few_units(units: dict[str, list[str | None]], folds: int, what: str) -> None:
    table = images(units)
    with pytest.raises(errors.InvalidInput, match=what):
        assign_folds(table, list(table["image"]), folds, 0)


def test_digests_tell_pixels_apart(tmp_path: Path) -> None:
    image = tiny.pixels(60, 1)
    for name in ("dark/a.png", "dark/b.tif", "light/c.png"):
        tiny.write(tmp_path / name, image if name != "light/c.png" else tiny.pixels(60, 2))
    dataset = cv.datasets.create("folder", path=tmp_path)
    one, same, other = pixel_digests(dataset, ["dark/a.png", "dark/b.tif", "light/c.png"])
    assert one == same != other


def test_a_label_that_nobody_doubts_is_not_flagged() -> None:
    table = pd.DataFrame(
        {
            "image": list("abcd"),
            "group": None,
            "label": ["x", "x", "y", "y"],
            "fold": 0,
            "p_x": [0.9, 0.8, 0.1, 0.2],
            "p_y": [0.1, 0.2, 0.9, 0.8],
        }
    )
    ranked = rank(table, ["x", "y"])
    assert not ranked["suspicious"].any()
    assert list(ranked["image"]) == ["b", "d", "a", "c"]


def test_a_table_of_folds_that_is_gone(tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    source = cv.datasets.create("folder", path=tmp_path / "images")
    fold = cv.datasets.create("one_fold", source=source, table=tmp_path / "no.csv")
    with pytest.raises(errors.CatalogError, match=r"no\.csv"):
        fold.catalog()
    (tmp_path / "no.csv").write_text("image,label\n")
    with pytest.raises(errors.CatalogError, match="no column 'group'"):
        fold.catalog()
