"""Start the Keras backend without its start-up messages."""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cellvision import errors
from cellvision.backends.interrupts import kept_interrupts

_SUPPORTED = ("tensorflow", "jax")
"""Keras finds and shares devices for these alone (`keras.distribution`)."""

_owns_process = False
"""Whether `own_process` was called."""

_HINT = "Unset KERAS_BACKEND, or set it to tensorflow or jax: cellvision supports these two."


def raise_if_no_backend() -> None:
    """Refuse a ``KERAS_BACKEND`` that cannot train, which takes no time to find out.

    Raises
    ------
    errors.InvalidInput
        It is not one of the supported backends, or is not installed.
    """
    name = os.environ.get("KERAS_BACKEND")
    if not name or "keras" in sys.modules:
        return
    if name not in _SUPPORTED:
        raise errors.InvalidInput(f"KERAS_BACKEND is {name!r}, which cannot train", _HINT)
    if importlib.util.find_spec(name) is None:
        raise errors.InvalidInput(f"KERAS_BACKEND is {name!r}, which is not installed", _HINT)


def own_process() -> None:
    """Declare that this process is a command of cellvision or a worker of one, and no script's.

    All objects of the packages that `start_backend` imports then stay until it ends, so they are
    never looked through for garbage.
    """
    global _owns_process
    _owns_process = True


def start_backend(prepare: Callable[[], None] = lambda: None) -> None:
    """Import keras and find the devices, suppressing what native code prints.

    TensorFlow prints processor options and missing GPU drivers to standard error, whatever the
    log level. If the start fails, the suppressed output is shown.

    Parameters
    ----------
    prepare
        Called before devices are looked for; its output is shown.

    Raises
    ------
    errors.InvalidInput
        As for `raise_if_no_backend`.
    """
    logging.getLogger("tensorflow").addFilter(_is_no_retracing_warning)
    if "keras" in sys.modules:
        return
    raise_if_no_backend()
    # Later, XLA logs that it has started. Errors are still shown.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with suppressed_stderr(), kept_interrupts(), _paused_collection():
        import keras
    prepare()
    with suppressed_stderr(), kept_interrupts():
        keras.distribution.list_devices()
        keras.ops.convert_to_numpy(keras.ops.ones(1))
    if _owns_process:
        gc.freeze()


@contextmanager
def _paused_collection() -> Iterator[None]:
    """Do not look for garbage meanwhile.

    Keras and TensorFlow create half a million objects that stay. Looking through them again and
    again takes a quarter of the time of their import.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _is_no_retracing_warning(record: logging.LogRecord) -> bool:
    """Each run's saved model is read back, which TensorFlow takes for one model traced again."""
    return "triggered tf.function retracing" not in record.getMessage()


@contextmanager
def suppressed_stderr() -> Iterator[None]:
    """Hold back what is written to standard error, and show it only after a failure.

    An interrupt is no failure.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as output:
        stderr = os.dup(2)
        os.dup2(output.fileno(), 2)
        try:
            yield
        except Exception:
            output.seek(0)
            os.write(stderr, output.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
