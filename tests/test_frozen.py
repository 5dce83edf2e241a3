"""Splitting a model behind its frozen layers, caching their output, solving the last layer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tiny
from PIL import Image

import cellvision as cv
from cellvision import errors
from cellvision.data.array_cache import array_file
from cellvision.data.orientations import ORIENTATIONS, oriented
from cellvision.training import frozen, softmax_regression
from cellvision.training.frozen_features import feature_key, frozen_features
from cellvision.training.softmax_regression import (
    minimize,
    softmax_layer,
    solve_softmax_layer,
)

SHAPE = (8, 8, 2)
IMAGES = np.random.default_rng(0).random((12, *SHAPE)).astype(np.float32)
LABELS = np.arange(12) % 3


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def classifier(
    seed: int = 0,
    strides: int = 1,
    learns: bool = False,
    l2: float = 0.01,
    kind: str = "BatchNormalization",
) -> Any:
    """A fixed convolution, standardization and softmax regression."""
    import keras
    from keras import layers, ops

    keras.utils.set_random_seed(seed)
    image = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, strides=strides, trainable=learns)(image)
    x = ops.sqrt(ops.square(x) + 1e-3)
    x = layers.GlobalAveragePooling2D()(x)
    if kind == "BatchNormalization":
        x = layers.BatchNormalization(center=False, scale=False, epsilon=1e-12)(x)
    else:
        x = layers.Normalization()(x)
    penalty = keras.regularizers.L2(l2) if l2 else None
    return keras.Model(image, layers.Dense(3, activation="softmax", kernel_regularizer=penalty)(x))


def split_of(model: Any) -> frozen.FrozenSplit:
    split = frozen.split_frozen(model)
    assert split is not None
    return split


def features_of(split: frozen.FrozenSplit, images: np.ndarray = IMAGES) -> np.ndarray:
    return np.asarray(split.head.predict_on_batch(images))


def test_parts_predict_like_the_whole() -> None:
    model = classifier()
    split = split_of(model)
    assert split.feature_shape == (4,)
    assert [type(layer).__name__ for layer in split.rest.layers[1:]] == [
        "BatchNormalization",
        "Dense",
    ]
    predictions = split.rest.predict_on_batch(features_of(split))
    np.testing.assert_allclose(predictions, model.predict_on_batch(IMAGES), atol=1e-6)


def test_cuts_inside_a_nested_model() -> None:
    import keras

    pixels = keras.Input(SHAPE)
    network = classifier()
    whole = keras.Model(pixels, network(keras.layers.Rescaling(0.5)(pixels)))
    split = split_of(whole)
    assert split.feature_shape == (4,)
    np.testing.assert_allclose(
        features_of(split), features_of(split_of(network), IMAGES / 2), atol=1e-6
    )
    np.testing.assert_allclose(
        split.rest.predict_on_batch(features_of(split)),
        whole.predict_on_batch(IMAGES),
        atol=1e-6,
    )


def test_cuts_a_sequential_model_behind_a_frozen_backbone() -> None:
    import keras
    from keras import layers

    backbone = keras.Sequential(
        [keras.Input(SHAPE), layers.Conv2D(3, 3), layers.BatchNormalization(), layers.Flatten()]
    )
    backbone.trainable = False
    model = keras.Sequential([keras.Input(SHAPE), backbone, layers.Dense(3, activation="softmax")])
    split = split_of(model)
    assert split.feature_shape == (108,)
    predictions = split.rest.predict_on_batch(features_of(split))
    np.testing.assert_allclose(predictions, model.predict_on_batch(IMAGES), atol=1e-6)


def test_models_without_benefit_are_not_split() -> None:
    import keras
    from keras import layers

    assert frozen.split_frozen(classifier(learns=True)) is None
    scaled = [keras.Input(SHAPE), layers.Rescaling(2.0), layers.Flatten(), layers.Dense(3)]
    assert frozen.split_frozen(keras.Sequential(scaled)) is None
    fixed = [keras.Input(SHAPE), layers.Flatten(), layers.Dense(3, trainable=False)]
    assert frozen.split_frozen(keras.Sequential(fixed)) is None


@pytest.mark.parametrize("kind", ["Dropout", "BatchNormalization", "RandomFlip"])
def test_layers_that_differ_in_training_are_not_frozen(kind: str) -> None:
    import keras
    from keras import layers

    layer = layers.Dropout(0.5) if kind == "Dropout" else getattr(layers, kind)()
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(2, 3, trainable=False, name="first"),
            layer,
            layers.Conv2D(2, 3, trainable=False),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    assert split_of(model).feature_shape == (6, 6, 2)


def test_a_path_around_the_frozen_layers_moves_the_cut() -> None:
    import keras
    from keras import layers

    image = keras.Input(SHAPE)
    first = layers.Conv2D(2, 3, trainable=False, padding="same")(image)
    second = layers.Conv2D(2, 3, trainable=False, padding="same")(first)
    joined = layers.Add()([second, layers.Conv2D(2, 1)(first)])
    split = split_of(keras.Model(image, layers.Dense(3)(layers.Flatten()(joined))))
    assert len([layer for layer in split.head.layers if layer.weights]) == 1


@pytest.mark.parametrize("kind", ["BatchNormalization", "Normalization"])
def test_adapt_standardizes_training_features_and_keeps_the_model_in_step(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "_BATCH", 3)
    model = classifier(kind=kind)
    split = split_of(model)
    before = model.predict_on_batch(IMAGES)
    features = features_of(split)
    split.adapt(features[:8])
    mean, variance = split.rest.layers[1].get_weights()[:2]
    np.testing.assert_allclose(mean, features[:8].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, features[:8].var(axis=0), rtol=1e-4)
    after = model.predict_on_batch(IMAGES)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(split.rest.predict_on_batch(features), after, atol=1e-6)


def test_adapt_does_not_blow_up_constant_features() -> None:
    split = split_of(classifier())
    features = features_of(split)
    features[:, 1] = 1000.0
    split.adapt(features)
    mean, variance = split.rest.layers[1].get_weights()[:2]
    assert mean[1] == pytest.approx(1000)
    assert variance[1] == 1


def test_features_are_computed_once_and_found_again() -> None:
    split = split_of(classifier())
    reads: list[int] = []

    def pixels(rows: np.ndarray) -> np.ndarray:
        reads.append(len(rows))
        return IMAGES[rows]

    rows = np.array([3, 1, 2])
    key = feature_key(split, ["c", "a", "b"], [[8, 8]])
    progress: list[tuple[int, int]] = []
    variants = [partial(oriented, orientation=number) for number in (0, 5)]
    first = frozen_features(
        split, pixels, rows, key, variants, lambda done, total: progress.append((done, total))
    )
    assert first.shape == (2, 3, 4)
    assert progress == [(0, 3), (3, 3)]
    assert not first.flags.writeable
    np.testing.assert_allclose(first[0], features_of(split, IMAGES[rows]), atol=1e-6)
    turned = oriented(IMAGES[rows], 5)
    np.testing.assert_allclose(first[1], features_of(split, turned), atol=1e-6)
    again = frozen_features(split, pixels, rows, key, variants)
    assert reads == [3]
    np.testing.assert_array_equal(again, first)


def test_batches_of_one_shape_give_every_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellvision.training.frozen_features._BATCH_VALUES", 5 * 128)
    split = split_of(classifier())
    features = frozen_features(split, lambda rows: IMAGES[rows], np.arange(12), "many")
    np.testing.assert_allclose(features[0], features_of(split), atol=1e-6)


def test_what_killed_processes_left_is_removed(cache_folder: Path) -> None:
    split = split_of(classifier())
    shelf = cache_folder / "features"
    shelf.mkdir(parents=True)
    for name, age in (("fresh", 60.0), ("stale", 2 * 3600.0)):
        unfinished = shelf / f".key.{name}.npy"
        unfinished.write_bytes(b"half")
        os.utime(unfinished, (time.time() - age, time.time() - age))
    frozen_features(split, lambda rows: IMAGES[rows], np.arange(4), "key")
    assert sorted(path.name for path in shelf.iterdir()) == [".key.fresh.npy", "key.npy"]


def test_a_damaged_entry_is_computed_again(caplog: pytest.LogCaptureFixture) -> None:
    split = split_of(classifier())

    def compute() -> np.ndarray:
        return np.array(frozen_features(split, lambda rows: IMAGES[rows], np.arange(4), "key"))

    expected = compute()
    file = array_file("features", "key")
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    np.testing.assert_array_equal(compute(), expected)
    assert "damaged" in caplog.text
    file.write_bytes(b"short")
    np.testing.assert_array_equal(compute(), expected)


def test_an_unwritable_cache_is_reported(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_folder.write_text("a file where a folder should be")
    split = split_of(classifier())
    with pytest.raises(errors.FolderError, match="features: cannot be written"):
        frozen_features(split, lambda rows: IMAGES[rows], np.arange(4), "key")


def test_the_key_follows_layers_weights_images_and_settings() -> None:
    split = split_of(classifier())
    key = feature_key(split, ["a"], [1])
    assert key == feature_key(split_of(classifier()), ["a"], [1])
    others = [
        feature_key(split_of(classifier(seed=1)), ["a"], [1]),
        feature_key(split_of(classifier(strides=2)), ["a"], [1]),
        feature_key(split, ["b"], [1]),
        feature_key(split, ["a"], [2]),
    ]
    assert len({key, *others}) == 5


def test_the_digest_sees_the_arguments_of_operations() -> None:
    import keras
    from keras import layers, ops

    def digest(border: int, mode: str) -> str:
        keras.utils.set_random_seed(0)
        image = keras.Input(SHAPE)
        around = ((0, 0), (border, border), (border, border), (0, 0))
        x = layers.Conv2D(2, 3, trainable=False)(ops.pad(image, around, mode=mode))
        x = layers.GlobalAveragePooling2D()(x)
        return split_of(keras.Model(image, layers.Dense(3)(x))).digest

    assert digest(1, "reflect") == digest(1, "reflect")
    assert len({digest(1, "reflect"), digest(1, "symmetric"), digest(2, "reflect")}) == 3


def test_the_digest_sees_the_code_of_layers() -> None:
    import keras
    from keras import layers, ops

    def shifted(by: float) -> type[layers.Layer]:
        class Adjusted(layers.Layer):
            def call(self, inputs: Any) -> Any:
                return inputs + by

        return Adjusted

    def squared() -> type[layers.Layer]:
        class Adjusted(layers.Layer):
            def call(self, inputs: Any) -> Any:
                return ops.square(inputs)

        return Adjusted

    def digest(kind: type[layers.Layer], nested: bool = False) -> str:
        keras.utils.set_random_seed(0)
        image = keras.Input(SHAPE)
        x = layers.Conv2D(2, 3, trainable=False)(image)
        x = keras.Sequential([kind()])(x) if nested else kind()(x)
        x = layers.GlobalAveragePooling2D()(x)
        return split_of(keras.Model(image, layers.Dense(3)(x))).digest

    assert digest(shifted(1.0)) == digest(shifted(1.0))
    assert len({digest(shifted(1.0)), digest(shifted(2.0)), digest(squared())}) == 3
    assert digest(shifted(1.0), nested=True) != digest(squared(), nested=True)


def test_the_eight_orientations_are_all_there_are() -> None:
    turned = [oriented(IMAGES[:1], number) for number in range(ORIENTATIONS)]
    assert len({image.tobytes() for image in turned}) == 8
    mirrored = {oriented(image, 4).tobytes() for image in turned}
    assert mirrored == {image.tobytes() for image in turned}
    np.testing.assert_array_equal(turned[1][0], np.rot90(IMAGES[0]))
    wide = np.zeros((1, 4, 6, 1))
    assert oriented(wide, 6).shape == wide.shape
    with pytest.raises(ValueError, match="not square"):
        oriented(wide, 1)
    with pytest.raises(ValueError, match="not one of"):
        oriented(wide, 8)


def test_the_optimum_is_that_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    noise = np.random.default_rng(1)
    inputs = noise.normal(size=(60, 5))
    labels = np.arange(60) % 3
    inputs[np.arange(60), labels] += 1
    l2, weights = 0.01, noise.uniform(0.5, 2, 60)
    reference = LogisticRegression(C=1 / (2 * l2 * 60), tol=1e-9, max_iter=5000)
    reference.fit(inputs, labels, sample_weight=weights)
    kernel, bias, solution = minimize(inputs, np.eye(3)[labels], weights, l2)
    np.testing.assert_allclose(kernel.T, reference.coef_, atol=1e-4)
    np.testing.assert_allclose(bias - bias.mean(), reference.intercept_, atol=1e-4)
    assert solution.gradient < 1e-5


@pytest.mark.parametrize("most_rotated", [100, 0])
def test_correlated_features_have_the_same_optimum_in_few_iterations(
    monkeypatch: pytest.MonkeyPatch, most_rotated: int
) -> None:
    monkeypatch.setattr(softmax_regression, "_MOST_ROTATED", most_rotated)
    noise = np.random.default_rng(2)
    labels = np.arange(300) % 3
    hidden = noise.normal(size=(300, 8)) * np.logspace(0, -2, 8)
    hidden[np.arange(300), labels] += 0.3
    inputs = hidden @ np.linalg.qr(noise.normal(size=(8, 8)))[0]
    kernel, bias, solution = minimize(inputs, np.eye(3)[labels], np.ones(300), 1e-6)
    logits = inputs @ kernel + bias
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    slope = inputs.T @ (probability - np.eye(3)[labels]) / 300 + 2e-6 * kernel
    assert np.abs(slope).max() < 1e-5
    if most_rotated:
        assert solution.iterations < 50


@pytest.mark.parametrize("many", [False, True])
def test_solving_limits_threads_and_only_meanwhile(
    monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    """Of many values, NumPy's library uses its threads; SciPy's never does."""
    import scipy.optimize
    from threadpoolctl import threadpool_info, threadpool_limits

    solve, within = scipy.optimize.minimize, {}

    def watched(*args: Any, **settings: Any) -> Any:
        within.update({each["filepath"]: each["num_threads"] for each in threadpool_info()})
        return solve(*args, **settings)

    monkeypatch.setattr(scipy.optimize, "minimize", watched)
    if many:
        monkeypatch.setattr(softmax_regression, "_FEW_VALUES", 0)
    with threadpool_limits(2, user_api="blas"):
        before = {each["filepath"]: each["num_threads"] for each in threadpool_info()}
        minimize(np.eye(4), np.eye(4), np.ones(4), 0.1)
        after = {each["filepath"]: each["num_threads"] for each in threadpool_info()}
    own = {path for path in before if {"scipy", "scipy.libs"} & set(Path(path).parts)}
    blas = {each["filepath"] for each in threadpool_info() if each["user_api"] == "blas"}
    limited = own if many else blas
    assert after == before
    assert within == {path: 1 if path in limited else count for path, count in before.items()}


def test_the_gradient_of_many_images_vanishes_at_the_solution() -> None:
    """They are more than one block of rows."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 1500)
    inputs = rng.normal(size=(1500, 200)) + labels[:, None] * rng.normal(size=200) / 10
    targets, weights, l2 = np.eye(3)[labels], rng.uniform(0.5, 2, 1500), 0.01
    kernel, bias, solution = minimize(inputs, targets, weights, l2)
    probabilities = np.exp(inputs @ kernel + bias)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    difference = weights[:, None] * (probabilities - targets) / len(inputs)
    np.testing.assert_allclose(inputs.T @ difference + 2 * l2 * kernel, 0, atol=1e-6)
    np.testing.assert_allclose(difference.sum(axis=0), 0, atol=1e-6)
    expected = -(weights * np.log((probabilities * targets).sum(axis=1))).mean()
    assert solution.loss == pytest.approx(expected, rel=1e-9)


