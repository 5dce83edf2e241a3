"""Plugins in a file beside an experiment: registered, recorded, copied and checked."""

from __future__ import annotations

import hashlib
import json
import pickle
import tomllib
from pathlib import Path

import pytest
from command_line import command

import cellvision as cv
from cellvision import errors, local_plugins, plugin_versions
from cellvision.plugin_candidates import LOCAL_MODULE
from cellvision.studies.dask_worker import load_same_plugins
from cellvision.testing import Isolation, write_images

NET = '''
"""A network of one layer."""
import cellvision as cv

class TinyNet(cv.Architecture):
    """One dense layer."""

    width: int = 3
    """Width of it."""

    def build(self, input_shape, classes):
        """Build it."""
        import keras
        return keras.Sequential([
            keras.Input(input_shape), keras.layers.Flatten(),
            keras.layers.Dense(classes, activation="softmax", dtype="float32"),
        ])

@cv.reporters.register("one_line")
class Writer(cv.Reporter):
    """Writes a line."""

    def run(self, run, folder):
        """Write it."""
        path = folder / "line.txt"
        path.write_text("a line")
        return [cv.Artifact(path, "A line", "text")]
'''


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "my_net.py"
    path.write_text(NET)
    return path


def test_classes_are_registered_by_decorator_or_by_their_own_name(net: Path) -> None:
    file = cv.load_plugins(net)
    assert file.names == (("architecture", "tiny_net"), ("reporter", "one_line"))
    assert file.digest == hashlib.sha256(net.read_bytes()).hexdigest()
    component = cv.architectures.create("tiny_net", width=5)
    assert pickle.loads(pickle.dumps(component)) == component
    assert cv.load_plugins(net) is file


def test_errors_name_the_file(net: Path) -> None:
    cv.load_plugins(net)
    assert cv.architectures.origin_of(cv.architectures.get("tiny_net")) == (
        "architecture 'tiny_net' (my_net.py)"
    )


def test_private_classes_are_helpers(net: Path) -> None:
    net.write_text(NET + "\nclass _Base(cv.Augmenter):\n    pass\n")
    assert len(cv.load_plugins(net).names) == 2


def test_an_edited_file_replaces_itself(net: Path) -> None:
    cv.load_plugins(net)
    net.write_text(NET.replace("TinyNet", "OtherNet").replace("width: int = 3", "width: int = 4"))
    cv.load_plugins(net)
    assert "tiny_net" not in cv.architectures
    assert cv.architectures.create("other_net").model_dump()["width"] == 4


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("import no_such_module\n", errors.BrokenPlugin, r"my_net.py, line 1: .*no_such_module"),
        ("x = 1\ny = 1 / 0\n", errors.BrokenPlugin, "line 2: ZeroDivisionError"),
        ("def f(:\n", errors.BrokenPlugin, "line 1: SyntaxError"),
        ("import sys\nsys.exit(3)\n", errors.BrokenPlugin, "line 2: SystemExit"),
        ("x = 1\n", errors.PluginContractError, "no class derives from an interface"),
        (
            "import cellvision as cv\nclass Half(cv.Dataset):\n    '''Half.'''\n",
            errors.PluginContractError,
            r"dataset 'half' \(my_net\.py\) does not define catalog, read",
        ),
        (NET.replace("TinyNet", "Deep"), errors.PluginConflict, "provided by cellvision-arch"),
    ],
)
def test_a_broken_file_registers_nothing(
    net: Path, source: str, kind: type[errors.CellvisionError], message: str
) -> None:
    net.write_text(source)
    before = cv.architectures.names(), cv.reporters.names(), cv.datasets.names()
    with pytest.raises(kind, match=message) as caught:
        cv.load_plugins(net)
    assert caught.value.hint
    assert (cv.architectures.names(), cv.reporters.names(), cv.datasets.names()) == before


def test_a_missing_file_is_invalid_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("plugins", "--plugin", tmp_path / "gone.py") == 2
    assert "plugins cannot be read" in capsys.readouterr().err
    assert command("plugins", "--plugin") == 2
    assert "--plugin needs a file" in capsys.readouterr().err


