"""Starting Keras' backend without the messages that tell a biologist nothing."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def start_backend(prepare: Callable[[], None] = lambda: None) -> None:
    """Import keras and find the devices, keeping what native code prints meanwhile.

    TensorFlow writes of its processor options and of missing GPU drivers straight to standard
    error, whatever the log level. Where the start fails, all that was kept is shown.

    Parameters
    ----------
    prepare
        What has to be done before devices are looked for; what it prints is shown.
    """
    if "keras" in sys.modules:
        return
    with _kept():
        import keras
    prepare()
    with _kept():
        keras.distribution.list_devices()
        keras.ops.convert_to_numpy(keras.ops.ones(1))


@contextmanager
def _kept() -> Iterator[None]:
    """Keep what is written to standard error, and show it only after a failure."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        stderr = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(stderr, kept.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