def test_the_last_layer_is_solved_and_saved_with_the_whole(tmp_path: Path) -> None:
    import keras

    targets = np.eye(3)[LABELS]

    def trained(seed: int) -> Any:
        model = classifier(seed=0)
        model.layers[-1].set_weights([np.full((4, 3), float(seed)), np.zeros(3)])
        split = split_of(model)
        features = features_of(split)
        split.adapt(features)
        solution = solve_softmax_layer(split, features, targets)
        loss = keras.losses.CategoricalCrossentropy()(targets, model.predict_on_batch(IMAGES))
        assert float(loss) == pytest.approx(solution.loss, rel=1e-4)
        return model

    one, two = trained(1), trained(2)
    np.testing.assert_array_equal(one.get_weights()[-2], two.get_weights()[-2])
    one.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(
        again.predict_on_batch(IMAGES), one.predict_on_batch(IMAGES), atol=1e-6
    )


class FixedFilters(cv.Architecture):
    """Has frozen layers whose output depends on the orientation of an image."""

    filters: ClassVar[str] = "glorot_uniform"
    built: ClassVar[int] = 0

    def build(self, input_shape: tuple[int, int, int], classes: int) -> Any:
        import keras
        from keras import layers

        type(self).built += 1
        image = keras.Input(input_shape)
        x = layers.Conv2D(8, 5, trainable=False, kernel_initializer=self.filters)(image)
        x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
        x = layers.BatchNormalization(center=False, scale=False)(x)
        penalty = keras.regularizers.L2(0.01)
        outputs = layers.Dense(classes, activation="softmax", kernel_regularizer=penalty)(x)
        return keras.Model(image, outputs)


