"""Each way to break a splitter, recipe, verb or decoder has its own error, which names it.

Controls are in test_control_plugins.py, exporters in test_exporters.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydantic
import pytest
import tiny

import cellvision as cv
from cellvision import errors, io
from cellvision.cli import main
from cellvision.data.catalog import Catalog
from cellvision.data.fold_assignment import fold_splits
from cellvision.interface_versions import INTERFACE_VERSIONS, Introduced
from cellvision.testing.isolation import Isolation

# --- splitters ------------------------------------------------------------------------------


class InMemory(cv.Dataset):
    """Sixteen images of eight wells."""

    def catalog(self) -> pd.DataFrame:
        rows = range(16)
        return pd.DataFrame(
            {
                "image": [f"{k}.png" for k in rows],
                "label": [("dark", "light")[k // 2 % 2] for k in rows],
                "group": [f"w{k // 2}" for k in rows],
            }
        )

    def read(self, image: str) -> np.ndarray:
        return np.zeros((4, 4, 1), np.uint8)


def _exit(catalog: pd.DataFrame) -> Any:
    raise SystemExit(3)


def _spoil(catalog: pd.DataFrame) -> Any:
    catalog.drop(columns="label", inplace=True)  # noqa: PD002 - what a bad plugin does
    return [["train"] * 12 + ["test"] * 4]


@pytest.mark.parametrize(
    ("folds", "error", "what"),
    [
        (lambda table: (), errors.PluginContractError, "no fold"),
        (lambda table: None, errors.PluginContractError, "NoneType"),
        (lambda table: 3, errors.PluginContractError, "int"),
        (lambda table: "train", errors.PluginContractError, "str"),
        (lambda table: {1: ["train"]}, errors.PluginContractError, "dict, not a list of folds"),
        (lambda table: ["train"], errors.PluginContractError, "fold 1 is str"),
        (lambda table: [3], errors.PluginContractError, "int"),
        (lambda table: [["train"] * 15], errors.PluginContractError, "15 splits for 16 images"),
        (lambda table: [["train"] * 15 + ["hold"]], errors.PluginContractError, "'hold'"),
        (lambda table: [["train"] * 15 + [7]], errors.PluginContractError, "7"),
        (lambda table: [["train"] * 15 + ["test"]], errors.PluginContractError, "divides the gro"),
        (lambda table: [["train"] * 16], errors.SplitError, "no test image"),
        (lambda table: [["train"] * 2 + ["test"] * 14], errors.SplitError, "class 'light'"),
        (_exit, errors.PluginContractError, "SystemExit"),
    ],
)
def test_each_broken_splitter_has_its_own_error(
    folds: Callable[[pd.DataFrame], Any], error: type[errors.CellvisionError], what: str
) -> None:
    class Mine(cv.Splitter):
        """Divides wrongly."""

        def folds(self, catalog: pd.DataFrame) -> Sequence[Sequence[str]]:
            answer: Sequence[Sequence[str]] = folds(catalog)
            return answer

    cv.splitters.register("mine", Mine)
    try:
        with pytest.raises(error) as caught:
            fold_splits(Mine(), Catalog.of(InMemory()), {})
    finally:
        cv.splitters.unregister("mine")
    assert what in caught.value.what
    # The others are about these images, not about the plugin.
    assert ("'mine'" in caught.value.what) == (error is errors.PluginContractError)
    assert "\n" not in caught.value.what


@pytest.mark.parametrize(
    ("column", "what"),
    [("plate", "which the catalog lacks"), ("label", "trains and tests on label 'dark'")],
)
def test_a_splitter_must_leave_out_what_it_says(column: str, what: str) -> None:
    class Mine(cv.Splitter):
        """Divides blocks, and claims to leave out more."""

        @property
        def left_out_column(self) -> str:
            return column

        def folds(self, catalog: pd.DataFrame) -> Sequence[Sequence[str]]:
            return [["test" if block < 2 else "train" for block in catalog["block"]]]

    with pytest.raises(errors.PluginContractError, match=what) as caught:
        fold_splits(Mine(), Catalog.of(InMemory()), {})
    assert "left_out_column" in caught.value.what


def test_a_splitter_cannot_change_the_catalog() -> None:
    class Mine(cv.Splitter):
        """Removes a column."""

        def folds(self, catalog: pd.DataFrame) -> Sequence[Sequence[str]]:
            answer: Sequence[Sequence[str]] = _spoil(catalog)
            return answer

    whole = Catalog.of(InMemory())
    fold_splits(Mine(), whole, {})
    assert "label" in whole.table


# --- recipes --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"), count=8)


@pytest.mark.parametrize(
    ("returns", "what"),
    [
        (lambda: None, "returned NoneType, not a table of settings"),
        (lambda: ["deep"], "returned list, not a table of settings"),
        (lambda: {"dataset": "folder"}, "chooses the data set"),
        (lambda: {"split": {"test": 0.5}}, "chooses the split"),
        (lambda: {"trainings": {"epochs": 3}}, "trainings"),
        (lambda: {"training": {"epochs": 0}}, "epochs"),
        (lambda: {"training": {"epoch": 3}}, "epoch"),
        (lambda: {"training": {"optimizer": object()}}, "optimizer"),
        (lambda: {"preprocessing": {"size": [0, 0]}}, "size"),
        (lambda: {"architecture": 7}, "architecture"),
        (lambda: {"augmenters": "flip"}, "augmenters"),
        (lambda: exit_process(), "SystemExit"),
    ],
)
def test_each_broken_recipe_has_its_own_error(
    images: Path, returns: Callable[[], Any], what: str
) -> None:
    class Mine(cv.Recipe):
        """Chooses wrongly."""

        def experiment(self, facts: cv.ImageFacts) -> dict[str, Any]:
            chosen: dict[str, Any] = returns()
            return chosen

    cv.recipes.register("mine", Mine)
    try:
        with pytest.raises(errors.PluginContractError) as caught:
            cv.experiment_from_recipe(images, "mine")
    finally:
        cv.recipes.unregister("mine")
    assert caught.value.what.startswith("recipe 'mine'")
    assert what in caught.value.what
    assert "\n" not in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize("chosen", ["deep", {"type": "deep", "dense": 20}])
def test_settings_without_a_name_are_for_the_architecture_of_the_recipe(
    images: Path, chosen: Any
) -> None:
    class Mine(cv.Recipe):
        """Chooses an architecture."""

        def experiment(self, facts: cv.ImageFacts) -> dict[str, Any]:
            return dict(choice)

    choice: dict[str, Any] = {}
    cv.recipes.register("mine", Mine)
    try:
        for network, settings, expected in (
            (chosen, {"dense": 30}, cv.architectures.create("deep", dense=30)),
            ("resnet", {"type": "deep", "dense": 5}, cv.architectures.create("deep", dense=5)),
        ):
            choice["architecture"] = network
            made = cv.experiment_from_recipe(images, "mine", {"architecture": settings})
            assert made.architecture == expected
        choice["architecture"] = "resnet"
        with pytest.raises(errors.ExperimentError, match=r"architecture 'resnet'.*'dense'"):
            cv.experiment_from_recipe(images, "mine", {"architecture": {"dense": 5}})
    finally:
        cv.recipes.unregister("mine")


def exit_process() -> Any:
    raise SystemExit(3)


def test_a_recipe_that_names_what_is_missing_says_how_to_install_it(images: Path) -> None:
    class Mine(cv.Recipe):
        """Names an architecture that nobody has."""

        def experiment(self, facts: cv.ImageFacts) -> dict[str, Any]:
            return {"architecture": "deeq"}

    cv.recipes.register("mine", Mine)
    try:
        with pytest.raises(errors.UnknownPlugin, match=r"^recipe 'mine' .*deeq"):
            cv.experiment_from_recipe(images, "mine")
    finally:
        cv.recipes.unregister("mine")


# --- errors of libraries that plugins call -----------------------------------------------


class Bounded(pydantic.BaseModel):
    size: int


def _validation_error() -> Exception:
    with pytest.raises(pydantic.ValidationError) as caught:
        Bounded(size="x")  # type: ignore[arg-type]
    return caught.value


KERAS_FAULT = """Exception encountered when calling Dense.call().

