"""The software and hardware of a training, as recorded in ``run.json``."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import atomic_io
from cellvision.backends import distributed
from cellvision.backends.processor import ONEDNN_VARIABLE
from cellvision.backends.threads import thread_limit
from cellvision.component import nested_components
from cellvision.data.decoder_plugins import GROUP, decoders_of
from cellvision.interfaces.recipe import recipes
from cellvision.local_plugins import loaded_files, local_files, requirement_of
from cellvision.results.metadata import Environment

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.interfaces.control import Control


def keras_environment(precision: str, devices: Sequence[str]) -> Environment:
    """Describe the software and hardware of a training with Keras in this process.

    Parameters
    ----------
    precision
        Precision of the computation.
    devices
        Names of the devices.
    """
    import importlib_metadata
    import keras

    backend = keras.backend.backend()
    return Environment(
        cellvision=importlib_metadata.version("cellvision"),
        python=platform.python_version(),
        keras=keras.__version__,
        backend=backend,
        # From the module, since its distribution may be tensorflow, tensorflow-cpu, ...
        backend_version=str(importlib.import_module(backend).__version__),
        device=", ".join(devices),
        precision=precision,
        platform=platform.platform(),
        processors=os.cpu_count(),
        threads=thread_limit(),
        onednn=_onednn() if backend == "tensorflow" else None,
        processes=distributed.world_size(),
    )


def _onednn() -> bool | None:
    value = os.environ.get(ONEDNN_VARIABLE)
    return None if value is None else value != "0"


def scikit_learn_environment() -> Environment:
    """Describe the software and hardware of a control that scikit-learn fits."""
    import importlib_metadata

    return Environment(
        cellvision=importlib_metadata.version("cellvision"),
        python=platform.python_version(),
        backend="scikit-learn",
        backend_version=importlib_metadata.version("scikit-learn"),
        device="CPU",
        precision="float64",
        platform=platform.platform(),
        processors=os.cpu_count(),
    )


def plugin_requirements(settings: Any) -> dict[str, str]:
    """Return the origin of each component in an experiment or list, by ``group:name``.

    That is ``distribution==version``, or the name of a local file, such as ``my_net.py``.
    """
    requirements = {}
    for component in nested_components(settings):
        registry = component.registry
        name = registry.name_of(type(component))
        requirements[f"{registry.group}:{name}"] = requirement_of(component)
    return requirements


def recipe_requirement(experiment: Experiment) -> dict[str, str]:
    """Return the origin of the recipe that chose the settings, by ``group:name``."""
    if experiment.recipe is None or experiment.recipe_plugin is None:
        return {}
    return {f"{recipes.group}:{experiment.recipe}": experiment.recipe_plugin}


def decoder_requirements(images: Iterable[str]) -> dict[str, str]:
    """Return the origin of each decoder of a plugin for the suffixes of some images."""
    return {f"{GROUP}:{each.name}": each.requirement for each in decoders_of(images)}


def copy_local_plugins(
    experiment: Experiment, control: Control | None, folder: Path
) -> dict[str, str]:
    """Copy the local files of an experiment to a folder: of its components, control and recipe.

    Returns
    -------
    dict
        SHA-256 of each file, by its name.
    """
    files = [file for file in loaded_files() if file.path.name == experiment.recipe_plugin]
    files += local_files((experiment, control))
    for file in files:
        with atomic_io.path(folder / file.path.name) as temporary:
            temporary.write_bytes(file.source)
    return {file.path.name: file.digest for file in files}
