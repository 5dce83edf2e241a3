"""Open the saved network of a run, without going through its whole experiment.

A network of stock Keras layers needs none of the run's plugins. Custom layers need the plugin of
the architecture and nothing else: neither its settings nor other plugins have to be valid today.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.backends.registered_classes import registered
from cellvision.plugin_versions import how_to_install, other_versions, warn_of_changed_files

if TYPE_CHECKING:
    import keras

    from cellvision.interfaces.architecture import Architecture
    from cellvision.results.run import Run

_CHECKED_IMAGES = 4
"""Recorded images that are predicted again when a model is opened."""

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}
"""Largest difference from a recorded probability that counts as rounding, by the precision of the
training. In bfloat16 every layer rounds to 8 bits, so a difference of 0.01 is usual."""

_MOST_TEXT = 2**27
_MOST_WEIGHTS = 2**36
_EXPANSION = 32
"""Limits of what a saved model may expand to: bytes of its description and of its weights, and how
many times its compressed size. Keras stores weights without compression."""

_log = logging.getLogger(__name__)


def open_model(run: Run, path: Path, *, verify: bool | None) -> keras.Model:
    """Load a run's network.

    Parameters
    ----------
    run
        The run.
    path
        Its ``model.keras``.
    verify
        Whether to predict some recorded images again and compare: always and strictly (True),
        never (False), or with a warning where the network has custom layers (None).

    Raises
    ------
    errors.FolderError
        The file cannot be read.
    errors.UnknownPlugin
        The network has custom layers and the plugin of its architecture is not installed.
    errors.CellvisionError
        `verify` is True, and the network predicts differently than recorded.
    """
    custom = _custom_classes(path)
    if custom:
        _warn_of_versions(run)
    try:
        with _own_layers(run, custom):
            model = _load(path)
    except errors.UnknownPlugin:
        raise
    except Exception as error:
        raise errors.FolderError(
            f"{path}: the model cannot be read: {errors.summarize(error):.300}",
            "Install the plugin versions of the run (run.json), restore the file or train again.",
        ) from error
    _raise_unless_matching(run, path, model)
    if verify or (verify is None and custom):
        _verify(run, model, strict=bool(verify))
    return model


def _raise_unless_matching(run: Run, path: Path, model: keras.Model) -> None:
    """Refuse a network that does not take the images or give the classes of ``run.json``."""
    shape, outputs = tuple(model.input_shape[1:]), model.output_shape[-1]
    expected, classes = tuple(run.preprocessing.input_shape), len(set(run.class_names))
    if shape != expected or outputs != classes:
        raise errors.FolderError(
            f"{path}: this network takes images of shape {shape} and gives {outputs} classes, but "
            f"run.json says {expected} and {classes}",
            "Restore the model.keras and the run.json of one run.",
        )


def _load(path: Path) -> keras.Model:
    import keras

    return keras.models.load_model(path, compile=False)


def _custom_classes(path: Path) -> dict[str, str]:
    """Return the classes in a saved model that are not Keras' own: registered name to module.

    Raises
    ------
    errors.FolderError
        The file expands to far more than a description of a network needs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _raise_if_expanding(path, archive)
            config = json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        if isinstance(error, errors.FolderError):
            raise
        return {}  # loading the file will say what is wrong with it
    classes: dict[str, str] = {}
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "class_name" in value and value.get("registered_name"):
                module = str(value.get("module") or "")
                if module.partition(".")[0] != "keras":
                    classes[str(value["registered_name"])] = module
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return classes


