"""The core names no plugin of ours but as a default, and has no list of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cellvision as cv
from cellvision import defaults
from cellvision.known_plugins import KNOWN_DISTRIBUTIONS

CORE = Path(cv.__file__).parent

DATA = {"defaults.py", "known_plugins.py"}
"""What is meant where nobody names a plugin, and which distribution to install for a name."""

AMBIGUOUS = {"batch", "intensity", "background", "page"}
"""Also columns of a catalog, settings, and a kind of artifact."""

KINDS = {
    "control": cv.controls,
    "splitter": cv.splitters,
    "exporter": cv.exporters,
    "recipe": cv.recipes,
}


def names(registry: Any) -> set[str]:
    ours = {i.name for i in registry.plugins() if i.distribution.startswith("cellvision-")}
    assert len(ours) >= 3
    return ours


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Parse the files that contain any of the names, which takes long for all of them."""
    quoted = [f'"{name}"' for registry in KINDS.values() for name in names(registry)]
    for file in sorted(CORE.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if file.name not in DATA and any(name in text for name in quoted):
            yield file.relative_to(CORE).as_posix(), ast.parse(text)


def text_of(node: ast.AST) -> str | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[attr-defined,no-any-return]


@pytest.fixture(scope="module")
def core() -> list[tuple[str, ast.Module]]:
    found = list(trees())
    assert len(found) > 3  # of the ambiguous names
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_core_names_none(kind: str, core: list[tuple[str, ast.Module]]) -> None:
    unambiguous = names(KINDS[kind]) - AMBIGUOUS
    assert unambiguous
    for file, tree in core:
        used = {text_of(node) for node in ast.walk(tree)} & unambiguous
        assert not used, f"{file} names the {kind} {sorted(map(str, used))}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_core_has_no_list_of_them(kind: str, core: list[tuple[str, ast.Module]]) -> None:
    ours = names(KINDS[kind])
    for file, tree in core:
        for node in ast.walk(tree):
            if isinstance(node, ast.List | ast.Tuple | ast.Set):
                entries = node.elts
            elif isinstance(node, ast.Dict):
                entries = [key for key in node.keys if key is not None]
            else:
                continue
            listed = {text_of(entry) for entry in entries} & ours
            assert len(listed) < 2, f"{file}:{node.lineno} lists {sorted(map(str, listed))}"


def chosen_by_name(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each plugin that a registry is asked for, or settings contain, by name."""
    registries = {"registry", *(group.partition(".")[2] for group in KNOWN_DISTRIBUTIONS)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            name = text_of(node.args[0])
            if ast.unparse(node.func.value).rpartition(".")[2] in registries and name is not None:
                yield node.lineno, name
        elif isinstance(node, ast.Dict):
            keys = [None if key is None else text_of(key) for key in node.keys]
            values = [text_of(value) for value in node.values]
            for key, name in zip(keys, values, strict=True):
                if key == "type" and name is not None:
                    yield node.lineno, name


def test_a_plugin_is_chosen_by_a_default_and_not_by_a_word() -> None:
    ours = {
        name
        for distributions in KNOWN_DISTRIBUTIONS.values()
        for names in distributions.values()
        for name in names
    }
    words = [f'"{name}"' for name in ours]
    searched = 0
    for file in sorted(CORE.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if not any(word in text for word in words):
            continue
        searched += 1
        for line, name in chosen_by_name(ast.parse(text)):
            assert name not in ours, f"{file.name}:{line} chooses {name!r}"
    assert searched > 10
    plain = ast.parse('cv.splitters.create("temporal"), {"type": "folder"}, row.get("table")')
    assert {name for _, name in chosen_by_name(plain)} == {"temporal", "folder"}


def test_every_default_is_a_plugin_of_ours() -> None:
    kinds = {
        "ARCHITECTURE": cv.architectures,
        "AUGMENTER": cv.augmenters,
        "DATASET": cv.datasets,
        "FIGURE": cv.reporters,
        "RECIPE": cv.recipes,
        "SPLITTER": cv.splitters,
    }
    names = {key: value for key, value in vars(defaults).items() if key.isupper()}
    assert len(names) > 10
    for key, name in names.items():
        group = kinds[key.rpartition("_")[2]].group
        assert any(name in provided for provided in KNOWN_DISTRIBUTIONS[group].values()), key
