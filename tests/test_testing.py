"""The conformance kit: a broken plugin fails the right check, and only that one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import cellvision as cv
from cellvision import errors
from cellvision.cli import main
from cellvision.testing import (
    ArchitectureChecks,
    AugmenterChecks,
    CheckFailed,
    ControlChecks,
    DatasetChecks,
    ExporterChecks,
    Isolation,
    RecipeChecks,
    ReporterChecks,
    SplitterChecks,
    check,
)
from cellvision.testing.component import ComponentChecks, conformance_check

REPORTER = '''
"""A reporter."""
from __future__ import annotations
{top}
import cellvision as cv

class {name}(cv.Reporter):
    """Writes a line."""

    def run(self, run, folder):
        """Write it."""
        {before}
        path = folder / "line.txt"
        path.write_text("a line\\n", encoding="utf-8")
        return [cv.Artifact(path, "A line", "text")]
'''

DATASET = '''
"""A data set."""
import cellvision as cv
from cellvision.testing import SyntheticImages

class Mine(cv.Dataset):
    """Synthetic images."""

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
    """One custom layer."""

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


NETWORK = '''
"""An architecture."""
import cellvision as cv

class Mine(cv.Architecture):
    """One dense layer."""

    def build(self, input_shape, classes):
        """Build it."""
        import keras
        {before}
        image = keras.Input(input_shape)
        x = keras.layers.Flatten()(image)
        out = keras.layers.Dense(classes, activation="softmax", dtype="float32")(x)
        return {model}

    def recipe(self, plan):
        """Adam."""
        import keras
        return cv.TrainingRecipe({optimizer})
'''

SUBCLASS = """
        class Own(keras.Model):
            def __init__(self):
                super().__init__()
                self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(classes)

            def call(self, x):
                return keras.ops.softmax(self.dense(self.flat(x)))
"""

OWN_STEP = """
        class Own(keras.Model):
            def train_step(self, data):
                raise NotImplementedError
"""

OWN_LOSS = """
        class Own(keras.Model):
            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return 2 * super().compute_loss(x, y, y_pred, sample_weight, training)
"""

UNNAMED_LAYER = """
        @keras.saving.register_keras_serializable()
        class Doubled(keras.layers.Layer):
            def call(self, x):
                return 2 * x
