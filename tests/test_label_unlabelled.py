"""Unlabelled images, ranking by a run, and labels that return to a table data set."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
from labelling import in_thread, label, rows_of
from PIL import Image
from tiny import BRIGHTNESS, make_folder, make_splits, pixels, write

import cellvision as cv
from cellvision import errors
from cellvision.labelling import unlabelled as unlabelled_module
from cellvision.labelling.images import Gallery
from cellvision.labelling.store import Store
from cellvision.labelling.unlabelled import find_images, parse_classes
from cellvision.locks import folder_lock


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Images, and a run on them, which has a test set."""
    root = tmp_path_factory.mktemp("trained")
    counts = {"train": {"dark": 8, "light": 8}, "test": {"dark": 4, "light": 4}}
    images = make_splits(root / "images", counts)
    with tiny.on_offer():
        cv.train(tiny.experiment(images, epochs=8), out=root / "run")
        yield images, root / "run"


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    """Images of many levels, at two depths, with their wells."""
    root = tmp_path / "new"
    rows = ["file,well"]
    for number, level in enumerate(range(40, 145, 15)):
        folder = root / "plate" if number % 2 else root
        file = write(folder / f"{level}.png", pixels(level, 9000 + level, spread=1))
        rows.append(f"{file.relative_to(root).as_posix()},w{number}")
    (root / "groups.csv").write_text("\n".join(rows) + "\n")
    (root / ".hidden").mkdir()
    write(root / ".hidden" / "no.png", pixels(80, 1))
    (root / "._60.png").touch()
    return root


def answer_by_level(file: Path, name: str = "Ana", unsure: int = 0) -> list[str]:
    """Answer by the level in the file name, the first ones with "cannot say"; return the order."""
    order = []
    with Store(file) as store:
        state = store.begin(name)
        while state.showing is not None:
            shown = store.image_behind(state.showing)
            assert shown is not None
            bright = int(Path(shown[0].image).stem) > 90
            answer = None if len(order) < unsure else ("light" if bright else "dark")
            order.append(shown[0].image)
            state = store.answer(state.key, state.showing, answer, 1)
    return order


def start(folder: Path, out: Path, *words: object) -> int:
    return label(folder, "--classes", "dark,light", "--out", out, "--static", f"{out}-page", *words)


