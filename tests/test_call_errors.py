"""Functions that take settings explain a setting that is given as an argument."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

import cellvision as cv
from cellvision.recipe_experiment import as_experiment

FUNCTIONS = [cv.audit, cv.experiment_from_recipe, cv.label, cv.study, cv.train]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_unknown_argument_is_named(function: Callable[..., Any]) -> None:
    with pytest.raises(cv.errors.CallError, match="has no argument 'zzz'") as caught:
        function("images", zzz=1)
    assert caught.value.hint.startswith("Its arguments: ")
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_setting_is_written_out(function: Callable[..., Any]) -> None:
    with pytest.raises(cv.errors.CallError) as caught:
        function("images", epochs=1)
    assert caught.value.hint == "Write it as a setting: settings={'training': {'epochs': 1}}"


@pytest.mark.parametrize(
    ("function", "arguments", "hint"),
    [
        (cv.train, {"resum": True}, "Did you mean 'resume'?"),
        (cv.audit, {"grup": "well"}, "Did you mean 'group'?"),
        (cv.study, {"size": 32}, "'preprocessing': {'size': [32, 32]}"),
        (cv.label, {"batch": "day"}, "{'dataset': {'batch': 'day'}}"),
    ],
)
def test_the_hint_says_what_to_write(
    function: Callable[..., Any], arguments: dict[str, object], hint: str
) -> None:
    with pytest.raises(cv.errors.CallError) as caught:
        function("images", **arguments)
    assert hint in caught.value.hint


def test_settings_of_functions_take_precedence(tmp_path: Path, tiny_plugins: None) -> None:
    images = tiny.make_folder(tmp_path / "images")
    file = tmp_path / "experiment.toml"
    cv.save_experiment(tiny.experiment(images), file)
    settings = {"training": {"epochs": 3}, "dataset": {"batch": "well"}}
    for source in (images, file):
        experiment = as_experiment(source, settings=settings)
        assert experiment.training.epochs == 3
        assert experiment.dataset.batch == "well"


def test_settings_of_an_experiment_are_its_own(tmp_path: Path, tiny_plugins: None) -> None:
    experiment = tiny.experiment(tiny.make_folder(tmp_path))
    with pytest.raises(cv.errors.ExperimentError, match="an experiment has its own"):
        cv.train(experiment, tmp_path / "run", settings={"training": {"epochs": 3}})
