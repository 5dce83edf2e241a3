"""Paths and names are accepted where objects are, and slips get the texts of the command line."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from images import write_folder

import cellvision as cv
from cellvision import errors
from cellvision.recipe_experiment import as_experiment, without_recipe
from cellvision.results.claimed_folder import MARK, RESUME
from cellvision.results.opening import open_results


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = write_folder(tmp_path / "images", {"a": 10, "b": 10})
    rows = "".join(f"{c}/{n}.png,w{c}{n // 2}\n" for c in "ab" for n in range(10))
    (root / "groups.csv").write_text("file,well\n" + rows)
    monkeypatch.chdir(tmp_path)
    return root


def test_a_folder_with_its_group(images: Path) -> None:
    experiment = as_experiment("images", "quick", group="well")
    assert experiment.recipe == "quick"
    assert experiment.dataset == cv.datasets.create("folder", path=images, group="well")
    assert without_recipe("images").preprocessing == cv.Preprocessing()


def test_an_experiment_file(images: Path) -> None:
    saved = cv.Experiment(dataset="images", training=cv.Training(epochs=2))
    cv.save_experiment(saved, "first.toml")
    assert as_experiment("first.toml") == saved
    assert as_experiment(Path("first.toml")) == saved
    with pytest.raises(errors.ExperimentError, match="group is for a folder of images"):
        as_experiment("first.toml", group="well")


@pytest.mark.parametrize("path", ["images", Path("images"), "./images"])
def test_a_folder_in_place_of_a_data_set(images: Path, path: Any) -> None:
    assert cv.Experiment(dataset=path).dataset == cv.datasets.create("folder", path=images)


def test_a_data_set_s_name_comes_before_a_folder_s(images: Path) -> None:
    (images.parent / "synthetic_cells").mkdir()
    experiment = cv.Experiment(dataset="synthetic_cells", architecture="resnet")
    assert type(experiment.dataset) is cv.datasets.get("synthetic_cells")
    assert type(experiment.architecture) is cv.architectures.get("resnet")


def test_an_address_stays_an_address() -> None:
    experiment = without_recipe("s3://bucket/plate7", group="well")
    assert str(experiment.dataset.path) == "s3://bucket/plate7"  # type: ignore[attr-defined]


ACTIONS: tuple[Callable[[str, Path], object], ...] = (
    lambda source, out: cv.train(source, out=out),
    lambda source, out: cv.study(source, 2, out=out),
    lambda source, out: cv.study({"one": source}, 2, out=out),
    lambda source, out: cv.audit(source, out=out),
    lambda source, out: cv.label(source, out),
    lambda source, out: cv.experiment_from_recipe(source),
)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_misspelt_path_suggests_the_nearest(
    images: Path, tmp_path: Path, action: Callable[[str, Path], object]
) -> None:
    with pytest.raises(errors.FolderError) as caught:
        action("imagse", tmp_path / "out")
    assert caught.value.what == "imagse: no such file or folder"
    assert caught.value.hint == "Did you mean images?"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("action", ACTIONS[:5])
def test_another_kind_of_file_says_what_to_do(
    images: Path, tmp_path: Path, action: Callable[[str, Path], object]
) -> None:
    Path("images.zip").write_bytes(b"PK")
    with pytest.raises(errors.FolderError, match="this is an archive, not a folder"):
        action("images.zip", tmp_path / "out")


def test_predict_takes_a_folder_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(errors.FolderError, match="no finished run here"):
        cv.predict(tmp_path, tmp_path)
    (tmp_path / MARK).touch()
    with pytest.raises(errors.FolderError, match=r"a training .* that is not finished") as caught:
        cv.predict(tmp_path, tmp_path)
    assert "give the command that started it again" in caught.value.hint
    (tmp_path / RESUME).touch()
    with pytest.raises(errors.FolderError, match="failed before its results") as caught:
        cv.predict(tmp_path, tmp_path)
    assert "--resume" in caught.value.hint
    with pytest.raises(errors.FolderError):
        open_results(str(tmp_path / "nowhere"))


def test_label_writes_a_page_and_returns_the_answers(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.db"
    answers = cv.label("images", out, images=2, group="well", static=tmp_path / "page")
    assert list(answers.columns)[:6] == ["image", "split", "group", "label", "rater", "answer"]
    assert answers.empty
    assert list((tmp_path / "page").glob("*.html"))
    assert cv.label("images", out, images=2, group="well", serve=False).empty
    with pytest.raises(errors.InvalidInput, match="another value of images"):
        cv.label("images", out, images=3, group="well", serve=False)
    with pytest.raises(errors.InvalidInput, match="started with other images"):
        cv.label(cv.Experiment(dataset="images"), out, images=2, serve=False)


def test_label_unlabelled_images(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.db"
    cv.label("images", out, classes=["dead", "alive"], serve=False)
    assert cv.label("images", out, classes=["dead", "alive"], serve=False).empty


def short_error(call: Callable[[], object]) -> list[str]:
    with pytest.raises(errors.ExperimentError) as caught:
        call()
    lines = "".join(traceback.format_exception(caught.value)).splitlines()
    assert not any("pydantic" in line for line in lines)
    return lines


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: cv.Training(epoch=5), "Did you mean 'epochs'?"),
        (lambda: cv.architectures.create("deep", dens=5), "Did you mean 'dense'?"),
        (
            lambda: cv.Experiment(dataset="synthetic_cells", traning=cv.Training()),
            "Did you mean 'training'?",
        ),
        (lambda: cv.Preprocessing(size=64), "write height and width as a list: [64,64]"),
    ],
)
def test_a_slip_gives_a_few_lines(call: Callable[[], object], says: str) -> None:
    lines = short_error(call)
    assert any(says in line for line in lines)
    assert len(lines) < 20  # the last two are the message, and a frame takes two or three


def test_completion_shows_public_names_only() -> None:
    component = cv.architectures.create("deep")
    assert {"dense", "build", "recipe", "model_copy"} <= set(dir(component))
    for shown in (component, cv.Training(), cv.Experiment(dataset="synthetic_cells")):
        names = dir(shown)
        assert len(names) == len(set(names))
        assert not [name for name in names if name.startswith("_")]
        assert not {"parse_obj", "construct", "model_fields", "json", "dict"} & set(names)
        assert set(type(shown).model_fields) <= {*names, "schema_"}
    assert set(dir(cv)) == set(cv.__all__)
    assert not [name for name in dir(cv) if name.startswith("_")]
