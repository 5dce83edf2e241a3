"""Paths of an experiment file start from its folder; records choose plugins by distribution."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import cellvision as cv
from cellvision import errors
from cellvision.cli import main
from cellvision.studies.study_folder import claim_study, study_plan
from cellvision.testing import Isolation, example_plugins, example_run

PLUGINS = '''
"""Components with paths at every depth."""
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

import cellvision as cv
from cellvision.component import Settings
from cellvision.testing import SyntheticImages

class Table(Settings):
    """A table."""

    file: Path = Path("t.csv")
    """File."""

class Outer(SyntheticImages):
    """A data set around a data set."""

    inner: cv.Dataset | None = None
    """The inner one."""

    root: Path | None = None
    """A folder."""

    tables: tuple[Path, ...] = ()
    """Files."""

    by_name: dict[str, list[Path]] = {}
    """Files by name."""

    pair: tuple[str, Path] | None = None
    """A name and a file."""

    record: Table = Table()
    """A table."""

    location: Annotated[str | Path, Field(union_mode="left_to_right")] = ""
    """An address or a folder."""

    text: str = ""
    """No path."""

class Net(cv.Architecture):
    """A network with weights."""

    weights: Path | None = None
    """File."""

    def build(self, input_shape, classes):
        """Build it."""
        raise NotImplementedError
'''


@pytest.fixture
def isolation(isolated_registries: Isolation) -> Isolation:
    isolated_registries.install(
        "lab-paths",
        {
            "dataset": {"outer": "lab_paths:Outer"},
            "architecture": {"net": "lab_paths:Net"},
        },
        {"lab_paths": PLUGINS},
    )
    return isolated_registries


def test_every_path_starts_from_the_file(
    isolation: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    content = {
        "architecture": {"type": "net", "weights": "w.npz"},
        "dataset": {
            "type": "outer",
            "root": "a",
            "tables": ["b.csv", "/c.csv"],
            "by_name": {"d": ["e.csv"]},
            "pair": ["f", "g.csv"],
            "record": {"file": "h.csv"},
            "location": "s3://bucket/i",
            "text": "j",
            "inner": {"type": "outer", "root": "../k", "inner": {"type": "outer", "root": "l"}},
        },
        "reporters": [],
    }
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(content))
    experiment = cv.load_experiment(file)
    dumped = experiment.dataset.model_dump(mode="json")
    assert dumped["root"] == str(tmp_path / "a")
    assert dumped["tables"] == [str(tmp_path / "b.csv"), "/c.csv"]
    assert dumped["by_name"] == {"d": [str(tmp_path / "e.csv")]}
    assert dumped["pair"] == ["f", str(tmp_path / "g.csv")]
    assert dumped["record"] == {"file": str(tmp_path / "h.csv")}
    assert dumped["location"] == "s3://bucket/i"
    assert dumped["text"] == "j"
    assert Path(dumped["inner"]["root"]).resolve() == tmp_path.parent / "k"
    assert dumped["inner"]["inner"]["root"] == str(tmp_path / "l")
    assert experiment.architecture.model_dump(mode="json")["weights"] == str(tmp_path / "w.npz")
    saved = cv.save_experiment(experiment, tmp_path / "elsewhere" / "saved.yaml")
    assert cv.load_experiment(saved) == experiment


def test_paths_of_objects_become_absolute(
    isolation: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inner = cv.datasets.create("outer", root="in", tables=["x.csv"])
    experiment = cv.Experiment(
        dataset=cv.datasets.create("outer", inner=inner),
        architecture=cv.architectures.create("net", weights="w.npz"),
        reporters=(),
    )
    dumped = experiment.model_dump(mode="json")
    assert dumped["dataset"]["inner"]["root"] == str(tmp_path / "in")
    assert dumped["dataset"]["inner"]["tables"] == [str(tmp_path / "x.csv")]
    assert dumped["dataset"]["record"] == {"file": str(tmp_path / "t.csv")}
    assert dumped["architecture"]["weights"] == str(tmp_path / "w.npz")


def test_options_start_from_the_working_directory(
    isolation: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellvision.cli.experiments import read

    (tmp_path / "files").mkdir()
    file = tmp_path / "files" / "experiment.toml"
    file.write_text('reporters = []\narchitecture = "net"\n[dataset]\ntype = "outer"\nroot = "a"\n')
    monkeypatch.chdir(tmp_path)
    experiment = read(str(file), ["dataset.tables=[b.csv]"])
    dumped = experiment.dataset.model_dump(mode="json")
    assert dumped["root"] == str(tmp_path / "files" / "a")
    assert dumped["tables"] == [str(tmp_path / "b.csv")]


NET = '''
"""A network."""
import cellvision as cv
from cellvision.testing import SyntheticNetwork

class Net(SyntheticNetwork):
    """Of {0}."""
'''


def install_net(isolation: Isolation, distribution: str) -> None:
    module = f"fake_{distribution.replace('-', '_')}"
    isolation.install(
        distribution,
        {"architecture": {"deep": f"{module}:Net"}},
        {module: NET.format(distribution)},
    )


def class_of(architecture: cv.Architecture) -> str:
    return type(architecture).__module__


def test_a_rival_ends_no_default_and_no_old_run(
    isolated_registries: Isolation, tmp_path: Path
) -> None:
    install_net(isolated_registries, "cellvision-architectures")
    with example_plugins():
        run = example_run(tmp_path / "run")
        record = json.loads((run.folder / "run.json").read_text())
        record["experiment"]["architecture"] = {"type": "deep"}
        record["plugins"]["cellvision.architectures:deep"] = "lab_net==1.0"
        (run.folder / "run.json").write_text(json.dumps(record))
        dataset = run.dataset
        before = cv.Experiment(dataset=dataset, reporters=())
        assert class_of(before.architecture) == "fake_cellvision_architectures"

        install_net(isolated_registries, "lab-net")
        with pytest.raises(
            errors.PluginConflict, match=r"cellvision-architectures 1\.0 and lab-net"
        ):
            cv.architectures.get("deep")
        after = cv.Experiment(dataset=dataset, reporters=())
        assert class_of(after.architecture) == "fake_cellvision_architectures"
        assert after.model_dump()["architecture"]["type"] == "cellvision-architectures:deep"
        assert class_of(cv.load_run(run.folder).experiment.architecture) == "fake_lab_net"
        assert class_of(cv.load_experiment(run.folder / "run.json").architecture) == "fake_lab_net"


def test_a_rival_ends_no_interrupted_study(isolated_registries: Isolation, tmp_path: Path) -> None:
    install_net(isolated_registries, "cellvision-architectures")
    with example_plugins():
        dataset = example_run(tmp_path / "run").dataset

        def start(architecture: str) -> None:
            experiment = cv.Experiment(dataset=dataset, architecture=architecture, reporters=())
            plan = study_plan({"": experiment}, 1, {"": {}}, {}, {})
            claim_study(tmp_path / "study", plan)

        start("deep")
        install_net(isolated_registries, "lab-net")
        start("cellvision-architectures:deep")
        with pytest.raises(errors.FolderError, match="another study was started here"):
            start("lab-net:deep")


def test_a_disabled_plugin_is_as_good_as_uninstalled(
    isolated_registries: Isolation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install_net(isolated_registries, "lab-one")
    install_net(isolated_registries, "lab-two")
    for value in ("lab-two:deep", "lab_two", "other:x, Lab.Two:deep"):
        monkeypatch.setenv("CELLVISION_DISABLE", value)
        assert class_of(cv.architectures.create("deep")) == "fake_lab_one"
        assert cv.architectures.name_of(cv.architectures.get("deep")) == "deep"
    with pytest.raises(SystemExit):
        main(["plugins", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [(row["distribution"], row["status"]) for row in rows] == [("lab-one", "ok")]
    monkeypatch.setenv("CELLVISION_DISABLE", "lab-one lab-two:deep")
    with pytest.raises(errors.UnknownPlugin, match="CELLVISION_DISABLE disables that of lab-one"):
        cv.architectures.get("deep")
    monkeypatch.setenv("CELLVISION_DISABLE", "lab-two:other")
    with pytest.raises(errors.PluginConflict):
        cv.architectures.get("deep")


def test_one_of_two_plugins_is_preferred(
    isolated_registries: Isolation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("cellvision-architectures", "lab-one", "lab-two"):
        install_net(isolated_registries, name)
    monkeypatch.setenv("CELLVISION_PREFER", "Lab.Two:deep")
    network = cv.architectures.create("deep")
    assert class_of(network) == "fake_lab_two"
    # What is recorded means the same without the variable.
    assert network.model_dump()["type"] == "lab-two:deep"
    assert cv.architectures.default("deep") == "cellvision-architectures:deep"
    with pytest.raises(SystemExit):
        main(["plugins", "--json"])
    rows = {row["distribution"]: row["status"] for row in json.loads(capsys.readouterr().out)}
    assert rows == {"cellvision-architectures": "conflict", "lab-one": "conflict", "lab-two": "ok"}
    for value in ("lab-two:other", "lab-one lab-two", ""):
        monkeypatch.setenv("CELLVISION_PREFER", value)
        with pytest.raises(errors.PluginConflict) as caught:
            cv.architectures.get("deep")
    assert re.search(r"CELLVISION_PREFER=[a-z-]+:deep$", caught.value.hint)


def test_names_that_a_recipe_chooses_are_those_of_its_distribution(
    isolated_registries: Isolation,
) -> None:
    from cellvision.plain_settings import by_default

    for name in ("cellvision-architectures", "lab-one", "lab-two"):
        install_net(isolated_registries, name)
    chosen = {"architecture": "deep", "training": {"epochs": 2}}
    expected = {
        "lab-two": "lab-two:deep",
        "": "cellvision-architectures:deep",
        "lab-three": "cellvision-architectures:deep",
    }
    for distribution, name in expected.items():
        result = by_default(chosen, cv.Experiment, distribution)
        assert result == {"architecture": name, "training": {"epochs": 2}}
