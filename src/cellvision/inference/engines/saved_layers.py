"""A digest of the source code of the layers in a saved network that Keras does not define."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellvision.data.code_digests import is_other, module_digest
from cellvision.local_plugins import loaded_files
from cellvision.plugin_candidates import local_module

_CONFIGURATION = "config.json"
"""File of ``model.keras`` with the layers and the modules that define them."""


def saved_layers_digest(model: Path, local_plugins: Mapping[str, str]) -> str:
    """Return a digest of the code of a network's own layers, without loading the network.

    Parameters
    ----------
    model
        The file ``model.keras``.
    local_plugins
        SHA-256 of the run's files of plugins, by name: those that are not loaded count as they
        were recorded.

    Returns
    -------
    str
        Empty if Keras defines all layers, or the file says nothing.
    """
    modules = _modules(model)
    if not modules:
        return ""
    local = {local_module(name): digest for name, digest in local_plugins.items()}
    local |= {local_module(file.path): file.digest for file in loaded_files()}
    digest = hashlib.sha256()
    for module in sorted(modules):
        code = local[module].encode() if module in local else module_digest(module)
        digest.update(module.encode() + code)
    return digest.hexdigest()[:16]


def _modules(model: Path) -> set[str]:
    """Return the modules outside Keras and cellvision that a network's configuration names."""
    try:
        with zipfile.ZipFile(model) as archive:
            configuration = json.loads(archive.read(_CONFIGURATION))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # loading it will say why
        return set()
    modules: set[str] = set()
    pending: list[Any] = [configuration]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            module = value.get("module")
            if isinstance(module, str) and not is_other(module):
                modules.add(module)
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return modules
