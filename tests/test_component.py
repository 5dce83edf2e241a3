"""A component is its own config: written down in every format, and read back equal."""

from __future__ import annotations

import json
import pickle
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tomli_w
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

import cellvision as cv
from cellvision import errors
from cellvision.component import Settings
from cellvision.schema import component_schema
from cellvision.testing import Isolation
from cellvision.testing.examples import example_experiment, example_plugins


class Optics(Settings):
    """A group of settings within a component."""

    aperture: float = 1.4
    filters: tuple[str, ...] = ("DAPI",)


class Scope(cv.Dataset):
    """Has settings of every kind, a component within a component among them."""

    number: int = 3
    share: float = 0.5
    flag: bool = False
    title: str | None = None
    location: Path = Path("somewhere")
    optics: Optics = Optics()
    inner: cv.Augmenter | None = None
    more: tuple[cv.Augmenter, ...] = ()

    def catalog(self) -> pd.DataFrame:
        return pd.DataFrame()

    def read(self, image: str) -> Any:
        raise NotImplementedError


class Unregistered(Scope):
    pass


@pytest.fixture(autouse=True, scope="module")
def _on_offer() -> Iterator[None]:
    cv.datasets.register("scope", Scope)
    yield
    cv.datasets.unregister("scope")


names = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
rotations = st.builds(
    lambda degrees: cv.augmenters.create("rotation", degrees=degrees), st.floats(0.5, 90)
)
augmenters = rotations | st.builds(lambda: cv.augmenters.create("flip"))
scopes = st.builds(
    Scope,
    group=st.none() | names | st.lists(names, max_size=3).map(tuple),
    classes=st.none() | st.lists(names, max_size=3).map(tuple),
    number=st.integers(-(2**53), 2**53),
    share=numbers,
    flag=st.booleans(),
    title=st.none() | names,
    optics=st.builds(Optics, aperture=numbers, filters=st.lists(names, max_size=2).map(tuple)),
    inner=st.none() | augmenters,
    more=st.lists(augmenters, max_size=3).map(tuple),
)


@settings(max_examples=30)
@given(scope=scopes)
def test_round_trips(scope: Scope) -> None:
    whole = cv.Experiment(dataset=scope, augmenters=scope.more)
    plain = whole.model_dump(mode="json")
    assert plain["dataset"]["type"] == "scope"
    read = cv.Experiment.model_validate
    assert read(whole.model_dump()) == whole
    assert read(plain) == whole
    assert cv.Experiment.model_validate_json(whole.model_dump_json()) == whole
    assert read(json.loads(json.dumps(plain))) == whole
    assert read(yaml.safe_load(yaml.safe_dump(plain))) == whole
    assert read(tomllib.loads(tomli_w.dumps(without_none(plain)))) == whole
    assert pickle.loads(pickle.dumps(whole)) == whole


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value] if isinstance(value, list) else value


def test_equal_by_kind_and_settings() -> None:
    make = cv.augmenters.create
    assert make("rotation", degrees=5) == make("rotation", degrees=5)
    assert make("rotation", degrees=5) != make("rotation", degrees=6)
    assert make("rotation") != make("flip")
    assert hash(make("rotation", degrees=5)) == hash(make("rotation", degrees=5))


def test_frozen() -> None:
    rotation = cv.augmenters.create("rotation")
    with pytest.raises(ValidationError, match="frozen"):
        rotation.degrees = 3  # type: ignore[attr-defined]
    with pytest.raises(ValidationError, match="frozen"):
        cv.Training().epochs = 3  # type: ignore[misc]


def test_type_is_written_and_read_as_the_name() -> None:
    rotation = cv.augmenters.create("rotation", degrees=5)
    assert next(iter(rotation.model_dump())) == "type"
    assert json.loads(rotation.model_dump_json())["type"] == "rotation"
    kind = type(rotation)
    assert kind.model_validate(rotation.model_dump()) == rotation
    for value in ({"type": "rotation", "degrees": 5}, rotation):
        assert Scope(inner=value).inner == rotation
    assert Scope(inner="rotation").inner == kind()


