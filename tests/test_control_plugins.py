"""Controls are plugins: a stranger's is planned, run, judged and checked like ours."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import cellvision as cv
from cellvision import errors
from cellvision.cli.study_options import named_controls, requested_controls
from cellvision.data.prepared import prepare_data
from cellvision.results.environment import plugin_requirements
from cellvision.statistics import ControlMeaning
from cellvision.studies.control_contract import (
    checked_caveat,
    checked_experiment,
    checked_image,
    checked_labels,
    checked_meaning,
    checked_probabilities,
    checked_unavailable,
)
from cellvision.studies.controls import (
    control_view,
    installed_controls,
    selected_controls,
    with_changed_images,
)
from cellvision.studies.plan import plan_runs
from cellvision.testing import (
    Isolation,
    SyntheticImages,
    check,
    example_control_data,
    example_experiment,
    example_plugins,
)

ROOT = Path(__file__).parents[1]

CONTROL = '''
"""A control."""
from __future__ import annotations
from typing import ClassVar
import numpy as np
import cellvision as cv

class Mine(cv.Control):
    """Trains on mirror images."""

    label: ClassVar[str] = "mirror images"

    strength: int = 1
    """Unused."""

    def meaning(self):
        """Say it."""
        from cellvision.statistics import ControlMeaning
        return ControlMeaning({meaning})

{methods}
'''

MIRROR = """
    def change_image(self, pixels):
        return pixels[:, ::-1]
"""


def install(isolation: Isolation, methods: str = MIRROR, meaning: str = "") -> None:
    source = CONTROL.format(
        methods=methods, meaning=meaning or '"alternative explanation", "the mirror image"'
    )
    isolation.install(
        "lab-mirror", {"control": {"mirror": "lab_mirror:Mine"}}, {"lab_mirror": source}
    )


@pytest.fixture
def isolation(isolated_registries: Isolation) -> Iterator[Isolation]:
    with example_plugins():
        yield isolated_registries


# --- the core knows no control by name ------------------------------------------------------


def strings(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_the_core_names_no_control() -> None:
    names = {info.name for info in cv.controls.plugins()}
    assert {"permuted_groups", "texture"} <= names
    core = ROOT / "src" / "cellvision"
    figures = ROOT / "plugins" / "cellvision-reporters" / "src" / "cellvision_reporters"
    rooms = [core / "studies", core / "statistics", core / "results", core / "interfaces"]
    files = [file for room in (*rooms, figures) for file in room.rglob("*.py")]
    files += [core / "cli" / "study.py", core / "progress.py"]
    assert len(files) > 80
    # "batch" and "intensity" are also columns and settings of every experiment.
    ambiguous = {"batch": {"batch"}, "intensity": {"intensity"}}
    for file in files:
        texts = strings(file)
        found = {
            name
            for name in names
            for text in texts
            if (text == name and name not in ambiguous)
            or (name in ("permuted_groups", "permuted_images") and name in text)
        }
        # One docstring names an example.
        allowed = {"permuted_groups"} if file.name == "study.py" else set()
        assert found <= allowed, f"{file}: {found}"


# --- a stranger's control -------------------------------------------------------------------


def test_it_is_planned_with_its_settings(isolation: Isolation) -> None:
    install(isolation)
    experiment = example_experiment()
    control = cv.controls.create("mirror", strength=2)
    chosen = selected_controls([control], {"": experiment})
    planned = plan_runs({"": experiment}, 2, chosen)
    assert [run.name for run in planned] == ["000", "001", "mirror_000", "mirror_001"]
    assert [run.component for run in planned] == [None, None, control, control]
    assert [type(each) for each in installed_controls()] == [type(control)]
    assert plugin_requirements((experiment, control))["cellvision.controls:mirror"] == (
        "lab-mirror==1.0"
    )


def test_paths_in_its_settings_become_absolute() -> None:
    network = {"type": "encoder", "path": "encoder.onnx"}
    control = cv.controls.create("frozen_encoder", architecture=network)
    chosen = selected_controls([control], {"": example_experiment()})[""]["frozen_encoder"]
    settings = chosen.model_dump(mode="json")
    assert settings["architecture"]["path"] == str(Path("encoder.onnx").absolute())


def test_the_ladder_consists_of_lower_rungs_whoever_provides_them(isolation: Isolation) -> None:
    cv.controls.register("plain", Plain)
    install(isolation, meaning='"lower rung", "the mirror image"')
    experiments = {"": example_experiment()}
    mirror, other = cv.controls.create("mirror"), cv.controls.create("mirror", strength=3)
    assert requested_controls([], experiments) == []
    assert requested_controls([], experiments, ladder=True) == [mirror]
    assert requested_controls([], experiments, ladder=True, every=True) == [mirror, Plain()]
    # A rung that is named with settings is not run twice.
    named = named_controls(['{type = "mirror", strength = 3}', "plain"])
    assert requested_controls(named, experiments, ladder=True) == [other, Plain()]
    assert requested_controls(named[:1], experiments, every=True) == [other, Plain()]
    with pytest.raises(errors.ExperimentError, match="expected a name or a table"):
        named_controls(["{type=mirror}"])
    with pytest.raises(errors.UnknownPlugin, match="'miror'"):
        named_controls(["miror"])


def test_the_ladder_leaves_out_the_experiment_itself() -> None:
    experiment = example_experiment(architecture="scattering")
    for every in (False, True):
        rungs = requested_controls([], {"": experiment}, ladder=True, every=every)
        names = {cv.controls.name_of(type(control)) for control in rungs}
        assert "intensity" in names
        assert not {"texture", "batch"} & names
    with pytest.raises(errors.ExperimentError, match="'texture' cannot be run: it would be the"):
        selected_controls(["texture"], {"": experiment})


def test_a_name_is_sought_and_checked_before_anything_runs(isolation: Isolation) -> None:
    install(isolation)
    experiments = {"": example_experiment()}
    with pytest.raises(errors.UnknownPlugin, match="no control is called 'miror'") as unknown:
        selected_controls(["miror"], experiments)
    assert "mirror" in unknown.value.hint
    with pytest.raises(errors.UnknownPlugin) as known:
        selected_controls(["background"], experiments)
    assert "cellvision-controls" in known.value.hint
    with pytest.raises(errors.ExperimentError, match="'mirror' is named twice"):
        selected_controls(["mirror", "mirror"], experiments)
    for one in ("mirror", cv.controls.create("mirror")):
        assert list(selected_controls(one, experiments)[""]) == ["mirror"]


UNAVAILABLE = (
    MIRROR
    + """
    def unavailable(self, catalog):
        return "" if "treated" in set(catalog["label"]) else "no treated cells"