def test_a_folder_without_classes_is_labelled_and_becomes_a_table(
    unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.sqlite"
    assert start(unlabelled, file, "--repeats", "0.3") == 0
    with in_thread(file) as client:
        session = client.get("session").json()
        assert session["views"] == ["native"]
        assert [entry["name"] for entry in session["classes"]] == ["dark", "light"]
        assert [entry["examples"] for entry in session["classes"]] == [[], []]
        showing = client.post("begin", name="Bo").json()["showing"]
        assert client.get(f"image/{showing}/native.png").status_code == 200
        assert client.get(f"image/{showing}/seen.png").status_code == 404
    order = answer_by_level(file, unsure=1)
    assert len(order) == 7 + 2
    assert set(order) == set(find_images(unlabelled))
    table = tmp_path / "labels.csv"
    capsys.readouterr()
    assert label(file, "--export-table", table, "--export", tmp_path / "answers.csv") == 0
    rows = rows_of(table)
    skipped = order[0] if order.count(order[0]) == 1 else None
    assert len(rows) == (6 if skipped else 7)
    assert f"{len(rows)} images" in capsys.readouterr().out
    exported = rows_of(tmp_path / "answers.csv")
    assert {(row["split"], row["group"], row["label"]) for row in exported} == {("", "", "")}
    catalog = cv.datasets.create("table", path=table, group="well").catalog()
    assert [Path(image).parts[0] for image in catalog["image"]] == ["new"] * len(rows)
    for image, name, well in zip(catalog["image"], catalog["label"], catalog["well"], strict=True):
        level = int(Path(image).stem)
        assert name == ("light" if level > 90 else "dark")
        assert well == f"w{(level - 40) // 15}"
    assert cv.datasets.create("table", path=table).read(rows[0]["file"]).shape == (32, 32, 1)


def test_images_that_training_refuses_are_not_labelled(
    unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import tifffile

    tifffile.imwrite(unlabelled / "nan.tif", np.full((8, 8), np.nan, np.float32))
    tifffile.imwrite(unlabelled / "huge.tif", np.full((8, 8), 1e300))
    assert start(unlabelled, tmp_path / "a.sqlite") == 2
    err = capsys.readouterr().err
    assert "nan.tif: it contains intensities that are not finite" in err
    assert "huge.tif: it contains an intensity of 1e+300" in err


@pytest.mark.parametrize("option", ["--export", "--export-table"])
def test_answers_overwrite_neither_an_image_nor_the_answer_file(
    unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    file = tmp_path / "a.sqlite"
    assert start(unlabelled, file, "--repeats", "0") == 0
    answer_by_level(file)
    for target, says in (
        (file, "written as a CSV file"),
        (unlabelled / "40.png", "written as a CSV file"),
        (unlabelled / "groups.csv", "says where images come from"),
    ):
        before = target.read_bytes()[:16]  # opening a database counts in its header
        assert label(file, option, target) == 2
        assert says in " ".join(capsys.readouterr().err.split())
        assert target.read_bytes()[:16] == before


def test_columns_of_a_table_with_semicolons_are_kept(unlabelled: Path, tmp_path: Path) -> None:
    groups = unlabelled / "groups.csv"
    groups.write_text(groups.read_text().replace(",", ";"))
    file = tmp_path / "a.sqlite"
    assert start(unlabelled, file, "--repeats", "0") == 0
    answer_by_level(file)
    assert label(file, "--export-table", tmp_path / "labels.csv") == 0
    assert [row["well"] for row in rows_of(tmp_path / "labels.csv")] == [
        f"w{(int(Path(row['file']).stem) - 40) // 15}" for row in rows_of(tmp_path / "labels.csv")
    ]


def test_a_session_resumes_and_refuses_other_classes(
    unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.sqlite"
    assert start(unlabelled, file) == 0
    answer_by_level(file)
    assert (
        label(unlabelled, "--classes", "dark,light", "--out", file, "--export", tmp_path / "a.csv")
        == 0
    )
    for words in (["--classes", "a,b"], [], ["--classes", "dark,light", "--images", "3"]):
        assert label(unlabelled, "--out", file, *words) == 2
    assert "another value of images" in capsys.readouterr().err
    assert label(tmp_path, "--classes", "dark,light", "--out", file) == 2


def test_ties_and_unsure_answers_are_left_out_and_reported(
    unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.sqlite"
    assert start(unlabelled, file, "--repeats", "0") == 0
    answers: dict[str, list[str | None]] = {}
    with Store(file) as store:
        for name in ("Ana", "Bo"):
            state = store.begin(name)
            while state.showing is not None:
                shown = store.image_behind(state.showing)
                assert shown is not None
                previous = answers.setdefault(shown[0].image, [])
                answer = {"40.png": None, "plate/55.png": ("dark", "light")[len(previous)]}.get(
                    shown[0].image, "dark"
                )
                if shown[0].image == "70.png" and not previous:
                    answer = None  # one rater cannot say, the other can
                previous.append(answer)
                state = store.answer(state.key, state.showing, answer, 1)
    capsys.readouterr()
    assert label(file, "--export-table", tmp_path / "labels.csv") == 0
    printed = capsys.readouterr().out
    assert "5 images" in printed
    assert '1 without a majority of answers, 1 with "cannot say" only' in printed
    rows = {row["file"]: row for row in rows_of(tmp_path / "labels.csv")}
    assert set(rows) == {f"new/{image}" for image in answers} - {"new/40.png", "new/plate/55.png"}
    assert rows["new/70.png"]["agreement"] == "1.0"


def test_a_run_ranks_images_by_its_uncertainty_and_shows_its_examples(
    unlabelled: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    images, run = trained
    file = tmp_path / "a.sqlite"
    assert start(unlabelled, file, "--run", run, "--repeats", "0", "--images", "5") == 0
    order = answer_by_level(file)
    assert answer_by_level(file, "Bo") == order
    table = cv.predict(cv.load_run(run), unlabelled)
    highest = table[["p_dark", "p_light"]].max(axis=1)
    certainty = {
        Path(image).relative_to(unlabelled).as_posix(): value
        for image, value in zip(table["image"], highest, strict=True)
    }
    expected = sorted(find_images(unlabelled), key=lambda image: certainty[image])[:5]
    assert [certainty[image] for image in order] == [certainty[image] for image in expected]
    with in_thread(file) as client:
        session = client.get("session").json()
        assert session["views"] == ["native", "seen"]
        for entry in session["classes"]:
            assert len(entry["examples"]) == 3
            for key in entry["examples"]:
                assert client.get(f"image/{key}/native.png").status_code == 200
    with Store(file) as store:
        assert {image.split for _, image in store.examples()} == {"train"}
        assert all((images / image.image).is_file() for _, image in store.examples())


def test_images_that_the_run_was_tested_on_are_refused(
    unlabelled: Path, trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, run = trained
    shutil.copy(images / "train" / "dark" / "s0.png", unlabelled / "100.png")
    assert start(unlabelled, tmp_path / "a.sqlite", "--run", run) == 0
    shutil.copy(images / "test" / "dark" / "s0.png", unlabelled / "101.png")  # another name
    assert start(unlabelled, tmp_path / "b.sqlite", "--run", run) == 3
    message = " ".join(capsys.readouterr().err.split())
    assert "was tested on 1 of these images: '101.png'" in message
    assert label(images, "--out", tmp_path / "b.sqlite", "--run", run) == 3
    assert not (tmp_path / "b.sqlite").exists()


def test_a_run_shows_labelled_images_as_its_network_sees_them(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    images, folder = trained
    file = tmp_path / "a.sqlite"
    words = (images, "--out", file, "--split", "train", "--run", folder)
    assert label(*words, "--static", tmp_path / "page") == 0
    run = cv.load_run(folder)
    assert run.preprocessing.size == (16, 16)
    with Store(file) as store:
        plan = store.plan()
        picture = Image.open(io.BytesIO(Gallery(plan).png(plan.images[0], "seen", (0.0, 1.0))))
    assert picture.size == (16, 16)
    assert plan.display.seen == run.intensity_range
    with Store(file) as store:
        state = store.begin("Ana")
        store.answer(state.key, str(state.showing), "light", 1)
    assert label(*words, "--export", tmp_path / "a.csv") == 0  # the same command resumes


def test_pixels_count_as_the_run_recorded_them(
    unlabelled: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """Files may have taken the place of others since the training."""
    images = shutil.copytree(trained[0], tmp_path / "images")
    run = shutil.copytree(trained[1], tmp_path / "run")
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    record["experiment"]["dataset"]["path"] = str(images)
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    for number, path in enumerate((images / "train" / "light").iterdir()):
        write(path, pixels(200, number))
    (images / "test" / "dark" / "s0.png").rename(unlabelled / "101.png")
    assert start(unlabelled, tmp_path / "a.sqlite", "--run", run) == 3
    (unlabelled / "101.png").unlink()
    assert start(unlabelled, tmp_path / "b.sqlite", "--run", run) == 0
    with Store(tmp_path / "b.sqlite") as store:
        assert {image.label for _, image in store.examples()} == {"dark"}


def test_test_images_are_known_however_the_run_reads_them(
    unlabelled: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    images, folder = trained
    run = shutil.copytree(folder, tmp_path / "run")
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    record["experiment"]["dataset"]["mono"] = True  # colours become grey
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with Image.open(images / "test" / "dark" / "s0.png") as tested:
        tested.convert("RGB").save(unlabelled / "101.png")
    assert start(unlabelled, tmp_path / "a.sqlite", "--run", run) == 3


def test_the_files_that_predict_finds_are_labelled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "new"
    write(root / "a.png", pixels(60, 1))
    (root / "no_suffix").write_bytes((root / "a.png").read_bytes())
    write(tmp_path / "elsewhere" / "b.png", pixels(60, 2))
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    write(root / ".ipynb_checkpoints" / "c.png", pixels(60, 3))
    (root / "notes.txt").write_text("notes")
    assert find_images(root) == ["a.png", "linked/b.png", "no_suffix"]
    assert "1 file is skipped, no image: 'notes.txt'" in caplog.text


def test_a_file_that_cannot_be_written_is_refused_before_images_are_read(
    unlabelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unlabelled_module, "read_image", None)
    assert label(unlabelled, "--classes", "a,b", "--out", "/proc/a.sqlite") == 2
    assert "/proc/a.sqlite: cannot be written to" in capsys.readouterr().err


def test_two_commands_do_not_start_a_session_in_one_file(
    unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with folder_lock(tmp_path / "a.sqlite", "label"):
        assert start(unlabelled, tmp_path / "a.sqlite") == 2
    assert "in use by: label" in " ".join(capsys.readouterr().err.split())
    with folder_lock(tmp_path / "a.sqlite-page", "label --static"):
        assert start(unlabelled, tmp_path / "a.sqlite") == 2
    assert start(unlabelled, tmp_path / "a.sqlite") == 0


@pytest.mark.slow
def test_labels_of_training_images_are_corrected_and_trained_on(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = Path(shutil.copytree(trained[0], tmp_path / "images"))
    wrong = images / "train" / "dark" / "wrong.png"
    write(wrong, pixels(BRIGHTNESS["light"], 5000))
    experiment = tiny.experiment(images, epochs=12, split={"validation": 0})
    run = cv.train(experiment, out=tmp_path / "run")
    settings = ["--set", "preprocessing.size=[16,16]", "--set", "preprocessing.channels=gray"]
    settings += ["--set", "split.validation=0"]
    file = tmp_path / "a.sqlite"
    words = ["--split", "train", "--run", run.folder, "--images", "4", "--repeats", "0"]
    page = ["--static", tmp_path / "page"]
    assert label(images, "--out", file, *words, *page, *settings) == 0
    with Store(file) as store:
        assert store.plan().images[0].image == "train/dark/wrong.png"  # least probable label
        state = store.begin("Ana")
        store.answer(state.key, str(state.showing), "light", 1)
    capsys.readouterr()
    assert label(file, "--export-table", tmp_path / "labels.csv") == 0
    assert "25 images, changed labels: 1" in capsys.readouterr().out
    table = cv.datasets.create("table", path=tmp_path / "labels.csv")
    catalog = table.catalog().set_index("image")
    assert catalog.loc["images/train/dark/wrong.png", "label"] == "light"
    assert catalog.loc["images/train/dark/s0.png", "label"] == "dark"
    assert sorted(set(catalog["split"])) == ["test", "train"]
    again = cv.train(experiment.model_copy(update={"dataset": table}), out=tmp_path / "again")
    counts = again.counts["train"]
    assert (counts["dark"], counts["light"]) == (8, 9)


def test_unsuitable_input_is_refused(
    unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.sqlite"
    (tmp_path / "empty").mkdir()
    other = make_folder(tmp_path / "other", 6)
    for words, reason in (
        ([unlabelled, "--classes", "dark"], "at least two names"),
        ([unlabelled, "--classes", "dark,Dark"], "twice"),
        ([unlabelled, "--classes", "a,,b"], "at least two names"),
        ([unlabelled, "--classes", ",".join(f"c{k}" for k in range(34))], "34 classes"),
        ([unlabelled, "--classes", "a,b", "--practice", "2"], "whose class is known"),
        ([unlabelled, "--classes", "a,b", "--split", "test"], "whose class is known"),
        ([unlabelled, "--classes", "a,b", "--set", "preprocessing.size=[8,8]"], "Omit one"),
        ([unlabelled, "--classes", "a,b", "--run", tmp_path / "no"], "there is no such folder"),
        ([tmp_path / "empty", "--classes", "a,b"], "no image"),
        ([tmp_path / "nowhere", "--classes", "a,b"], "no such file or folder"),
        ([other, "--run", tmp_path / "no"], "there is no such folder"),
    ):
        assert label(*words, "--out", out) == 2, words
        assert reason in " ".join(capsys.readouterr().err.split()), words
    (unlabelled / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert label(unlabelled, "--classes", "a,b", "--out", out) == 2
    said = capsys.readouterr().err
    assert "broken.png" in said
    assert "Repair them or move them" in said
    assert "--set" not in said  # which --classes refuses
    assert not out.exists()
    assert parse_classes(["a,b", "c"]) == ("a", "b", "c")
    with pytest.raises(errors.InvalidInput, match="control"):
        parse_classes(["a,b\nc"])


def test_hostile_files_are_refused(
    tmp_path: Path,
    shared_data: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = tmp_path / "a.sqlite"
    assert label(shared_data / "hostile", "--classes", "a,b", "--out", out) == 2
    said = capsys.readouterr().err
    assert "2 files are skipped, no image: 'SOURCE.md', 'laugh.yaml'" in caplog.text
    assert "error: 8 files cannot be read:\n" in said
    assert "loop1.tif: damaged TIFF: its list of pages forms a ring at page 2" in said
    assert not out.exists()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int16", "uint32", "float32"])
def test_images_of_any_type_are_displayed(tmp_path: Path, dtype: str) -> None:
    import tifffile

    rng = np.random.default_rng(0)
    for number in range(3):
        values = rng.random((9, 9)) > 0.5 if dtype == "bool" else rng.integers(0, 200, (9, 9))
        (tmp_path / "images").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "images" / f"{number}.tif", values.astype(dtype))
    assert start(tmp_path / "images", tmp_path / "a.sqlite") == 0
    for picture in (tmp_path / "a.sqlite-page" / "images").iterdir():
        with Image.open(picture) as opened:
            shown = np.asarray(opened)
        assert shown.min() < 30
        assert shown.max() > 180
