"""The text of ``--set KEY=VALUE``: JSON, TOML or bare words, and forms that are easy to mistake."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from cellvision import errors


def split_change(change: str, example: str) -> tuple[str, Any]:
    """Return key and value of ``KEY=VALUE``.

    Raises
    ------
    errors.ExperimentError
        The text has another form; the hint shows `example`.
    """
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise errors.ExperimentError(
            f"--set {change}: expected KEY=VALUE", f"For example: {example}"
        )
    return key.strip(), parse(text.strip())


def parse(text: str) -> Any:
    """Return the value of a text: JSON, else a TOML table or list, else bare words.

    Inside brackets, bare words need no quotes. Whatever fits no form is text.

    Examples
    --------
    >>> parse("[rotation, {type = 'flip', vertical = false}]"), parse("plate 7")
    (['rotation', {'type': 'flip', 'vertical': False}], 'plate 7')
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if text[:1] not in ("[", "{"):
        return text
    for read in (_toml, _words_in_brackets):
        try:
            return read(text)
        except (ValueError, TypeError):
            continue
        except RecursionError:
            raise errors.ExperimentError(
                f"--set ...={text:.20}...: nested too deeply", "Write an experiment file."
            ) from None
    return text


def _toml(text: str) -> Any:
    """Read a TOML value that contains a table; ``[rotation, {type = "flip"}]`` may mix."""
    if "=" not in text:
        raise ValueError
    # TOML knows no bare words; in a list beside tables, quote them.
    quoted = re.sub(r"(?<=[\[,])\s*([A-Za-z_][\w-]*)\s*(?=[,\]])", r' "\1"', text)
    value = tomllib.loads(f"value = {quoted}")["value"]
    json.dumps(value)  # raises TypeError on dates and times: such a word is text
    return value


def _words_in_brackets(text: str) -> Any:
    import yaml

    try:
        return yaml.load(text, _bare_words())  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


@cache
def _bare_words() -> Any:
    """Return a YAML loader without YAML's own types: a class may be named no, 1:30 or 2024-01-01.

    It refuses aliases, with which a short text stands for an endless value.
    """
    import yaml

    class BareWords(yaml.SafeLoader):
        """Reads the types of JSON; every other word is text."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise yaml.YAMLError("aliases are not allowed")
            return super().compose_node(parent, index)

    BareWords.yaml_implicit_resolvers = {}
    json_word = re.compile(r"(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$")
    BareWords.add_implicit_resolver("!json", json_word, None)
    BareWords.add_constructor("!json", lambda _, node: json.loads(node.value))
    return BareWords


def with_changes(
    settings: Mapping[str, Any], changes: Sequence[str], example: str
) -> dict[str, Any]:
    """Return settings of a plugin with changes ``KEY=VALUE``, whose keys may have dots.

    Raises
    ------
    errors.ExperimentError
        A text has another form, for which the hint shows `example`; or a key does not fit.
    """
    values: Any = dict(settings)
    for change in changes:
        key, value = split_change(change, example)
        values = changed(values, key.split("."), value, change)
    return dict(values)


def changed(values: Any, path: Sequence[str], value: Any, change: str) -> Any:
    """Return a copy of nested settings with one value changed; missing tables are created.

    Parameters
    ----------
    values
        The settings.
    path
        The parts of the key, which dots separate.
    value
        The new value.
    change
        The text of ``--set``, for errors.

    Raises
    ------
    errors.ExperimentError
        The key does not fit the settings.
    """
    if not path:
        return value
    first, *rest = path
    if isinstance(values, list):
        if not (first.isascii() and first.isdigit()) or int(first) >= len(values):
            raise errors.ExperimentError(
                f"--set {change}: a list of {len(values)} has no item {first!r}",
                "Items are numbered from 0.",
            )
        index = int(first)
        return [
            changed(item, rest, value, change) if number == index else item
            for number, item in enumerate(values)
        ]
    if isinstance(values, str) and rest == []:
        values = {"type": values}  # a component given by its name alone
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise errors.ExperimentError(
            f"--set {change}: {values!r} has no settings, so no {first!r}", "Check the key."
        )
    return {**values, first: changed(values.get(first), rest, value, change)}