"""
)


def test_it_runs_only_where_it_is_available(isolation: Isolation) -> None:
    install(isolation, UNAVAILABLE)
    treated = example_experiment(dataset=SyntheticImages(names=("control", "treated")))
    chosen = selected_controls(["mirror"], {"a": example_experiment(), "b": treated})
    assert [list(each) for each in chosen.values()] == [[], ["mirror"]]
    assert selected_controls(True, {"a": example_experiment()}) == {"a": {}}
    with pytest.raises(errors.ExperimentError, match="'mirror' cannot be run: no treated cells"):
        selected_controls(["mirror"], {"a": example_experiment()})


SEEDS = """
    depends_on_seed: ClassVar[bool] = False
    order: ClassVar[int] = 1

    def change_experiment(self, experiment):
        training = experiment.training.model_copy(update={"epochs": 1})
        return experiment.model_copy(update={"training": training})
"""


def test_a_control_with_another_experiment_runs_last_and_once(isolation: Isolation) -> None:
    install(isolation, SEEDS)
    cv.controls.register("plain", Plain)
    experiment = example_experiment()
    chosen = selected_controls(["mirror", "plain"], {"": experiment})
    assert list(chosen[""]) == ["mirror", "plain"]
    planned = plan_runs({"": experiment}, 2, chosen)
    assert [run.name for run in planned] == ["000", "001", "plain_000", "plain_001", "mirror_000"]
    assert [run.experiment.training.epochs for run in planned] == [2, 2, 2, 2, 1]
    # The same training: it would be the experiment itself.
    short = example_experiment(training=planned[-1].experiment.training)
    assert list(selected_controls(True, {"": short})[""]) == ["plain"]


@pytest.mark.slow
def test_it_is_judged_and_the_study_is_readable_without_it(
    isolation: Isolation, tmp_path: Path
) -> None:
    meaning = '"lower rung", "the mirror image", {"more": "never", "open": "undecided"}'
    install(isolation, meaning=meaning)
    result = cv.study(
        example_experiment(), 1, tmp_path / "study", controls=["mirror"], progress=False
    )
    (run,) = result.controls["mirror"]
    true = result.runs[0]
    some = list(true.predictions["image"][:3])
    np.testing.assert_array_equal(run.model_input(some), true.model_input(some)[:, :, ::-1])
    assert run.warnings[0] == (
        "CONTROL (mirror images): nothing here is a result of the experiment."
    )
    assert run.metadata.plugins["cellvision.controls:mirror"] == "lab-mirror==1.0"
    # The plugin is gone: the record says what it was.
    for file in isolation.folder.glob("lab_mirror*/entry_points.txt"):
        file.unlink()
    cv.controls.rescan()
    assert "mirror" not in cv.controls
    reopened = cv.load_study(tmp_path / "study")
    (record,) = reopened.metadata.controls
    assert (record.label, record.kind) == ("mirror images", "lower rung")
    assert record.description == "Trains on mirror images."
    assert record.settings == {"type": "mirror", "strength": 1}
    verdict = reopened.verdicts[0]
    assert [each.control for each in verdict.controls] == ["mirror"]
    assert "The mirror image: accuracy" in verdict.controls[0].sentence
    assert not verdict.missing_controls
    with pytest.raises(errors.UnknownPlugin, match="mirror"):
        reopened.controls["mirror"][0].model_input(some)


def test_what_it_says_against_itself_is_recorded(isolation: Isolation, tmp_path: Path) -> None:
    caveat = """
    def caveat(self, data):
        rows = data.table.iloc[data.training_rows]
        assert set(rows["split"]) == {"train"} and len(data.pixels) == len(data.table)
        return f"all {data.pixels.shape[1]} rows are symmetric"
