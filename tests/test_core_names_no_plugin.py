"""The core names no control, splitter, exporter or recipe of ours, and has no list of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cellvision as cv

CORE = Path(cv.__file__).parent

HINTS = "known_plugins.py"
"""Says which distribution to install for a name; nothing is chosen by it."""

AMBIGUOUS = {"batch", "intensity", "background", "page"}
"""Also columns of a catalog, settings, and a kind of artifact."""

ALLOWED = {
    # The engine that predicts with OpenVINO, and its option.
    "openvino": {"cli/predict.py", "inference/engines"},
    "onnx": {"inference/engines"},
    # What a folder of images stands for.
    "standard": {"recipe_experiment.py"},
    # The short options of a study: --folds and --leave-one-out.
    "group_k_fold": {"studies/folds.py"},
    "leave_one_out": {"studies/folds.py"},
}

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
        if file.name != HINTS and any(name in text for name in quoted):
            yield file.relative_to(CORE).as_posix(), ast.parse(text)


def text_of(node: ast.AST) -> str | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[attr-defined,no-any-return]


@pytest.fixture(scope="module")
def core() -> list[tuple[str, ast.Module]]:
    found = list(trees())
    assert "recipe_experiment.py" in dict(found)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_core_names_none(kind: str, core: list[tuple[str, ast.Module]]) -> None:
    unambiguous = names(KINDS[kind]) - AMBIGUOUS
    assert unambiguous
    for file, tree in core:
        used = {text_of(node) for node in ast.walk(tree)} & unambiguous
        allowed = {
            name for name, places in ALLOWED.items() if any(file.startswith(p) for p in places)
        }
        assert not used - allowed, f"{file} names the {kind} {sorted(map(str, used - allowed))}"


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