"""


def network(
    before: str = "",
    model: str = "keras.Model(image, out)",
    optimizer: str = "keras.optimizers.Adam()",
) -> str:
    return NETWORK.format(before=before, model=model, optimizer=optimizer)


def reporter(name: str = "Mine", top: str = "", before: str = "pass") -> str:
    return REPORTER.format(name=name, top=top, before=before)


@pytest.fixture
def isolation(isolated_registries: Isolation) -> Iterator[Isolation]:
    """Registries with a good plugin of each kind of which the tests break one."""
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
    # A broken plugin does not affect the others.
    assert cv.reporters.create("good").model_dump() == {"type": "good"}
    assert len(cv.datasets.create("good").catalog()) == 30
    assert cv.architectures.info("good").status == "ok"
    assert {info.name: info.status for info in cv.reporters.plugins()}["good"] == "ok"


def failures(kind: str, name: str = "mine", **settings: Any) -> dict[str, str]:
    results = check(kind, name, settings)
    return {result.check: result.reason for result in results if result.outcome == "failed"}


@pytest.mark.exhaustive
def test_the_good_ones_pass(isolation: Isolation) -> None:
    assert failures("reporter", "good") == {}
    assert failures("dataset", "good") == {}


def test_an_import_error(isolation: Isolation) -> None:
    source = reporter(top="import no_such_package")
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    reasons = failures("reporter")
    assert set(reasons) == {"loads"}
    assert "no_such_package" in reasons["loads"]
    with pytest.raises(errors.BrokenPlugin, match="no_such_package"):
        cv.reporters.create("mine")


def test_a_missing_attribute(isolation: Isolation) -> None:
    isolation.install("mine", {"reporter": {"mine": "mine:Nine"}}, {"mine": reporter()})
    reasons = failures("reporter")
    assert set(reasons) == {"loads"}
    assert "Nine" in reasons["loads"]
    with pytest.raises(errors.BrokenPlugin, match="Nine"):
        cv.reporters.create("mine")


def test_a_wrong_base_class(isolation: Isolation) -> None:
    isolation.install("mine", {"dataset": {"mine": "mine:Mine"}}, {"mine": reporter()})
    reasons = failures("dataset")
    assert set(reasons) == {"loads"}
    assert "does not derive from cellvision.Dataset" in reasons["loads"]
    with pytest.raises(errors.PluginContractError, match=r"cellvision\.Dataset"):
        cv.datasets.create("mine")


@pytest.mark.exhaustive
def test_keras_imported_at_the_top(isolation: Isolation) -> None:
    source = reporter(top="import keras")
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    reasons = failures("reporter")
    assert set(reasons) == {"loads_alone_and_cheaply"}
    assert "keras" in reasons["loads_alone_and_cheaply"]


@pytest.mark.exhaustive
def test_a_network_that_cannot_be_saved(isolation: Isolation) -> None:
    isolation.install("mine", {"architecture": {"mine": "mine:Mine"}}, {"mine": CUSTOM_LAYER})
    reasons = failures("architecture")
    assert set(reasons) == {"names_its_layers"}
    assert "Doubled" in reasons["names_its_layers"]


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("source", "expected", "says"),
    [
        (network(SUBCLASS, "Own()"), "builds_a_model", "no input shape"),
        (network(OWN_STEP, "Own(image, out)"), "builds_a_model", "defines train_step"),
        (network(OWN_LOSS, "Own(image, out)"), "builds_a_model", "defines compute_loss"),
        (network(model="'a network'"), "builds_a_model", "returned str"),
        (
            network().replace('activation="softmax"', "activation=None"),
            "probabilities_sum_to_one",
            "no probabilities",
        ),
        (network(optimizer="'adam'"), "trains", "not a keras.optimizers.Optimizer"),
        (
            network(UNNAMED_LAYER, 'keras.Model(image, Doubled(dtype="float32")(out) / 2)'),
            "names_its_layers",
            "Doubled",
        ),
    ],
)
def test_one_fault_of_a_network_is_one_failure(
    isolation: Isolation, source: str, expected: str, says: str
) -> None:
    isolation.install("mine", {"architecture": {"mine": "mine:Mine"}}, {"mine": source})
    faults = failures("architecture")
    assert set(faults) == {expected}
    assert says in faults[expected]


@pytest.mark.exhaustive
def test_a_network_that_learns_nothing_fails_where_it_trains(isolation: Isolation) -> None:
    frozen = (
        network()
        .replace("out = keras", "x = keras.ops.stop_gradient(x) * 0\n        out = keras")
        .replace('dtype="float32")(x)', 'dtype="float32", use_bias=False)(x)')
    )
    isolation.install("mine", {"architecture": {"mine": "mine:Mine"}}, {"mine": frozen})
    faults = failures("architecture")
    assert "trains" in faults
    assert set(faults) <= {"trains", "works_on_the_other_backend"}


@pytest.mark.exhaustive
def test_a_slow_import(isolation: Isolation) -> None:
    source = reporter(top="import time\ntime.sleep(2.5)")
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    faults = failures("reporter")
    assert set(faults) == {"loads_alone_and_cheaply"}
    assert "takes 2." in faults["loads_alone_and_cheaply"]


def test_a_class_of_a_notebook_needs_no_module(isolation: Isolation) -> None:
    class Cell(cv.Reporter):
        """Reports nothing, but looks at epochs."""

        def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
            """Look."""

    cv.reporters.register("cell", Cell)
    results = {result.check: result for result in check("reporter", "cell")}
    assert results["loads_alone_and_cheaply"].outcome == "skipped"
    assert results["survives_pickle"].outcome == "skipped"
    assert {name for name, result in results.items() if result.outcome == "failed"} <= {
        "reports_something"
    }


RECIPE = '''
"""A recipe."""
import cellvision as cv

class Mine(cv.Recipe):
    """Chooses little."""

    def experiment(self, facts):
        """Choose."""
        return {settings}
'''


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('{"training": {"epochs": 3}}', set()),
        ('["deep"]', {"chooses_settings"}),
        ('{"training": {"epochs": 0}}', {"settings_are_plain_and_valid"}),
        ('{"training": {"epochs": facts}}', {"settings_are_plain_and_valid"}),
        ('{"split": {"test": 0.5}}', {"leaves_the_data_set_alone"}),
        ('{"preprocessing": {"channels": [0, 1]}}', {"channels_fit_the_images"}),
        ('{"preprocessing": {"channels": []}}', {"settings_are_plain_and_valid"}),
        (
            '{"training": {"seed": __import__("random").getrandbits(30)}}',
            {"chooses_the_same_again"},
        ),
    ],
)
def test_recipes(isolation: Isolation, settings: str, expected: set[str]) -> None:
    source = RECIPE.format(settings=settings)
    isolation.install("mine", {"recipe": {"mine": "mine:Mine"}}, {"mine": source})
    results = check("recipe", "mine")
    assert {result.check for result in results if result.outcome == "failed"} == expected
    advice = {result.check: result.reason for result in results}
    left_open = any(word in settings for word in ("epochs", "seed", "split"))
    assert ("2 channels" in advice["channels_fit_the_images"]) == left_open


def test_settings_that_cannot_be_written(isolation: Isolation) -> None:
    source = reporter().replace(
        "    def run", "    marks: set = {1j}\n    '''Signs.'''\n\n    def run"
    )
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    reasons = failures("reporter")
    assert "survives_json" in reasons
    assert not set(reasons) - {"survives_json", "survives_toml", "survives_yaml", "has_a_schema"}


def test_writing_outside_its_folder(isolation: Isolation) -> None:
    source = reporter(before='(run.folder / "mine.txt").write_text("here too")')
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    reasons = failures("reporter")
    assert set(reasons) == {"writes_only_below_its_folder"}
    assert "mine.txt" in reasons["writes_only_below_its_folder"]


def test_writing_to_the_working_directory(
    isolation: Isolation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = reporter(before='open("stray.txt", "w").close()')
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    reasons = failures("reporter")
    assert "stray.txt" in reasons["writes_only_below_its_folder"]


def test_a_duplicate_name(isolation: Isolation) -> None:
    for distribution in ("first", "second"):
        isolation.install(
            distribution,
            {"reporter": {"mine": f"{distribution}_module:Mine"}},
            {f"{distribution}_module": reporter()},
        )
    reasons = failures("reporter")
    assert set(reasons) == {"loads"}
    assert "first" in reasons["loads"]
    assert "second" in reasons["loads"]
    with pytest.raises(errors.PluginConflict):
        cv.reporters.create("mine")
    assert failures("reporter", "first:mine") == {}


def test_a_name_with_a_space(isolation: Isolation) -> None:
    isolation.install("mine", {"reporter": {"my own": "mine:Mine"}}, {"mine": reporter()})
    reasons = failures("reporter", "my own")
    assert set(reasons) == {"loads"}
    assert "name" in reasons["loads"]


def test_made_for_another_version(isolation: Isolation) -> None:
    isolation.install(
        "mine",
        {"reporter": {"mine": "mine:Mine"}},
        {"mine": reporter()},
        requires=["cellvision>=99"],
    )
    reasons = failures("reporter")
    assert set(reasons) == {"fits_this_cellvision"}
    assert "cellvision>=99" in reasons["fits_this_cellvision"]


def test_missing_version(isolation: Isolation) -> None:
    isolation.install(
        "mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": reporter()}, requires=[]
    )
    assert set(failures("reporter")) == {"fits_this_cellvision"}


def test_an_exception_in_catalog(isolation: Isolation) -> None:
    source = DATASET.format(catalog="raise KeyError('plate 7')")
    isolation.install("mine", {"dataset": {"mine": "mine:Mine"}}, {"mine": source})
    reasons = failures("dataset")
    assert set(reasons) == {"lists_its_images"}
    assert "KeyError" in reasons["lists_its_images"]
    assert "plate 7" in reasons["lists_its_images"]


@pytest.mark.exhaustive
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
    reasons = {result.check: result.reason for result in results if result.outcome == "failed"}
    assert reasons == {"loads": "it passes although it was expected to fail"}


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

    with pytest.raises(CheckFailed, match="checked nothing"):
        Checks().test_of_an_empty_list()


@pytest.mark.parametrize(
    "base",
    [
        ArchitectureChecks,
        AugmenterChecks,
        ControlChecks,
        DatasetChecks,
        ExporterChecks,
        RecipeChecks,
        ReporterChecks,
        SplitterChecks,
    ],
)
def test_every_check_has_a_one_line_docstring(base: type[ComponentChecks]) -> None:
    checks = base.checks()
    assert len(checks) == len(set(checks)) > 15
    for name in checks:
        documentation = getattr(base, name).__doc__
        assert documentation.strip().endswith("."), name
        assert "\n" not in documentation.strip(), name


@pytest.mark.exhaustive
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
        "import sys, cellvision.testing.pytest_plugin\n"
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
    entries = {entry["check"]: entry for entry in json.loads(out)}
    assert code == 1
    assert entries["loads"]["outcome"] == "failed"
    assert entries["survives_json"]["outcome"] == "skipped"
    assert set(entries["loads"]) == {
        *("kind", "name", "origin", "check", "demand", "outcome", "reason", "hint", "traceback"),
    }
    names = [entries["loads"][key] for key in ("kind", "name", "origin")]
    assert names == ["reporter", "mine", "mine==1.0"]
    assert "no_such_package" in entries["loads"]["traceback"]


def test_a_failure_names_plugin_and_distribution_in_its_line(
    isolation: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    source = reporter(top="import no_such_package")
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    _, out, _ = run(capsys, "check", "mine")
    (failure,) = [line for line in out.splitlines() if line.startswith("failed")]
    assert failure.startswith("failed   reporter 'mine' (mine 1.0), loads: ")


def test_check_shows_tracebacks_on_request(
    isolation: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    source = reporter(top="import no_such_package")
    isolation.install("mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source})
    for words, shown in ((["check", "mine"], False), (["check", "mine", "--debug"], True)):
        code, _, err = run(capsys, *words)
        assert code == 1
        assert ("Traceback" in err) is shown


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