def test_a_type_of_another_class_is_refused() -> None:
    with pytest.raises(errors.ExperimentError, match="type 'flip' is not the name of"):
        cv.augmenters.create("rotation", type="flip")
    with pytest.raises(errors.ExperimentError, match="type 3 is not the name of"):
        cv.augmenters.create("rotation", type=3)


@pytest.mark.parametrize("value", [3, None, [], {}, {"type": 3}, {"degrees": 3}, "flip:rotation"])
def test_values_that_are_no_component_are_refused(value: object) -> None:
    with pytest.raises(errors.InvalidInput):
        cv.Experiment.from_settings(
            {"dataset": {"type": "scope"}, "augmenters": [value]}, "here.toml"
        )


def test_a_component_of_another_interface_is_refused() -> None:
    with pytest.raises(errors.ExperimentError, match="dataset: expected a name or a table"):
        cv.Experiment.from_settings({"dataset": cv.augmenters.create("flip")}, "here.toml")


def test_an_unknown_setting_has_a_hint() -> None:
    with pytest.raises(errors.ExperimentError) as caught:
        cv.augmenters.create("rotation", degree=3)
    assert caught.value.what == "augmenter 'rotation': there is no setting 'degree'"
    assert caught.value.hint == "Did you mean 'degrees'?"
    with pytest.raises(errors.ExperimentError) as caught:
        cv.datasets.create("scope", wildly_other=3)
    assert caught.value.hint.startswith("Settings: group, batch, classes, number, share")


def test_what_has_no_settings_says_so() -> None:
    with pytest.raises(errors.ExperimentError, match="there is no setting 'epochs'") as caught:
        cv.recipes.create("quick", epochs=3)
    assert caught.value.hint == "recipe 'quick' has no settings"


def test_faults_have_their_path_in_the_file() -> None:
    invalid_settings = {
        "dataset": {"type": "scope"},
        "training": {"epoch": 3, "batch_size": 0, "devices": "gpu"},
        "preprocessing": {"size": [64], "channels": [0, -1], "intensity": "maximal"},
        "split": {"validation": 0.6, "test": 0.6},
        "wild": 1,
    }
    with pytest.raises(errors.ExperimentError) as caught:
        cv.Experiment.from_settings(invalid_settings, "here.toml")
    lines = caught.value.what.splitlines()
    assert all(line.startswith("here.toml: ") for line in lines)
    paths = [line.removeprefix("here.toml: ").partition(": ")[0] for line in lines]
    assert sorted(paths) == [
        "preprocessing.channels",
        "preprocessing.channels.1",
        "preprocessing.intensity",
        "preprocessing.size.1 is missing",
        "split",
        "there is no setting 'training.epoch'",
        "there is no setting 'wild'",
        "training.batch_size",
        "training.devices",
    ]
    assert "(given: 0)" in caught.value.what
    assert "Did you mean 'training.epochs'?" in caught.value.hint


def test_faults_of_a_component_within_name_the_file_and_the_component() -> None:
    invalid_settings = {
        "dataset": {"type": "scope", "optics": {"aperture": "wide"}, "number": "many"}
    }
    with pytest.raises(errors.ExperimentError) as caught:
        cv.Experiment.from_settings(invalid_settings, "here.toml")
    lines = caught.value.what.splitlines()
    assert lines[0].startswith("here.toml: dataset 'scope': number: ")
    assert lines[1].startswith("here.toml: dataset 'scope': optics.aperture: ")


def test_unknown_plugin_keeps_its_error() -> None:
    with pytest.raises(errors.UnknownPlugin, match="Did you mean 'scope'"):
        cv.Experiment.from_settings({"dataset": "scoope"}, "here.toml")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_numbers_are_refused(value: float) -> None:
    with pytest.raises(errors.ExperimentError, match="share"):
        cv.datasets.create("scope", share=value)


def test_digits_are_names_as_well() -> None:
    assert cv.datasets.create("scope", classes=[1, "2"], group=3).model_dump()["classes"] == (
        "1",
        "2",
    )
    with pytest.raises(errors.ExperimentError, match="classes"):
        cv.datasets.create("scope", classes=[True])


