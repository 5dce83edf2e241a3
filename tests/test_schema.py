"""JSON Schema of experiments and plugins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cellvision as cv
from cellvision import errors
from cellvision.cli import main
from cellvision.schema import component_schema, experiment_schema, named
from cellvision.testing import Isolation


def references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"]
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def test_every_installed_plugin_can_be_chosen() -> None:
    schema = experiment_schema()
    for registry in (cv.architectures, cv.augmenters, cv.datasets, cv.reporters):
        choices = {choice.get("$ref") for choice in schema["$defs"][registry.kind]["oneOf"]}
        for name in registry.names():
            assert f"#/$defs/{registry.kind}.{name}" in choices
            assert schema["$defs"][f"{registry.kind}.{name}"]["properties"]["type"]["const"] == name


def test_every_reference_leads_somewhere() -> None:
    schema = experiment_schema()
    result = set(references(schema))
    assert "#/$defs/dataset" in result
    for reference in result:
        assert reference.removeprefix("#/$defs/") in schema["$defs"], reference


def test_the_fields_of_an_experiment() -> None:
    schema = experiment_schema()
    assert schema["required"] == ["dataset"]
    assert set(schema["properties"]) == {
        field.alias or name for name, field in cv.Experiment.model_fields.items()
    }
    assert schema["properties"]["architecture"]["$ref"] == "#/$defs/architecture"
    assert schema["properties"]["augmenters"]["items"] == {"$ref": "#/$defs/augmenter"}
    lists = [item for item in schema["properties"]["reporters"]["anyOf"] if "items" in item]
    assert lists[0]["items"] == {"$ref": "#/$defs/reporter"}


def test_a_bare_name_where_no_setting_is_needed() -> None:
    choices = experiment_schema()["$defs"]["dataset"]["oneOf"]
    bare = next(choice["enum"] for choice in choices if "enum" in choice)
    assert "synthetic_cells" in bare
    assert "folder" not in bare  # it needs a path


def test_settings_are_described() -> None:
    schema = component_schema(cv.architectures, "deep")
    assert "second dense layer" in schema["properties"]["dense"]["description"]
    assert schema["required"] == ["type"]
    assert schema["additionalProperties"] is False


def test_a_broken_plugin_is_left_out(isolated_registries: Isolation) -> None:
    isolated_registries.install(
        "mine",
        {"architecture": {"mine": "no_such_module:Mine", "made": "mine:SyntheticNetwork"}},
        {"mine": "from cellvision.testing import SyntheticNetwork"},
    )
    result = experiment_schema()["$defs"]["architecture"]
    assert "mine: " in result["$comment"]
    assert result["oneOf"][0] == {"$ref": "#/$defs/architecture.made"}
    assert experiment_schema()["$defs"]["dataset"]["oneOf"] == [False]


def test_names() -> None:
    assert named("deep") == (cv.architectures, "deep")
    assert named("architecture:deep") == (cv.architectures, "deep")
    assert named("cellvision-architectures:deep") == (
        cv.architectures,
        "cellvision-architectures:deep",
    )
    with pytest.raises(errors.UnknownPlugin, match="Did you mean 'rotation'"):
        named("rotaton")
    with pytest.raises(errors.UnknownPlugin):
        named("dataset:deep")


def test_a_name_of_two_kinds(isolated_registries: Isolation) -> None:
    isolated_registries.install(
        "mine", {"architecture": {"mine": "a:A"}, "dataset": {"mine": "a:B"}}
    )
    with pytest.raises(errors.UnknownPlugin, match="dataset:mine or architecture:mine"):
        named("mine")


@pytest.mark.parametrize("words", [[], ["--experiment"], ["deep"], ["dataset:folder"]])
def test_the_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["schema", *words])
    assert not done.value.code
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("https://json-schema.org/")


def test_the_command_refuses_both(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["schema", "deep", "--experiment"])
    assert done.value.code == 2
    assert "NAME and --experiment exclude each other" in capsys.readouterr().err


def test_the_command_writes_a_file(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as done:
        main(["schema", "--out", str(tmp_path / "experiment.schema.json")])
    assert not done.value.code
    written = json.loads((tmp_path / "experiment.schema.json").read_text(encoding="utf-8"))
    assert written == experiment_schema()
