"""Files and functions stay short enough to read at once."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [*ROOT.glob("src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
MOST_LINES = 400
LONGEST_BODY = 50


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of lines of a function without its signature and docstring."""
    statements = function.body[1:] if ast.get_docstring(function) else function.body
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("def f():\n    '''One.\n\n    Two.\n    '''\n    x = 1\n\n    return x", 3),
        ("def f(\n    a,\n    b,\n): return a", 1),
        ("def f():\n    '''Nothing.'''", 0),
    ],
)
def test_what_counts_as_a_body(source: str, lines: int) -> None:
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert _body_lines(function) == lines


def test_files_and_functions_are_short() -> None:
    assert len(FILES) > 200
    long = []
    for file in FILES:
        text = file.read_text("utf-8")
        name = file.relative_to(ROOT).as_posix()
        if text.count("\n") > MOST_LINES:
            long.append(f"{name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = _body_lines(node)
                if lines > LONGEST_BODY:
                    long.append(f"{name}: {node.name} has {lines} lines")
    assert not long
