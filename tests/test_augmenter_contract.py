"""An augmenter that breaks its contract is named before the training, with what it returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import cellvision as cv
from cellvision import errors
from cellvision.training.augmenter_contract import augmented


class Wrong(cv.Augmenter):
    """Returns what it should not."""

    def build(self, seed: int) -> Any:
        raise NotImplementedError


class WrongMix(Wrong):
    """The same, with labels."""

    mixes_labels = True


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
