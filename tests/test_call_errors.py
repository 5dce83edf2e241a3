"""Public functions explain arguments that they do not have, lack, or cannot use."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

import cellvision as cv
from cellvision.recipe_experiment import as_experiment

FUNCTIONS = {
    name: function
    for module in (cv, cv.prepare)
    for name in dir(module)
    if isinstance(function := getattr(module, name), types.FunctionType)
}
"""The functions that the package and `prepare` export."""

REQUIRED = {name: f for name, f in FUNCTIONS.items() if name != "fuse_operations"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_unknown_argument_of_any_function_is_named(name: str) -> None:
    with pytest.raises(cv.errors.CallError, match=rf"^{name}\(\) has no argument 'zzz'"):
        FUNCTIONS[name](zzz=1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_missing_argument_of_any_function_is_named(name: str) -> None:
    first = next(iter(inspect.signature(FUNCTIONS[name]).parameters))
    with pytest.raises(cv.errors.CallError, match=rf"^{name}\(\) needs '{first}'"):
        FUNCTIONS[name]()


@pytest.mark.parametrize("name", REQUIRED)
def test_an_argument_of_a_wrong_type_is_named(name: str) -> None:
    parameters = inspect.signature(REQUIRED[name]).parameters.values()
    required = {each.name: 3.5 for each in parameters if each.default is inspect.Parameter.empty}
    first = next(iter(required))
    with pytest.raises(cv.errors.CallError, match=rf"^{name}\(\) takes .* as '{first}', not 3.5"):
        REQUIRED[name](**required)


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: call(cv.train, "images", out="x", epochs=1), "{'training': {'epochs': 1}}"),
        (lambda: call(cv.train, "images", out="x", resum=True), "Did you mean 'resume'?"),
        (lambda: call(cv.train, "images", "x", "well"), "group, recipe, settings, resume"),
        (
            lambda: call(cv.study, "images", 3, "x", size=32),
            "'preprocessing': {'size': [32, 32]}",
        ),
        (lambda: call(cv.label, "images", "x", batch="day"), "{'dataset': {'batch': 'day'}}"),
        (lambda: call(cv.label, "images", "x", splits="test"), "splits=['test']"),
        (lambda: call(cv.audit, "images", grup="well"), "Did you mean 'group'?"),
        (lambda: call(cv.predict, "runs/1"), "predict(model, images=...)"),
        (lambda: call(cv.export, "runs/1", "onnx", run="runs/2"), "Omit one of them."),
        (lambda: call(cv.datasets.create), "create(name)"),
    ],
)
def test_the_hint_says_what_to_write(call: Callable[[], object], hint: str) -> None:
    with pytest.raises(cv.errors.CallError) as caught:
        call()
    assert hint in caught.value.hint
    assert isinstance(caught.value, TypeError)


def call(function: Callable[..., Any], *args: object, **kwargs: object) -> object:
    """Call a function whatever its types: these calls are wrong on purpose."""
    return function(*args, **kwargs)


def test_a_data_set_is_no_experiment() -> None:
    dataset = cv.datasets.create("folder", path="images")
    with pytest.raises(cv.errors.CallError, match="takes an Experiment or a path"):
        call(cv.train, dataset, "x")


def test_settings_of_functions_take_precedence(
    tmp_path: Path, tiny_plugins: None, monkeypatch: pytest.MonkeyPatch
) -> None:
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
