"""Convert a run's network to the formats of other programs, always in float32.

Keras writes them on the TensorFlow backend, which supports every format. On another backend, a
separate process converts on TensorFlow.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.digests import file_digest
from cellvision.interfaces.exporter import exporters
from cellvision.local_plugins import load_plugins, loaded_files

if TYPE_CHECKING:
    import keras

    from cellvision.results.run import Run


def installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def float32_model(run: Run) -> keras.Model:
    """Load a run's network so that it computes in float32, whatever it was trained in.

    Weights are always float32. Every program computes in float32 and agrees with the others;
    neither is true of bfloat16.
    """
    from cellvision.backends.startup import start_backend

    start_backend()
    import keras

    model = run.model()
    if run.metadata.environment.precision == "float32":
        return model

    def in_float32(layer: Any) -> Any:
        if not isinstance(layer, keras.Layer):
            return layer
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(model, clone_function=in_float32, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def convert_network(run: Run, format: str, path: Path, packages: tuple[str, ...] = ()) -> Path:  # noqa: A002
    """Convert a run's network with ``keras.Model.export``, always in float32.

    Parameters
    ----------
    run
        The run.
    format
        Name of the format in Keras, such as ``"onnx"`` or ``"tf_saved_model"``.
    path
        File or folder to write.
    packages
        Modules that Keras needs for this format.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    errors.ConversionError
        The network cannot be converted; the cause is chained.
    errors.InvalidInput
        A package is missing.
    """
    check_installed(packages, f"a network is written as {format}")
    from cellvision.backends.startup import start_backend

    start_backend()
    import keras

    if keras.backend.backend() == "tensorflow":
        _write(run, format, path)
    else:
        _write_in_other_process(run, format, path)
    return path


def check_installed(modules: tuple[str, ...], purpose: str) -> None:
    """Check that packages are installed.

    Parameters
    ----------
    modules
        Names of their modules.
    purpose
        What they are needed for, as the start of a sentence.

    Raises
    ------
    errors.InvalidInput
        Some are not; the message names them and how to install them.
    """
    missing = [module.replace("_", "-") for module in modules if not installed(module)]
    if missing:
        raise errors.InvalidInput(
            f"{purpose} by {' and '.join(missing)}, which is not installed",
            f"python -m pip install {' '.join(missing)}",
        )


def _write(run: Run, format: str, path: Path) -> None:  # noqa: A002
    import keras
    import numpy as np

    model = float32_model(run)
    try:
        with _quiet():
            model(np.zeros((1, *run.preprocessing.input_shape), np.float32))
            model.export(str(path), format=format, verbose=False)
    except Exception as error:
        first = errors.first_line(error)
        raise errors.ConversionError(
            f"{run.folder}: Keras {keras.__version__} cannot write this network as {format}: "
            f"{first[:300]}",
            _another_format(),
        ) from error


def _another_format() -> str:
    return f"Choose another format ({', '.join(exporters.names())}), or use model.keras."


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress log messages and output of converters."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), Path(os.devnull).open("w") as devnull:
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(devnull):
                yield
    finally:
        logging.disable(before)


def _write_in_other_process(run: Run, format: str, path: Path) -> None:  # noqa: A002
    files = json.dumps({str(file.path): file.digest for file in loaded_files()})
    arguments = [str(run.folder.resolve()), format, str(path.resolve()), files]
    completed = subprocess.run(  # noqa: S603 - this interpreter, this module
        # -P: the current folder holds no modules
        [sys.executable, "-P", "-m", "cellvision.inference.convert", *arguments],
        # This process keeps the GPU.
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode:
        lines = completed.stderr.strip().splitlines() or ["the process ended without a message"]
        raise errors.ConversionError(
            f"{run.folder}: this network cannot be written as {format} on TensorFlow: {lines[-1]}",
            _another_format(),
        )


def _load_same_plugins(digests: dict[str, str]) -> None:
    """Load the files of local plugins, by path, that are as the first process loaded them.

    Code of other files is not run. If the network needs one, its error says so.
    """
    for path, digest in digests.items():
        with contextlib.suppress(OSError):
            if file_digest(Path(path)) == digest:
                load_plugins(path)


def _main() -> None:
    from cellvision.results.run import load_run

    folder, format, path, files = sys.argv[1:]  # noqa: A001
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        _load_same_plugins(json.loads(files))
        convert_network(load_run(folder), format, Path(path))
    except errors.CellvisionError as error:
        sys.exit(error.what)


if __name__ == "__main__":
    _main()
