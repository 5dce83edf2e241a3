"""The reporters of runs and studies: what they write, and that figures keep their text."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from figure_checks import assert_is_a_picture, assert_nothing_is_clipped, prose, texts
from written_results import LEAKS, ODD_NAMES, write_run, write_study

import cellvision as cv
from cellvision import statistics
from cellvision.testing import SyntheticImages

RUN_FIGURES = ("panel", "sample", "curves", "confusion", "probabilities", "mistakes")


def figures(artifacts: Sequence[cv.Artifact]) -> list[Path]:
    return [artifact.path for artifact in artifacts if artifact.kind == "figure"]


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN_FIGURES)
@pytest.mark.parametrize(
    "names",
    [("control", "treated"), ODD_NAMES, tuple(f"class {k:02}" for k in range(40))],
    ids=["two classes", "odd names", "forty classes"],
)
def test_figures_of_a_run_are_whole(
    name: str, names: Sequence[str], tmp_path: Path, out: Path, drawn: list[Any]
) -> None:
    run = write_run(tmp_path / "run", names, n=40)
    paths = figures(cv.reporters.create(name, dpi=100).run(run, out))
    assert paths
    assert len(paths) == len(drawn)
    for path, figure in zip(paths, drawn, strict=True):
        assert path.parent == out
        assert path.name.startswith(name)
        assert_is_a_picture(path)
        assert_nothing_is_clipped(figure)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [*RUN_FIGURES, "tables", "html"])
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
    run = write_run(tmp_path / "run", **options)
    artifacts = cv.reporters.create(name).run(run, out)
    assert len({each.path.name.lower() for each in artifacts}) == len(artifacts)
    assert all(each.path.stat().st_size > 0 for each in artifacts)
    if name == "panel" and len(run.test_splits) == 3:
        assert len(artifacts) == 3


@pytest.mark.parametrize("name", ["panel", "curves"])
@pytest.mark.parametrize(("kind", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_other_formats(name: str, kind: str, start: bytes, tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run", n=4, wrong=1)
    (path,) = figures(cv.reporters.create(name, format=kind).run(run, out))
    assert path.suffix == f".{kind}"
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("name", RUN_FIGURES)
def test_leaks_and_unknown_groups_are_on_every_figure(
    name: str, tmp_path: Path, out: Path, drawn: list[Any]
) -> None:
    cv.reporters.create(name).run(write_run(tmp_path / "a", leaks=LEAKS, group=None), out)
    assert "LEAK: test and train share groups (1)" in prose(drawn[0])
    assert "Groups unknown: images were treated as independent" in prose(drawn[0])
    drawn.clear()
    cv.reporters.create(name).run(write_run(tmp_path / "b"), out)
    assert "LEAK" not in prose(drawn[0])
    assert "unknown" not in prose(drawn[0])


def test_tables_hold_scores_classes_and_counts(tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run", (*ODD_NAMES, "plain"), n=30, wrong=6, leaks=LEAKS)
    artifacts = cv.reporters.create("tables").run(run, out)
    assert [each.path.name for each in artifacts if each.kind == "table"] == [
        *("tables_scores.csv", "tables_classes.csv", "tables_counts.csv")
    ]
    scores = pd.read_csv(out / "tables_scores.csv").set_index("split")
    assert scores.loc["test", "accuracy"] == pytest.approx(0.8)
    assert scores.loc["test", "balanced_accuracy"] == pytest.approx(0.8)
    assert scores.loc["test", "chance"] == pytest.approx(1 / 6)
    assert scores.loc["test", "majority_fraction"] == pytest.approx(5 / 30)
    assert scores.loc["test", "leak"].startswith("LEAK")
    counts = pd.read_csv(out / "tables_counts.csv")
    assert list(counts["class"]) == sorted((*ODD_NAMES, "plain"))
    assert list(counts["test"]) == [5] * 6
    page = (out / "tables.md").read_text(encoding="utf-8")
    assert "**LEAK: test and train share groups (1)" in page
    assert "test: accuracy 0.80 (95 % interval 0." in page
    assert "n = 30 images from 4 wells), balanced accuracy 0.80; chance is" in page
    assert "a name \\| with a bar" in page


def test_every_class_has_precision_recall_and_interval(tmp_path: Path, out: Path) -> None:
    # The first six of 20 images are wrong: three of each class.
    run = write_run(tmp_path / "run", ("a", "b"), n=20, wrong=6)
    cv.reporters.create("tables").run(run, out)
    table = pd.read_csv(out / "tables_classes.csv").set_index("class")
    rows = run.predictions[run.predictions["split"] == "test"]
    images = rows[rows["label"] == "a"]
    interval = statistics.accuracy_interval(
        (images["predicted"] == "a").to_numpy(), images["group"].to_numpy()
    )
    assert table.loc["a", "n"] == 10
    assert table.loc["a", "recall"] == pytest.approx(0.7)
    assert table.loc["a", "precision"] == pytest.approx(7 / 10)
    assert table.loc["a", "f1"] == pytest.approx(0.7)
    assert table.loc["a", "recall_low"] == pytest.approx(interval.low)
    assert table.loc["a", "recall_high"] == pytest.approx(interval.high)


def test_classes_that_are_never_predicted_are_reported(tmp_path: Path) -> None:
    from cellvision_reporters.figures.class_warnings import never_predicted, worst_class

    run = write_run(tmp_path / "run", ("a", "b"), n=10, wrong=0)
    table = run.predictions
    table["predicted"] = "a"
    table.to_csv(run.folder / "predictions.csv", index=False)
    changed = cv.load_run(run.folder)
    (sentence,) = never_predicted(changed, "test")
    assert "class 'b' is never predicted (5 images of it are wrong)" in sentence
    assert never_predicted(run, "test") == []
    assert worst_class([changed], "test") == "b: 0 of 5 images right (0\N{NO-BREAK SPACE}%)"
    mean = "b: 50\N{NO-BREAK SPACE}% of 5 images right, mean of 2 runs"
    assert worst_class([changed, run], "test") == mean
    assert worst_class([run], "none") is None


def test_the_panel_keeps_proportions_within_each_class() -> None:
    from cellvision_reporters.figures import stratified_sample

    answers = {"common": [True] * 90 + [False] * 10, "rare": [True, False, False], "one": [False]}
    rows = pd.DataFrame(
        [
            {"image": f"{label}{k}", "label": label, "predicted": label if right else "other"}
            for label, column in answers.items()
            for k, right in enumerate(column)
        ]
    )
    shown = stratified_sample(rows, 24)
    right = shown["label"] == shown["predicted"]
    assert len(shown) == 24
    assert dict(shown["label"].value_counts()) == {"common": 20, "rare": 3, "one": 1}
    assert right[shown["label"] == "common"].sum() == 18
    assert right[shown["label"] == "rare"].sum() == 1
    assert not right[shown["label"] == "one"].any()
    few = stratified_sample(rows, 3)
    assert set(few["label"]) == {"common", "rare", "one"}


def test_the_panel_says_how_many_are_right(tmp_path: Path, out: Path, drawn: list[Any]) -> None:
    run = write_run(tmp_path / "run", ("a", "b", "c", "d"), n=80, wrong=20)
    cv.reporters.create("panel", images=24).run(run, out)
    shown = texts(drawn[0])
    assert sum(text.startswith("✗") for text in shown) == 8  # 5 of 20 in each class: 2 of 6
    assert [shown.count(f"true: {name}") for name in "abcd"] == [6] * 4
    assert "24 of 80 images: 16 right" in prose(drawn[0])
    assert "80 %" in next(text for text in shown if text.startswith("✓"))


def test_the_panel_is_the_same_each_time(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", n=40)
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (path,) = figures(cv.reporters.create("panel", dpi=60).run(run, tmp_path / name))
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_mistakes_are_ranked_by_confidence(tmp_path: Path, out: Path) -> None:
    run = write_run(tmp_path / "run", ("a", "b", "c"), n=12, wrong=5)
    table = run.predictions
    wrong = table[(table["split"] == "test") & (table["label"] != table["predicted"])]
    surest = wrong["image"].iloc[3]
    row = wrong.index[3]
    table.loc[row, ["p_a", "p_b", "p_c"]] = 0.01
    table.loc[row, f"p_{table.loc[row, 'predicted']}"] = 0.98
    table.to_csv(run.folder / "predictions.csv", index=False)
    cv.reporters.create("mistakes").run(cv.load_run(run.folder), out)
    errors = pd.read_csv(out / "mistakes_test.csv")
    assert errors["image"].iloc[0] == surest
    assert list(errors["confidence"]) == pytest.approx([0.98, 0.8, 0.8, 0.8, 0.8])
    assert errors["p_true"].iloc[0] == pytest.approx(0.01)


def test_curves_of_probabilities_agree_with_scikit_learn(
    tmp_path: Path, out: Path, drawn: list[Any]
) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    run = write_run(tmp_path / "run", ("a", "b", "c"), n=30, wrong=9)
    cv.reporters.create("probabilities").run(run, out)
    areas = pd.read_csv(out / "probabilities_test.csv").set_index("class")
    rows = run.predictions[run.predictions["split"] == "test"]
    for name in run.class_names:
        positive, scores = rows["label"] == name, rows[f"p_{name}"]
        assert areas.loc[name, "roc_auc"] == pytest.approx(roc_auc_score(positive, scores))
        precision = average_precision_score(positive, scores)
        assert areas.loc[name, "average_precision"] == pytest.approx(precision)
        assert areas.loc[name, "roc_auc_low"] <= areas.loc[name, "roc_auc"]
    assert {"ROC", "Precision and recall", "Calibration"} <= set(texts(drawn[0]))
    assert any(text.endswith(")") and "a: AUC 0." in text for text in texts(drawn[0]))


def test_dark_images_are_brightened_alike_and_the_caption_says_so(
    tmp_path: Path, out: Path, drawn: list[Any]
) -> None:
    run = write_run(tmp_path / "run", scale=65535, n=6, wrong=1)
    cv.reporters.create("panel").run(run, out)
    assert "Brightened for display" in prose(drawn[0])
    assert "full range ends at 65535" in prose(drawn[0])
    brightest = max(np.asarray(i.get_array()).max() for a in drawn[0].axes for i in a.images)
    assert brightest > 0.9 * 255
    drawn.clear()
    cv.reporters.create("panel", contrast="image").run(run, out)
    assert "Each image has its own display range" in prose(drawn[0])


def test_the_display_range_is_one_for_all_images() -> None:
    from cellvision_reporters.figures import DisplayRange

    dim, bright = np.full((4, 4, 2), 100.0), np.full((4, 4, 2), 800.0)
    scale = DisplayRange.from_images([dim, bright], full_scale=4095, channels=[0, 1])
    assert scale.brightened
    assert scale.low == (0.0, 0.0)
    assert scale.high == (800.0, 800.0)
    assert scale.to_rgb(dim)[0, 0, 2] == pytest.approx(1 / 8, rel=0.01)  # blue: 1.0 of channel 0
    assert "Channels: 0 blue, 1 orange" in scale.describe()
    full = DisplayRange.from_images([bright], full_scale=1000)
    assert not full.brightened
    assert full.high == (1000.0, 1000.0)


def test_cells_on_a_pedestal_are_visible() -> None:
    from cellvision_reporters.figures import DisplayRange

    images = [np.random.default_rng(k).uniform(2000, 2500, (40, 40, 1)) for k in range(3)]
    scale = DisplayRange.from_images(images, full_scale=4095)
    assert scale.brightened
    assert scale.low[0] == pytest.approx(2000, abs=5)
    assert scale.high[0] == pytest.approx(2500, abs=5)
    assert scale.to_rgb(images[0]).std() > 0.2
    assert "(the full range ends at 4095)" in scale.describe()


def test_images_of_unequal_shapes_leave_no_holes(
    tmp_path: Path, out: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: SyntheticImages, image: str) -> np.ndarray:
        tall = image.endswith(("0", "2", "4"))
        return np.full((40, 20, 1) if tall else (20, 40, 1), 3000, np.uint16)

    monkeypatch.setattr(SyntheticImages, "read", read)
    cv.reporters.create("panel").run(write_run(tmp_path / "run", n=8), out)
    (figure,) = drawn
    figure.canvas.draw()
    (axes,) = figure.axes
    frames = [patch for patch in axes.patches if patch.get_linewidth() > 2]
    assert len(frames) == 8
    assert len({(round(p.get_width(), 6), round(p.get_height(), 6)) for p in frames}) == 1
    boxes = [image.get_extent() for image in axes.images]
    ratios = {round((bottom - top) / (right - left), 6) for left, right, bottom, top in boxes}
    assert ratios == {2.0, 0.5}


def test_labels_break_between_words_only() -> None:
    from cellvision_reporters.figures import fit_text, text_width

    width = text_width("dandelio", 9.5)
    for text in ("dandelion", "common dandelion", "a dandelion 80 %"):
        lines = fit_text(text, width, 9.5, 2).split("\n")
        assert all(text_width(line, 9.5) <= width for line in lines)
        assert "".join(lines) != text.replace(" ", "") or all(
            line in text.split(" ") or " " in line for line in lines
        )
        assert not any(line.startswith("n") for line in lines)
    two = text_width("inhibitors", 9.5)
    assert fit_text("Eg5_inhibitors", two, 9.5, 2) == "Eg5_\ninhibitors"
    assert fit_text("two words", text_width("words", 9.5), 9.5, 2) == "two\nwords"


def test_the_sample_says_what_the_network_sees(tmp_path: Path, out: Path, drawn: list[Any]) -> None:
    cv.reporters.create("sample").run(write_run(tmp_path / "run"), out)
    assert "The network sees intensity 0 to 4095 as 0 to 1." in prose(drawn[0])
    assert "12 × 16 pixels, 1 channel" in prose(drawn[0])
    assert "No augmentation." in prose(drawn[0])


def test_the_confusion_matrix_counts(tmp_path: Path, out: Path, drawn: list[Any]) -> None:
    run = write_run(tmp_path / "run", ("a", "b"), n=20, wrong=5)
    cv.reporters.create("confusion").run(run, out)
    shown = texts(drawn[0])
    assert "7 / 10 = 70 %" in shown
    assert "8 / 10 = 80 %" in shown
    assert "30 %" in shown


# --- studies -----------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path: Path) -> cv.Study:
    experiments: dict[str, dict[str, Any]] = {
        "deep": {"wrong": 2},
        "a <long> & odd name of an experiment / with more": {},
    }
    splits = ("train", "validation", "test", "plate 2")
    return write_study(tmp_path / "study", experiments, splits=splits, expert={"test": 0.93})


@pytest.mark.parametrize("name", ["boxplot", "learning"])
def test_figures_of_a_study_are_whole(
    name: str, study: cv.Study, out: Path, drawn: list[Any]
) -> None:
    (path,) = figures(cv.reporters.create(name).study(study, out))
    assert_is_a_picture(path)
    assert_nothing_is_clipped(drawn[0])
    assert any("human expert" in text for text in texts(drawn[0]))


def test_accuracies_over_epochs_name_the_numbers_of_images(
    study: cv.Study, tmp_path: Path, out: Path
) -> None:
    (curves,) = cv.reporters.create("learning").study(study, out)
    assert "every run, 20 training and 20 validation images." in curves.caption
    run = write_run(tmp_path / "run", n=7, splits=("train", "test"))
    (curves,) = cv.reporters.create("curves").run(run, out)
    assert "Curves: 7 training images. There is no validation split." in curves.caption


@pytest.mark.parametrize(
    "name", ["boxplot", "learning", "summary", "tables", "html", "panel", "confusion"]
)
@pytest.mark.parametrize("splits", [("train", "test"), ("train",)], ids=["tested", "untested"])
def test_a_study_of_one_run_is_reported(
    name: str, splits: Sequence[str], tmp_path: Path, out: Path
) -> None:
    study = write_study(tmp_path / "study", {"deep": {}}, runs=1, splits=splits, epochs=1)
    artifacts = cv.reporters.create(name).study(study, out)
    assert all(each.path.stat().st_size > 0 for each in artifacts)
    assert bool(artifacts) == (name not in ("boxplot", "confusion") or "test" in splits)
    assert not any("first of" in each.caption for each in artifacts)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["panel", "confusion"])
def test_a_study_shows_the_first_run_of_each_experiment(
    name: str, study: cv.Study, out: Path, drawn: list[Any]
) -> None:
    artifacts = cv.reporters.create(name).study(study, out)
    assert len(figures(artifacts)) == 4
    assert all("The first of 3 runs, not chosen by its result." in prose(each) for each in drawn)
    assert "deep, test: accuracy 0.90" in prose(drawn[0])


def test_a_run_that_did_not_train_leaves_no_t_interval(
    study: cv.Study, out: Path, drawn: list[Any]
) -> None:
    run = study.experiments[0].runs[1]
    constant = run.predictions.assign(predicted="control", p_control=0.6, p_treated=0.4)
    constant.to_csv(run.folder / "predictions.csv", index=False)
    study = cv.load_study(study.folder)
    cv.reporters.create("summary").study(study, out)
    table = pd.read_csv(out / "summary.csv").set_index(["experiment", "split"])
    one, others = table.loc[study.names[0]], table.loc[study.names[1]]
    assert set(one["dead_runs"]) == {1}
    assert one[["seeds_low", "seeds_high"]].isna().all(axis=None)
    assert one.loc["test", "median"] == pytest.approx(0.85)
    assert set(others["dead_runs"]) == {0}
    assert others[["seeds_low", "seeds_high"]].notna().all(axis=None)
    assert "runs that did not train" in (out / "summary.md").read_text(encoding="utf-8")
    cv.reporters.create("learning").study(study, out)
    first, second = drawn[0].axes[:2]
    assert not first.collections
    assert second.collections


def test_the_summary_is_over_all_runs(study: cv.Study, out: Path) -> None:
    cv.reporters.create("summary").study(study, out)
    table = pd.read_csv(out / "summary.csv").set_index(["experiment", "split"])
    row = table.loc[("deep", "test")]
    assert row["runs"] == 3
    assert row["mean"] == pytest.approx(np.mean([0.9, 0.85, 0.8]))
    assert row["sd"] == pytest.approx(np.std([0.9, 0.85, 0.8], ddof=1))
    assert (row["minimum"], row["maximum"]) == pytest.approx((0.8, 0.9))
    verdict = next(each for each in study.verdicts if (each.experiment, each.split) == row.name)
    assert row["sampling_low"] == pytest.approx(verdict.accuracy_low)
    assert row["sampling_high"] == pytest.approx(verdict.accuracy_high)
    assert row["balanced_accuracy"] == pytest.approx(0.85)
    assert row["expert"] == pytest.approx(0.93)
    assert row["ensemble"] == pytest.approx(study.ensembles[0].scores["test"].accuracy)
    page = (out / "summary.md").read_text(encoding="utf-8")
    assert "0.800–0.900" in page
    assert "No run is singled out as the best." in page
    verdict = study.verdicts[0]
    assert verdict.sentence[1:] in page


def test_controls_are_drawn_from_the_stored_verdict(
    tmp_path: Path, out: Path, drawn: list[Any]
) -> None:
    names = ["permuted_groups", "intensity"]
    study = write_study(tmp_path / "study", {"deep": {}}, controls=names, n=24)
    paths = figures(cv.reporters.create("controls").study(study, out))
    assert [path.name for path in paths] == ["controls.png"]
    assert_is_a_picture(paths[0])
    assert_nothing_is_clipped(drawn[0])
    shown = " ".join(texts(drawn[0]))
    for label in ("true labels", "labels permuted", "intensity alone", "Held-out accuracy"):
        assert label in shown
    assert "Training accuracy reaches 0.9 for true labels: never" in prose(drawn[0])
    diamonds = {
        round(float(line.get_xdata()[0]), 6)
        for line in drawn[0].axes[0].lines
        if line.get_marker() == "D" and len(line.get_xdata()) == 1
    }
    stored = study.verdicts[0]
    expected = {round(stored.accuracy, 6), *(round(c.accuracy, 6) for c in stored.controls)}
    assert expected <= diamonds


def test_a_simpler_model_that_does_better_is_named(
    tmp_path: Path, out: Path, drawn: list[Any]
) -> None:
    study = write_study(tmp_path / "study", {"deep": {}}, controls=["intensity"], n=24)
    path = study.folder / "verdict.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    (control,) = record["verdicts"][0]["controls"]
    gap = {"estimate": -0.2, "low": -0.3, "high": -0.1}
    control |= {"finding": "worse", "difference": gap}
    path.write_text(json.dumps(record), encoding="utf-8")
    (artifact,) = cv.reporters.create("controls").study(cv.load_study(study.folder), out)
    said = "The network is not trained enough: intensity alone does better."
    assert said in artifact.caption
    assert said in prose(drawn[0])
    shown = texts(drawn[0])
    assert "worse" in shown
    assert "Network minus control" in shown
    assert_nothing_is_clipped(drawn[0])
    points = [line.get_xdata()[0] for line in drawn[0].axes[1].lines if line.get_marker() == "D"]
    assert points == [pytest.approx(-0.2)]


def test_controls_are_called_and_ordered_as_the_study_says(tmp_path: Path) -> None:
    from cellvision_reporters.figures.control_styles import control_label, control_styles

    study = write_study(tmp_path / "study", {"deep": {}}, controls=["my_focus", "intensity"])
    assert control_label(study, "my_focus") == "focus alone"
    assert control_label(study, "of_an_older_version") == "of an older version"
    styles = control_styles(study, ["unknown", "intensity", "my_focus"])
    assert list(styles) == ["", "my_focus", "intensity", "unknown"]
    assert len({(style.colour, style.marker, style.line) for style in styles.values()}) == 4


# --- the diagram, and what is installed -----------------------------------------------------


@pytest.mark.slow
def test_the_diagram_shows_shapes_and_weights(tmp_path: Path, out: Path, drawn: list[Any]) -> None:
    import keras

    inner = keras.Sequential(
        [
            keras.Input((12, 16, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
        ]
    )
    shared = keras.layers.Dense(560, name="shared")
    inputs = keras.Input((12, 16, 1))
    features = inner(keras.layers.Rescaling(1 / 255)(inputs))
    summed = keras.layers.Add()([features, shared(shared(features))])
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(summed))
    run = write_run(tmp_path / "run")
    model.save(run.folder / "model.keras")
    (path,) = figures(cv.reporters.create("diagram").run(run, out))
    assert_is_a_picture(path)
    assert_nothing_is_clipped(drawn[0])
    shown = texts(drawn[0])
    name = run.metadata.experiment["architecture"]["type"]
    assert f"{name}: {model.count_params():,} weights" in shown
    assert "Conv2D 3×3, 4 filters, valid, relu" in shown
    assert "10 × 14 × 4" in shown
    assert {"40", "314,160", "shared", "1,122"} <= set(shown)
    assert any(text.startswith("Add (of") for text in shown)


def ours() -> list[str]:
    names = cv.reporters.names()
    return [n for n in names if cv.reporters.info(n).distribution == "cellvision-reporters"]


def test_every_module_at_the_top_is_an_entry_point() -> None:
    import cellvision_reporters

    top = {module.name for module in pkgutil.iter_modules(cellvision_reporters.__path__)}
    homes = {str(cv.reporters.get(name).__module__) for name in ours()}
    assert {home.split(".")[1] for home in homes} == top - {"figures"}
    modules = {name: cv.reporters.info(name).module for name in ours()}
    assert all(module.partition(":")[0].count(".") == 1 for module in modules.values()), modules


def test_reporters_are_enabled_by_default() -> None:
    enabled = {name for name in ours() if cv.reporters.get(name).enabled_by_default}
    named = {"attention", "diagram", "expert", "robustness", "standards"}
    assert enabled == set(ours()) - named
    assert cv.reporters.create("panel", images=6, contrast="image").model_dump()["images"] == 6
    with pytest.raises(cv.errors.ExperimentError, match="contrast"):
        cv.reporters.create("panel", contrast="none")


def test_the_page_imports_no_other_reporter() -> None:
    page = importlib.import_module("cellvision_reporters.page")
    folder = Path(page.__file__ or "").parent
    siblings = ("panel", "confusion", "curves", "sample", "summary", "tables")
    for path in folder.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert not any(f"cellvision_reporters.{name} " in source for name in siblings), path


def test_finding_reporters_imports_nothing_heavy() -> None:
    code = (
        "import sys, cellvision as cv\n"
        "[cv.reporters.get(name) for name in cv.reporters.names()]\n"
        "heavy = {'matplotlib', 'pandas', 'keras', 'tensorflow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_summary_lists_the_differences_of_experiments(tmp_path: Path, out: Path) -> None:
    study = write_study(
        tmp_path / "study", {"good": {"wrong": 0}, "bad": {"wrong": 17}}, runs=2, n=24
    )
    (pair,) = study.pairs
    assert (pair.a, pair.b, pair.split) == ("good", "bad", "test")
    # One image more is wrong in the second run of each.
    assert pair.difference == pytest.approx(17 / 24)
    assert 0 < pair.low < pair.difference < pair.high
    assert pair.sentence.startswith("good is better than bad: +0.71")
    artifacts = cv.reporters.create("summary").study(study, out)
    table = next(each for each in artifacts if each.path.name == "summary_pairs.csv")
    assert list(pd.read_csv(table.path)["a"]) == ["good"]
    assert pair.sentence in (out / "summary.md").read_text(encoding="utf-8")


def test_names_in_a_script_without_a_font_give_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """Matplotlib warned of each character of each label: 18 raw lines for two classes."""
    from cellvision_reporters.figures import figure

    figure._said.clear()
    missing = "\N{LINEAR B SYLLABLE B008 A}"  # in no font that figures look for
    run = write_run(tmp_path / "run", (f"{missing}1", f"{missing}2", "tab\tname"))
    scripts = ("\N{CUNEIFORM SIGN A}", f"{missing}\N{EGYPTIAN HIEROGLYPH A001}", missing)
    other = write_run(tmp_path / "other", scripts)
    for name in ("confusion", "curves"):
        assert cv.reporters.create(name).run(run, tmp_path / name)
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
    lines = [line for line in caplog.messages if "the installed fonts lack" in line]
    assert len(lines) == 1
    for name in ("confusion", "curves", "confusion"):
        assert cv.reporters.create(name).run(other, tmp_path / f"other {name}")
    all_lines = [line for line in caplog.messages if "the installed fonts lack" in line]
    assert len(all_lines) == 2  # one for each script that a text begins with, not for each text
    assert missing in lines[0]
    assert "Noto Sans" in lines[0]


def test_a_confusion_matrix_of_many_classes_stays_a_picture(tmp_path: Path) -> None:
    """300 classes once made a figure of 22,000 pixels a side, which took 12 GB of memory."""
    run = write_run(tmp_path / "run", [f"c{number}" for number in range(120)], n=120)
    figure = run.plot.confusion()
    assert figure.get_size_inches().max() < 36
    matrix = figure.axes[0]
    assert not matrix.images  # an image would be resampled to all of these pixels
    labels = [label.get_text() for label in matrix.get_yticklabels()]
    assert labels == list(run.class_names)
    assert matrix.yaxis_inverted()  # the first class is at the top
