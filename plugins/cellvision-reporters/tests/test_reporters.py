"""The reporters: what they write, what they say, and that figures keep their text."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cellvision as cv
from cellvision import Run, Study

LEAKS = [
    {"kind": "shared_group", "splits": ["test", "train"], "files": ["a.png", "b.png"]},
    {"kind": "identical_pixels", "splits": ["test", "train"], "files": ["a.png", "c.png"]},
]
ODD = ("<b>bold</b> & co", "Ωmega/λ 2", "a $price_1$", "a name | with a bar", "x" * 70)


class FakeRun(Run):
    """A run whose images are drawn on the spot."""

    channels, peak, shape, dtype = 3, 255, (24, 24), np.uint8

    def read(self, image: str) -> np.ndarray:
        rng = np.random.default_rng(zlib.crc32(image.encode()))
        pixels = rng.random((*self.shape, self.channels)) * self.peak
        return pixels.astype(self.dtype)

    def seen(self, images: Sequence[str]) -> np.ndarray:
        stack = np.stack([self.read(image) for image in images]).astype(np.float32)
        return stack / self.metadata.intensity_scale

    def augmented(self, images: Sequence[str], seed: int = 0) -> np.ndarray:
        return self.network_input(images)[:, ::-1]


class DarkRun(FakeRun):
    """Two channels of 12 bits that use a tenth of their range."""

    channels, peak, dtype = 2, 400, np.uint16


class FakeStudy(Study):
    """A study of fake runs."""

    fakes: tuple[Run, ...] = ()

    @property
    def runs(self) -> tuple[Run, ...]:  # type: ignore[override]
        return self.fakes


def make_run(
    folder: Path,
    names: Sequence[str] = ("control", "treated"),
    splits: Sequence[str] = ("train", "validation", "test"),
    *,
    n: int = 10,
    wrong: int = 3,
    epochs: int = 3,
    leaks: Sequence[dict[str, Any]] = (),
    group: str | None = "well",
    scale: int = 255,
    channels: Any = "rgb",
    absent: str | None = None,
    seed: int = 0,
    cls: type[FakeRun] = FakeRun,
) -> Run:
    """Write a run's folder in which the first `wrong` images of each split are wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(names)
    rows, counts, scores = [], {}, {}
    for split in splits:
        labels = [k % len(names) for k in range(n)]
        if split == splits[-1] and absent is not None:
            labels = [k for k in labels if names[k] != absent]
        for k, label in enumerate(labels):
            predicted = (label + 1) % len(names) if k < wrong else label
            share = {name: 0.2 / max(len(names) - 1, 1) for name in names}
            share[names[predicted]] = 0.8
            rows.append(
                {
                    "image": f"{split}/{k:03}.png",
                    "split": split,
                    "group": f"w{k % 4}" if group else "",
                    "label": names[label],
                    "predicted": names[predicted],
                    **{f"p_{name}": value for name, value in share.items()},
                }
            )
        accuracy = 1 - wrong / len(labels)
        counts[split] = {name: labels.count(k) for k, name in enumerate(names)}
        scores[split] = {
            "n": len(labels),
            "groups": 4 if group else None,
            "accuracy": accuracy,
            "accuracy_low": max(accuracy - 0.1, 0),
            "accuracy_high": min(accuracy + 0.1, 1),
            "interval": "wilson",
            "balanced_accuracy": accuracy,
            "loss": 0.5,
        }
    epoch = np.arange(1, epochs + 1)
    held = 0.5 + 0.01 * epoch + 0.02 * seed if "validation" in splits else np.nan
    history = pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 1 / epoch,
            "accuracy": 1 - 0.4 / epoch,
            "val_loss": held,
            "val_accuracy": held,
            "seconds": 1.0,
        }
    )
    record = {
        "schema": 1,
        "experiment": {
            "dataset": {"type": "folder", "path": "images/<of> & more", "group": group},
            "augmenters": [{"type": "rotation", "degrees": 5.0}],
            "architecture": {"type": "deep", "dense": None},
            "training": {"epochs": epochs, "batch_size": 20, "seed": seed},
            "preprocessing": {"size": [24, 24], "channels": channels, "intensity": "bit_depth"},
        },
        "plugins": {"cellvision.datasets:folder": "cellvision-datasets==0.1.0"},
        "environment": {"python": "3.12.1", "backend": "tensorflow"},
        "seed": seed,
        "class_names": names,
        "intensity_zero": 0.0,
        "intensity_scale": scale,
        "group_column": group,
        "counts": counts,
        "scores": scores,
        "timings": {"fit_s": 1.5},
        "warnings": ["Mind <this>."],
        "leaks": list(leaks),
    }
    refused = {"file": "<torn>.tif", "status": "refused", "reason": "cut short & torn"}
    read = {"file": "a.png", "status": "read", "dtype": "uint8", "bit_depth": 8}
    audit = {
        "class_names": names,
        "counts": counts,
        "group_column": group,
        "groups": dict.fromkeys(splits, 4),
        "files": [{**read, "reason": "", "shape": [24, 24, 3]}, {**refused, "shape": None}],
        "leaks": list(leaks),
        "warnings": ["1 image(s) cannot be read."],
    }
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "audit.json").write_text(json.dumps(audit), encoding="utf-8")
    history.to_csv(folder / "history.csv", index=False)
    pd.DataFrame(rows).to_csv(folder / "predictions.csv", index=False)
    return cls(folder, record)