\x1b[1mMatrix size-incompatible: In[0]: [2,3], In[1]: [4,5]\x1b[0m

Arguments received by Dense.call():
  - inputs=tf.Tensor(shape=(2, 3), dtype=float32)"""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError(KERAS_FAULT), "ValueError: Matrix size-incompatible: In[0]: [2,3], In[1]: [4"),
        (
            ValueError(
                "Exception encountered when calling L.call().\n\n\x1b[1mCould not automatically "
                "infer the output shape of 'l'. Error encountered:\n\nno such axis\x1b[0m"
            ),
            "ValueError: no such axis",
        ),
        (_validation_error(), "ValidationError: size: Input should be a valid integer"),
        (
            TypeError(
                "dot_general requires contracting dimensions\n----\nFor simplicity, JAX has "
                "removed its internal frames"
            ),
            "TypeError: dot_general requires contracting dimensions",
        ),
        (
            TypeError(
                "<class 'Sequential'> could not be deserialized properly. config={...}. Exception "
                "encountered: Could not locate class 'Twice'. Make sure it is registered. "
                "Full object config: {...}"
            ),
            "TypeError: Could not locate class 'Twice'. Make sure it is registered.",
        ),
        (KeyError(), "KeyError"),
    ],
)
def test_the_useful_line_of_an_error_is_shown(error: Exception, line: str) -> None:
    assert errors.summarize(error).startswith(line)


# --- verbs ----------------------------------------------------------------------------------

VERB = "import typer\napp = typer.Typer()\n"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("app = 3", "it is int, not a typer.Typer application"),
        ("def app():\n    pass", "it is function, not a typer.Typer application"),
        ("import typer\napp = typer.Typer", "it is type, not a typer.Typer application"),
        ("import click\n@click.command()\ndef app():\n    pass", "it is Command, not a typer"),
        (VERB, "cannot be used: "),
        (VERB + "@app.command()\ndef run(x: int | str):\n    pass", "cannot be used: "),
        ("import nowhere_at_all", "cannot be imported: ModuleNotFoundError"),
        ("application = 3", "cannot be imported: AttributeError"),
        ("def app(:", "cannot be imported: SyntaxError"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit"),
        (VERB + "@app.command()\ndef run():\n    1 / 0", "failed: ZeroDivisionError"),
        (VERB + "@app.command()\ndef run():\n    open('/nowhere/x')", "/nowhere/x"),
    ],
)
def test_each_broken_verb_has_its_own_error(
    source: str, what: str, isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    isolated_registries.install(
        "lab-verb", {"verb": {"count": "lab_verb:app"}}, {"lab_verb": source}
    )
    with pytest.raises(SystemExit) as caught:
        main(["count"])
    lines = capsys.readouterr().err.splitlines()
    assert caught.value.code in (1, 2)
    assert lines[0].startswith("error: verb ")
    assert "lab-verb 1.0" in lines[0]
    assert what in lines[0]
    assert len(lines) <= 2


@pytest.fixture
def second_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that cellvision 0.1 changed the interfaces of verbs and decoders."""
    versions = (Introduced(1, "0.0.5"), Introduced(2, "0.1"))
    for group in ("cellvision.verbs", "cellvision.decoders"):
        monkeypatch.setitem(INTERFACE_VERSIONS, group, versions)


@pytest.mark.usefixtures("second_version")
def test_a_verb_of_another_time_is_refused(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    source = VERB + "@app.command()\ndef run():\n    pass"
    isolated_registries.install(
        *("lab-verb", {"verb": {"count": "lab_verb:app"}}, {"lab_verb": source}),
        requires=("cellvision>=0.0.5",),
    )
    with pytest.raises(SystemExit):
        main(["count"])
    assert "verb count (lab-verb 1.0) is built for version 1" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["verb", "decoder"])
def test_a_verb_or_decoder_for_a_newer_cellvision_is_refused(
    kind: str,
    isolated_registries: Isolation,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    isolated_registries.install(
        *("lab-new", {kind: {"raw": "lab_new:app"}}, {"lab_new": VERB}),
        requires=("cellvision>=7",),
    )
    path = tmp_path / "cell.raw"
    path.write_bytes(bytes(64))
    if kind == "verb":
        with pytest.raises(SystemExit):
            main(["raw"])
        said = capsys.readouterr().err
    else:
        with pytest.raises(errors.PluginContractError) as caught:
            io.read_image(path)
        said = caught.value.what
    assert f"{kind} raw (lab-new 1.0) needs cellvision >=7, and this is" in said


# --- decoders -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "error", "what"),
    [
        ("decode = 3", errors.PluginContractError, "is int, not a function"),
        ("import nowhere_at_all", errors.BrokenPlugin, "cannot be imported: ModuleNotFoundError"),
        ("decoder = 3", errors.BrokenPlugin, "cannot be imported: AttributeError"),
        ("def decode(:", errors.BrokenPlugin, "cannot be imported: SyntaxError"),
        ("raise SystemExit(3)", errors.BrokenPlugin, "cannot be imported: SystemExit"),
        ("def decode(): pass", errors.UnreadableImage, "failed: TypeError"),
        ("def decode(path): 1 / 0", errors.UnreadableImage, "failed: ZeroDivisionError"),
        ("def decode(path): raise SystemExit(3)", errors.UnreadableImage, "failed: SystemExit"),
        ("def decode(path): pass", errors.PluginContractError, "returned NoneType"),
        (
            "import numpy\ndef decode(path): return numpy.zeros(64)",
            errors.PluginContractError,
            "returned ndarray (64,), float64",
        ),
        (
            "import numpy\ndef decode(path): return numpy.zeros((0, 8, 1))",
            errors.PluginContractError,
            "returned ndarray (0, 8, 1), float64",
        ),
        (
            "import numpy\ndef decode(path): return numpy.full((8, 8, 1), 'x')",
            errors.PluginContractError,
            "returned ndarray (8, 8, 1), <U1",
        ),
        (
            "import cellvision\ndef decode(path): return cellvision.DecodedImage(None, 8, ())",
            errors.PluginContractError,
            "returned NoneType",
        ),
    ],
)
def test_each_broken_decoder_has_its_own_error(
    source: str,
    error: type[errors.CellvisionError],
    what: str,
    isolated_registries: Isolation,
    tmp_path: Path,
) -> None:
    isolated_registries.install(
        "lab-raw", {"decoder": {"raw": "lab_raw:decode"}}, {"lab_raw": source}
    )
    path = tmp_path / "cell.raw"
    path.write_bytes(bytes(64))
    with pytest.raises(error) as caught:
        io.read_image(path)
    assert "decoder raw (lab-raw 1.0)" in caught.value.what
    assert what in caught.value.what
    assert "\n" not in caught.value.what


@pytest.mark.usefixtures("second_version")
def test_a_decoder_of_another_time_is_refused(
    isolated_registries: Isolation, tmp_path: Path
) -> None:
    isolated_registries.install(
        *("lab-raw", {"decoder": {"raw": "lab_raw:decode"}}, {"lab_raw": "decode = 3"}),
        requires=("cellvision>=0.0.5",),
    )
    path = tmp_path / "cell.raw"
    path.write_bytes(bytes(64))
    with pytest.raises(errors.PluginContractError, match="is built for version 1"):
        io.read_image(path)
