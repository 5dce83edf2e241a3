"""Record looks at test sets, by studies and evaluations, and count all looks at them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.experiment import ABOUT_RECIPE
from cellvision.statistics import LookCount, Odometer

if TYPE_CHECKING:
    from cellvision.results.study import Study

VARIABLE = "CELLVISION_ODOMETER"
"""Environment variable with the path of the log of looks, or ``off``."""

_NO_SETTINGS = (
    "seed",
    "devices",
    "vectorize",
    "steps_per_execution",
    "images_on_device",
    "checkpoints",
)
"""Training settings that are ignored when settings are counted."""

_NO_SECTIONS = ("about", "reporters", "plugins", *ABOUT_RECIPE)

_log = logging.getLogger(__name__)

Looks = Mapping[tuple[str, str], LookCount]
"""Looks at a test set, by experiment and split."""


def record_looks(study: Study, identifier: str) -> dict[tuple[str, str], LookCount]:
    """Record one look at each test set of a study, and count.

    A study is one look, and all its experiments together are one setting, because its p-values are
    adjusted for them already. Resuming or extending it is the same look.

    Parameters
    ----------
    study
        A study whose runs are finished.
    identifier
        Identifies the study, wherever its folder is moved.

    Returns
    -------
    dict
        By experiment and split; empty if the log is off or cannot be written.
    """
    test_sets = {
        (experiment.name, split): experiment.runs[0].metadata.test_sets.get(split)
        for experiment in study.experiments
        for split in experiment.test_splits
    }
    settings: dict[str, list[str]] = {}
    for (name, _), digest in test_sets.items():
        if digest is not None:
            record = next(each for each in study.experiments if each.name == name).record
            settings.setdefault(digest, []).append(setting_digest(record.experiment))
    counts = _recorded(settings, identifier)
    return {key: counts[digest] for key, digest in test_sets.items() if digest in counts}


def record_evaluation(
    test_sets: Mapping[str, str], experiment: Mapping[str, Any], identifier: str
) -> dict[str, LookCount]:
    """Record that trained networks have been evaluated on test sets, and count.

    Parameters
    ----------
    test_sets
        Digest of each test set, by its name.
    experiment
        The recorded experiment of the networks.
    identifier
        Identifies the networks: evaluating them again on the same images is the same look.

    Returns
    -------
    dict
        By name; empty if the log is off or cannot be written.
    """
    setting = setting_digest(experiment)
    counts = _recorded({digest: [setting] for digest in test_sets.values()}, identifier)
    return {name: counts[digest] for name, digest in test_sets.items() if digest in counts}


def _recorded(settings: Mapping[str, list[str]], identifier: str) -> dict[str, LookCount]:
    """Record a look at each test set, by the digests of its settings; empty if that is off."""
    path = os.environ.get(VARIABLE)
    if path == "off":
        return {}
    odometer = Odometer(path or None)
    try:
        return {
            digest: odometer.record(digest, _joined(of_digest), identifier)
            for digest, of_digest in settings.items()
        }
    except errors.FolderError as error:
        _log.warning("Looks at the test set are not counted: %s. %s", error.what, error.hint)
        return {}


def setting_digest(experiment: Mapping[str, Any]) -> str:
    """Identify what was tried: an experiment without its seed, its paths, reports and devices."""
    dataset = {key: value for key, value in experiment["dataset"].items() if key != "path"}
    training = {k: v for k, v in experiment["training"].items() if k not in _NO_SETTINGS}
    kept = {key: value for key, value in experiment.items() if key not in _NO_SECTIONS}
    content = {**kept, "dataset": dataset, "training": training}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _joined(digests: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(set(digests))).encode()).hexdigest()
