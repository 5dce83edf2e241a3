"""Read TOML, JSON and YAML files of settings, within limits: a file may come from somebody else."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from cellvision import errors

_MAX_DEPTH = 50
_MAX_VALUES = 1_000_000
"""Limits of an experiment file; a run's record with every default is far smaller."""

_MAX_TEXT = {".json": 2**24}
_MAX_TEXT_ELSE = 2**18
"""Limits of a file's length, in characters; YAML and TOML are read slowly, and JSON may be a run's
record."""

_MAX_YAML_NODES = 10_000
"""Limit of values in YAML, of which PyYAML reads 10,000 in a second."""

_MAX_SCALAR = 2**16
"""Limit of one value in YAML, which computes numbers such as 1:30 in quadratic time."""

_TOO_MANY = f"it holds more than {_MAX_VALUES} values, counting aliases"

_LONG_KEY = re.compile(
    rf"""(?<![\w.-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{_MAX_DEPTH},}}"""
)
"""A dotted key of TOML with more parts than tables may be deep, for which tomllib needs quadratic
time."""

_FLATTEN = "An experiment has a few levels: remove the others"


def parse_settings(path: Path) -> dict[str, Any]:
    """Return the table of settings in a file.

    Raises
    ------
    errors.ExperimentError
        The file is missing, cannot be parsed, is nested too deeply or holds too many values.
    """
    _parser(path)
    limit = _MAX_TEXT.get(path.suffix.lower(), _MAX_TEXT_ELSE)
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would be waited for
        raise errors.ExperimentError(f"{path}: this is not a regular file", "Name a file on disk")
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(limit + 1)
        if len(text) > limit:
            raise ValueError(f"it has more than {limit} characters")
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
        _require_moderate_size(settings, _items)
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
        ".toml": _toml,
        ".json": _json,
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


def _require_moderate_size(settings: Any, items: Callable[[Any], Collection[Any]]) -> None:
    """Refuse files whose aliases or nesting would exhaust memory: YAML can nest exponentially.

    Parameters
    ----------
    settings
        What a parser made of the file.
    items
        Returns what a table or list holds; nothing for other values.
    """
    sizes: dict[int, int] = {}

    def size(value: Any, depth: int) -> int:
        if depth > _MAX_DEPTH:  # also of a list that contains itself
            raise RecursionError
        if len(sizes) > _MAX_VALUES:
            raise ValueError(_TOO_MANY)
        if id(value) not in sizes:
            parts = items(value)
            if len(parts) > _MAX_VALUES:
                raise ValueError(_TOO_MANY)
            sizes[id(value)] = 1 + sum(size(item, depth + 1) for item in parts)
        return sizes[id(value)]

    if size(settings, 0) > _MAX_VALUES:
        raise ValueError(_TOO_MANY)


def _items(value: Any) -> Collection[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a table; refuse a key that is given twice, of which the parser takes the last."""
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key {key!r} is given twice")
        table[key] = value
    return table


def _toml(text: str) -> Any:
    if _LONG_KEY.search(text):
        raise RecursionError
    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Stops at the limits: reading on may take minutes."""

        depth, nodes = 0, 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth += 1
            self.nodes += 1
            if self.depth > _MAX_DEPTH + 1:
                raise RecursionError
            if self.nodes > _MAX_YAML_NODES:
                raise ValueError(f"it has more than {_MAX_YAML_NODES} values")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    loader = Loader(text)
    try:
        node = loader.get_single_node()
        # Before values are made of it: merge keys (<<) copy what aliases stand for.
        _require_moderate_size(node, _node_items)
        return None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except (AttributeError, LookupError, TypeError):  # such as !!timestamp x, !!bool x
        raise ValueError("a value does not have the type of its tag") from None
    finally:
        loader.dispose()


def _node_items(node: Any) -> Collection[Any]:
    """Return the nodes below a node of YAML; refuse a very long value and a repeated key."""
    if node is None or isinstance(node.value, str):
        if node is not None and len(node.value) > _MAX_SCALAR:
            raise ValueError(f"a value has more than {_MAX_SCALAR} characters")
        return ()
    pairs = node.value
    keys = set()
    for key, _ in (pair for pair in pairs if isinstance(pair, tuple)):
        if isinstance(key.value, str) and (key.tag, key.value) in keys:
            line = key.start_mark.line + 1
            raise ValueError(f"the key {key.value!r} is given twice (line {line})")
        keys.add((key.tag, str(key.value)))
    return [part for pair in pairs for part in (pair if isinstance(pair, tuple) else (pair,))]


def without_none(value: Any) -> Any:
    """Return plain values without those that are None, which TOML cannot write."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_none(item) for item in value]
    return value