def _raise_if_expanding(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse a file of a few kilobytes that expands to gigabytes; Keras would read it whole."""
    for entry in archive.infolist():
        limit = _MOST_TEXT if entry.filename.endswith(".json") else _MOST_WEIGHTS
        if entry.file_size > limit or entry.file_size > _EXPANSION * (entry.compress_size + 2**20):
            raise errors.FolderError(
                f"{path}: the model cannot be read: {entry.filename} expands to "
                f"{entry.file_size / 2**30:.1f} GiB",
                "Restore the file or train again.",
            )


@contextlib.contextmanager
def _own_layers(run: Run, custom: dict[str, str]) -> Iterator[None]:
    """Let Keras find the custom layers of the run's own architecture, not namesakes of others."""
    if not custom:
        yield
        return
    architecture = _architecture(run)
    with contextlib.suppress(Exception):
        # Many plugins define and register their layers when they build. If this one fails with
        # today's settings, its layers may still be found by the name of their module.
        architecture.build(run.preprocessing.input_shape, len(run.class_names))
    with registered(_own_classes(type(architecture), custom)):
        yield


def _own_classes(architecture: type[Architecture], custom: dict[str, str]) -> dict[str, Any]:
    """Look custom classes up in the modules of the architecture's own package, by exact name.

    Two plugins may register different layers under one name. Modules of other packages are not
    imported, since the file may come from a stranger.
    """
    package = architecture.__module__.partition(".")[0]
    classes = {}
    for registered_name, module in custom.items():
        if module.partition(".")[0] != package:
            continue
        name = registered_name.rpartition(">")[2]
        with contextlib.suppress(ImportError, AttributeError):
            classes[registered_name] = getattr(importlib.import_module(module), name)
    return classes


def _architecture(run: Run) -> Architecture:
    """Create the architecture of a run, if need be without settings that it no longer has."""
    from cellvision.interfaces.architecture import architectures

    values = run.metadata.experiment["architecture"]
    settings = dict(values) if isinstance(values, dict) else {"type": values}
    name = str(settings.pop("type"))
    requirement = run.metadata.plugins.get(f"{architectures.group}:{name}", name)
    try:
        cls: type[Architecture] = architectures.get(architectures.recorded(name, requirement))
    except errors.PluginError as error:
        raise errors.UnknownPlugin(
            f"{run.folder}: the network has layers of the architecture {name} ({requirement}), "
            f"which cannot be loaded: {error.what}",
            how_to_install([requirement], run.folder),
        ) from error
    try:
        return cls(**settings)
    except (ValueError, errors.CellvisionError):
        known = {key: value for key, value in settings.items() if key in cls.model_fields}
        unknown = ", ".join(sorted(set(settings) - set(known))) or "values"
        _log.warning(
            "%s: the installed architecture %s no longer understands recorded settings (%s); the "
            "saved network is opened as it is.",
            run.folder,
            name,
            unknown,
        )
        try:
            return cls(**known)
        except (ValueError, errors.CellvisionError):
            return cls.model_construct(None, **known)


def _warn_of_versions(run: Run) -> None:
    """Warn if the plugin with the network's layers had another version at training."""
    group = "cellvision.architectures"
    warn_of_changed_files(run.metadata, run.folder, group)
    prefix = f"{group}:"
    plugins = {name: v for name, v in run.metadata.plugins.items() if name.startswith(prefix)}
    differences = other_versions({"plugins": plugins})
    if differences:
        _log.warning(
            "%s: the network has custom layers from a plugin of another version (%s); it may "
            "predict differently than when it was trained.",
            run.folder,
            "; ".join(differences),
        )


def _verify(run: Run, model: keras.Model, *, strict: bool) -> None:
    """Predict some recorded images again and compare."""
    try:
        difference = largest_difference(run, model)
    except (errors.CellvisionError, OSError) as error:
        reason = errors.first_line(error)
        if strict:
            raise errors.FolderError(
                f"{run.folder}: the model cannot be verified: {reason}",
                "Restore the images of the run, or open it with verify=False.",
            ) from error
        _log.warning("%s: the model could not be verified: %s", run.folder, reason)
        return
    if difference <= TOLERANCE.get(run.metadata.environment.precision, 1e-3):
        return
    what = (
        f"{run.folder}: the model predicts differently than recorded (probabilities differ by up "
        f"to {difference:.2g}): its custom layers or its images have changed"
    )
    requirements = sorted(set(run.metadata.plugins.values()))
    if strict:
        raise errors.CellvisionError(
            what, "Install the versions of the run: " + " ".join(f'"{r}"' for r in requirements)
        )
    _log.warning("%s. Versions of the run: %s.", what, ", ".join(requirements))


def largest_difference(run: Run, model: keras.Model) -> float:
    """Return the largest difference between predicted and recorded probabilities.

    Parameters
    ----------
    run
        The run; some of its images are read again.
    model
        Its network.
    """
    table = run.predictions
    rows = np.unique(np.linspace(0, len(table) - 1, _CHECKED_IMAGES).round().astype(int))
    sample = table.iloc[rows]
    recorded = sample[[f"p_{name}" for name in run.class_names]].to_numpy(np.float64)
    pixels = run.model_input(list(sample["image"])).astype(np.float32)
    predicted = np.asarray(model.predict_on_batch(pixels), np.float64)
    return float(np.abs(predicted - recorded).max())
