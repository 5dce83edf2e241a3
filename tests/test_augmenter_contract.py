"""An augmenter that breaks its contract is named before the training, with what it returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cellvision as cv
from cellvision import errors
from cellvision.training.augmenter_contract import augmented, require_sound


class Wrong(cv.Augmenter):
    """Returns what it should not."""

    def build(self, seed: int) -> Any:
        raise NotImplementedError


class WrongMix(Wrong):
    """The same, with labels."""

    mixes_labels = True


def _training_layer(call: Callable[[Any], Any]) -> Any:
    import keras

    class Layer(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any, training: bool = False) -> Any:
            return call(inputs) if training else inputs

    return Layer()


def _fail(_: Any) -> Any:
    raise ValueError("no such axis")


def _layer(call: Callable[[Any], Any]) -> Any:
    import keras

    class Layer(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return call(inputs)

    return Layer()


@pytest.mark.parametrize(
    ("cls", "build", "what"),
    [
        (Wrong, lambda: None, "build() returned NoneType, not a Keras layer"),
        (Wrong, lambda: lambda x: x, "build() returned function"),
        (Wrong, lambda: _layer(lambda x: x[:, 1:]), "of (None, 8, 6, 1) into (None, 7, 6, 1)"),
        (Wrong, lambda: _layer(lambda x: (x, x)), "of (None, 8, 6, 1) into tuple"),
        (Wrong, lambda: _layer(_fail), "its layer fails: ValueError: no such axis"),
        (WrongMix, lambda: _layer(_fail), "its layer fails: ValueError: no such axis"),
        (WrongMix, lambda: _layer(lambda x: x[0]), "not images and labels"),
        (WrongMix, lambda: _layer(lambda x: (x[0], x[1][:, 1:])), "labels of (None, 3) into"),
    ],
)
def test_each_fault_names_the_augmenter(
    cls: type[Wrong], build: Callable[[], Any], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    monkeypatch.setattr(cls, "build", lambda self, seed: build())
    cv.augmenters.register("wrong", cls)
    try:
        with pytest.raises(errors.PluginContractError) as caught:
            augmented(cls(), 0, keras.Input((8, 6, 1)), keras.Input((3,)))
    finally:
        cv.augmenters.unregister("wrong")
    assert caught.value.what.startswith("augmenter 'wrong' (registered here): ")
    assert what in caught.value.what
    assert "cellvision check" in caught.value.hint


def test_a_sound_augmenter_keeps_labels() -> None:
    import keras

    images, labels = keras.Input((8, 6, 1)), keras.Input((3,))
    changed, same = augmented(cv.augmenters.create("flip"), 0, images, labels)
    assert same is labels
    assert changed.shape == images.shape
    both = augmented(cv.augmenters.create("mixup"), 0, images, labels)
    assert [tuple(each.shape) for each in both] == [(None, 8, 6, 1), (None, 3)]


@pytest.mark.parametrize(
    ("cls", "call", "what"),
    [
        (Wrong, lambda x: 1 - x, "images"),
        (WrongMix, lambda x: (x[0], 1 - x[1]), "labels"),
    ],
)
def test_predictions_are_not_augmented(
    cls: type[Wrong], call: Callable[[Any], Any], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer that forgets `training` would change the images behind the scores."""
    monkeypatch.setattr(cls, "build", lambda self, seed: _layer(call))
    cv.augmenters.register("wrong", cls)
    try:
        with pytest.raises(errors.PluginContractError, match=f"changes {what} although") as caught:
            require_sound(cls(), (8, 6, 1), 3)
    finally:
        cv.augmenters.unregister("wrong")
    assert "Give call() the argument training=False" in caught.value.hint


@pytest.mark.parametrize("name", ["dihedral", "shift", "brightness", "mixup", "cutmix"])
def test_sound_augmenters_are_inactive_in_predictions(name: str) -> None:
    augmenter = cv.augmenters.create(name)
    require_sound(augmenter, (8, 8, 1), 3)
    images, labels = np.full((2, 8, 8, 1), 0.3, np.float32), np.eye(3, dtype=np.float32)[:2]
    given = (images, labels) if augmenter.mixes_labels else images
    returned = augmenter.build(0)(given, training=False)
    same = returned[0] if augmenter.mixes_labels else returned
    assert np.array_equal(np.asarray(same), images)


def _as_integers(images: Any) -> Any:
    import keras

    return keras.ops.cast(images, "int32")


@pytest.mark.parametrize(
    ("cls", "call", "what"),
    [
        (Wrong, lambda x: x[:1], "turned 4 images into 1"),
        (Wrong, lambda x: x * float("nan"), "made images infinite or NaN"),
        (Wrong, lambda x: x / 0, "made images infinite or NaN"),
        (Wrong, _as_integers, "turned images of float32 into int32"),
        (WrongMix, lambda x: (x[0], x[1] * float("nan")), "made labels infinite or NaN"),
        (WrongMix, lambda x: (x[0], x[1][:2]), "turned 4 labels into 2"),
    ],
)
def test_images_that_cannot_be_trained_on_are_refused(
    cls: type[Wrong], call: Callable[[Any], Any], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss would broadcast one image over all labels, or the training would end in NaN."""
    monkeypatch.setattr(cls, "build", lambda self, seed: _training_layer(call))
    cv.augmenters.register("wrong", cls)
    try:
        with pytest.raises(errors.PluginContractError) as caught:
            require_sound(cls(), (8, 6, 1), 3)
    finally:
        cv.augmenters.unregister("wrong")
    assert caught.value.what.startswith("augmenter 'wrong' (registered here): its layer ")
    assert what in caught.value.what
