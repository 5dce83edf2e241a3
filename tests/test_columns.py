"""Lists in columns: whole rows in a pipe, wrapped sentences on a terminal."""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text

from cellvision.cli.columns import print_columns

ROWS = [
    ["kind", "name", "", "description"],
    ["dataset", "folder", "", "Images in a folder for each class, or in splits of such folders."],
    ["dataset", "細胞", "", ""],
    ["control", "edge", "", "The edge alone."],
]


def shown(width: int, *, terminal: bool) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    print_columns([[Text(cell) for cell in row] for row in ROWS], console)
    return file.getvalue().splitlines()


def test_a_row_is_one_line_in_a_pipe() -> None:
    assert shown(40, terminal=False) == [
        "kind     name    description",
        f"dataset  folder  {ROWS[1][3]}",
        "dataset  細胞",
        "control  edge    The edge alone.",
    ]


def test_the_last_column_wraps_on_a_terminal() -> None:
    lines = shown(50, terminal=True)
    assert lines[1:4] == [
        "dataset  folder  Images in a folder for each",
        "                 class, or in splits of such",
        "                 folders.",
    ]
    assert len(lines) == 6


def test_a_narrow_terminal_has_descriptions_below() -> None:
    lines = shown(40, terminal=True)
    assert lines[:2] == ["kind     name", "    description"]
    assert lines[-2:] == ["control  edge", "    The edge alone."]
    assert max(map(len, lines)) <= 40


def test_styles_stay_with_their_cells() -> None:
    file = io.StringIO()
    console = Console(file=file, width=60, force_terminal=True, color_system="standard")
    print_columns([[Text("a", style="bold"), Text("broken", style="red")]], console)
    assert file.getvalue() == "\x1b[1ma\x1b[0m  \x1b[31mbroken\x1b[0m\n"