def test_an_experiment_names_files_relative_to_itself(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "images")
    path = tmp_path / "experiment.toml"
    path.write_text(
        'plugins = ["./my_net.py"]\narchitecture = "tiny_net"\n'
        '[dataset]\ntype = "folder"\npath = "images"\n'
    )
    monkeypatch.chdir("/")
    experiment = cv.load_experiment(path)
    assert type(experiment.architecture).__name__ == "TinyNet"
    assert experiment.plugins == (net,)
    assert "plugins" not in cv.Experiment(dataset=experiment.dataset).model_dump()
    saved = cv.save_experiment(experiment, tmp_path / "elsewhere" / "saved.json")
    assert cv.load_experiment(saved) == experiment
    path.write_text('plugins = "./my_net.py"\n')
    with pytest.raises(errors.ExperimentError, match="expected a list of Python files"):
        cv.load_experiment(path)


@pytest.mark.slow
def test_a_run_keeps_a_copy_and_does_not_run_it(
    net: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_images(tmp_path / "images")
    words = ["--set", "architecture=tiny_net", "--set", "reporters=one_line"]
    words += ["--set", "preprocessing.size=16", "--set", "training.epochs=1"]
    out = tmp_path / "run"
    assert command("train", tmp_path / "images", "--out", out, "--plugin", net, *words) == 0
    record = json.loads((out / "run.json").read_text())
    assert record["local_plugins"] == {"my_net.py": hashlib.sha256(NET.encode()).hexdigest()}
    assert record["plugins"]["cellvision.architectures:tiny_net"] == "my_net.py"
    assert record["experiment"]["plugins"] == [str(net)]
    copy = out / "plugins" / "my_net.py"
    assert copy.read_text() == NET
    assert cv.load_run(out).experiment.architecture.model_dump()["width"] == 3
    assert "has changed" not in caplog.text
    net.write_text(NET.replace("One dense", "Another dense"))
    predict = ("predict", out, tmp_path / "images", "--out", tmp_path / "p.csv")
    for verb in (predict, ("report", out)):
        caplog.clear()
        plugin_versions._logged.clear()
        assert command("--plugin", net, *verb) == 0
        assert f"{out}: my_net.py has changed since this run" in caplog.text
    plugin_versions._logged.clear()
    caplog.clear()
    assert cv.load_run(out).experiment
    (warning,) = caplog.messages
    assert f"{out}: my_net.py has changed since this run" in warning

    local_plugins._forget(LOCAL_MODULE + "my_net")
    capsys.readouterr()
    run = cv.load_run(out)
    assert run.model(verify=True).count_params() > 0  # stock layers need no plugin
    with pytest.raises(errors.UnknownPlugin, match=r"tiny_net \(my_net\.py\)") as caught:
        _ = run.experiment
    assert f"--plugin {copy}" in caught.value.hint
    assert command("recipe", out / "run.json") == 2
    assert "tiny_net" not in cv.architectures
    cv.load_plugins(copy)
    assert type(cv.load_run(out).experiment.architecture).__name__ == "TinyNet"


def test_the_kit_checks_a_file(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net.write_text(NET[: NET.index("@cv")].replace("Architecture", "Splitter"))
    assert command("check", net) == 2
    assert "'tiny_net' (my_net.py) does not define folds" in (capsys.readouterr().err)
    net.write_text(
        "import cellvision as cv\n"
        "class Halves(cv.Splitter):\n"
        '    """Two halves."""\n'
        "    def folds(self, catalog):\n"
        '        """Divide."""\n'
        '        blocks = sorted(set(catalog["block"]))\n'
        "        if len(blocks) < 2:\n"
        "            raise cv.errors.SplitError('too few', 'Use more.')\n"
        "        test = set(blocks[::2])\n"
        '        return [["test" if b in test else "train" for b in catalog["block"]]]\n'
    )
    assert command("check", net, "--json") == 0
    results = {row["check"]: row for row in json.loads(capsys.readouterr().out)}
    assert results["loads_alone_and_cheaply"]["outcome"] == "passed"
    assert {name for name, row in results.items() if row["outcome"] != "passed"} == {
        "fits_this_cellvision"
    }


def test_a_decorator_registers_a_class(isolated_registries: Isolation) -> None:
    @cv.splitters.register("mine")
    class Mine(cv.Splitter):
        """Mine."""

        def folds(self, catalog: object) -> list[list[str]]:
            return []

    assert cv.splitters.get("mine") is Mine
    assert cv.splitters.name_of(Mine) == "mine"


def test_an_edited_file_does_not_continue_what_another_version_began(
    net: Path, tmp_path: Path
) -> None:
    from cellvision.local_plugins import digests_of, raise_if_changed

    write_images(tmp_path / "images")
    cv.load_plugins(net)
    experiment = cv.Experiment(
        dataset=cv.datasets.create("folder", path=tmp_path / "images"), architecture="tiny_net"
    )
    before = digests_of(experiment)
    assert before == {"my_net.py": hashlib.sha256(NET.encode()).hexdigest()}
    raise_if_changed(before, before, tmp_path, "run")
    raise_if_changed({}, before, tmp_path, "run")
    net.write_text(NET.replace("width: int = 3", "width: int = 4"))
    cv.load_plugins(net)
    edited = experiment.model_copy(update={"architecture": cv.architectures.create("tiny_net")})
    with pytest.raises(errors.FolderError, match=r"my_net\.py has changed since the run") as caught:
        raise_if_changed(before, digests_of(edited), tmp_path, "run")
    assert before["my_net.py"] in caught.value.hint


def test_a_study_is_not_continued_with_an_edited_file(net: Path, tmp_path: Path) -> None:
    from cellvision.studies.study_folder import claim_study, study_plan

    write_images(tmp_path / "images")
    folder = tmp_path / "study"

    def plan() -> dict[str, object]:
        cv.load_plugins(net)
        dataset = cv.datasets.create("folder", path=tmp_path / "images")
        experiment = cv.Experiment(dataset=dataset, architecture="tiny_net")
        return study_plan({"": experiment}, 2, {}, {}, {})

    folder.mkdir()
    claim_study(folder, plan())
    claim_study(folder, plan())
    net.write_text(NET.replace("One dense layer.", "One dense layer more."))
    with pytest.raises(errors.FolderError, match=r"has changed since the study was started"):
        claim_study(folder, plan())


def test_a_worker_loads_the_same_file_or_none(net: Path, isolated_registries: Isolation) -> None:
    digest = cv.load_plugins(net).digest
    load_same_plugins("tcp://node1:4711", {str(net): digest})
    net.write_text("raise SystemExit('this must not run')")
    with pytest.raises(errors.CellvisionError, match="another one on the worker at tcp://node1"):
        load_same_plugins("tcp://node1:4711", {str(net): digest})
    net.unlink()
    with pytest.raises(errors.CellvisionError, match="node1:4711 cannot read this file"):
        load_same_plugins("tcp://node1:4711", {str(net): digest})


def test_a_class_of_a_session_cannot_reach_other_processes(tmp_path: Path) -> None:
    from cellvision.local_plugins import raise_if_unreachable

    class Notebook(cv.Augmenter):
        """Defined in a function, as in a cell of a notebook."""

        def build(self, seed: int) -> object:
            return None

    cv.augmenters.register("notebook", Notebook)
    try:
        write_images(tmp_path / "images")
        dataset = cv.datasets.create("folder", path=tmp_path / "images")
        raise_if_unreachable(cv.Experiment(dataset=dataset))
        experiment = cv.Experiment(dataset=dataset, augmenters=("notebook",))
        with pytest.raises(errors.ExperimentError, match="Notebook is defined in this session"):
            raise_if_unreachable(experiment)
    finally:
        cv.augmenters.unregister("notebook")


def test_two_files_of_one_name(net: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / net.name
    other.parent.mkdir()
    other.write_text(NET.replace("TinyNet", "OtherNet"))
    cv.load_plugins(net)
    with pytest.raises(errors.PluginConflict, match="two files of one name"):
        cv.load_plugins(other)
    assert "tiny_net" in cv.architectures.names()
    net.unlink()  # it was moved, not copied
    assert ("architecture", "other_net") in cv.load_plugins(other).names


def test_one_name_for_two_classes(net: Path, tmp_path: Path) -> None:
    cv.load_plugins(net)
    rival = tmp_path / "rival.py"
    rival.write_text(NET.replace("one_line", "another_line"))
    with pytest.raises(errors.PluginConflict, match=r"'tiny_net' is both TinyNet of .*rival.py"):
        cv.load_plugins(rival)
    body = NET[NET.index("class TinyNet") : NET.index("@cv.")]
    rival.write_text(
        "import cellvision as cv\n\n"
        + body.replace("TinyNet", "HttpNet")
        + body.replace("TinyNet", "HTTPNet")
    )
    with pytest.raises(errors.PluginConflict, match="'http_net' is both HTTPNet"):
        cv.load_plugins(rival)
    assert "http_net" not in cv.architectures.names()


def test_what_a_plugin_prints_stays_out_of_documents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "talkative.py"
    file.write_text(
        "import cellvision as cv\nprint('importing')\n\n"
        "class Talkative(cv.Recipe):\n"
        "    def experiment(self, facts):\n"
        "        print('choosing')\n"
        "        return {}\n"
    )
    write_images(tmp_path / "images")
    assert command("--plugin", file, "recipe", tmp_path / "images", "--recipe", "talkative") == 0
    printed = capsys.readouterr()
    assert tomllib.loads(printed.out)["recipe"] == "talkative"
    assert [word in printed.err for word in ("importing", "choosing")] == [True, True]


def test_a_path_with_a_class_says_the_names_of_the_file(net: Path, tmp_path: Path) -> None:
    cv.load_plugins(net)
    for name in (f"{net}:TinyNet", "my_net.py:TinyNet", "my_net.py:tiny_net", str(net)):
        with pytest.raises(errors.UnknownPlugin, match=r"my_net\.py is loaded") as caught:
            cv.architectures.create(name)
        assert caught.value.hint == "Did you mean 'tiny_net'? (of this file: tiny_net)"
    with pytest.raises(errors.UnknownPlugin, match=r"is loaded") as caught:
        cv.reporters.create(f"{net}:Writer")
    assert "Did you mean 'one_line'?" in caught.value.hint
    with pytest.raises(errors.UnknownPlugin, match="is loaded and has no control"):
        cv.controls.create(f"{net}:TinyNet")
    with pytest.raises(errors.UnknownPlugin, match="is not loaded"):
        cv.architectures.create(f"{tmp_path}/other/my_net.py:TinyNet")


def test_the_kit_takes_settings_with_dots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "dotted.py"
    file.write_text(
        "import cellvision as cv\n"
        "class Dotted(cv.Splitter):\n"
        '    """Every n-th block."""\n'
        "    every: dict[str, int] = {}\n"
        "    def folds(self, catalog):\n"
        '        """Divide."""\n'
        '        blocks = sorted(set(catalog["block"]))\n'
        "        if len(blocks) < 2:\n"
        "            raise cv.errors.SplitError('too few', 'Use more.')\n"
        '        test = set(blocks[:: self.every["test"]])\n'
        '        return [["test" if b in test else "train" for b in catalog["block"]]]\n'
    )
    command("check", file, "--json", "--set", "every.test=3", "--set", "every.rest=1")
    rows = {row["check"]: row["outcome"] for row in json.loads(capsys.readouterr().out)}
    assert rows["divides_a_catalog"] == rows["takes_its_example"] == "passed"
    assert command("check", file, "--set", "every=1", "--set", "every.test=3") == 2
    assert "--set every.test=3: 1 has no settings" in capsys.readouterr().err
