"""A run's model file may come from a stranger: it runs no code, and damage is one clear error."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

import cellvision as cv
from cellvision import errors

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_plugins")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    root = tmp_path_factory.mktemp("trust")
    images = tiny.make_folder(root / "images", count=8)
    return cv.train(tiny.experiment(images, epochs=1), root / "run")


def changed(run: cv.Run, tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> cv.Run:
    """Copy a run with another configuration in its model file."""
    folder = shutil.copytree(run.folder, tmp_path / "run")
    with zipfile.ZipFile(run.folder / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    parts["config.json"] = json.dumps(change(config)).encode()
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return cv.load_run(folder)


def test_a_lambda_in_a_model_does_not_run(run: cv.Run, tmp_path: Path) -> None:
    import keras

    mark = tmp_path / "executed"
    layer = keras.layers.Lambda(eval("lambda x: [open(mark, 'w'), x][1]", {"mark": str(mark)}))
    stranger = keras.Sequential([keras.Input((16, 16, 1)), layer])
    stranger.save(tmp_path / "lambda.keras")
    mark.unlink(missing_ok=True)
    folder = shutil.copytree(run.folder, tmp_path / "run")
    shutil.copy(tmp_path / "lambda.keras", folder / "model.keras")
    with pytest.raises(errors.FolderError, match="the model cannot be read"):
        cv.load_run(folder).model()
    assert not mark.exists()


def name_a_function(config: Any) -> Any:
    """Replace every activation by a function of the standard library."""
    foreign = {"module": "os", "class_name": "function", "config": "getcwd"}
    if isinstance(config, list):
        return [name_a_function(each) for each in config]
    if not isinstance(config, dict):
        return config
    return {
        key: {**foreign, "registered_name": "getcwd"}
        if key == "activation"
        else name_a_function(value)
        for key, value in config.items()
    }


@pytest.mark.parametrize(
    "change",
    [
        name_a_function,
        lambda config: {},
        lambda config: {**config, "config": {}},
        lambda config: {**config, "config": {"layers": [{"class_name": None}]}},
        lambda config: [config],
        lambda config: "text",
    ],
)
def test_a_foreign_configuration_is_refused(
    run: cv.Run, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    other = changed(run, tmp_path, change)
    with pytest.raises(errors.CellvisionError) as refused:
        other.model()
    assert "model.keras" in str(refused.value) or "layer" in str(refused.value)
    assert "\n" not in refused.value.what


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + bytes(64)])
def test_a_file_that_is_no_model(run: cv.Run, tmp_path: Path, content: bytes) -> None:
    folder = shutil.copytree(run.folder, tmp_path / "run")
    (folder / "model.keras").write_bytes(content)
    with pytest.raises(errors.FolderError, match="the model cannot be read"):
        cv.load_run(folder).model()
