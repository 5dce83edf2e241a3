"""Read experiments that an earlier cellvision wrote, and bring their files up to date."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cellvision import atomic_io, errors
from cellvision.experiment import Experiment
from cellvision.local_plugins import load_named_plugins
from cellvision.plain_settings import by_distribution, migrated
from cellvision.settings_file import parse_settings, parse_text


def with_defaults(recorded: Mapping[str, Any], plugins: Mapping[str, str]) -> dict[str, Any]:
    """Return a recorded experiment as it would be recorded now.

    Settings that are newer than the record have their defaults, and names that several plugins
    have by now are those of the recorded plugins. It stays as it is if it cannot be read, such as
    without a plugin.

    Parameters
    ----------
    recorded
        Plain values of the experiment.
    plugins
        Its plugins: ``group:name`` to ``distribution==version``.
    """
    try:
        current = by_distribution(dict(recorded), Experiment, plugins)
        return Experiment.model_validate(current).model_dump(mode="json")
    except (errors.InvalidInput, ValueError):
        return dict(recorded)


def migrate_file(
    path: str | os.PathLike[str], out: str | os.PathLike[str] | None = None
) -> list[tuple[str, str]]:
    """Write an experiment file with current names; comments and layout stay if possible.

    Parameters
    ----------
    path
        The experiment file.
    out
        File to write. None: the file itself, whose former content is kept as ``FILE.old``.

    Returns
    -------
    list of (str, str)
        Former and current name of each change; empty if there is nothing to change, and then
        nothing is written.

    Raises
    ------
    errors.ExperimentError
        The file cannot be read, or is the record of a run, which stays as it was written.
    """
    path = Path(path)
    values = parse_settings(path)
    if isinstance(values.get("experiment"), dict):
        raise errors.ExperimentError(
            f"{path}: this is the record of a run, which stays as it was written",
            "Nothing needs to be done: runs are opened by former names too.",
        )
    load_named_plugins(values, path.resolve().parent, str(path))
    current, changes = migrated(values, Experiment)
    if not changes:
        return []
    content = _edited(path, changes, current) or _formatted(path, current)
    if out is None:
        with atomic_io.path(path.with_name(path.name + ".old")) as copy:  # follows no link
            shutil.copy2(path, copy)
    atomic_io.text(path if out is None else Path(out), content)
    return changes


def _edited(path: Path, changes: Sequence[tuple[str, str]], current: dict[str, Any]) -> str:
    """Replace the names in the text; empty if the result does not mean the same.

    The text is edited so that comments stay, and then read to find out whether every name was
    one of those to be changed.
    """
    text = path.read_text(encoding="utf-8-sig")
    for former, name in changes:
        text = re.sub(rf"(?<![\w-]){re.escape(former)}(?![\w-])", name, text)
    try:
        same = parse_text(text, path) == current
    except errors.ExperimentError:
        same = False
    return text if same else ""


def _formatted(path: Path, values: dict[str, Any]) -> str:
    """Write the settings anew, without comments."""
    if path.suffix.lower() == ".json":
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    if path.suffix.lower() == ".toml":
        import tomli_w

        return tomli_w.dumps(values)
    import yaml

    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