def make_study(
    folder: Path, arms: dict[str, dict[str, Any]], runs: int = 3, **shared: Any
) -> FakeStudy:
    """Write a study's folder; run k of an arm has k wrong images more than its first."""
    made: list[Run] = []
    scores, histories, entries = [], [], []
    expert = shared.pop("expert", {})
    for name, settings in arms.items():
        options = {"n": 20, **shared, **settings}
        first = options.pop("wrong", 4)
        for k in range(runs):
            label = f"{len(made):03}"
            run = make_run(folder / "runs" / label, wrong=first + k, seed=k, **options)
            made.append(run)
            scores += [
                {"run": label, "experiment": name, "seed": k, "split": split, **score}
                for split, score in run.scores.items()
            ]
            histories.append(run.history.assign(run=label, experiment=name))
        entries.append({"name": name, "experiment": made[-1].record["experiment"]})
    pd.DataFrame(scores).to_csv(folder / "runs.csv", index=False)
    pd.concat(histories).to_csv(folder / "history.csv", index=False)
    record = {
        "schema": 1,
        "experiments": entries,
        "seeds": list(range(runs)),
        "expert": expert,
        "runs": [f"{k:03}" for k in range(len(made))],
    }
    (folder / "study.json").write_text(json.dumps(record), encoding="utf-8")
    study = FakeStudy(folder, record)
    study.fakes = tuple(made)
    return study


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    folder.mkdir()
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every figure that is saved, as it was saved."""
    from cellvision_reporters.figures.figure import Sheet

    figures: list[Any] = []
    save: Callable[..., Path] = Sheet.save

    def keep(self: Sheet, target: Path, dpi: int) -> Path:
        figures.append(self.figure)
        return save(self, target, dpi)

    monkeypatch.setattr(Sheet, "save", keep)
    return figures


def texts_of(figure: Any) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def assert_nothing_is_clipped(figure: Any) -> None:
    from matplotlib.text import Text

    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    undrawn = {
        id(text)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        for text in (tick.label1, tick.label2)
    }
    shown = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    assert shown
    for text in shown:
        box = text.get_window_extent(renderer)
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside or id(text) in undrawn, f"{text.get_text()!r}: {box} of {width} x {height}"


def assert_is_a_picture(path: Path) -> None:
    with Image.open(path) as image:
        assert min(image.size) >= 150
        low, high = image.convert("L").getextrema()
    assert high - low > 100


RUN_PICTURES = ("panel", "sample", "curves", "confusion")


@pytest.mark.parametrize("name", RUN_PICTURES)
@pytest.mark.parametrize(
    "names", [("control", "treated"), ODD, tuple(f"class {k:02}" for k in range(40))]
)
def test_pictures_of_a_run_are_whole(
    name: str, names: Sequence[str], tmp_path: Path, out: Path, drawn: list[Any]
) -> None:
    run = make_run(tmp_path / "run", names, n=40)
    made = cv.reporters.create(name, dpi=100).run(run, out)
    assert made
    assert len(made) == len(drawn)
    for path, figure in zip(made, drawn, strict=True):
        assert path.parent == out
        assert path.name.startswith(name)
        assert_is_a_picture(path)
        assert_nothing_is_clipped(figure)


@pytest.mark.parametrize("name", [*RUN_PICTURES, "tables", "html"])
@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 1, "splits": ("train", "test"), "group": None},
        {"splits": ("train",)},
        {"absent": "treated", "n": 6, "wrong": 1},
        {"n": 2, "wrong": 0},
        {"wrong": 8, "n": 8},
        {"splits": ("train", "Plate 1", "plate 1", "plate/1")},
    ],
    ids=["one epoch", "no test set", "a class missing", "two images", "all wrong", "alike names"],
)
def test_sparse_runs_are_reported(
    name: str, options: dict[str, Any], tmp_path: Path, out: Path
) -> None:
    run = make_run(tmp_path / "run", **options)
    made = cv.reporters.create(name).run(run, out)
    assert len({path.name.lower() for path in made}) == len(made)
    assert all(path.stat().st_size > 0 for path in made)
    if name == "panel" and len(run.test_splits) == 3:
        assert len(made) == 3


@pytest.mark.parametrize("name", ["panel", "curves"])
@pytest.mark.parametrize("kind", ["pdf", "svg"])
def test_other_formats(name: str, kind: str, tmp_path: Path, out: Path) -> None:
    run = make_run(tmp_path / "run", n=4, wrong=1)
    (made,) = cv.reporters.create(name, format=kind).run(run, out)
    assert made.suffix == f".{kind}"
    assert made.read_bytes().startswith({"pdf": b"%PDF", "svg": b"<?xml"}[kind])


@pytest.mark.parametrize("name", RUN_PICTURES)
def test_a_leak_and_unknown_units_are_on_every_figure(
    name: str, tmp_path: Path, out: Path, drawn: list[Any]
) -> None:
    cv.reporters.create(name).run(make_run(tmp_path / "a", leaks=LEAKS, group=None), out)
    stamped = " ".join(" ".join(texts_of(drawn[0])).split())
    assert "LEAK: test and train share units (1)" in stamped
    assert "Units unknown: images taken as independent" in stamped
    drawn.clear()
    cv.reporters.create(name).run(make_run(tmp_path / "b"), out)
    clean = " ".join(texts_of(drawn[0]))
    assert "LEAK" not in clean
    assert "unknown" not in clean


def test_tables_hold_the_scores_and_counts(tmp_path: Path, out: Path) -> None:
    run = make_run(tmp_path / "run", (*ODD, "plain"), n=30, wrong=6, leaks=LEAKS)
    cv.reporters.create("tables").run(run, out)
    scores = pd.read_csv(out / "tables_scores.csv").set_index("split")
    assert scores.loc["test", "accuracy"] == pytest.approx(0.8)
    assert scores.loc["test", "chance"] == pytest.approx(1 / 6)
    assert scores.loc["test", "majority_share"] == pytest.approx(5 / 30)
    assert scores.loc["test", "leak"].startswith("LEAK")
    counts = pd.read_csv(out / "tables_counts.csv")
    assert list(counts["class"]) == sorted((*ODD, "plain"))
    assert list(counts["test"]) == [5] * 6
    page = (out / "tables.md").read_text(encoding="utf-8")
    assert "**LEAK: test and train share units (1)" in page
    assert "test: accuracy 0.80 (95 % interval 0.70–0.90, n = 30 images from 4 wells)" in page
    assert "a name \\| with a bar" in page


def test_the_panel_shows_right_and_wrong_in_their_proportion(
    tmp_path: Path, out: Path, drawn: list[Any]
) -> None:
    run = make_run(tmp_path / "run", ("a", "b", "c", "d"), n=80, wrong=20)
    cv.reporters.create("panel", images=24).run(run, out)
    shown = texts_of(drawn[0])
    assert sum(text.startswith("✓") for text in shown) == 18
    assert sum(text.startswith("✗") for text in shown) == 6
    assert [shown.count(f"true: {name}") for name in "abcd"] == pytest.approx([6] * 4, abs=1)
    assert any("24 of 80 images: 18 right" in " ".join(text.split()) for text in shown)
    assert "80\N{NO-BREAK SPACE}%" in next(text for text in shown if text.startswith("✓"))


def test_the_panel_is_the_same_each_time(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", n=40)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = (cv.reporters.create("panel", dpi=60).run(run, folder)[0] for folder in folders)
    assert one.read_bytes() == two.read_bytes()


def test_a_dark_run_is_brightened_alike_and_says_so(
    tmp_path: Path, out: Path, drawn: list[Any]
) -> None:
    run = make_run(tmp_path / "run", cls=DarkRun, scale=4095, channels=[0, 1], n=6, wrong=1)
    cv.reporters.create("panel").run(run, out)
    caption = " ".join(" ".join(texts_of(drawn[0])).split())
    assert "Brightened for display" in caption
    assert "full range ends at 4095" in caption
    assert "Channels: 0 blue, 1 orange" in caption
    brightest = max(np.asarray(i.get_array()).max() for a in drawn[0].axes for i in a.images)
    assert brightest > 0.9
    drawn.clear()
    cv.reporters.create("panel", contrast="image").run(run, out)
    assert "stretched by itself" in " ".join(" ".join(texts_of(drawn[0])).split())


def test_the_display_scale_is_one_for_all_images() -> None:
    from cellvision_reporters.figures.display import Stretch

    dim, bright = np.full((4, 4, 1), 100.0), np.full((4, 4, 1), 800.0)
    stretch = Stretch.of([dim, bright], full=4095)
    assert stretch.stretched
    assert stretch.rgb(dim).max() == pytest.approx(stretch.rgb(bright).max() / 8, rel=0.01)


def test_the_sample_says_what_the_network_sees(tmp_path: Path, out: Path, drawn: list[Any]) -> None:
    run = make_run(tmp_path / "run", cls=DarkRun, scale=4095, channels=[0, 1])
    cv.reporters.create("sample").run(run, out)
    caption = " ".join(" ".join(texts_of(drawn[0])).split())
    assert "Intensity 0 to 4095 became 0 to 1" in caption
    assert "24 × 24 pixels, 2 channels" in caption
    assert "After augmentation: rotation" in caption


def test_the_confusion_matrix_counts(tmp_path: Path, out: Path, drawn: list[Any]) -> None:
    run = make_run(tmp_path / "run", ("a", "b"), n=20, wrong=5)
    cv.reporters.create("confusion").run(run, out)
    shown = texts_of(drawn[0])
    assert "7 / 10 = 70 %" in shown
    assert "8 / 10 = 80 %" in shown
    assert "30 %" in shown


@pytest.fixture
def study(tmp_path: Path) -> FakeStudy:
    arms = {"deep": {"wrong": 2}, "a <long> & odd name of an experiment / with more": {}}
    splits = ("train", "validation", "test", "plate 2")
    return make_study(tmp_path / "study", arms, splits=splits, expert={"test": 0.93})


@pytest.mark.parametrize("name", ["boxplot", "learning"])
def test_pictures_of_a_study_are_whole(
    name: str, study: FakeStudy, out: Path, drawn: list[Any]
) -> None:
    (made,) = cv.reporters.create(name).study(study, out)
    assert_is_a_picture(made)
    assert_nothing_is_clipped(drawn[0])
    assert "human expert" in texts_of(drawn[0]) or name == "learning"


@pytest.mark.parametrize("name", ["boxplot", "learning", "summary", "tables", "html"])
@pytest.mark.parametrize("splits", [("train", "test"), ("train",)])
def test_a_study_of_one_run_is_reported(
    name: str, splits: Sequence[str], tmp_path: Path, out: Path
) -> None:
    study = make_study(tmp_path / "study", {"deep": {}}, runs=1, splits=splits, epochs=1)
    made = cv.reporters.create(name).study(study, out)
    assert all(path.stat().st_size > 0 for path in made)
    assert bool(made) == (name != "boxplot" or "test" in splits)


def test_the_summary_is_over_all_runs(study: FakeStudy, out: Path) -> None:
    cv.reporters.create("summary").study(study, out)
    table = pd.read_csv(out / "summary.csv").set_index(["experiment", "split"])
    row = table.loc[("deep", "test")]
    assert row["runs"] == 3
    assert row["mean"] == pytest.approx(np.mean([0.9, 0.85, 0.8]))
    assert row["sd"] == pytest.approx(np.std([0.9, 0.85, 0.8], ddof=1))
    assert (row["minimum"], row["maximum"]) == pytest.approx((0.8, 0.9))
    assert row["sampling_low"] == pytest.approx(np.mean([0.8, 0.75, 0.7]))
    assert row["expert"] == pytest.approx(0.93)
    page = (out / "summary.md").read_text(encoding="utf-8")
    assert "0.800–0.900" in page
    assert "best" in page.rpartition("No run is picked out as the ")[2]


class Page(HTMLParser):
    """What a browser would fetch, and the text it would show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for key, value in attrs if key in ("src", "href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_is_self_contained(text: str) -> Page:
    page = Page(text)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not re.search(r"url\(|@import|<script|<link", text)
    assert not {"script", "iframe", "object", "link"} & set(page.tags)
    return page


def test_the_page_of_a_run_says_everything(tmp_path: Path, out: Path) -> None:
    run = make_run(tmp_path / "run", ODD, n=30, wrong=6, leaks=LEAKS)
    (made,) = cv.reporters.create("html").run(run, out)
    assert [path.name for path in out.iterdir()] == ["report.html"]
    text = made.read_text(encoding="utf-8")
    page = assert_is_self_contained(text)
    assert "b" not in page.tags  # a class name is text, not markup
    assert 'name="viewport"' in text
    assert "@media print" in text
    shown = page.text.replace("\N{NO-BREAK SPACE}", " ")
    for said in (
        "LEAK: test and train share units (1)",
        "Mind <this>.",
        "test: accuracy 0.80 (95 % interval 0.70–0.90, n = 30 images from 4 wells); chance is",
        "<torn>.tif",
        "cut short & torn",
        "cellvision-datasets==0.1.0",
        '"path": "images/<of> & more"',
        *ODD,
    ):
        assert said in shown
    assert shown.index("LEAK") < shown.index("Scores") < shown.index("Data and audit")
    pictures = [source for source in page.sources if source.startswith("data:")]
    assert len(pictures) == 4
    assert base64.b64decode(pictures[0].partition(",")[2]).startswith(b"\x89PNG")


def test_the_page_uses_pictures_that_are_there(tmp_path: Path, out: Path, drawn: list[Any]) -> None:
    run = make_run(tmp_path / "run")
    for name in RUN_PICTURES:
        cv.reporters.create(name).run(run, out)
    before = len(drawn)
    (made,) = cv.reporters.create("html").run(run, out)
    assert len(drawn) == before
    encoded = base64.b64encode((out / "panel_test.png").read_bytes()).decode()
    assert encoded in made.read_text(encoding="utf-8")


def test_the_page_is_made_where_images_are_gone(tmp_path: Path, out: Path) -> None:
    class Gone(FakeRun):
        def read(self, image: str) -> np.ndarray:
            raise cv.errors.UnreadableImage(image, "it is <gone>")

    run = make_run(tmp_path / "run", cls=Gone)
    (made,) = cv.reporters.create("html").run(run, out)
    page = assert_is_self_contained(made.read_text(encoding="utf-8"))
    assert "it is <gone>" in page.text
    assert len(page.sources) == 2


def test_the_page_of_a_study(study: FakeStudy, out: Path) -> None:
    (made,) = cv.reporters.create("html").study(study, out)
    page = assert_is_self_contained(made.read_text(encoding="utf-8"))
    shown = page.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "deep, test: mean accuracy 0.85, SD 0.050 over 3 runs" in shown
    assert "a human expert: 0.93" in shown
    assert "a <long> & odd name of an experiment / with more" in shown
    assert shown.index("Can deep tell control, treated apart") < shown.index("mean accuracy")
    assert "Controls not run" in shown
    assert len(page.sources) == 2 + 2 * 4


def test_the_diagram_shows_shapes_and_weights(tmp_path: Path, out: Path, drawn: list[Any]) -> None:
    import keras

    inner = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
        ]
    )
    shared = keras.layers.Dense(784, name="shared")
    inputs = keras.Input((16, 16, 1))
    features = inner(keras.layers.Rescaling(1 / 255)(inputs))
    summed = keras.layers.Add()([features, shared(shared(features))])
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(summed))

    run = make_run(tmp_path / "run")
    run.model = lambda: model  # type: ignore[method-assign]
    (made,) = cv.reporters.create("diagram").run(run, out)
    assert_is_a_picture(made)
    assert_nothing_is_clipped(drawn[0])
    shown = texts_of(drawn[0])
    assert f"deep: {model.count_params():,} weights" in shown
    assert "Conv2D 3×3, 4 filters, valid, relu" in shown
    assert "14 × 14 × 4" in shown
    assert {"40", "615,440", "shared", "1,570"} <= set(shown)
    assert any(text.startswith("Add (of") for text in shown)


def test_reporters_are_found_and_automatic() -> None:
    automatic = {name for name in cv.reporters.names() if cv.reporters.get(name).automatic}
    ours = {*RUN_PICTURES, "tables", "html", "boxplot", "controls", "learning", "summary"}
    assert ours <= automatic
    assert "diagram" not in automatic
    made = cv.reporters.create("panel", images=6, contrast="image")
    assert made.model_dump()["images"] == 6
    with pytest.raises(cv.errors.ExperimentError, match="contrast"):
        cv.reporters.create("panel", contrast="none")


def test_finding_reporters_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys, cellvision as cv\n"
        "[cv.reporters.get(name) for name in cv.reporters.names()]\n"
        "heavy = {'matplotlib', 'pandas', 'keras', 'tensorflow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
