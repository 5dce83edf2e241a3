"""A class whose methods or constants do not fit its interface is refused when it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import command

import cellvision as cv
from cellvision import errors
from cellvision.testing import example_experiment, example_plugins
from cellvision.testing.isolation import Isolation

BODIES = {
    "architecture": "def build(self, input_shape): ...",
    "architecture.async": "async def build(self, input_shape, classes): ...",
    "architecture.setting": "recipe: str = 'adam'\n    def build(self, input_shape, classes): ...",
    "augmenter": "mixes_labels = 'yes'\n    def build(self, seed): ...",
    "augmenter.former": "former_names = ['old']\n    def build(self, seed): ...",
    "control": "order = 'first'\n    def meaning(self): ...",
    "dataset": (
        "def catalog(self): ...\n    def read(self, image): ...\n    def recognises(cls, path): ..."
    ),
    "exporter": (
        "packages = 'numpy'\n    def export(self, run, folder): ...\n"
        "    def verify(self, run, folder): ..."
    ),
    "recipe": "def experiment(self): ...",
    "recipe.version": "interface_version = '1'\n    def experiment(self, facts): ...",
    "reporter": "def run(self, run, folder, extra): ...",
    "splitter.setting": "left_out_column: str = 'donor'\n    def folds(self, catalog): ...",
    "splitter": "def folds(self, catalog): ...\n    def left_out_column(self): ...",
}

FAULTS = {
    "architecture": "build() takes other arguments than cellvision gives",
    "architecture.async": "build() is asynchronous",
    "architecture.setting": "the setting 'recipe' has the name of what the interface defines",
    "augmenter": "mixes_labels is 'yes', not True or False",
    "augmenter.former": "former_names is ['old'], not a table",
    "control": "order is 'first', not a whole number",
    "dataset": "recognises() takes other arguments than cellvision gives",
    "exporter": "packages is 'numpy', not a tuple of text",
    "recipe": "experiment() takes other arguments than cellvision gives",
    "recipe.version": "interface_version is '1', not a whole number",
    "reporter": "run() takes other arguments than cellvision gives",
    "splitter.setting": "the setting 'left_out_column' has the name of what the interface defines",
    "splitter": "left_out_column is a method",
}


def _source(kind: str, body: str) -> str:
    return f'''
import cellvision as cv


class Odd(cv.{kind.capitalize()}):
    """Differs from its interface."""

    {body}
'''


@pytest.mark.parametrize("case", FAULTS)
def test_a_member_that_does_not_fit(case: str, isolated_registries: Isolation) -> None:
    kind = case.partition(".")[0]
    source = _source(kind, BODIES[case])
    isolated_registries.install("lab-odd", {kind: {"odd": "lab_odd:Odd"}}, {"lab_odd": source})
    registry: Any = getattr(cv, f"{kind}s")
    with pytest.raises(errors.PluginContractError) as caught:
        registry.create("odd")
    assert caught.value.what == f"{kind} 'odd' (lab-odd 1.0, lab_odd:Odd): {FAULTS[case]}"
    assert caught.value.hint.endswith("Its author can test it: cellvision check.")
    assert [plugin.status for plugin in registry.plugins(load=True)] == ["broken"]


def test_other_names_and_further_arguments_are_fine() -> None:
    class Free(cv.Splitter):
        """Names its argument in its own way."""

        def folds(self, table: Any, shuffle: bool = False) -> Any:
            return [["train"] * len(table)]

        @staticmethod
        def helper() -> None:
            """Do nothing."""

    cv.splitters.register("free", Free)
    cv.splitters.unregister("free")
    assert Free().folds([1, 2]) == [["train", "train"]]


TWO = '''
import cellvision as cv


def quotient(classes):
    return classes / 0


class First(cv.Architecture):
    """Fails in a function that it shares."""

    def build(self, input_shape, classes):
        return quotient(classes)


class Second(First):
    """Fails in what it inherits."""
'''


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_fault_names_the_plugin_of_a_module_of_several(
    name: str, tmp_path: Path, isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    entry_points = {"first": "lab_two:First", "second": "lab_two:Second"}
    isolated_registries.install("lab-two", {"architecture": entry_points}, {"lab_two": TWO})
    with example_plugins():
        network = cv.architectures.create(name)
        settings = tmp_path / "images.toml"
        cv.save_experiment(example_experiment(architecture=network), settings)
        assert command("train", settings, "--out", tmp_path / "run") == 1
    error = capsys.readouterr().err
    assert f"error: architecture '{name}' (lab-two 1.0) failed: ZeroDivisionError" in error


def test_what_a_module_prints_is_not_of_the_schema(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "print('hello')\n" + _source("recipe", "def experiment(self, facts): ...")
    isolated_registries.install(
        "lab-loud", {"recipe": {"loud": "lab_loud:Odd"}}, {"lab_loud": source}
    )
    assert command("schema", "recipe:loud") == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["title"] == "Odd"
    assert "hello" in streams.err
