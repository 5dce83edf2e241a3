"""The software and hardware of a training, as recorded in ``run.json``."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellvision.backends import distributed
from cellvision.backends.processor import ONEDNN_VARIABLE
from cellvision.results.metadata import Environment

if TYPE_CHECKING:
    from cellvision.experiment import Experiment


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


def plugin_requirements(experiment: Experiment) -> dict[str, str]:
    """Return the distribution of each component: ``group:name`` to ``distribution==version``."""
    components = [
        experiment.dataset,
        experiment.architecture,
        *experiment.augmenters,
        *(experiment.reporters or ()),
    ]
    requirements = {}
    for component in components:
        registry = component.registry
        name = registry.name_of(type(component))
        requirements[f"{registry.group}:{name}"] = registry.requirement(name)
    return requirements
