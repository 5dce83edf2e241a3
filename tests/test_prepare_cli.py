"""`cellvision prepare` on the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepare_folders import manifest
from typer.testing import CliRunner

from cellvision import errors
from cellvision.cli.prepare import app, parse_angles, parse_pair

pytestmark = pytest.mark.filterwarnings("ignore::cellvision.prepare.PrepareWarning")


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["x", "X", "×", " x "]))
def test_pairs_are_read(first: int, second: int, sign: str) -> None:
    assert parse_pair(f"{first}{sign}{second}", "--grid") == (first, second)


@given(st.text(max_size=12).filter(lambda text: not re.fullmatch(r"\s*\d+\s*[xX×]\s*\d+\s*", text)))
def test_other_texts_are_no_pairs(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="--size"):
        parse_pair(text, "--size")


@given(st.lists(st.floats(-720, 720, allow_nan=False), min_size=1, max_size=5))
def test_angles_are_read(angles: list[float]) -> None:
    assert parse_angles(",".join(map(str, angles))) == angles


def test_the_command_line(fields: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    tiles, turned = tmp_path / "tiles", tmp_path / "turned"
    result = runner.invoke(app, ["slice", str(fields), "--out", str(tiles), "--grid", "2x3"])
    assert result.exit_code == 0, result.output
    assert "24 tiles of 4 images" in result.stdout
    result = runner.invoke(app, ["rotate", str(tiles), "--out", str(turned), "--angles", "-5,-4"])
    assert result.exit_code == 0, result.output
    assert "48 rotated images of 24 images" in result.stdout
    result = runner.invoke(app, ["number", str(turned), "--in-place"])
    assert result.exit_code == 0, result.output
    assert manifest(turned)[0]["transformation"] == (
        "slice r=0 c=0 y=0 x=0 h=20 w=20; rotate -4; number 0"
    )
    with_size = ["slice", str(fields), "--out", str(tmp_path / "s"), "--size", "16x16"]
    result = runner.invoke(app, [*with_size, "--overlap", "4", "--edge", "shift"])
    assert result.exit_code == 0, result.output
    assert len(manifest(tmp_path / "s")) == 4 * 3 * 5


def test_notices_go_to_standard_error(fields: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["slice", str(fields), "--out", str(tmp_path / "out"), "--size", "32x32"]
    )
    assert result.exit_code == 0, result.output
    assert "note: control/a1.tif and 3 others: 8 rows at the lower" in result.stderr
    assert "note" not in result.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["slice", "--tiles", "4", "--grid", "2x2"],
        ["slice", "--grid", "2by2"],
        ["slice", "--grid", "2"],
        ["slice", "--size", "-2x2"],
        ["slice", "--tiles", "0"],
        ["slice"],
        ["rotate", "--angles", "5,,6"],
        ["rotate", "--angles", "a"],
    ],
)
def test_wrong_options_reach_the_main_command_as_invalid_input(
    fields: Path, tmp_path: Path, command: list[str]
) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(app, [command[0], str(fields), "--out", str(out), *command[1:]])
    assert isinstance(result.exception, errors.InvalidInput), result.output
    assert result.exception.exit_code == 2
    assert not out.exists()