class EqualFilters(FixedFilters):
    """Has the same frozen layers for every seed."""

    filters: ClassVar[str] = "ones"


class LearnedFilters(FixedFilters):
    """Has no frozen layers."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> Any:
        model = super().build(input_shape, classes)
        for layer in model.layers:
            layer.trainable = True
        return model


@pytest.fixture
def fixed_filters() -> Iterator[None]:
    classes = {"fixed": FixedFilters, "equal": EqualFilters, "learned": LearnedFilters}
    for name, cls in classes.items():
        cv.architectures.register(f"{name}-filters", cls)
    yield
    for name in classes:
        cv.architectures.unregister(f"{name}-filters")


@pytest.mark.slow
@pytest.mark.usefixtures("fixed_filters")
def test_a_frozen_network_is_drawn_for_each_seed_that_makes_a_difference(tmp_path: Path) -> None:
    folder = tiny.make_folder(tmp_path / "images", count=16)
    experiment = tiny.experiment(folder, "fixed-filters")
    study = cv.study(experiment, 3, tmp_path / "study", progress=False)
    first, _, last = (tiny.probabilities(run.predictions) for run in study.runs)
    assert np.abs(first - last).max() > 1e-4
    training = experiment.training.model_copy(update={"seed": 2})
    alone = experiment.model_copy(update={"training": training})
    run = cv.train(alone, tmp_path / "run", progress=False)
    np.testing.assert_allclose(tiny.probabilities(run.predictions), last, atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("fixed_filters")
def test_equal_frozen_networks_are_built_and_saved_once(tmp_path: Path) -> None:
    folder = tiny.make_folder(tmp_path / "images", count=16, wells=8)
    experiment = tiny.experiment(folder, "equal-filters")
    built = []
    for runs in (2, 4):
        before = EqualFilters.built
        study = cv.study(
            *(experiment, runs, tmp_path / str(runs)),
            controls=["permuted_images", "background"],
            progress=False,
        )
        built.append(EqualFilters.built - before)
    assert built[0] == built[1]
    controls = [run for each in study.controls.values() for run in each]
    assert len(controls) == 8
    for run in (*study.runs, *controls):
        model = run.model(verify=False)
        outputs = model.predict_on_batch(run.model_input(list(run.predictions["image"])))
        recorded = tiny.probabilities(run.predictions)
        np.testing.assert_allclose(outputs, recorded, atol=1e-5)
    saved = [(run.folder / "model.keras").read_bytes() for run in study.runs]
    assert len(set(saved)) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("fixed_filters")
def test_a_network_that_is_trained_is_drawn_once_for_each_run(tmp_path: Path) -> None:
    folder = tiny.make_folder(tmp_path / "images", count=16)
    experiment = tiny.experiment(folder, "learned-filters", epochs=1)
    built = []
    for runs in (2, 4):
        before = LearnedFilters.built
        cv.study(experiment, runs, tmp_path / str(runs), workers=1, progress=False)
        built.append(LearnedFilters.built - before)
    assert built[1] - built[0] == 2


@pytest.mark.slow
def test_folds_and_seeds_share_the_features_of_augmented_copies(
    tmp_path: Path, cache_folder: Path
) -> None:
    folder = tiny.make_folder(tmp_path / "images", count=12)
    dihedral = (cv.augmenters.create("dihedral"),)
    experiment = tiny.experiment(folder, "scattering", augmenters=dihedral, tta=True)
    study = cv.study(experiment, runs=2, out=tmp_path / "study", folds=2, progress=False)
    runs = [cv.load_run(path) for path in sorted((tmp_path / "study" / "runs").iterdir())]
    assert len(runs) == 4
    assert len(study.runs) == 2
    # Of the images, of their copies, and of a few turned images: orientation does not matter.
    assert len(list((cache_folder / "features").iterdir())) == 3
    for run in runs:
        assert run.metadata.tta_scores["test"].accuracy == run.scores["test"].accuracy
    for fold in (0, 1):
        first, second = (tiny.probabilities(runs[fold + seed * 2].predictions) for seed in (0, 1))
        np.testing.assert_array_equal(first, second)
    assert runs[3].model().count_params() == runs[0].model().count_params()


@pytest.mark.slow
@pytest.mark.usefixtures("fixed_filters")
def test_orientations_are_averaged_on_features(tmp_path: Path) -> None:
    folder = tiny.make_splits(
        tmp_path / "images",
        {"train": {"dark": 8, "light": 8}, "test": {"dark": 20, "light": 20}},
        swapped="test",
    )
    run = cv.train(
        tiny.experiment(folder, "fixed-filters", tta=True, split={"validation": 0}),
        tmp_path / "run",
        progress=False,
    )
    table = run.predictions[run.predictions["split"] == "test"]
    preprocessing = run.experiment.preprocessing
    images = [np.asarray(Image.open(folder / name))[..., np.newaxis] for name in table["image"]]
    pixels = np.stack([preprocessing.resize(image) for image in images])
    model = run.model()
    outputs = [model.predict_on_batch(oriented(pixels, k)) for k in range(ORIENTATIONS)]
    right = np.mean(outputs, axis=0).argmax(axis=1) == (table["label"] == "light").to_numpy()
    assert run.metadata.tta_scores["test"].accuracy == pytest.approx(right.mean())
    assert max(np.abs(outputs[0] - output).max() for output in outputs) > 0.001


def test_only_penalized_softmax_regression_is_solved() -> None:
    import keras
    from keras import layers

    assert softmax_layer(split_of(classifier())) is not None
    without = split_of(classifier(l2=0))
    assert softmax_layer(without) is None
    with pytest.raises(ValueError, match="no softmax regression"):
        solve_softmax_layer(without, features_of(without), np.eye(3)[LABELS])
    penalty = keras.regularizers.L2(0.1)
    deeper = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Flatten(),
            layers.Dense(5, trainable=False),
            layers.Dense(4, activation="relu"),
            layers.Dense(3, activation="softmax", kernel_regularizer=penalty),
        ]
    )
    assert softmax_layer(split_of(deeper)) is None


def test_non_finite_features_are_refused() -> None:
    split = split_of(classifier())
    features = features_of(split)
    features[0, 0] = np.nan
    with pytest.raises(errors.CellvisionError, match="infinite or not a number"):
        solve_softmax_layer(split, features, np.eye(3)[LABELS])
