"""Training a run: the files it writes, what it refuses, interruption and reopening."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import signal
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.backends import precision
from cellvision.progress import Display
from cellvision.results.claimed_folder import MARK, RESUME
from cellvision.training import train as train_module
from cellvision.training.earlier_speeds import EarlierSpeeds, TrainingSpeed
from cellvision.training.kept_weights import Outcome
from cellvision.training.network import check_reloads
from cellvision.training.result import TrainingResult

pytestmark = pytest.mark.usefixtures("tiny_plugins")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Named splits: the validation labels are swapped, one test set has one class only."""
    counts = {
        "train": {"dark": 11, "light": 12},
        "validation": {"dark": 3, "light": 3},
        "day1": {"dark": 4, "light": 5},
        "day2": {"light": 3},
    }
    return tiny.make_splits(tmp_path_factory.mktemp("splits"), counts, swapped="validation")


def mixed(images: Path, **settings: Any) -> cv.Experiment:
    flip = {"type": "flip"}
    return tiny.experiment(images, "mixed", augmenters=[flip], group="well", **settings)


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    """A run that many tests share."""
    return cv.train(mixed(images), tmp_path_factory.mktemp("mixed") / "run")


@pytest.fixture(scope="module")
def level(images: Path, tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    """A run that has learned."""
    experiment = tiny.experiment(images, epochs=8)
    return cv.train(experiment, tmp_path_factory.mktemp("level") / "run")


def weights(run: cv.Run) -> list[np.ndarray]:
    return run.model().get_weights()


def differ(first: cv.Run, second: cv.Run) -> float:
    pairs = zip(weights(first), weights(second), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


# --- the record --------------------------------------------------------------------------


def test_a_run_folder_has_the_files_of_the_contract(run: cv.Run) -> None:
    assert {path.name for path in run.folder.iterdir()} == {
        "run.json", "history.csv", "predictions.csv", "provenance.csv", "model.keras",
        "audit.json", "sketches.npy", "reports", "groups.csv",
    }  # fmt: skip
    record = json.loads((run.folder / "run.json").read_text())
    assert set(record) == {
        "schema", "experiment", "plugins", "environment", "seed", "class_names",
        "intensity_scale", "intensity_zero", "group_column", "batch_column", "counts",
        "scores", "timings", "leaks", "warnings", "control", "restarted_seeds", "interrupted",
        "local_plugins", "tta_scores", "folds", "left_out_column", "image_control", "all_images",
        "control_caveat", "kept_epoch", "test_sets", "solved", "untrained_networks",
    }  # fmt: skip
    assert record["control"] is None
    assert record["interrupted"] is False
    assert record["schema"] == 1
    assert cv.Experiment.model_validate(record["experiment"]) == run.experiment
    assert run.experiment.model_dump(mode="json") == record["experiment"]
    assert record["plugins"]["cellvision.datasets:folder"].startswith("cellvision-datasets==")
    assert set(record["environment"]) >= {
        "python", "keras", "backend", "device", "precision", "platform",
    }  # fmt: skip
    assert record["class_names"] == ["dark", "light"]
    assert (record["intensity_zero"], record["intensity_scale"]) == (0, 255)
    assert record["group_column"] == "well"
    assert record["batch_column"] is None
    assert set(record["timings"]) == {
        "prepare_s", "fit_s", "train_images_per_s", "data_wait_fraction", "vectorized",
    }  # fmt: skip
    assert all(value >= 0 for value in record["timings"].values())
    assert record["timings"]["data_wait_fraction"] <= 1


def test_the_tables_have_the_columns_of_the_contract(run: cv.Run) -> None:
    head = (run.folder / "history.csv").read_text().splitlines()[0]
    assert head == "epoch,loss,accuracy,val_loss,val_accuracy,seconds"
    assert list(run.history["epoch"]) == [1, 2, 3]
    head = (run.folder / "predictions.csv").read_text().splitlines()[0]
    assert head == "image,split,group,label,predicted,p_dark,p_light"
    head = (run.folder / "provenance.csv").read_text().splitlines()[0]
    assert head == "image,group,batch,well"
    assert list(run.provenance["image"]) == list(run.predictions["image"])
    assert list(run.provenance["group"]) == list(run.predictions["group"])
    assert len(run.predictions) == 48
    assert run.predictions["image"].is_unique


def test_scores_follow_from_the_predictions(run: cv.Run) -> None:
    assert set(run.scores) == {"train", "validation", "test"}
    for split, score in run.scores.items():
        rows = run.predictions[run.predictions["split"] == split]
        right = rows["label"] == rows["predicted"]
        assert score.n == len(rows)
        assert score.groups == rows["group"].nunique()
        assert score.accuracy == pytest.approx(right.mean())
        recalls = right.groupby(rows["label"]).mean()
        assert score.balanced_accuracy == pytest.approx(recalls.mean())
        by_class = {name: each.recall for name, each in score.classes.items()}
        assert by_class == ({} if split == "train" else pytest.approx(recalls.to_dict()))
        assert 0 <= score.accuracy_low <= score.accuracy <= score.accuracy_high <= 1
        true = np.where(rows["label"] == "dark", rows["p_dark"], rows["p_light"])
        assert score.loss == pytest.approx(-np.log(true).mean(), rel=1e-4, abs=1e-6)
        assert run.metadata.counts[split] == rows["label"].value_counts().to_dict()
    # Groups are whole.
    assert run.predictions.groupby("group")["split"].nunique().eq(1).all()


def test_the_history_agrees_with_the_predictions(level: cv.Run) -> None:
    last, score = level.history.iloc[-1], level.scores["validation"]
    assert last["val_accuracy"] == pytest.approx(score.accuracy)
    assert last["val_loss"] == pytest.approx(score.loss, rel=1e-4)


def test_validation_keeps_up_with_few_steps_per_epoch(images: Path, tmp_path: Path) -> None:
    """Running averages of Keras' momentum would be near their start."""
    run = cv.train(tiny.experiment(images, "mixed", epochs=4), tmp_path / "run")
    history, score = run.history, run.scores["validation"]
    assert score.accuracy == 1
    assert history["val_accuracy"].iloc[-1] == 1
    assert history["val_loss"].iloc[-1] == pytest.approx(score.loss, abs=0.1)


@pytest.mark.slow
def test_batch_norm_is_refreshed_after_few_updates(images: Path, tmp_path: Path) -> None:
    lagging = cv.train(
        tiny.experiment(images, "mixed", refresh_batch_norm=False, epochs=8), tmp_path / "lagging"
    )
    refreshed = cv.train(tiny.experiment(images, "mixed", epochs=8), tmp_path / "refreshed")
    assert lagging.scores["train"].accuracy < 0.8
    assert refreshed.scores["train"].accuracy == 1.0
    said = "While it trained, the network had"
    assert any(warning.startswith(said) for warning in lagging.warnings)
    assert not any(warning.startswith(said) for warning in refreshed.warnings)


@pytest.mark.parametrize(
    ("keep", "logged", "right", "says"),
    [
        ("last", [0.6, 1.0], 10, "1.000 of the training images right.* it has 0.500"),
        ("best", [0.6, 1.0], 10, ""),  # the weights of the first epoch, which had 0.6
        ("last", [0.6, 1.0], 18, ""),
        ("last", [0.6, 0.5], 20, ""),  # augmentation makes training harder
    ],
)
def test_logged_and_evaluated_accuracies_that_part_are_warned_of(
    keep: Literal["last", "best"], logged: list[float], right: int, says: str
) -> None:
    history = [
        {
            "epoch": epoch,
            "loss": 0.5,
            "accuracy": value,
            "val_loss": 0.1 + epoch,
            "val_accuracy": 0.5,
        }
        for epoch, value in enumerate(logged, start=1)
    ]
    labels = np.arange(20) % 2
    answers = np.where(np.arange(20) < right, labels, 1 - labels)
    result = TrainingResult(history, 1.0, 1.0, 0.0)
    training = cv.Training(keep=keep)
    warnings = Outcome(training, result, np.eye(2)[answers], labels, 0.5, 20).warnings()
    assert len(warnings) == bool(says)
    assert all(re.search(says, warning) for warning in warnings)


@pytest.mark.exhaustive
def test_lagging_statistics_are_no_reason_to_draw_a_network_again(tmp_path: Path) -> None:
    # After one epoch the moving averages are far from the activations, and outputs are constant.
    images = tiny.make_folder(tmp_path / "images", count=40)
    run = cv.train(
        tiny.experiment(images, "resnet", epochs=1, learning_rate=0.01), tmp_path / "run"
    )
    assert run.metadata.restarted_seeds == ()
    assert run.scores["train"].accuracy == 1.0


def test_a_saved_model_gives_the_same_probabilities(run: cv.Run) -> None:
    stored = run.model_input(list(run.predictions["image"]))
    assert stored.dtype == np.uint8
    probabilities = np.asarray(
        run.model().predict(stored.astype("float32"), batch_size=7, verbose=0)
    )
    np.testing.assert_allclose(probabilities, tiny.probabilities(run.predictions), atol=1e-5)


# --- seeds -------------------------------------------------------------------------------


@pytest.mark.exhaustive
def test_the_same_seed_gives_the_same_weights_and_another_gives_others(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    again = cv.train(mixed(images), tmp_path / "again")
    other = cv.train(mixed(images, seed=1), tmp_path / "other")
    # Bit by bit on a CPU; only a GPU adds in another order each time.
    assert differ(run, again) == 0
    assert again.predictions.equals(run.predictions)
    assert differ(run, other) > 1e-3
    assert list(other.predictions["split"]) == list(run.predictions["split"])


@pytest.mark.slow
def test_several_steps_at_once_give_the_same_weights(
    run: cv.Run, images: Path, tmp_path: Path
) -> None:
    one = cv.train(mixed(images, steps_per_execution=1), tmp_path / "one")
    two = cv.train(mixed(images, steps_per_execution=2), tmp_path / "two")
    assert differ(run, one) < 1e-6
    assert differ(run, two) < 1e-6


# --- pixels ------------------------------------------------------------------------------


@pytest.mark.slow
def test_absolute_intensity_is_learned_and_per_image_scaling_destroys_it(
    level: cv.Run, images: Path, tmp_path: Path
) -> None:
    assert level.scores["test"].accuracy == 1
    experiment = tiny.experiment(images, epochs=8, preprocessing={"intensity": "per_image"})
    stretched = cv.train(experiment, tmp_path / "stretched")
    assert stretched.scores["train"].accuracy < 0.85
    assert any("absolute intensity is lost" in text for text in stretched.warnings)


@pytest.mark.slow
@pytest.mark.parametrize("chosen", ["float32", "bfloat16"])
def test_sixteen_bits_reach_the_network(chosen: str, tmp_path: Path) -> None:
    # In bfloat16 all these intensities would be one and the same number, 60160 or 59904.
    for number, (name, value) in enumerate({"dark": 60020, "light": 60080}.items()):
        for k in range(16):
            noise = np.random.default_rng(100 * number + k).integers(-9, 10, (32, 32))
            tiny.write(tmp_path / f"images/{name}/s{k}.tif", (value + noise).astype(np.uint16))
    preprocessing = {"intensity": (60000.0, 60100.0)}
    experiment = tiny.experiment(
        tmp_path / "images", epochs=8, preprocessing=preprocessing, precision=chosen
    )
    run = cv.train(experiment, tmp_path / "run")
    assert run.metadata.environment.precision == chosen
    assert run.scores["test"].accuracy == 1
    # And so they do when the model is read back, whatever they come as.
    names = list(run.predictions["image"])
    stored = run.model_input(names)
    assert stored.dtype == np.uint16
    scaled = run.model().get_layer("intensity")(stored.astype(np.float32))
    np.testing.assert_allclose(np.asarray(scaled), run.network_input(names), atol=1e-4)
    for dtype in (np.uint16, np.float32):
        probabilities = np.asarray(run.model().predict_on_batch(stored.astype(dtype)))
        np.testing.assert_allclose(probabilities, tiny.probabilities(run.predictions), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("chosen", ["float32", "bfloat16"])
def test_a_network_with_batch_normalization_predicts_the_same_after_loading(
    chosen: str, images: Path, tmp_path: Path
) -> None:
    # While training, batch normalization is one operation; in bfloat16 it rounds differently.
    run = cv.train(tiny.experiment(images, "resnet", epochs=1, precision=chosen), tmp_path / "run")
    assert run.metadata.environment.precision == chosen
    assert not any("after loading" in text for text in run.warnings)


def test_a_saved_network_that_predicts_differently_is_a_warning(tmp_path: Path) -> None:
    pixels = keras.Input((2, 2, 1))
    model = keras.Model(pixels, keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(pixels)))
    model.save(tmp_path / "model.keras")
    samples = np.array([[[[1], [2]], [[3], [4]]]], np.uint8)
    assert check_reloads(str(tmp_path / "model.keras"), model, samples) == []
    model.layers[-1].set_weights([np.ones((4, 2), np.float32), np.array([0, 1], np.float32)])
    (warning,) = check_reloads(str(tmp_path / "model.keras"), model, samples)
    assert warning.startswith("model.keras predicts differently after loading (probabilities diff")
    (warning,) = check_reloads(str(tmp_path / "no.keras"), model, samples)
    assert warning.startswith("model.keras cannot be loaded again, so predict will not work: ")


def test_precision_is_recorded_and_automatic(images: Path, tmp_path: Path) -> None:
    run = cv.train(tiny.experiment(images, precision="auto", epochs=1), tmp_path / "run")
    assert run.metadata.environment.precision == precision.resolve("auto")
    assert run.metadata.experiment["training"]["precision"] == "auto"
    assert all(weight.dtype == np.float32 for weight in weights(run))


@pytest.mark.slow
def test_augmenters_act_in_training_only(images: Path, tmp_path: Path) -> None:
    experiment = tiny.experiment(images, augmenters=[{"type": "blackout"}], epochs=2)
    run = cv.train(experiment, tmp_path / "run")
    # In training every image is black, so that nothing can be learned of it ...
    assert run.history["loss"].min() > 0.6
    # ... and elsewhere the network sees it: its probabilities are not all the same.
    assert run.predictions["p_light"].nunique() > 1
    assert not [layer.name for layer in run.model().layers if "black" in layer.name]


# --- options -----------------------------------------------------------------------------


@pytest.mark.slow
def test_named_splits_partial_batches_and_a_missing_class(splits: Path, tmp_path: Path) -> None:
    experiment = tiny.experiment(splits, epochs=4, batch_size=10, early_stopping=2, keep="best")
    run = cv.train(experiment.model_copy(), tmp_path / "run")
    assert run.test_splits == ("day1", "day2")
    assert run.metadata.counts["day2"] == {"dark": 0, "light": 3}
    assert run.scores["day2"].balanced_accuracy == run.scores["day2"].accuracy
    # The validation labels are swapped: its loss rises from the first epoch on, training stops
    # and the first epoch's weights are kept.
    assert len(run.history) == 3
    assert run.history["val_loss"].idxmin() == 0
    assert run.scores["validation"].loss == pytest.approx(run.history["val_loss"].min(), rel=1e-4)


def test_checkpoints_are_the_model_of_each_epoch(splits: Path, tmp_path: Path) -> None:
    import keras

    run = cv.train(tiny.experiment(splits, epochs=2, checkpoints=True), tmp_path / "run")
    names = sorted(path.name for path in (run.folder / "checkpoints").iterdir())
    assert names == ["epoch_001.keras", "epoch_002.keras"]
    last = keras.models.load_model(run.folder / "checkpoints" / "epoch_002.keras", compile=False)
    for kept_weight, weight in zip(last.get_weights(), weights(run), strict=True):
        np.testing.assert_array_equal(kept_weight, weight)


def test_a_batch_larger_than_the_data_one_epoch_and_no_validation(
    images: Path, tmp_path: Path
) -> None:
    experiment = tiny.experiment(images, epochs=1, batch_size=1000, split={"validation": 0})
    run = cv.train(experiment, tmp_path / "run")
    assert set(run.scores) == {"train", "test"}
    assert len(run.history) == 1
    assert run.history[["val_loss", "val_accuracy"]].isna().all().all()
    assert run.history[["loss", "accuracy"]].notna().all().all()


@pytest.mark.parametrize("option", [{"early_stopping": 2}, {"keep": "best"}])
def test_settings_that_use_validation_need_a_split(
    option: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    experiment = tiny.experiment(images, split={"validation": 0}, **option)
    with pytest.raises(errors.ExperimentError, match="there is none"):
        cv.train(experiment, tmp_path / "run")


@pytest.mark.slow
def test_optimizer_and_rate_replace_the_recipe(images: Path, tmp_path: Path) -> None:
    experiment = tiny.experiment(images, optimizer="sgd", learning_rate=1e-30, epochs=2)
    run = cv.train(experiment, tmp_path / "run")
    assert run.history["val_loss"].nunique() == 1


def test_an_unknown_optimizer_is_named(images: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.ExperimentError, match="adamm") as caught:
        cv.train(tiny.experiment(images, optimizer="adamm"), tmp_path / "run")
    assert "adamw" in caught.value.hint


def test_a_nan_loss_gives_a_warning(images: Path, tmp_path: Path) -> None:
    experiment = tiny.experiment(images, optimizer="sgd", learning_rate=1e38, batch_size=5)
    run = cv.load_run(cv.train(experiment, tmp_path / "run").folder)
    assert any("did not train" in text for text in run.warnings)
    assert run.predictions["p_dark"].isna().all()
    assert run.scores["test"].loss is None
    json.loads((run.folder / "run.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.slow
def test_a_dead_network_gives_a_warning(images: Path, tmp_path: Path) -> None:
    # So large a step leaves no neuron that answers to anything.
    experiment = tiny.experiment(images, optimizer="sgd", learning_rate=1e4, batch_size=5)
    run = cv.train(experiment, tmp_path / "run")
    assert run.predictions["p_dark"].nunique() == 1
    assert any("one class for every training image" in text for text in run.warnings)
    assert len(run.metadata.restarted_seeds) == 3
    assert len(run.history) == 3


@pytest.mark.exhaustive
def test_the_deep_network_trains(tmp_path: Path) -> None:
    tiny.make_folder(tmp_path / "images", count=6, wells=6)
    experiment = tiny.experiment(
        tmp_path / "images", "deep", epochs=1, preprocessing={"size": (256, 256), "channels": "rgb"}
    )
    run = cv.train(experiment, tmp_path / "run")
    assert run.model().count_params() == 154_882
    assert np.isfinite(run.history["loss"]).all()


# --- refusals ---------------------------------------------------------------------


def test_a_leak_is_refused_or_recorded(splits: Path, tmp_path: Path) -> None:
    leaky = shutil.copytree(splits, tmp_path / "leaky")
    shutil.copy(leaky / "train/dark/s0.png", leaky / "day1/dark/same.png")
    with pytest.raises(errors.LeakError, match="identical images"):
        cv.train(tiny.experiment(leaky), tmp_path / "refused")
    allowed = tiny.experiment(leaky, split={"allow_leak": True}, epochs=1)
    run = cv.train(allowed, tmp_path / "run")
    assert any(text.startswith("LEAK") for text in run.warnings)
    assert run.leaks[0].files == ("day1/dark/same.png", "train/dark/s0.png")
    assert run.metadata.experiment["split"]["allow_leak"] is True


def test_unreadable_files_stop_it_or_are_skipped_with_a_warning(
    images: Path, tmp_path: Path
) -> None:
    spoiled = shutil.copytree(images, tmp_path / "spoiled")
    for name in ("dark/s3.png", "light/s7.png"):
        (spoiled / name).write_bytes(b"not an image")
    with pytest.raises(errors.UnreadableImages) as caught:
        cv.train(tiny.experiment(spoiled), tmp_path / "run")
    assert {fault.file for fault in caught.value.faults} == {"dark/s3.png", "light/s7.png"}
    experiment = tiny.experiment(spoiled, epochs=1, preprocessing={"on_unreadable": "skip"})
    run = cv.train(experiment, tmp_path / "run")
    assert len(run.predictions) == 46
    assert "2 images cannot be read: 'dark/s3.png', 'light/s7.png'." in run.warnings
    assert run.audit is not None
    refused = {file.file for file in run.audit.files if file.status == "refused"}
    assert refused == {"dark/s3.png", "light/s7.png"}


def test_a_folder_with_other_files_is_refused(level: cv.Run, images: Path, tmp_path: Path) -> None:
    experiment = tiny.experiment(images)
    before = (level.folder / "run.json").read_bytes()
    with pytest.raises(errors.FolderError, match="finished"):
        cv.train(experiment, level.folder)
    assert (level.folder / "run.json").read_bytes() == before
    for name in ("notes.txt", "reports", "model.keras"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(errors.FolderError, match=name):
            cv.train(experiment, folder)
        assert (folder / name).read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(errors.FolderError, match="a file"):
        cv.train(experiment, tmp_path / "file")


def test_only_leftovers_of_an_interrupted_training_are_removed(
    level: cv.Run, images: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(level.folder, tmp_path / "run")
    (folder / "run.json").unlink()
    shutil.rmtree(folder / "reports")
    (folder / MARK).write_text("{}")
    half = folder / ".run.0123456789ab.json"
    half.write_text("{")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("mine")
    again = cv.train(tiny.experiment(images, epochs=8), folder)
    assert again.predictions.equals(level.predictions)
    assert not half.exists()
    assert (folder / ".git" / "HEAD").read_text() == "mine"


def test_a_run_killed_before_its_reports_is_finished_and_says_that_they_are_missing(
    level: cv.Run, images: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(level.folder, tmp_path / "run")
    shutil.rmtree(folder / "reports")
    (folder / MARK).write_text("{}")
    with pytest.raises(errors.FolderError, match="finished run") as caught:
        cv.train(tiny.experiment(images, epochs=8), folder)
    assert "Its reports are missing; to make them: cellvision report" in caught.value.hint
    assert not (folder / MARK).exists()
    assert cv.load_run(folder).predictions.equals(level.predictions)


# --- reporters and interruptions ---------------------------------------------------------


def test_failing_reporters_do_not_lose_a_run(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny.heard.clear()
    fails = {"type": "listener", "fails": ["epoch", "run"]}
    experiment = tiny.experiment(images, epochs=2, reporters=[fails, {"type": "listener"}])
    run = cv.train(experiment, tmp_path / "run")
    assert [epoch for epoch, _, _ in tiny.heard] == [1, 1, 2]
    assert set(tiny.heard[0][1]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert "no ink" in caplog.text
    assert "no paper" in caplog.text
    assert len(run.history) == 2
    reports = sorted(path.name for path in (run.folder / "reports").iterdir())
    assert reports == ["artifacts.json", "heard.txt"]
    first, second = cv.load_run(run.folder).reports
    assert ("no ink" in first.training_fault, "no paper" in first.fault) == (True, True)
    assert (second.training_fault, second.fault) == ("", "")


def test_an_interrupt_keeps_the_run_and_exits_with_130(
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    from cellvision.cli import main

    experiment = tiny.experiment(images, reporters=[{"type": "listener", "fails": ["interrupt"]}])
    cv.save_experiment(experiment, tmp_path / "experiment.json")
    with pytest.raises(SystemExit) as caught:
        main(["train", str(tmp_path / "experiment.json"), "--out", str(tmp_path / "run")])
    assert caught.value.code == 130
    assert not [each for each in threading.enumerate() if each.name.startswith("cellvision-load")]
    error = capsys.readouterr().err
    assert "error: interrupted" in error
    assert "epoch 1 is kept" in error
    run = cv.load_run(tmp_path / "run")
    assert run.interrupted
    assert (len(run.history), run.metadata.kept_epoch) == (1, 1)
    caplog.clear()
    cv.predict(run, images, progress=False)
    assert "the training was interrupted after epoch 1 of" in caplog.text
    assert any("interrupted after epoch 1" in text for text in run.warnings)
    with pytest.raises(errors.FolderError, match="interrupted run"):
        cv.train(experiment, tmp_path / "run")
    changed = tiny.experiment(images, epochs=7)
    with pytest.raises(
        errors.FolderError, match=r"other settings \(training\.epochs is 7, and was"
    ):
        cv.train(changed, tmp_path / "run", resume=True)


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(images: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 4, "keep": "best", "augmenters": [{"type": "flip"}]}
    whole = cv.train(tiny.experiment(images, "mixed", **settings), tmp_path / "whole")
    stopping = {"type": "stop-once", "after": 2}
    experiment = tiny.experiment(images, "mixed", reporters=[stopping], **settings)
    tiny.stopped.clear()
    with pytest.raises(KeyboardInterrupt, match="--resume"):
        cv.train(experiment, tmp_path / "run")
    assert (tmp_path / "run" / RESUME).is_file()
    resumed = cv.train(experiment, tmp_path / "run", resume=True)
    assert not resumed.interrupted
    assert list(resumed.history["epoch"]) == [1, 2, 3, 4]
    assert differ(whole, resumed) == 0
    assert resumed.predictions.equals(whole.predictions)
    assert not (tmp_path / "run" / RESUME).exists()
    assert not (tmp_path / "run" / MARK).exists()


@pytest.mark.exhaustive
def test_the_command_on_the_page_of_a_run_works(images: Path, tmp_path: Path) -> None:
    from html import unescape

    from cellvision.cli import main

    experiment = tiny.experiment(images, reporters=[{"type": "html"}], group="well", epochs=2)
    run = cv.train(experiment, tmp_path / "run")
    page = (run.folder / "reports" / "report.html").read_text(encoding="utf-8")
    (command,) = re.findall(r"cellvision study .*?(?=</pre>)", page)
    command = re.sub(r"<[^>]*>", "", command)
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(unescape(command))[1:])
    assert ended.value.code == 0
    assert len(cv.load_study(tmp_path / "run-study").runs) == 5


@pytest.mark.exhaustive
def test_sigterm_ends_like_an_interrupt(images: Path, tmp_path: Path) -> None:
    cv.save_experiment(tiny.experiment(images, epochs=100_000), tmp_path / "experiment.json")
    words = ("train", str(tmp_path / "experiment.json"), "--out", str(tmp_path / "run"))
    with tiny.running(*words) as process:
        assert process.stderr is not None
        assert any("epoch 2/" in line for line in process.stderr)
        process.terminate()
        _, error = process.communicate(timeout=900)
    assert process.returncode == 130
    assert "error: interrupted" in error
    assert cv.load_run(tmp_path / "run").interrupted


@pytest.mark.exhaustive
def test_one_of_two_trainings_in_a_folder_is_refused(images: Path, tmp_path: Path) -> None:
    cv.save_experiment(tiny.experiment(images, epochs=100_000), tmp_path / "experiment.json")
    words = ("train", str(tmp_path / "experiment.json"), "--out", str(tmp_path / "run"))
    with tiny.running(*words) as first, tiny.running(*words) as second:
        errors_of = {}
        assert first.stderr is not None
        assert second.stderr is not None
        # Whichever comes second is refused; the other one trains on.
        for process in (first, second):
            errors_of[process] = next(
                (line for line in process.stderr if "in use by" in line or "epoch 1/" in line), ""
            )
        refused = next(p for p, line in errors_of.items() if "in use by: train" in line)
        training = second if refused is first else first
        refused.communicate(timeout=900)
        assert refused.returncode == 2
        assert f"process {training.pid}" in errors_of[refused]
        training.terminate()
        training.communicate(timeout=900)
    assert cv.load_run(tmp_path / "run").interrupted  # it lost nothing


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", range(5))
def test_a_training_killed_at_any_moment_can_be_repeated(
    number: int, level: cv.Run, images: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    written = [MARK, "epoch_001.keras", "history.csv", "predictions.csv", "run.json"]
    experiment = tiny.experiment(images, epochs=8, checkpoints=True)
    cv.save_experiment(experiment, tmp_path / "experiment.json")
    words = ("train", str(tmp_path / "experiment.json"), "--out", str(folder))
    killed = tiny.process(*words, TINY_DIE_BEFORE=written[number])
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    again = cv.train(experiment, folder)
    assert again.predictions.equals(level.predictions)
    assert not (folder / MARK).exists()


def test_what_a_reporter_writes_first_does_not_block_the_folder(
    images: Path, tmp_path: Path
) -> None:
    experiment = tiny.experiment(images, reporters=[{"type": "early-writer"}])
    with pytest.raises(KeyboardInterrupt):
        cv.train(experiment, tmp_path / "run")
    assert (tmp_path / "run" / "reports" / "early.txt").exists()
    assert not (tmp_path / "run" / "history.csv").exists()
    cv.train(tiny.experiment(images, epochs=1), tmp_path / "run")


def test_a_folder_that_cannot_be_written_is_refused_before_training(images: Path) -> None:
    tiny.heard.clear()
    experiment = tiny.experiment(images, reporters=[{"type": "listener"}])
    with pytest.raises(errors.FolderError, match="/proc/run: cannot be written"):
        cv.train(experiment, "/proc/run")
    assert not tiny.heard


@pytest.mark.exhaustive
def test_a_full_disk_names_the_folder(images: Path, tmp_path: Path) -> None:
    # No file may grow beyond 4 kB, as on a disk without space: model.keras does.
    script = f"""
import json, resource, tiny, cellvision as cv
from pathlib import Path
from cellvision import errors
with tiny.on_offer():
    experiment = tiny.experiment(Path({str(images)!r}), epochs=1)
    cv.audit(experiment)
    out = Path({str(tmp_path / "run")!r})
    before = cv.train(experiment, out.with_name("warm"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        cv.train(experiment, out)
    except errors.CellvisionError as error:
        print(json.dumps([type(error).__name__, error.what]))
"""
    kind, what = tiny.json_of(script)
    assert kind == "CellvisionError"
    assert str(tmp_path / "run") in what
    assert "cannot be written" in what


# --- duration ----------------------------------------------------------------------------


def test_progress_estimates_the_whole_and_never_passes_the_end(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, float]] = []

    class Recorder(Display):
        def epoch(self, number: int, total: int, images: int) -> None:
            shown.append(("epoch", images))

        def step(self, images: int) -> None:
            shown.append(("step", images))

        def expected(self, seconds: float) -> None:
            shown.append(("expected", seconds))

        def remaining(self, seconds: float) -> None:
            shown.append(("remaining", seconds))

    recorded: list[tuple[float, float]] = []
    speed = TrainingSpeed(seconds_per_image=0.5, startup_seconds=3.0)
    monkeypatch.setattr(EarlierSpeeds, "expected", lambda _: speed)
    monkeypatch.setattr(EarlierSpeeds, "record", lambda _, *measured: recorded.append(measured))
    monkeypatch.setattr(train_module, "displayed", lambda _: nullcontext(Recorder()))
    cv.train(tiny.experiment(images, epochs=3, batch_size=7), tmp_path / "run")
    assert [index for index, (kind, _) in enumerate(shown) if kind == "expected"] == [0]
    assert shown[0][1] >= 3 + 3 * 0.5 * shown[1][1]
    assert len(recorded) == 1
    assert recorded[0][0] > 0
    epochs = [index for index, (kind, _) in enumerate(shown) if kind == "epoch"]
    for start, end in zip(epochs, [*epochs[1:], len(shown)], strict=True):
        total = shown[start][1]
        assert sum(n for kind, n in shown[start:end] if kind == "step") <= total
        assert sum(n for kind, n in shown[start:end] if kind == "step") >= total - 7
    remaining = [seconds for kind, seconds in shown if kind == "remaining"]
    assert len(remaining) == 3
    assert remaining[0] > 0
    assert remaining[-1] == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("moment", ["epoch", "model.keras"])
def test_a_killed_process_leaves_nothing_half_written(
    moment: str, level: cv.Run, images: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    epochs = 8 if moment == "model.keras" else 100_000
    experiment = tiny.experiment(images, epochs=epochs)
    cv.save_experiment(experiment, tmp_path / "experiment.json")
    words = ("train", str(tmp_path / "experiment.json"), "--out", str(folder))
    started = tiny.process(*words, TINY_DIE_BEFORE=moment)
    assert started.stderr is not None
    if moment == "epoch":
        seen = next(line for line in started.stderr if "epoch 1/" in line)
        assert "images/s" in seen
        started.kill()
    started.communicate()
    assert started.returncode == -signal.SIGKILL
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert names == {"history.csv"}
    last = (folder / "history.csv").read_text()
    assert last.endswith("\n")
    assert {line.count(",") for line in last.splitlines()} == {5}
    again = cv.train(tiny.experiment(images, epochs=8), folder)
    assert again.predictions.equals(level.predictions)
    assert {path.name for path in folder.iterdir()} == {
        path.name for path in level.folder.iterdir()
    }


# --- reopening a run -----------------------------------------------------------------


def test_folders_without_a_run(level: cv.Run, tmp_path: Path) -> None:
    with pytest.raises(errors.FolderError, match=r"no run\.json"):
        cv.load_run(tmp_path)
    with pytest.raises(errors.FolderError, match="there is no such folder"):
        cv.load_run(tmp_path / "missing")
    for text, what in (
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"schema": 99}', "99"),
        ("[1]", "schema"),
    ):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(errors.FolderError, match=what):
            cv.load_run(tmp_path)
    folder = shutil.copytree(level.folder, tmp_path / "damaged")
    record = json.loads((folder / "run.json").read_text())
    for experiment, what in (
        ({}, "experiment.dataset is missing"),
        ({**record["experiment"], "preprocessing": {"size": "x"}}, "preprocessing|size"),
    ):
        (folder / "run.json").write_text(json.dumps({**record, "experiment": experiment}))
        with pytest.raises(errors.InvalidInput, match=what):
            _ = cv.load_run(folder).preprocessing
    (folder / "run.json").write_text(json.dumps(record))
    for table, what in (
        ("", "cannot be read"),
        ("image,split\n", "the column 'group' is missing"),
        ("image,split,group,label,predicted\n", "the column 'p_dark' is missing"),
    ):
        (folder / "predictions.csv").write_text(table)
        with pytest.raises(errors.FolderError, match=f"predictions.csv: {what}"):
            _ = cv.load_run(folder).predictions
    (folder / "model.keras").unlink()
    (folder / "predictions.csv").unlink()
    damaged = cv.load_run(folder)
    assert damaged.scores == level.scores
    with pytest.raises(errors.FolderError, match=r"model\.keras"):
        damaged.model()
    with pytest.raises(errors.FolderError, match=r"predictions\.csv"):
        _ = damaged.predictions
    (folder / "model.keras").write_bytes(b"not a model")
    with pytest.raises(errors.CellvisionError, match=r"model\.keras"):
        damaged.model()


def test_a_renamed_setting_does_not_lock_the_network_away(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = cv.train(tiny.experiment(images, "scaled", epochs=2), tmp_path / "run")
    record = json.loads((run.folder / "run.json").read_text())
    record["experiment"]["architecture"]["breadth"] = record["experiment"]["architecture"].pop(
        "width"
    )
    record["experiment"]["reporters"] = [{"type": "gone"}]
    record["experiment"]["training"]["epoch"] = 3
    record["plugins"]["cellvision.reporters:gone"] = "gone==1.0"
    record["plugins"]["cellvision.architectures:scaled"] = "cellvision-datasets==0.0.1"
    (run.folder / "run.json").write_text(json.dumps(record))
    with caplog.at_level("WARNING"):
        model = cv.load_run(run.folder).model(verify=True)
    assert "no longer understands recorded settings (breadth)" in caplog.text
    assert "cellvision-datasets 0.0.1, now" in caplog.text
    table = run.predictions
    pixels = run.model_input(list(table["image"])).astype(np.float32)
    probabilities = np.asarray(model.predict_on_batch(pixels))
    np.testing.assert_allclose(probabilities, tiny.probabilities(table), atol=1e-5)


def test_a_network_whose_layers_have_changed_is_noticed(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = cv.train(tiny.experiment(images, "scaled", epochs=8), tmp_path / "run")
    monkeypatch.setitem(tiny.scale, "factor", -3.0)
    with caplog.at_level("WARNING"):
        run.model()
    assert "predicts differently than recorded" in caplog.text
    with pytest.raises(errors.CellvisionError, match="predicts differently than recorded"):
        run.model(verify=True)
    run.model(verify=False)


NAMESAKE = """
import keras

import cellvision as cv


@keras.saving.register_keras_serializable(package="shared")
class Scale(keras.layers.Layer):
    def call(self, x):
        return x * FACTOR


class Net(cv.Architecture):
    def build(self, input_shape, classes):
        from keras import Input, Sequential, layers

        softmax = layers.Dense(classes, activation="softmax", dtype="float32")
        return Sequential([Input(input_shape), Scale(), layers.GlobalAveragePooling2D(), softmax])
"""


@pytest.mark.slow
def test_another_plugins_layer_of_the_same_name_is_not_loaded(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    factors = {"lab_one": "2.0", "lab_two": "-3.0"}
    for name, factor in factors.items():
        (tmp_path / f"{name}.py").write_text(NAMESAKE.replace("FACTOR", factor))
        cv.architectures.register(name, importlib.import_module(name).Net)
    # By their common name, Keras knows the layer of the last one only.
    registered = keras.saving.get_registered_object("shared>Scale")
    try:
        for name in factors:
            run = cv.train(tiny.experiment(images, name, epochs=2), tmp_path / name)
            assert not [line for line in run.metadata.warnings if "model.keras" in line]
            run.model(verify=True)
        cv.load_run(tmp_path / "lab_one").model(verify=True)
    finally:
        for name in factors:
            cv.architectures.unregister(name)
    assert keras.saving.get_registered_object("shared>Scale") is registered


def test_a_record_is_readable_without_its_plugins(level: cv.Run, tmp_path: Path) -> None:
    folder = shutil.copytree(level.folder, tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    record["experiment"]["architecture"] = {"type": "gone"}
    record["experiment"]["augmenters"] = [{"type": "lost"}]
    record["plugins"] = {
        "cellvision.datasets:folder": record["plugins"]["cellvision.datasets:folder"],
        "cellvision.architectures:gone": "gone-networks==1.2",
        "cellvision.augmenters:lost": "lost-augmenters==3.4",
    }
    (folder / "run.json").write_text(json.dumps(record))
    run = cv.load_run(folder)
    assert run.scores == level.scores
    assert run.predictions.equals(level.predictions)
    assert run.model().count_params() == level.model().count_params()
    with pytest.raises(errors.UnknownPlugin) as caught:
        _ = run.experiment
    for name in ("gone (gone-networks==1.2)", "lost (lost-augmenters==3.4)"):
        assert name in caught.value.what
    assert "folder" not in caught.value.what.partition("not installed")[2]