"""
    install(isolation, MIRROR + caveat)
    result = cv.study(
        example_experiment(), 1, tmp_path / "study", controls=["mirror"], progress=False
    )
    (run,) = result.controls["mirror"]
    image = run.predictions["image"][0]
    (control,) = cv.load_study(tmp_path / "study").verdicts[0].controls
    said = f"all {len(run.model_input([image])[0])} rows are symmetric"
    assert run.metadata.control_caveat == control.caveat == said
    assert result.runs[0].metadata.control_caveat == ""
    assert (f"It decides nothing: {said}." in control.sentence) == (control.finding != "more")


@pytest.mark.slow
def test_a_study_lists_what_was_not_run(isolation: Isolation, tmp_path: Path) -> None:
    install(isolation)
    result = cv.study(example_experiment(), 1, tmp_path / "study", progress=False)
    assert {verdict.missing_controls for verdict in result.verdicts} == {("mirror",)}
    assert [each.label for each in result.metadata.controls] == ["mirror images"]
    plan = json.loads((tmp_path / "study" / ".plan.json").read_text())
    assert plan["controls"] == []


# --- broken ones ----------------------------------------------------------------------------


class Plain(cv.Control):
    """Changes nothing in an image."""

    def meaning(self) -> ControlMeaning:
        return ControlMeaning("alternative explanation", "nothing")

    def change_image(self, pixels: np.ndarray) -> np.ndarray:
        return pixels


class Nothing(cv.Control):
    """Overrides nothing."""

    returns: ClassVar[Any] = None

    def meaning(self) -> ControlMeaning:
        return ControlMeaning("lower rung", "nothing")


class Broken(Plain):
    """Returns what `returns` says, whatever is asked."""

    returns: ClassVar[Any] = None

    def meaning(self) -> ControlMeaning:
        return self.returns() if callable(self.returns) else self.returns


class BrokenImages(Broken):
    def change_image(self, pixels: np.ndarray) -> np.ndarray:
        return self.returns(pixels)


class BrokenLabels(Nothing):
    def change_labels(self, data: cv.ControlData, seed: int) -> list[str]:
        return self.returns(list(data.table["label"]))


class BrokenProbabilities(Nothing):
    def predict(self, data: cv.ControlData, seed: int) -> np.ndarray:
        return self.returns(np.full((len(data.table), 2), 0.5))


class BrokenAvailability(Broken):
    def unavailable(self, catalog: pd.DataFrame) -> str:
        return self.returns(catalog)


class BrokenCaveat(BrokenImages):
    def caveat(self, data: cv.ControlData) -> str:
        return self.returns(data)


class BrokenExperiment(Nothing):
    def change_experiment(self, experiment: cv.Experiment) -> cv.Experiment:
        return self.returns(experiment)


def meaning_of(control: cv.Control) -> None:
    checked_meaning(control)


def image_of(control: cv.Control) -> None:
    checked_image(control, np.zeros((4, 5, 1), np.uint8))


def labels_of(control: cv.Control) -> None:
    checked_labels(control, example_control_data(), 0)


def caveat_of(control: cv.Control) -> None:
    checked_caveat(control, example_control_data())


def availability_of(control: cv.Control) -> None:
    checked_unavailable(control, example_control_data().table)


def probabilities_of(control: cv.Control) -> None:
    checked_probabilities(control, example_control_data(), 0)


def experiment_of(control: cv.Control) -> None:
    checked_experiment(control, example_experiment())


OTHER = SyntheticImages(names=("a", "b"))


@pytest.mark.parametrize(
    ("base", "returns", "use", "what"),
    [
        (Nothing, None, meaning_of, "it changes nothing"),
        (Broken, "a leak", meaning_of, "meaning() returned str"),
        (
            Broken,
            lambda: ControlMeaning("rung", "it"),  # type: ignore[arg-type]
            meaning_of,
            "there is no kind of control 'rung'",
        ),
        (
            Broken,
            lambda: ControlMeaning("lower rung", "it", {"better": "x"}),  # type: ignore[dict-item]
            meaning_of,
            "there is no finding 'better'",
        ),
        (Broken, lambda: ControlMeaning("lower rung", " "), meaning_of, "has no subject"),
        (
            Broken,
            ControlMeaning("permuted labels", "it"),
            meaning_of,
            "'permuted labels', but it does not change labels",
        ),
        (BrokenLabels, list, meaning_of, "'lower rung', but it changes labels"),
        (BrokenImages, lambda x: x[:2], image_of, "turned 4×5×1 uint8 into 2×5×1 uint8"),
        (BrokenImages, lambda x: x / 255, image_of, "into 4×5×1 float64"),
        (BrokenLabels, lambda x: x[1:], labels_of, "returned 71 labels for 72 images"),
        (BrokenLabels, lambda x: ["dead", *x[1:]], labels_of, "'dead', which is no class"),
        (BrokenLabels, lambda x: ["control"] * 72, labels_of, "no training image of 'treated'"),
        (BrokenProbabilities, lambda x: x[:, :1], probabilities_of, "72×1 float64, not 72×2"),
        (BrokenProbabilities, lambda x: 2 * x, probabilities_of, "that are no probabilities"),
        (BrokenProbabilities, lambda x: x * np.nan, probabilities_of, "no probabilities"),
        (BrokenExperiment, lambda _: None, experiment_of, "returned NoneType"),
        (BrokenAvailability, lambda _: True, availability_of, "unavailable() returned bool"),
        (BrokenCaveat, lambda _: ["full"], caveat_of, "caveat() returned list"),
        *(
            (base, lambda _: sys.exit(3), use, "() ends the process: SystemExit: 3")
            for base, use in (
                (BrokenImages, image_of),
                (BrokenLabels, labels_of),
                (BrokenProbabilities, probabilities_of),
                (BrokenExperiment, experiment_of),
                (BrokenAvailability, availability_of),
                (BrokenCaveat, caveat_of),
            )
        ),
        (
            BrokenExperiment,
            lambda x: x.model_copy(update={"dataset": OTHER}),
            experiment_of,
            "changed the dataset",
        ),
        (
            BrokenExperiment,
            lambda x: x.model_copy(update={"training": "short"}),
            experiment_of,
            "change_experiment() fails: experiment: training: ",
        ),
        (
            BrokenExperiment,
            lambda x: x.model_copy(update={"augmenters": None}),
            experiment_of,
            "change_experiment() fails: experiment: augmenters: ",
        ),
    ],
)
def test_each_broken_control_has_its_own_error(
    base: type[cv.Control], returns: Any, use: Any, what: str
) -> None:
    wrapped = staticmethod(returns) if callable(returns) else returns
    attributes = {"returns": wrapped, "__module__": __name__}
    cls = type("Mine", (base,), {**attributes, "__annotations__": {"returns": ClassVar[Any]}})
    cv.controls.register("mine", cls)
    try:
        with pytest.raises(errors.PluginContractError) as caught:
            use(cls())
    finally:
        cv.controls.unregister("mine")
    assert caught.value.what.startswith(("control 'mine' (", "control Mine (module "))
    assert what in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize(
    ("entry", "source", "error", "what"),
    [
        ("lab:Mine", "import no_such_package", errors.BrokenPlugin, "no_such_package"),
        ("lab:Mine", "Mine = 7", errors.PluginContractError, "is not a class"),
        ("lab:Mine", "class Mine: pass", errors.PluginContractError, "derive from"),
        (
            "lab:Mine",
            "import cellvision as cv\nclass Mine(cv.Control):\n    '''Is no control.'''",
            errors.PluginContractError,
            "does not define meaning",
        ),
    ],
)
def test_what_is_no_control_is_named_and_does_not_disturb_others(
    isolation: Isolation,
    caplog: pytest.LogCaptureFixture,
    entry: str,
    source: str,
    error: type[errors.PluginError],
    what: str,
) -> None:
    isolation.install("lab", {"control": {"mine": entry}}, {"lab": source})
    install(isolation)
    with pytest.raises(error, match=what):
        selected_controls(["mine"], {"": example_experiment()})
    assert [type(each).__name__ for each in installed_controls()] == ["Mine"]
    assert what in caplog.text


# --- the kit --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "meaning", "failed"),
    [
        (MIRROR, "", set()),
        ("    pass", "", {"says_what_it_means"}),
        (MIRROR, '"permuted labels", "it"', {"says_what_it_means"}),
        (
            "    def change_image(self, pixels):\n        pixels[0] = 0\n        return pixels",
            "",
            {"changes_images"},
        ),
        (
            "    def predict(self, data, seed):\n        return np.eye(2)[data.labels]",
            "",
            {"predicts_from_training_labels_alone"},
        ),
        (
            "    def predict(self, data, seed):\n"
            "        data.table['label'] = 'control'\n"
            "        return np.full((len(data.table), 2), 0.5)",
            "",
            {"leaves_the_table_alone"},
        ),
        (
            "    def change_labels(self, data, seed):\n        return list(data.table['label'])",
            '"permuted labels", "it"',
            {"changes_labels"},
        ),
    ],
)
@pytest.mark.exhaustive
def test_each_fault_fails_its_check(
    isolation: Isolation, methods: str, meaning: str, failed: set[str]
) -> None:
    install(isolation, methods, meaning)
    results = check("control", "mirror")
    assert {result.check for result in results if result.outcome == "failed"} - {
        "is_documented"
    } == failed


# --- what a control may see -----------------------------------------------------------------


def test_the_view_is_read_only_and_complete() -> None:
    prepared = prepare_data(example_experiment())
    view = control_view(prepared)
    assert list(view.table["image"]) == list(prepared.catalog.table["image"])
    assert {"label", "split", "group", "batch", "block", "copies"} <= set(view.table)
    assert view.table.groupby("group")["block"].nunique().max() == 1
    assert view.table["copies"].is_unique
    np.testing.assert_array_equal(view.labels, prepared.labels)
    np.testing.assert_array_equal(view.training_rows, prepared.rows("train"))
    assert not view.pixels.flags.writeable
    view.table["label"] = "gone"
    assert "gone" not in set(prepared.catalog.table["label"])


def test_images_are_changed_once_each_and_marked() -> None:
    prepared = prepare_data(example_experiment())
    cv.controls.register("plain", Plain)
    counted: list[tuple[int, int]] = []
    try:
        changed = with_changed_images(
            Plain(), prepared, lambda done, total: counted.append((done, total))
        )
    finally:
        cv.controls.unregister("plain")
    np.testing.assert_array_equal(changed.pixels, prepared.pixels)
    assert changed.pixels.dtype == prepared.pixels.dtype
    assert counted[-1] == (len(prepared.pixels), len(prepared.pixels))
    assert changed.warnings[0].startswith("CONTROL (plain)")
    assert isinstance(changed.catalog.table, pd.DataFrame)


class Darker(Plain):
    by: int = 1

    def change_image(self, pixels: np.ndarray) -> np.ndarray:
        return pixels - np.minimum(pixels, self.by)


@contextmanager
def _registered(name: str, control: type[cv.Control]) -> Iterator[None]:
    cv.controls.register(name, control)
    try:
        yield
    finally:
        cv.controls.unregister(name)


def _defined_without_a_file(change: str) -> type[cv.Control]:
    """Define a control as a notebook does: its source code is in no file."""
    names: dict[str, Any] = {"Plain": Plain, "__name__": "__main__"}
    code = f"class Typed(Plain):\n    def change_image(self, pixels):\n        return {change}\n"
    exec(code, names)
    typed: type[cv.Control] = names["Typed"]
    return typed


def test_changed_images_are_kept_for_later_studies() -> None:
    prepared = prepare_data(example_experiment())

    def change(control: cv.Control) -> tuple[np.ndarray, int]:
        """Return the changed images, and how many of them were changed anew."""
        counted = [0]
        changed = with_changed_images(control, prepared, lambda done, _: counted.append(done))
        return changed.pixels, counted[-1]

    every = len(prepared.pixels)
    with _registered("darker", Darker):
        first, anew = change(Darker())
        assert anew == every
        again, anew = change(Darker())
        assert anew == 0
        np.testing.assert_array_equal(again, first)
        other, anew = change(Darker(by=2))
        assert anew == every
        assert (first >= other).all()
        assert (first > other).any()
    for code, expected in [("pixels", 1), ("pixels", 0), ("pixels // 2", 1)]:
        typed = _defined_without_a_file(code)
        with _registered("typed", typed):
            assert change(typed())[1] == expected * every
