"""The conformance kit: our plugins pass it, broken ones fail it in the right check."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cellvision as cv
from cellvision import errors
from cellvision.cli import main
from cellvision.testing import (
    ArchitectureChecks,
    AugmenterChecks,
    CheckFailed,
    DatasetChecks,
    Isolation,
    ReporterChecks,
    check,
    write_images,
)
from cellvision.testing.component import ComponentChecks, conformance_check
from cellvision.testing.examples import FORTY_CLASSES, ODD_NAMES, SyntheticImages

# --- ours --------------------------------------------------------------------------------


class TestFolder(DatasetChecks):
    name = "folder"
    invalid_settings = {"path": 3}

    def settings(self, folder: Path) -> dict[str, Any]:
        write_images(folder, suffix=".tif")
        (folder / "groups.csv").write_text("file,well\nalpha/0.tif,A1\n", encoding="utf-8")
        return {"path": folder}


class TestTable(DatasetChecks):
    name = "table"
    invalid_settings = {"path": 3}

    def settings(self, folder: Path) -> dict[str, Any]:
        files = write_images(folder)
        rows = "".join(f"{file.relative_to(folder)},{file.parent.name}\n" for file in files)
        (folder / "table.csv").write_text(f"file,label\n{rows}", encoding="utf-8")
        return {"path": folder / "table.csv"}


class TestSyntheticCells(DatasetChecks):
    name = "synthetic_cells"
    invalid_settings = {"strength": 2}

    def settings(self, folder: Path) -> dict[str, Any]:
        return {"path": folder / "cells", "fields": 2, "field_size": 64, "tiles": 4}


class TestFlowers(DatasetChecks):
    name = "flowers"

    def settings(self, folder: Path) -> dict[str, Any]:
        write_images(folder, ("daisy", "tulips"), suffix=".jpg", shape=(12, 16, 3))
        return {"path": folder}


class TestFashionMnist(DatasetChecks):
    name = "fashion_mnist"

    def settings(self, folder: Path) -> dict[str, Any]:
        import gzip
        import struct

        def write(name: str, values: np.ndarray) -> None:
            head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
            (folder / name).write_bytes(gzip.compress(head + values.astype(np.uint8).tobytes()))

        noise = np.random.default_rng(0)
        for name, count in (("train", 20), ("t10k", 10)):
            write(f"{name}-images-idx3-ubyte.gz", noise.integers(0, 256, (count, 28, 28)))
            write(f"{name}-labels-idx1-ubyte.gz", np.arange(count) % 10)
        return {"path": folder}


class TestRotation(AugmenterChecks):
    name = "rotation"
    example = {"degrees": 30}
    invalid_settings = {"degrees": 181, "fill_mode": "wrap"}


class TestTranslation(AugmenterChecks):
    name = "translation"
    invalid_settings = {"height": 2}


class TestFlip(AugmenterChecks):
    name = "flip"


class TestDeep(ArchitectureChecks):
    name = "deep"
    example = {"dense": 50}
    invalid_settings = {"dense": 0}


class TestDeepFunctional(ArchitectureChecks):
    name = "deep_functional"


class TestFmnistDeep(ArchitectureChecks):
    name = "fmnist_deep"


class TestAlexNet(ArchitectureChecks):
    name = "alexnet"
    input_shape = (67, 67, 3)


class TestFmnistAlexNet(ArchitectureChecks):
    name = "fmnist_alexnet"
    input_shape = (28, 28, 1)


class TestResNet(ArchitectureChecks):
    name = "resnet"
    example = {"depth": 1, "width": 8}
    invalid_settings = {"depth": 0}


class TestPerceptron(ArchitectureChecks):
    name = "perceptron"
    invalid_settings = {"widths": [0], "rate": 0}


class TestPretrained(ArchitectureChecks):
    name = "pretrained"
    example = {"backbone": "MobileNet", "random": True}


class TestExpertReporter(ReporterChecks):
    name = "expert"
    invalid_settings = {"declared": "the best run"}

    def settings(self, folder: Path) -> Mapping[str, Any]:
        """Answers to the images of every example run, each of the same class."""
        lines = ["image,split,label,rater,answer,repeat"]
        every = (
            SyntheticImages(),
            SyntheticImages(names=FORTY_CLASSES),
            SyntheticImages(names=ODD_NAMES, splits={"Tag 2 / größer": 2, "../test": 2}),
        )
        for images in every:
            for row in images.catalog().to_dict("records"):
                names = [row["image"], row["split"], row["label"], "Ana", images.names[0]]
                lines += [",".join(f'"{name}"' for name in names) + ",1"]
        (folder / "answers.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return {"answers": str(folder / "answers.csv")}


class TestControlsReporter(ReporterChecks):
    name = "controls"
    expected_failures = {
        "test_reports_something": "the kit's studies have no controls; test_controls.py draws some"
    }


_QUICK: dict[str, dict[str, Any]] = {
    "attention": {"images": 2, "steps": 2, "patch": 0.4},
    "robustness": {"images": 6, "rotation": [9], "blur": [], "shift": [], "attack_steps": 2},
}

for _name in cv.reporters.names():
    if cv.reporters.info(_name).distribution == "cellvision-reporters":
        _class = f"Test{_name.title().replace('_', '')}Reporter"
        if _class in globals():
            continue
        _settings = {"name": _name, "example": _QUICK.get(_name, {}), "__module__": __name__}
        globals()[_class] = type(_class, (ReporterChecks,), _settings)


def test_every_plugin_of_ours_is_checked() -> None:
    bases = (ArchitectureChecks, AugmenterChecks, DatasetChecks, ReporterChecks)
    checked = {
        (value.registry.kind, value.name)
        for value in list(globals().values())
        if isinstance(value, type) and issubclass(value, bases) and value.name
    }
    ours = {"architectures", "augmenters", "datasets", "reporters"}
    installed = {
        (registry.kind, info.name)
        for registry in (cv.architectures, cv.augmenters, cv.datasets, cv.reporters)
        for info in registry.plugins()
        if info.distribution in {f"cellvision-{kind}" for kind in ours}
    }
    assert installed
    assert installed <= checked


# --- broken ones -------------------------------------------------------------------------

REPORTER = '''
"""A reporter."""
from __future__ import annotations
{top}
import cellvision as cv
from cellvision import io

class {name}(cv.Reporter):
    """Writes a line."""

    def run(self, run, folder):
        """Write it."""
        {before}
        path = io.write_text(folder / "line.txt", "a line\\n")
        return [cv.Artifact(path, "A line", "data")]
'''

DATASET = '''
"""A data set."""
import cellvision as cv
from cellvision.testing import SyntheticImages

class Mine(cv.Dataset):
    """Made images."""

    def catalog(self):
        """List them."""
        {catalog}

    def read(self, image):
        """Read one."""
        return SyntheticImages().read(image)
'''

CUSTOM_LAYER = '''
"""An architecture with a layer that Keras cannot find when it loads the model."""
import cellvision as cv

class Mine(cv.Architecture):
    """One layer of its own."""

    def build(self, input_shape, classes):
        """Make it."""
        import keras

        class Doubled(keras.layers.Layer):
            def call(self, x):
                return 2 * x

        image = keras.Input(input_shape)
        x = keras.layers.Flatten()(Doubled()(image))
        out = keras.layers.Dense(classes, activation="softmax", dtype="float32")(x)
        return keras.Model(image, out)
'''


def reporter(name: str = "Mine", top: str = "", before: str = "pass") -> str:
    return REPORTER.format(name=name, top=top, before=before)


@pytest.fixture
def isolation(isolated_registries: Isolation) -> Iterator[Isolation]:
    """Registries with a good plugin of each kind that is broken here."""
    isolated_registries.install(
        "good",
        {
            "reporter": {"good": "good_reporter:Good"},
            "dataset": {"good": "cellvision.testing.examples:SyntheticImages"},
            "architecture": {"good": "cellvision.testing.examples:SyntheticNetwork"},
        },
        {"good_reporter": reporter("Good")},
    )
    yield isolated_registries
    # Whatever was broken, the others go on.
    assert cv.reporters.create("good").model_dump() == {"type": "good"}
    assert len(cv.datasets.create("good").catalog()) == 30
    assert cv.architectures.info("good").state == "fine"
    assert {info.name: info.state for info in cv.reporters.plugins()}["good"] == "fine"


def failures(kind: str, name: str = "mine", **settings: Any) -> dict[str, str]:
    results = check(kind, name, settings)
    return {result.check: result.reason for result in results if result.outcome == "failed"}


def test_the_good_ones_pass(isolation: Isolation) -> None:
    assert failures("reporter", "good") == {}
    assert failures("dataset", "good") == {}


def test_an_import_error(isolation: Isolation) -> None:
    source = reporter(top="import no_such_package")
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    found = failures("reporter")
    assert set(found) == {"loads"}
    assert "no_such_package" in found["loads"]
    with pytest.raises(errors.BrokenPlugin, match="no_such_package"):
        cv.reporters.create("mine")


def test_a_missing_attribute(isolation: Isolation) -> None:
    isolation.install("mine", {"reporter": {"mine": "mine:Nine"}}, {"mine": reporter()})
    found = failures("reporter")
    assert set(found) == {"loads"}
    assert "Nine" in found["loads"]
    with pytest.raises(errors.BrokenPlugin, match="Nine"):
        cv.reporters.create("mine")


def test_a_wrong_base_class(isolation: Isolation) -> None:
    isolation.install("mine", {"dataset": {"mine": "mine:Mine"}}, {"mine": reporter()})
    found = failures("dataset")
    assert set(found) == {"loads"}
    assert "does not derive from cellvision.Dataset" in found["loads"]
    with pytest.raises(errors.PluginContractError, match=r"cellvision\.Dataset"):
        cv.datasets.create("mine")


def test_keras_imported_at_the_top(isolation: Isolation) -> None:
    source = reporter(top="import keras")
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    found = failures("reporter")
    assert set(found) == {"loads_alone_and_cheaply"}
    assert "keras" in found["loads_alone_and_cheaply"]


def test_a_network_that_cannot_be_saved(isolation: Isolation) -> None:
    isolation.install("mine", {"architecture": {"mine": "mine:Mine"}}, {"mine": CUSTOM_LAYER})
    found = failures("architecture")
    assert set(found) == {"reloads_in_a_new_process"}
    assert "Doubled" in found["reloads_in_a_new_process"]


def test_settings_that_cannot_be_written(isolation: Isolation) -> None:
    source = reporter().replace(
        "    def run", "    marks: set = {1j}\n    '''Signs.'''\n\n    def run"
    )
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    found = failures("reporter")
    assert "survives_json" in found
    assert not set(found) - {"survives_json", "survives_toml", "survives_yaml", "has_a_schema"}


def test_writing_outside_its_folder(isolation: Isolation) -> None:
    source = reporter(before='(run.folder / "mine.txt").write_text("here too")')
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    found = failures("reporter")
    assert set(found) == {"writes_only_below_its_folder"}
    assert "mine.txt" in found["writes_only_below_its_folder"]


def test_writing_to_the_working_directory(isolation: Isolation) -> None:
    source = reporter(before='open("stray.txt", "w").close()')
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    found = failures("reporter")
    assert "stray.txt" in found["writes_only_below_its_folder"]


def test_a_duplicate_name(isolation: Isolation) -> None:
    for distribution in ("first", "second"):
        isolation.install(
            distribution,
            {"reporter": {"mine": f"{distribution}_module:Mine"}},
            {f"{distribution}_module": reporter()},
        )
    found = failures("reporter")
    assert set(found) == {"loads"}
    assert "first" in found["loads"]
    assert "second" in found["loads"]
    with pytest.raises(errors.PluginConflict):
        cv.reporters.create("mine")
    assert failures("reporter", "first:mine") == {}


def test_a_name_with_a_space(isolation: Isolation) -> None:
    isolation.install("mine", {"reporter": {"my own": "mine:Mine"}}, {"mine": reporter()})
    found = failures("reporter", "my own")
    assert set(found) == {"loads"}
    assert "name" in found["loads"]


def test_made_for_another_version(isolation: Isolation) -> None:
    isolation.install(
        "mine",
        {"reporter": {"mine": "mine:Mine"}},
        {"mine": reporter()},
        requires=["cellvision>=99"],
    )
    found = failures("reporter")
    assert set(found) == {"fits_this_cellvision"}
    assert "cellvision>=99" in found["fits_this_cellvision"]


def test_a_version_that_is_not_told(isolation: Isolation) -> None:
    isolation.install(
        "mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": reporter()}, requires=[]
    )
    assert set(failures("reporter")) == {"fits_this_cellvision"}


def test_an_exception_in_catalog(isolation: Isolation) -> None:
    source = DATASET.format(catalog="raise KeyError('plate 7')")
    isolation.install("mine", {"dataset": {"mine": "mine:Mine"}}, {"mine": source})
    found = failures("dataset")
    assert set(found) == {"lists_its_images"}
    assert "KeyError" in found["lists_its_images"]
    assert "plate 7" in found["lists_its_images"]


def test_memory_that_grows(isolation: Isolation) -> None:
    source = (
        DATASET.format(catalog="return SyntheticImages().catalog()")
        + "\n"
        + (
            "_kept = []\n"
            "_read = Mine.read\n"
            "def _keep(self, image):\n"
            "    _kept.append(_read(self, image))\n"
            "    return _kept[-1].copy()\n"
            "Mine.read = _keep\n"
        )
    )
    isolation.install("mine", {"dataset": {"mine": "mine:Mine"}}, {"mine": source})
    assert set(failures("dataset")) == {"memory_stays_flat"}


# --- the kit itself ------------------------------------------------------------------------


def test_an_expected_failure_needs_a_reason_and_a_check() -> None:
    with pytest.raises(TypeError, match="needs a reason"):
        type("Checks", (ReporterChecks,), {"expected_failures": {"test_loads": " "}})
    with pytest.raises(TypeError, match="no check 'test_load'"):
        type("Checks", (ReporterChecks,), {"expected_failures": {"test_load": "because"}})


def test_an_expected_failure_that_passes_is_a_failure(isolation: Isolation) -> None:
    results = check("reporter", "good", expected_failures={"test_loads": "it never did"})
    found = {result.check: result.reason for result in results if result.outcome == "failed"}
    assert found == {"loads": "it passes, and was expected to fail"}


def test_a_check_that_is_taken_out_is_noticed() -> None:
    checks = type("Checks", (ReporterChecks,), {"name": "tables", "test_survives_json": None})()
    with pytest.raises(CheckFailed, match="replaces test_survives_json"):
        checks.test_kit_is_whole()


def test_a_check_that_demands_nothing_fails() -> None:
    class Checks(ComponentChecks):
        @conformance_check
        def test_of_an_empty_list(self) -> None:
            for _ in ():
                self.require(False, "", "")

    with pytest.raises(CheckFailed, match="without having demanded anything"):
        Checks().test_of_an_empty_list()


@pytest.mark.parametrize(
    "base", [ArchitectureChecks, AugmenterChecks, DatasetChecks, ReporterChecks]
)
def test_every_check_says_what_it_demands(base: type[ComponentChecks]) -> None:
    checks = base.checks()
    assert len(checks) == len(set(checks)) > 20
    for name in checks:
        documentation = getattr(base, name).__doc__
        assert documentation.strip().endswith("."), name
        assert "\n" not in documentation.strip(), name


def test_checks_that_did_not_run_fail_the_session(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "def pytest_collection_modifyitems(items):\n"
        "    items[:] = [item for item in items if 'yaml' not in item.name]\n"
    )
    (tmp_path / "test_mine.py").write_text(
        "from cellvision.testing import ReporterChecks\n"
        "class TestMine(ReporterChecks):\n"
        "    name = 'no_such_reporter'\n"
        "    expected_failures = {'test_loads': 'nobody offers it'}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    count = len(ReporterChecks.checks())
    assert f"{count - 1} checks ran of {count}" in done.stdout
    assert "xfailed" in done.stdout
    assert done.returncode == 1


def test_the_pytest_plugin_is_light() -> None:
    code = (
        "import sys, cellvision.testing.plugin\n"
        "heavy = {'keras', 'numpy', 'pandas', 'pydantic', 'tensorflow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- the command ---------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    said = capsys.readouterr()
    return int(exit_.value.code or 0), said.out, said.err


def test_check_prints_a_line_a_check(
    isolation: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "check", "reporter:good")
    lines = out.splitlines()
    assert code == 0
    assert len(lines) == len(ReporterChecks.checks()) + 1
    assert lines[1].split() == ["passed", "loads"]
    assert f"of {len(ReporterChecks.checks())} checks" in lines[-1]


def test_check_as_json(isolation: Isolation, capsys: pytest.CaptureFixture[str]) -> None:
    source = reporter(top="import no_such_package")
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    code, out, _ = run(capsys, "check", "mine", "--json")
    found = {entry["check"]: entry for entry in json.loads(out)}
    assert code == 1
    assert found["loads"]["outcome"] == "failed"
    assert found["survives_json"]["outcome"] == "skipped"
    assert set(found["loads"]) == {"check", "demand", "outcome", "reason", "hint"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no_such_plugin"], "no plugin is called 'no_such_plugin'"),
        (["reporter:tablez"], "tablez"),
        (["folder"], "path is missing"),
        (["folder", "--set", "path"], "expected KEY=VALUE"),
        (["rotation", "--set", "degrees=500"], "degrees"),
    ],
)
def test_check_refuses(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "check", *words)
    assert code == 2
    assert message in err
