"""The part of a study on a Dask cluster that runs in the workers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.interfaces.control import read_control
from cellvision.results.claimed_folder import MARK
from cellvision.results.environment import plugin_requirements
from cellvision.studies.failed_controls import control_errors

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.studies.plan import Runner

_one_run_at_a_time = threading.Lock()
"""A worker process has one compiled network, whatever the number of its threads."""


def train_on_worker(
    call: str,
    settings: str,
    seed: int,
    control: Mapping[str, Any] | None,
    installed: Mapping[str, str],
    local_plugins: Mapping[str, str],
    backend: str,
) -> dict[str, bytes]:
    """Train one run on a worker and return the files of its folder.

    Parameters
    ----------
    call
        Identifies the call of `study` that this run belongs to.
    settings
        The experiment, as JSON.
    seed
        Seed of the run.
    control
        Name and settings of its control; None for a run of the experiment itself.
    installed
        Distributions in the study's process, with their versions.
    local_plugins
        Files of local plugins in the study's process, with their SHA-256.
    backend
        Keras backend of the study's process.

    Returns
    -------
    dict
        Content by path relative to the run's folder.
    """
    from distributed import get_worker

    worker = get_worker()
    with _one_run_at_a_time:
        try:
            _check_versions(worker.address, installed, backend)
            load_same_plugins(worker.address, local_plugins)
            with contextlib.nullcontext() if control is None else control_errors():
                runner = runner_of(call, settings)
                return _trained_files(runner, seed, control, worker.local_directory)
        except errors.CellvisionError as error:
            fault = portable(error)
    # Its cause may be of a class that the study's process cannot read.
    fault.__cause__ = fault.__context__ = None
    raise fault


def _trained_files(
    runner: Runner, seed: int, control: Mapping[str, Any] | None, home: str
) -> dict[str, bytes]:
    """Train a run in a temporary folder, and return its files."""
    with tempfile.TemporaryDirectory(prefix="run-", dir=home) as scratch:
        folder = Path(scratch)
        component = None if control is None else read_control(control)
        runner.train(seed, component, folder)
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != MARK
        }


def portable(error: errors.CellvisionError) -> errors.CellvisionError:
    """Return an error as one of `cellvision.errors`, which every process can read.

    A plugin's subclass may be unknown to the study's process, or be made from other values. It
    counts as the nearest class that it is derived from, so that a control which fails is left out.
    """
    public = vars(errors)
    kind = next(base for base in type(error).__mro__ if public.get(base.__name__) is base)
    if kind is type(error):
        return error
    if kind.__init__ is not errors.CellvisionError.__init__:  # made from other values
        kind = errors.InvalidInput
    converted: errors.CellvisionError = kind(error.what, error.hint)
    return converted


@lru_cache(maxsize=1)
def runner_of(call: str, settings: str) -> Runner:
    """Return the runner of an experiment; it keeps images and compiled network from run to run.

    Parameters
    ----------
    call, settings
        As for `train_on_worker`.
    """
    del call  # part of the cache key: another study must read its images again
    from cellvision.experiment import Experiment
    from cellvision.progress import Display
    from cellvision.studies.plan import Runner

    return Runner(Experiment.model_validate_json(settings), Display())


def installed_versions(settings: Any) -> dict[str, str]:
    """Return the distributions that must agree on all workers, with their versions.

    Parameters
    ----------
    settings
        An experiment, or a list with an experiment and a control.
    """
    import importlib_metadata

    requirements = plugin_requirements(settings).values()
    distributions = {requirement.partition("==")[0] for requirement in requirements}
    versions = {}
    for name in sorted({"cellvision", "keras", *distributions}):
        try:
            versions[name] = importlib_metadata.version(name)
        except (importlib_metadata.PackageNotFoundError, ValueError):
            continue  # registered in this process; a worker that lacks it says so
    return versions


def local_plugin_digests(experiment: Experiment, control: Any) -> dict[str, str]:
    """Return the files of local plugins that a run needs, with their SHA-256."""
    from cellvision.local_plugins import load_plugins, local_files

    # Those that the experiment names may define more than its components.
    named = [load_plugins(path) for path in experiment.plugins]
    return {str(file.path): file.digest for file in [*named, *local_files((experiment, control))]}


def load_same_plugins(address: str, digests: Mapping[str, str]) -> None:
    """Load files of local plugins on a worker, if they are those of the study's process.

    Parameters
    ----------
    address
        Address of the worker, for errors.
    digests
        The files, with their SHA-256.

    Raises
    ------
    errors.CellvisionError
        A file is missing or has other content; none of its code is run.
    """
    from cellvision.local_plugins import load_plugins

    for path, digest in digests.items():
        try:
            source = Path(path).read_bytes()
        except OSError as error:
            raise errors.CellvisionError(
                f"{path}: the worker at {address} cannot read this file of plugins: "
                f"{error.strerror or error}",
                "Copy the file to the same path there, or use a folder that all workers share.",
            ) from None
        if hashlib.sha256(source).hexdigest() != digest:
            raise errors.CellvisionError(
                f"{path}: this file of plugins is another one on the worker at {address}",
                f"Copy the file there; its SHA-256 is {digest}.",
            )
        load_plugins(path)


def keras_backend() -> str:
    """Return the name of the Keras backend."""
    import keras

    name: str = keras.backend.backend()
    return name


def _check_versions(address: str, installed: Mapping[str, str], backend: str) -> None:
    import importlib_metadata

    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name, version in installed.items():
        try:
            local = importlib_metadata.version(name)
        except importlib_metadata.PackageNotFoundError:
            local = "not installed"
        if local != version:
            raise errors.CellvisionError(
                f"{name} is {version} where the study was started, but {local} on the worker at "
                f"{address}",
                f"Install it there: python -m pip install {name}=={version}",
            )
    if keras_backend() != backend:
        raise errors.CellvisionError(
            f"the Keras backend is {backend} where the study was started, but {keras_backend()} "
            f"on the worker at {address}",
            f"Start the workers with KERAS_BACKEND={backend}",
        )
