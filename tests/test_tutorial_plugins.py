"""The plugins of the tutorial that no template contains work as written."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import cellvision as cv
from cellvision import errors
from cellvision.data.batch_reads import scan
from cellvision.recognised_paths import recognising_dataset

PAGE = Path(__file__).parents[1] / "docs" / "tutorial" / "plugin.md"
BLOCK = re.compile(r"^% not run: [^\n]+\n```python\n(.*?)^```$", re.M | re.S)
HEAD = '"""A plugin of the tutorial."""\nimport cellvision as cv\n\n'


def block(containing: str) -> str:
    """The only block of the page that does not run there and contains a text."""
    (found,) = (text for text in BLOCK.findall(PAGE.read_text("utf-8")) if containing in text)
    return textwrap.dedent(found)


def executed(source: str, **names: Any) -> dict[str, Any]:
    exec(compile(source, "plugin.md", "exec"), names)
    return names


@pytest.fixture(scope="module", autouse=True)
def _data_sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Register the data sets of the tutorial."""
    folder = tmp_path_factory.mktemp("plugins")
    for name, source in (("plate_images", block("class Plate")), ("half", block("class Half"))):
        file = folder / f"{name}.py"
        file.write_text(source if "import cellvision" in source else HEAD + source)
        cv.load_plugins(file)
    yield
    for name in ("plate", "half"):
        cv.datasets.unregister(name)


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """A file with 20 images."""
    write_plate(tmp_path / "plate.h5", seed=0)
    return tmp_path / "plate.h5"


def write_plate(path: Path, seed: int) -> np.ndarray:
    import h5py

    pixels = np.random.default_rng(seed).integers(0, 4096, (20, 6, 8), np.uint16)
    new = path.with_suffix(".new")  # HDF5 does not overwrite a file that is open
    with h5py.File(new, "w") as store:
        store["images"] = pixels
        store["label"] = ["control", "treated"] * 10
        store["well"] = [f"w{row // 4}" for row in range(20)]
    new.replace(path)
    return pixels


def test_many_images_in_one_file(plate: Path) -> None:
    dataset = cv.datasets.create("plate", path=plate)
    catalog = cv.Catalog.of(dataset)
    assert (len(catalog), catalog.class_names) == (20, ("control", "treated"))
    assert catalog.group_column == "group"
    pixels = write_plate(plate, seed=1)  # read after the file has changed
    for rows in ([3], [0, 1, 2], [9, 4, 6], [19, 0]):
        read = dataset.read_many([str(row) for row in rows])
        assert [image.shape for image in read] == [(6, 8, 1)] * len(rows)
        assert np.array_equal(np.stack(read)[..., 0], pixels[rows])
    for unknown in ("20", "no/such/image"):
        with pytest.raises(errors.UnreadableImage, match="has no such image"):
            dataset.read(unknown)
    prints = {dataset.fingerprint(str(row)) for row in range(20)}
    assert len(prints) == 20
    write_plate(plate, seed=2)
    assert not prints & {dataset.fingerprint(str(row)) for row in range(20)}
    recognised = recognising_dataset(plate)
    assert recognised is not None
    assert recognised.name == "plate"


def test_a_data_set_around_another_one(plate: Path) -> None:
    settings = {"source": {"type": "plate", "path": str(plate)}}
    dataset = cv.datasets.create("half", **settings, classes=("control",))
    images = list(cv.datasets.create("half", **settings).catalog()["image"])
    assert images == [str(row) for row in range(0, 20, 2)]
    stats = scan(dataset, images)
    assert [stat.status for stat in stats] == ["read"] * 10
    assert dataset.fingerprint("0") == cv.datasets.create("plate", path=plate).fingerprint("0")


def test_an_augmenter_that_mixes_labels() -> None:
    import keras

    names = executed(block("def call(self, inputs"), keras=keras, ops=keras.ops)

    class Blend(keras.layers.Layer):  # type: ignore[misc]
        """The layer around the tutorial's method."""

        def __init__(self) -> None:
            super().__init__(dtype="float32")
            self.generator = keras.random.SeedGenerator(0)

        call = names["call"]

    labels = np.eye(4, dtype=np.float32)
    images = np.ones((4, 3, 3, 4), np.float32) * labels[:, None, None, :]
    mixed, mixed_labels = map(np.asarray, Blend()((images, labels), training=True))
    np.testing.assert_allclose(mixed.mean(axis=(1, 2)), mixed_labels, atol=1e-6)
    assert 0.5 <= mixed_labels.max() < 1
    same, same_labels = map(np.asarray, Blend()((images, labels), training=False))
    assert np.array_equal(same, images)
    assert np.array_equal(same_labels, labels)


def test_a_recipe_that_knows_the_length_of_the_training() -> None:
    recipe = executed(block("def recipe(self, plan)"), cv=cv)["recipe"]
    result = recipe(None, cv.TrainingPlan(10, 3, 20, (100, 100)))
    rate = result.optimizer._learning_rate
    steps = [float(rate(step)) for step in (0, 3, 30)]
    assert steps[0] == 0
    assert steps[1] == pytest.approx(0.002)
    assert steps[2] == pytest.approx(0, abs=1e-9)
    assert [metric.name for metric in result.metrics] == ["auc"]


def test_a_reporter_that_follows_a_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = textwrap.indent(block("def on_epoch_end(self, epoch, logs)"), "    ")
    file = tmp_path / "falling_loss.py"
    file.write_text(f'{HEAD}class Falling(cv.Reporter):\n    """Falling."""\n\n{body}')
    cv.load_plugins(file)
    try:
        reporter = cv.reporters.create("falling")
        first, second = (reporter.on_run_begin(tmp_path, None) for _ in range(2))  # type: ignore[arg-type]
        for follower, epoch, loss in ((first, 1, 2.0), (second, 1, 5.0), (first, 2, 1.5)):
            follower.on_epoch_end(epoch, {"loss": loss})
    finally:
        cv.reporters.unregister("falling")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == lines[1] == "epoch 1: the loss has fallen by 0.000"
    assert lines[2] == "epoch 2: the loss has fallen by 0.500"


def test_a_decoder(tmp_path: Path) -> None:
    decode = executed(block("def decode(path)"))["decode"]
    file = tmp_path / "frame.raw"
    file.write_bytes(bytes(2 * 512 * 512))
    assert decode(file).shape == (512, 512, 1)
    file.write_bytes(bytes(3))
    with pytest.raises(errors.UnreadableImage, match="not a frame"):
        decode(file)


def test_a_verb() -> None:
    app = executed(block("app = typer.Typer()"))["app"]
    result = CliRunner().invoke(app, ["plate 7"])
    assert result.exit_code == 0, result.output


def test_former_names_of_a_plugin_and_a_setting() -> None:
    names = executed(HEAD + block("former_settings"))
    network = names["TinyNet"]
    assert network.former_settings["units"].name == "filters"
    assert network.former_names == {"small_net": "2027-12-31"}
