"""Convert a run's network to the formats of other programs, always in float32.

Keras writes them on the TensorFlow backend, which supports every format. On another backend, a
separate process converts on TensorFlow.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from cellvision import errors

if TYPE_CHECKING:
    import keras

    from cellvision.results.run import Run

Format = Literal["onnx", "openvino", "litert", "saved_model"]

FORMATS: tuple[Format, ...] = get_args(Format)

FILES: dict[Format, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "openvino": (".xml", ".bin"),
    "litert": (".tflite",),
    "saved_model": ("_saved_model",),
}
"""Suffixes of the files in each format; a program opens the first."""

_NEEDS: dict[Format, tuple[str, ...]] = {
    "onnx": ("tf2onnx", "onnx"),
    "openvino": ("openvino",),
    "litert": (),
    "saved_model": (),
}


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


def convert(run: Run, format: Format, folder: Path, name: str = "model") -> Path:  # noqa: A002
    """Convert a run's network to another format.

    Parameters
    ----------
    run
        The run.
    format
        One of `FORMATS`.
    folder
        An existing folder.
    name
        Name of the files, without suffix.

    Returns
    -------
    pathlib.Path
        The file or folder that a program opens.

    Raises
    ------
    errors.ConversionError
        The network cannot be converted; the cause is chained.
    errors.InvalidInput
        A package is missing.
    """
    check_installed(_NEEDS[format], f"a network is written as {format}")
    from cellvision.backends.startup import start_backend

    start_backend()
    import keras

    if keras.backend.backend() == "tensorflow":
        _write(run, format, folder, name)
    else:
        _write_in_other_process(run, format, folder, name)
    return folder / f"{name}{FILES[format][0]}"


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


def _write(run: Run, format: Format, folder: Path, name: str) -> None:  # noqa: A002
    import keras
    import numpy as np

    target = str(folder / f"{name}{FILES[format][0]}")
    model = float32_model(run)
    try:
        with _quiet():
            model(np.zeros((1, *run.preprocessing.input_shape), np.float32))
            model.export(
                target,
                format="tf_saved_model" if format == "saved_model" else format,
                verbose=False,
            )
            if format == "onnx":
                _name_inputs_and_outputs(target)
    except Exception as error:
        first = errors.first_line(error)
        raise errors.ConversionError(
            f"{run.folder}: Keras {keras.__version__} cannot write this network as {format}: "
            f"{first[:300]}",
            f"Choose another format ({', '.join(FORMATS)}), or use model.keras.",
        ) from error


def _name_inputs_and_outputs(path: str) -> None:
    """Name input, output and batch axis of an ONNX file: pixels, probabilities, images."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    names = {graph.input[0].name: "pixels", graph.output[0].name: "probabilities"}
    for node in graph.node:
        node.input[:] = [names.get(word, word) for word in node.input]
        node.output[:] = [names.get(word, word) for word in node.output]
    for value in (graph.input[0], graph.output[0]):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "images"
    onnx.checker.check_model(model)
    onnx.save(model, path)


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


def _write_in_other_process(run: Run, format: Format, folder: Path, name: str) -> None:  # noqa: A002
    arguments = [str(run.folder.resolve()), format, str(folder.resolve()), name]
    completed = subprocess.run(  # noqa: S603 - this interpreter, this module
        [sys.executable, "-m", "cellvision.inference.convert", *arguments],
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
            f"Choose another format ({', '.join(FORMATS)}), or use model.keras.",
        )


def _main() -> None:
    from cellvision.results.run import load_run

    folder, format, target, name = sys.argv[1:]  # noqa: A001
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        convert(load_run(folder), format, Path(target), name)  # type: ignore[arg-type]
    except errors.CellvisionError as error:
        sys.exit(error.what)


if __name__ == "__main__":
    _main()