@pytest.mark.parametrize("mode", ["json", "python", "text"])
def test_unnamed_components_cannot_be_written(mode: str) -> None:
    for whole in (Unregistered(), cv.Experiment(dataset=Unregistered())):
        with pytest.raises(errors.PluginError, match="Unregistered is not registered") as caught:
            whole.model_dump_json() if mode == "text" else whole.model_dump(mode=mode)
        assert "register('unregistered', Unregistered)" in caught.value.hint


def test_the_json_schema_lists_the_names() -> None:
    schema = cv.Experiment.model_json_schema()
    assert set(schema["properties"]) == {
        *("schema", "about", "recipe", "recipe_plugin", "recipe_settings", "recipe_reasons"),
        *("recipe_choices", "plugins", "dataset"),
        "augmenters",
        "architecture",
        *("training", "preprocessing", "split", "reporters"),
    }
    dataset = schema["properties"]["dataset"]
    dataset = schema["$defs"][dataset["$ref"].rpartition("/")[2]] if "$ref" in dataset else dataset
    assert "scope" in dataset["properties"]["type"]["enum"]
    assert schema["$defs"]["Training"]["properties"]["epochs"]["description"]
    assert json.dumps(cv.augmenters.get("rotation").model_json_schema())


def test_a_constant_of_the_interface_is_no_setting() -> None:
    with pytest.raises(TypeError, match=r"'enabled_by_default' is a constant .*: ClassVar"):

        class Eager(cv.Reporter):
            enabled_by_default: bool = True  # type: ignore[misc]

            def run(self, run: cv.Run, folder: Path) -> list[cv.Artifact]:
                return []


def test_a_setting_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    class Odd(cv.Augmenter):
        factor: int = 2
        function: Any = len

        def build(self, seed: int) -> Any:
            raise NotImplementedError

    cv.augmenters.register("odd", Odd)
    try:
        with pytest.raises(errors.PluginContractError) as caught:
            Odd().model_dump(mode="json")
        assert "augmenter 'odd' (registered here): the setting 'function'" in caught.value.what
        experiment = cv.Experiment(
            dataset=cv.datasets.create("folder", path="x"), augmenters=[Odd()], reporters=()
        )
        with pytest.raises(errors.PluginContractError, match="the setting 'function' is <built-in"):
            cv.save_experiment(experiment, tmp_path / "odd.toml")
    finally:
        cv.augmenters.unregister("odd")
    assert not (tmp_path / "odd.toml").exists()


def test_a_setting_with_an_alias_round_trips(
    tmp_path: Path, isolated_registries: Isolation
) -> None:
    class Renamed(cv.Augmenter):
        """Has settings with aliases of every kind."""

        width: int = Field(default=1, alias="breadth")
        source: Path = Field(default=Path("here"), validation_alias="from")
        length: int = Field(default=1, serialization_alias="extent")

        def build(self, seed: int) -> object:
            return None

    cv.augmenters.register("renamed", Renamed)
    component = cv.augmenters.create("renamed", breadth=2, source="there", length=3)
    assert component == cv.augmenters.create("renamed", **{"width": 2, "from": "there"}, length=3)
    plain = component.model_dump(mode="json")
    assert plain == {"type": "renamed", "width": 2, "source": "there", "length": 3}
    assert json.loads(component.model_dump_json()) == plain
    with example_plugins():
        experiment = example_experiment(augmenters=(component,))
        for name in ("saved.json", "saved.toml", "saved.yaml"):
            saved = cv.load_experiment(cv.save_experiment(experiment, tmp_path / name))
            assert saved.augmenters[0].model_dump()["width"] == 2
            assert Path(saved.augmenters[0].model_dump()["source"]).name == "there"
    properties = component_schema(cv.augmenters, "renamed")["properties"]
    assert set(properties) == {"type", "width", "source", "length"}
    with pytest.raises(errors.ExperimentError, match="no setting 'widht'") as caught:
        cv.augmenters.create("renamed", widht=2)
    assert "width" in caught.value.hint
    with pytest.raises(errors.ExperimentError, match="breadth: Input should be a valid integer"):
        cv.augmenters.create("renamed", breadth="wide")
