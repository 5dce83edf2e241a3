"""Read TOML, JSON and YAML files of settings, within limits: a file may come from somebody else."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cellvision import errors

_MAX_DEPTH = 50
_MAX_VALUES = 1_000_000
"""Limits of an experiment file; a run's record with every default is far smaller."""

_FLATTEN = "An experiment has a few levels: remove the others"


def parse_settings(path: Path) -> dict[str, Any]:
    """Return the table of settings in a file.

    Raises
    ------
    errors.ExperimentError
        The file is missing, cannot be parsed, is nested too deeply or holds too many values.
    """
    _parser(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise errors.ExperimentError(
            f"{path}: {error.strerror or error}", "Check the file's name"
        ) from None
    except ValueError as error:
        raise _invalid(path, error) from None
    return parse_text(text, path)


def parse_text(text: str, path: Path) -> dict[str, Any]:
    """Return the table of settings in the text of a file; raises what `parse_settings` does.

    Parameters
    ----------
    text
        The content of the file.
    path
        The file, whose suffix names the format.
    """
    try:
        settings: Any = _parser(path)(text)
        _require_moderate_size(settings)
    except RecursionError:
        raise errors.ExperimentError(
            f"{path}: its tables and lists are nested too deeply", _FLATTEN
        ) from None
    except ValueError as error:
        raise _invalid(path, error) from None
    if not isinstance(settings, dict):
        raise errors.ExperimentError(
            f"{path}: expected a table of settings, found {type(settings).__name__}",
            "At least, it names a dataset with a type and a path",
        )
    return settings


def _parser(path: Path) -> Callable[[str], Any]:
    parsers: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".json": json.loads,
        ".yaml": _yaml,
        ".yml": _yaml,
    }
    parse = parsers.get(path.suffix.lower())
    if parse is None:
        raise errors.ExperimentError(
            f"{path}: an experiment is a .toml, .yaml or .json file",
            "Name one, or a folder of images",
        )
    return parse


def _invalid(path: Path, error: ValueError) -> errors.ExperimentError:
    return errors.ExperimentError(
        f"{path}: not valid {path.suffix[1:].upper()}: {' '.join(str(error).split())}",
        "Correct the file at that position",
    )


def _require_moderate_size(settings: Any) -> None:
    """Refuse files whose aliases or nesting would exhaust memory: YAML can nest exponentially."""
    sizes: dict[int, int] = {}

    def size(value: Any, depth: int) -> int:
        if not isinstance(value, dict | list):
            return 1
        if depth > _MAX_DEPTH:  # also of a list that contains itself
            raise RecursionError
        if id(value) not in sizes:
            items = value.values() if isinstance(value, dict) else value
            sizes[id(value)] = 1 + sum(size(item, depth + 1) for item in items)
        return sizes[id(value)]

    if size(settings, 0) > _MAX_VALUES:
        raise ValueError(f"it holds more than {_MAX_VALUES} values, counting aliases")


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def without_none(value: Any) -> Any:
    """Return plain values without those that are None, which TOML cannot write."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_none(item) for item in value]
    return value
