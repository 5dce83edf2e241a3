"""Experiments in files, and changes to them on the command line."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import cellvision as cv
from cellvision import errors
from cellvision.cli import experiments


def full(folder: Path) -> cv.Experiment:
    return cv.Experiment(
        dataset=cv.datasets.create("folder", path=folder, group=("plate", "well"), classes=["a"]),
        augmenters=[cv.augmenters.create("rotation", degrees=5), cv.augmenters.create("flip")],
        architecture=cv.architectures.create("deep", dense=50),
        training=cv.Training(epochs=3, learning_rate=0.001, devices=2, keep="best"),
        preprocessing=cv.Preprocessing(size=(32, 48), channels=(0, 2), intensity=(0, 4095)),
        split=cv.Split(validation=0.25, seed=4, allow_leak=True),
        reporters=[],
    )


@pytest.mark.parametrize("suffix", [".toml", ".yaml", ".yml", ".json", ".JSON"])
def test_dump_and_load(tmp_path: Path, suffix: str) -> None:
    for number, whole in enumerate(
        (full(tmp_path / "Zellkörner"), cv.Experiment(dataset=full(tmp_path).dataset))
    ):
        target = cv.save_experiment(whole, tmp_path / f"{number}{suffix}")
        assert cv.load_experiment(target) == whole
        text = target.read_text(encoding="utf-8")
        assert "schema" in text
        assert "early_stopping" in text or suffix == ".toml"  # every default is written


def test_letters_that_end_lines(tmp_path: Path) -> None:
    whole = cv.Experiment(
        dataset=cv.datasets.create("folder", path=tmp_path, classes=["ü\x85b", "c\u2028d", "\t"])
    )
    for suffix in ("toml", "yaml", "json"):
        assert cv.load_experiment(cv.save_experiment(whole, tmp_path / f"e.{suffix}")) == whole


def test_dump_writes_whole_files_or_none(tmp_path: Path) -> None:
    with pytest.raises(errors.ExperimentError, match=r"\.toml, \.yaml or \.json"):
        cv.save_experiment(full(tmp_path), tmp_path / "experiment.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_relative_path_starts_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "lab" / "experiment.toml"
    target.parent.mkdir()
    target.write_text('[dataset]\ntype = "folder"\npath = "images"\n')
    monkeypatch.chdir(tmp_path)
    assert cv.load_experiment("lab/experiment.toml").model_dump(mode="json")["dataset"][
        "path"
    ] == str(tmp_path / "lab" / "images")


@pytest.mark.parametrize(
    ("written", "read"),
    [("~/images", "{home}/images"), ("/data/images", "/data/images"), ("../x", "{here}/../x")],
)
def test_other_paths(tmp_path: Path, written: str, read: str) -> None:
    target = tmp_path / "experiment.yaml"
    target.write_text(f"dataset: {{type: folder, path: {written}}}")
    expected = read.format(home=Path.home(), here=tmp_path)
    assert experiments.settings(str(target), [])["dataset"]["path"] == expected


def test_an_address_is_no_path(tmp_path: Path) -> None:
    target = tmp_path / "experiment.yaml"
    target.write_text("dataset: {type: folder, path: 's3://bucket/images'}")
    assert experiments.settings(str(target), [])["dataset"]["path"] == "s3://bucket/images"


def test_an_experiment_means_the_same_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = cv.Experiment(dataset=cv.datasets.create("folder", path="images"))
    target = cv.save_experiment(whole, tmp_path / "deeper" / "experiment.json")
    monkeypatch.chdir(tmp_path / "deeper")
    assert cv.load_experiment(target) == whole
    assert json.loads(target.read_text())["dataset"]["path"] == str(tmp_path / "images")


def test_a_run_is_an_experiment(tmp_path: Path) -> None:
    whole = full(tmp_path)
    record = {"schema": 1, "experiment": whole.model_dump(mode="json"), "scores": {}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert cv.load_experiment(tmp_path / "run.json") == whole


def test_a_run_of_other_versions_and_missing_plugins_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = cv.datasets.requirement("folder")
    record = {
        "experiment": full(tmp_path).model_dump(mode="json"),
        "plugins": {
            "cellvision.datasets:folder": ours,
            "cellvision.reporters:html": "cellvision-reporters==0.0.9",
            "cellvision.reporters:gone": "gone-reports==1.2",
            "cellvision.augmenters:lost": "lost-augmenters==3.4",
        },
        "environment": {"keras": "3.0.0", "cellvision": cv.__version__},
    }
    (tmp_path / "run.json").write_text(json.dumps(record))
    cv.load_experiment(tmp_path / "run.json")
    missing, versions = caplog.messages
    assert "gone (gone-reports==1.2)" in missing
    assert "lost (lost-augmenters==3.4)" in missing
    assert "cellvision-reporters 0.0.9, now 0.1.0; keras 3.0.0, now 3." in versions
    assert "cellvision-datasets" not in versions


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    for suffix, text in (("json", '{"dataset": "x"}'), ("toml", 'dataset = "x"')):
        target = tmp_path / f"experiment.{suffix}"
        target.write_text(text, encoding="utf-8-sig")
        assert experiments.settings(str(target), []) == {"dataset": "x"}


def test_the_network_is_deep_unless_named(tmp_path: Path) -> None:
    settings = {"dataset": {"type": "folder", "path": str(tmp_path)}}
    assert cv.Experiment.from_settings(settings, "here").architecture.model_dump()["type"] == "deep"
    settings["architecture"] = {"dense": 50}  # type: ignore[dict-item]
    assert cv.Experiment.from_settings(settings, "here").architecture == cv.architectures.create(
        "deep", dense=50
    )


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("gone.toml", None, "No such file"),
        ("experiment.txt", "x = 1", "a .toml, .yaml or .json file"),
        ("experiment.toml", "[dataset\n", r"not valid TOML: .*line 1"),
        ("experiment.yaml", "dataset: [1,\n  2", r"not valid YAML: .*line 2"),
        ("experiment.json", '{"dataset": }', r"not valid JSON: .*line 1 column 13"),
        ("experiment.json", b'{"dataset": "\xff"}', "not valid JSON: .*utf-8"),
        ("experiment.yaml", "", "expected a table of settings, found NoneType"),
        ("experiment.json", "[1]", "expected a table of settings, found list"),
        ("experiment.toml", "[training]\nepochs = 1", "dataset is missing"),
        ("experiment.toml", 'dataset = "folder"', "dataset 'folder': path is missing"),
        ("experiment.toml", "datset = 1", r"(?s)no setting 'datset'.*Did you mean 'dataset'"),
        ("experiment.yaml", "training: {epochs: many}", "training.epochs: .*given: 'many'"),
        ("experiment.yaml", "training: {epochs: 2.5}", "training.epochs: .*given: 2.5"),
        ("experiment.yaml", "schema: 2", "schema: .*given: 2"),
        ("experiment.yaml", "preprocessing: 7", "preprocessing: .*given: 7"),
        ("experiment.yaml", "split: {test: 1.0}", "split.test: "),
        ("experiment.yaml", "split: {seed: -1}", "split.seed: "),
        ("experiment.yaml", "augmenters: rotation", "augmenters: "),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str | bytes | None, says: str) -> None:
    target = tmp_path / name
    if isinstance(text, bytes):
        target.write_bytes(text)
    elif text is not None:
        target.write_text(text)
    with pytest.raises(errors.ExperimentError, match=says) as caught:
        cv.load_experiment(target)
    assert str(target) in caught.value.what
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_a_folder_with_a_files_name(tmp_path: Path) -> None:
    (tmp_path / "x.toml").mkdir()
    with pytest.raises(errors.ExperimentError, match="directory"):
        cv.load_experiment(tmp_path / "x.toml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.toml")
    with pytest.raises(errors.ExperimentError, match="not a regular file"):
        cv.load_experiment(tmp_path / "x.toml")


# --- --set -------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(value=json_values)
def test_every_json_value_is_read_as_it_is(value: Any) -> None:
    assert experiments.parse(json.dumps(value)) == value


@given(text=st.text())
@example("[unclosed")
@example("{a: *b}")
@example("[!!python/object:os.system x]")
@example("[!json x]")
def test_any_text_is_read(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        expected = text
    result = experiments.parse(text)
    assert result == expected or text[:1] in ("[", "{") or result != result


@given(
    words=st.lists(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]*", fullmatch=True)
        | st.sampled_from(
            ["no", "Yes", "on", "1:30", "2024-01-01", "0x1F", "007", "NA", "~", "1_0"]
        )
    )
)
def test_bare_words_in_brackets_are_text(words: list[str]) -> None:
    settings = {"true": True, "false": False, "null": None, "NaN": "NaN"}
    assert experiments.parse(f"[{','.join(words)}]") == [settings.get(word, word) for word in words]


def test_numbers_among_bare_words() -> None:
    assert experiments.parse("[a, 1, -2.5e1, true, '3', null]") == ["a", 1, -25.0, True, "3", None]
    assert experiments.parse("{type: rotation, degrees: 5}") == {"type": "rotation", "degrees": 5}
    assert experiments.parse("[deep,{type: deep, dense: 50}]") == [
        "deep",
        {"type": "deep", "dense": 50},
    ]


def changed(folder: Path, *changes: str) -> cv.Experiment:
    return experiments.read(str(folder), changes)


def test_changes(tmp_path: Path) -> None:
    result = changed(
        tmp_path,
        "dataset.group=well",
        "training.epochs=20",
        " training.seed = 3 ",
        "preprocessing.size=[64,96]",
        "preprocessing.channels=gray",
        "preprocessing.intensity=4095",
        "augmenters=[rotation,flip]",
        "augmenters.0.degrees=5",
        "architecture=deep",
        "architecture.dense=50",
        "split.allow_leak=true",
        "reporters=[]",
        "dataset.classes=[1,b]",
    )
    assert result.dataset.group == "well"
    assert result.dataset.classes == ("1", "b")
    assert (result.training.epochs, result.training.seed) == (20, 3)
    assert result.preprocessing == cv.Preprocessing(
        size=(64, 96), channels="gray", intensity=4095.0
    )
    assert result.augmenters == (
        cv.augmenters.create("rotation", degrees=5),
        cv.augmenters.create("flip"),
    )
    assert result.architecture == cv.architectures.create("deep", dense=50)
    assert result.split.allow_leak
    assert result.reporters == ()


def test_settings_of_the_default_network(tmp_path: Path) -> None:
    result = changed(tmp_path, "architecture.dense=50")
    assert result.architecture == cv.architectures.create("deep", dense=50)


def test_a_value_may_hold_an_equals_sign(tmp_path: Path) -> None:
    assert changed(tmp_path, "dataset.group=a=b").dataset.group == "a=b"


def test_changes_to_a_file(tmp_path: Path) -> None:
    target = tmp_path / "experiment.yaml"
    target.write_text(yaml.safe_dump(full(tmp_path).model_dump(mode="json")))
    result = experiments.read(str(target), ["augmenters.1={type: rotation, degrees: 9}"])
    assert result.augmenters[1] == cv.augmenters.create("rotation", degrees=9)
    assert result.augmenters[0] == cv.augmenters.create("rotation", degrees=5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("training.epochs", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("training.epoch=3", "no setting 'training.epoch'"),
        ("training..epochs=3", "no setting"),
        ("epochs=3", "no setting 'epochs'"),
        ("training.epochs.more=3", "training.epochs"),
        ("training.epochs=None", "training.epochs"),
        ("augmenters=5", "augmenters"),
        ("augmenters=rotatoin", "no augmenter is called 'rotatoin'"),
        ("dataset.type=nowhere", "no dataset is called 'nowhere'"),
    ],
)
def test_invalid_changes(tmp_path: Path, change: str, says: str) -> None:
    with pytest.raises(errors.InvalidInput, match=says) as caught:
        changed(tmp_path, change)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("index", ["2", "x", "²", "-1", ""])
def test_missing_list_index(tmp_path: Path, index: str) -> None:
    with pytest.raises(errors.ExperimentError, match="a list of 2 has no item"):
        changed(tmp_path, "augmenters=[rotation,flip]", f"augmenters.{index}.degrees=3")


def test_setting_below_a_number(tmp_path: Path) -> None:
    with pytest.raises(errors.ExperimentError, match="has no settings"):
        changed(tmp_path, "training.epochs=3", "training.epochs.x=3")


def test_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    expected = {"dataset": {"type": "folder", "path": os.fspath(tmp_path / "images")}}
    assert experiments.settings("images", []) == expected
    with pytest.raises(errors.FolderError, match="nowhere: no such file or folder"):
        experiments.settings("nowhere", [])
    with pytest.raises(errors.ExperimentError, match=r"nowhere\.toml: No such file"):
        experiments.settings("nowhere.toml", [])
    (tmp_path / "cell.png").write_bytes(b"")
    with pytest.raises(errors.FolderError, match="neither a folder nor an experiment") as caught:
        experiments.settings("cell.png", [])
    assert caught.value.hint == "Give the folder that contains the class folders."


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("deep.json", "[" * 100_000 + "]" * 100_000),
        ("deep.yaml", "[" * 300 + "]" * 300),
        ("deeper.yaml", "[" * 5_000 + "]" * 5_000),
        ("itself.yaml", "dataset: &x [*x]"),
        ("dotted.toml", "a." * 100_000 + "a = 1"),
        ("header.toml", "['a'" + '. "a"' * 50_000 + "]"),
        (
            "laughs.yaml",
            "a0: &a0 [x, x]\n"
            + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 45)),
        ),
        (
            "merges.yaml",
            "a0: &a0 {x: 1, y: 2}\n"
            + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 45)),
        ),
    ],
)
def test_files_that_would_exhaust_memory_are_refused(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    start = time.process_time()
    with pytest.raises(errors.ExperimentError, match=r"nested too deeply|more than 1000000 values"):
        cv.load_experiment(tmp_path / name)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("long.yaml", "x: " + "1:" * 40_000 + "1", "a value has more than 65536 characters"),
        ("long.toml", "x = '" + "x" * 2**18 + "'", "it has more than 262144 characters"),
        ("list.yaml", "x: [" + "1," * 100_000 + "]", "it has more than 10000 values"),
        ("table.yaml", "".join(f"k{n}: &a{n} 1\n" for n in range(9000)), "more than 10000 values"),
        ("list.json", '{"x": [' + "1," * 2_000_000 + "1]}", "more than 1000000 values"),
        ("twice.yaml", "a:\n  x: 1\n  y: 2\n  x: 3", r"the key 'x' is given twice \(line 4\)"),
        ("twice.json", '{"a": {"x": 1, "y": 2, "x": 3}}', "the key 'x' is given twice"),
        ("twice.toml", "[a]\nx = 1\nx = 3", "Cannot overwrite a value"),
        ("time.yaml", "x: !!timestamp y", "type of its tag"),
        ("truth.yaml", "x: !!bool y", "type of its tag"),
        ("number.yaml", "x: !!int ''", "type of its tag"),
        ("object.yaml", "x: !!python/object/apply:os.getcwd []", "could not determine"),
    ],
)
def test_values_that_yaml_cannot_make_are_refused(
    tmp_path: Path, name: str, content: str, says: str
) -> None:
    (tmp_path / name).write_text(content)
    start = time.process_time()
    with pytest.raises(errors.ExperimentError, match=says):
        cv.load_experiment(tmp_path / name)
    assert time.process_time() - start < 5  # minutes without limits
