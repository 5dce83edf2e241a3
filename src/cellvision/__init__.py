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
    from cellvision.data.intake import Intake
    from cellvision.data.split import Split
    from cellvision.experiment import Experiment, Training, dump, load
    from cellvision.interfaces.architecture import Architecture, architectures
    from cellvision.interfaces.augmenter import Augmenter, augmenters
    from cellvision.interfaces.dataset import Dataset, PassedOver, datasets
    from cellvision.interfaces.decoded import DecodedImage
    from cellvision.interfaces.reporter import Reporter, reporters
    from cellvision.training.export import export
    from cellvision.training.predict import predict
    from cellvision.training.probe import Probe
    from cellvision.training.run import Run, load_run
    from cellvision.training.study import Study, load_study, study
    from cellvision.training.train import train

__version__ = "0.1.0"

_HOMES = {
    "Architecture": "interfaces.architecture",
    "Audit": "data.audit",
    "Augmenter": "interfaces.augmenter",
    "Catalog": "data.catalog",
    "Dataset": "interfaces.dataset",
    "DecodedImage": "interfaces.decoded",
    "Experiment": "experiment",
    "IMAGE_SUFFIXES": "data.files",
    "Intake": "data.intake",
    "PassedOver": "interfaces.dataset",
    "Probe": "training.probe",
    "Reporter": "interfaces.reporter",
    "Run": "training.run",
    "Split": "data.split",
    "Study": "training.study",
    "Training": "experiment",
    "architectures": "interfaces.architecture",
    "audit": "data.audit",
    "augmenters": "interfaces.augmenter",
    "datasets": "interfaces.dataset",
    "dump": "experiment",
    "export": "training.export",
    "is_phantom": "data.files",
    "load": "experiment",
    "load_run": "training.run",
    "load_study": "training.study",
    "predict": "training.predict",
    "read_image": "data.files",
    "reporters": "interfaces.reporter",
    "study": "training.study",
    "train": "training.train",
}
_MODULES = frozenset({"prepare", "remote", "statistics", "testing"})

__all__ = [
    "IMAGE_SUFFIXES",
    "Architecture",
    "Audit",
    "Augmenter",
    "Catalog",
    "Dataset",
    "DecodedImage",
    "Experiment",
    "Intake",
    "PassedOver",
    "Probe",
    "Reporter",
    "Run",
    "Split",
    "Study",
    "Training",
    "architectures",
    "audit",
    "augmenters",
    "datasets",
    "dump",
    "errors",
    "export",
    "is_phantom",
    "load",
    "load_run",
    "load_study",
    "predict",
    "prepare",
    "read_image",
    "remote",
    "reporters",
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
