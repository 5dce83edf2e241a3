"""What mypy --strict and editors know about the public names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pydantic
import pytest

import cellvision as cv

api = pytest.importorskip("mypy.api", reason="mypy comes with the extra 'check'")

SCRIPT = """
import cellvision as cv
from cellvision import io

experiment = cv.Experiment(
    dataset=cv.datasets.create("folder", path="images", group="well", batch="plate"),
    architecture=cv.architectures.create("resnet"),
    training=cv.Training(epochs=40, seed=0),
)
report = cv.audit(experiment)
reveal_type(cv.datasets.create("folder", path="images"))
reveal_type(cv.architectures.get("resnet"))
reveal_type(report.batch)
reveal_type(report.files[0].status)
reveal_type(cv.Audit.from_json(report.to_json()))
reveal_type(io.read_image("x.tif").bit_depth)
reveal_type(cv.load_run("run").audit)
cv.no_such_name
cv.datasets.register("mine", cv.augmenters.get("flip"))
"""

PLUGIN = """
import cellvision as cv
import numpy as np
import pandas as pd
from cellvision.io import luma, read_image


class Scans(cv.Dataset):
    folder: str = "."

    def catalog(self) -> pd.DataFrame:
        return pd.DataFrame({"image": ["1"], "label": ["a"]})

    def read(self, image: str) -> np.ndarray:
        return luma(read_image(f"{self.folder}/{image}").pixels)

    def decode(self, image: str) -> cv.DecodedImage:
        note = cv.Note("colour became grey", "colour_dropped", warning=True)
        return cv.DecodedImage(self.read(image), 8, (note,))


cv.datasets.register("scans", Scans)


@cv.splitters.register("one")
class One(cv.Splitter):
    share: float = 0.5

    def folds(self, catalog: pd.DataFrame) -> list[list[str]]:
        return [["test"] * len(catalog)]


half: float = One(share=0.5).share
folds = cv.splitters.create("one", share=0.5).folds(pd.DataFrame())
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("typed")
    (folder / "script.py").write_text(SCRIPT)
    (folder / "plugin.py").write_text(PLUGIN)
    config = Path(__file__).resolve().parents[1] / "pyproject.toml"
    arguments = ["--strict", f"--config-file={config}", "--follow-imports=silent"]
    files = [str(folder / "script.py"), str(folder / "plugin.py")]
    return api.run([*arguments, f"--cache-dir={folder}", *files])[0]


@pytest.mark.slow
def test_a_small_script_is_typed(output: str) -> None:
    revealed = [line.partition("Revealed type is ")[2] for line in output.splitlines()]
    types = [line.strip('"').replace("builtins.", "") for line in revealed if line]
    assert types == [
        "cellvision.interfaces.dataset.Dataset",
        "type[cellvision.interfaces.architecture.Architecture]",
        "cellvision.data.batch_confounding.BatchCounts | None",
        "Literal['read'] | Literal['skipped'] | Literal['refused']",
        "cellvision.data.audit.Audit",
        "int",
        "cellvision.data.audit.Audit | None",
    ]


@pytest.mark.exhaustive
def test_mistakes_are_found(output: str) -> None:
    mistakes = [line for line in output.splitlines() if ": error: " in line]
    assert len(mistakes) == 2
    assert 'has no attribute "no_such_name"' in mistakes[0]
    assert 'incompatible type "type[Augmenter]"; expected "type[Dataset]"' in mistakes[1]


@pytest.mark.slow
def test_a_small_plugin_passes(output: str) -> None:
    assert not [line for line in output.splitlines() if "plugin.py" in line]


def _public_annotations() -> Iterator[tuple[str, str]]:
    """Yield every annotation of the public functions, methods and properties, with its place."""
    for module in (cv, cv.io, cv.prepare, cv.remote, cv.statistics, cv.testing):
        for name in (name for name in module.__all__ if not name.startswith("_")):
            thing = getattr(module, name)
            members = {name: thing}
            if inspect.isclass(thing):
                classes = [cls for cls in thing.__mro__ if cls.__module__.startswith("cellvision")]
                members = {
                    f"{name}.{key}": member
                    for cls in classes
                    for key, member in vars(cls).items()
                    if not key.startswith("_") and not hasattr(pydantic.BaseModel, key)
                }
            for qualified_name, member in members.items():
                function = getattr(member, "fget", getattr(member, "func", member))
                for annotation in getattr(function, "__annotations__", {}).values():
                    yield qualified_name, str(annotation)


def test_public_api_is_typed() -> None:
    annotations = list(_public_annotations())
    assert len(annotations) > 500
    assert not [
        qualified_name
        for qualified_name, annotation in annotations
        if "dict[str, Any]" in annotation
    ]
