"""Every option of a command has an argument of the function of that name, or a reason why not."""

from __future__ import annotations

import importlib
import inspect

import pytest
import typer
from typer.main import get_command

import cellvision as cv

FUNCTIONS = {
    "audit": cv.audit,
    "evaluate": cv.evaluate,
    "export": cv.export,
    "label": cv.label,
    "predict": cv.predict,
    "study": cv.study,
    "train": cv.train,
}

OTHER_NAMES = {
    "--set": "settings",
    "--controls": "controls",
    "--control": "controls",
    "--scheduler": "client",
    "--split": "splits",
    "--open": "browser",
}

ELSEWHERE = {
    ("study", "--vary"): "a mapping of experiments",
    ("audit", "--json"): "Audit.to_json()",
    ("predict", "--dataset"): "a data set in place of a path",
    ("evaluate", "--dataset"): "a data set in place of a path",
    ("predict", "--run-images"): "load_run(..., images=...)",
    ("export", "--run-images"): "load_run(..., images=...)",
    ("export", "--set"): "an exporter with settings",
    ("label", "--export"): "the table that is returned",
}
"""Options without an argument, and what Python has in their place."""


def options(verb: str) -> set[str]:
    """Return the options of a command, without Typer's own."""
    app = typer.Typer(add_completion=False)
    app.command()(importlib.import_module(f"cellvision.cli.{verb}").run)
    named = [each.opts[-1] for each in get_command(app).params]
    return {name for name in named if name.startswith("--")}


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_every_option_has_an_argument(verb: str) -> None:
    arguments = set(inspect.signature(FUNCTIONS[verb]).parameters)
    expected = options(verb) - {option for name, option in ELSEWHERE if name == verb}
    named = {OTHER_NAMES.get(option, option[2:].replace("-", "_")) for option in expected}
    assert named <= arguments


def test_every_exception_is_an_option() -> None:
    assert {(verb, option) for verb, option in ELSEWHERE if option not in options(verb)} == set()
    assert set(OTHER_NAMES) <= set().union(*map(options, FUNCTIONS))
