"""Train networks on microscopy images and tell whether they learned or memorised.

The public names are those of ``__all__``. They are imported when they are first used, so that
``import cellvision`` stays quick; none of them imports keras before it has work to do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cellvision import errors

if TYPE_CHECKING:
    from cellvision import prepare, remote, statistics
    from cellvision.data.audit import Audit, audit
    from cellvision.data.catalog import Catalog
    from cellvision.data.files import (
        IMAGE_SUFFIXES,
        is_phantom,
        read_image,
    )
    from cellvision.data.preprocessing import Preprocessing
    from cellvision.data.split import Split
    from cellvision.experiment import Experiment, Training, load_experiment, save_experiment
    from cellvision.inference.export import export
    from cellvision.inference.predict import predict
    from cellvision.interfaces.architecture import Architecture, architectures
    from cellvision.interfaces.artifact import Artifact
    from cellvision.interfaces.augmenter import Augmenter, augmenters
    from cellvision.interfaces.dataset import Dataset, SkippedFile, datasets
    from cellvision.interfaces.decoded_image import DecodedImage
    from cellvision.interfaces.reporter import Reporter, reporters
    from cellvision.results.model_probe import Probe
    from cellvision.results.run import Run, load_run
    from cellvision.results.study import Study, load_study
    from cellvision.studies.study import study
    from cellvision.training.train import train

__version__ = "0.1.0"

_HOMES = {
    "Architecture": "interfaces.architecture",
    "Artifact": "interfaces.artifact",
    "Audit": "data.audit",
    "Augmenter": "interfaces.augmenter",
    "Catalog": "data.catalog",
    "Dataset": "interfaces.dataset",
    "DecodedImage": "interfaces.decoded_image",
    "Experiment": "experiment",
    "IMAGE_SUFFIXES": "data.files",
    "Preprocessing": "data.preprocessing",
    "SkippedFile": "interfaces.dataset",
    "Probe": "results.model_probe",
    "Reporter": "interfaces.reporter",
    "Run": "results.run",
    "Split": "data.split",
    "Study": "results.study",
    "Training": "experiment",
    "architectures": "interfaces.architecture",
    "audit": "data.audit",
    "augmenters": "interfaces.augmenter",
    "datasets": "interfaces.dataset",
    "save_experiment": "experiment",
    "export": "inference.export",
    "is_phantom": "data.files",
    "load_experiment": "experiment",
    "load_run": "results.run",
    "load_study": "results.study",
    "predict": "inference.predict",
    "read_image": "data.files",
    "reporters": "interfaces.reporter",
    "study": "studies.study",
    "train": "training.train",
}
_MODULES = frozenset({"prepare", "remote", "statistics", "testing"})

__all__ = [
    "IMAGE_SUFFIXES",
    "Architecture",
    "Artifact",
    "Audit",
    "Augmenter",
    "Catalog",
    "Dataset",
    "DecodedImage",
    "Experiment",
    "Preprocessing",
    "Probe",
    "Reporter",
    "Run",
    "SkippedFile",
    "Split",
    "Study",
    "Training",
    "architectures",
    "audit",
    "augmenters",
    "datasets",
    "errors",
    "export",
    "is_phantom",
    "load_experiment",
    "load_run",
    "load_study",
    "predict",
    "prepare",
    "read_image",
    "remote",
    "reporters",
    "save_experiment",
    "statistics",
    "study",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
