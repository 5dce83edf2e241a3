"""Load saved networks with given classes, whichever namesakes were registered with Keras."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@contextlib.contextmanager
def registered(classes: Mapping[str, type]) -> Iterator[None]:
    """Let Keras find `classes` by their registered names, and undo that at the end.

    Keras' own ``custom_object_scope`` does not do: Keras replaces it while it loads a model within
    a model.

    Parameters
    ----------
    classes
        The class for each registered name, such as ``"my_package>Scale"``.
    """
    import keras

    known = keras.saving.get_custom_objects()
    before = dict(known)
    known.update(classes)
    try:
        yield
    finally:
        known.clear()
        known.update(before)


def classes_of(model: keras.Model) -> dict[str, type]:
    """Return the registered classes of a model's own layers, by registered name.

    A class that was never registered is left out: Keras could not load it elsewhere.
    """
    import keras

    known = keras.saving.get_custom_objects()
    names = {
        type(layer): keras.saving.get_registered_name(type(layer))
        for layer in model._flatten_layers()
    }
    return {name: cls for cls, name in names.items() if name in known}
