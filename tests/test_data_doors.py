"""Data sets with many images in one file: batches, recognised paths, predictions."""

from __future__ import annotations

import gc
import json
import shutil
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import tiny

import cellvision as cv
from cellvision import errors, io
from cellvision.cli import main
from cellvision.data.batch_reads import fingerprints, read_together, scan
from cellvision.results.run import Run

if TYPE_CHECKING:
    from cellvision.interfaces.decoded_image import DecodedImage

calls: dict[str, int] = {}
_lock = threading.Lock()


def count(name: str) -> None:
    with _lock:
        calls[name] = calls.get(name, 0) + 1


class Stack(cv.Dataset):
    """Images, labels and wells in one NPZ file."""

    path: Path

    damaged: tuple[int, ...] = ()
    """Images that cannot be read."""

    images_per_read: ClassVar[int] = 16

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.suffix == ".npz"

    def _arrays(self) -> Any:
        return np.load(self.path)

    def catalog(self) -> pd.DataFrame:
        with self._arrays() as store:
            labels, wells = store["labels"], store["wells"]
        ids = [str(number) for number in range(len(labels))]
        return pd.DataFrame({"image": ids, "label": labels, "group": wells, "dose": wells})

    def read(self, image: str) -> np.ndarray:
        count("read")
        if not image.isdigit() or int(image) in self.damaged:
            raise errors.UnreadableImage(image, "damaged")
        with self._arrays() as store:
            pixels: np.ndarray = store["pixels"][int(image)]
        return pixels

    def read_many(self, images: Sequence[str]) -> Sequence[np.ndarray | DecodedImage]:
        count("read_many")
        rows = [int(image) for image in images]
        if set(rows) & set(self.damaged):
            raise OSError("a chunk is damaged")
        with self._arrays() as store:
            return list(store["pixels"][rows])


class Hashed(Stack):
    """The same with a cheap fingerprint."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return False

    def fingerprint(self, image: str) -> str:
        return f"{io.file_digest(self.path)} {image}"


class Short(Stack):
    """Loses an image of each batch."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return False

    def read_many(self, images: Sequence[str]) -> Sequence[np.ndarray | DecodedImage]:
        return super().read_many(images)[1:]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    calls.clear()
    with tiny.on_offer():
        for cls in (Stack, Hashed, Short):
            cv.datasets.register(cls.__name__.lower(), cls)
        yield
        for cls in (Stack, Hashed, Short):
            cv.datasets.unregister(cls.__name__.lower())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    levels = [tiny.BRIGHTNESS[name] for name in ("dark", "light") for _ in range(40)]
    pixels = np.stack([tiny.pixels(level, seed) for seed, level in enumerate(levels)])[..., None]
    labels = np.repeat(["dark", "light"], 40)
    wells = [f"{label}{number % 8}" for number, label in enumerate(labels)]
    path = tmp_path / "plate.npz"
    np.savez(path, pixels=pixels, labels=labels, wells=wells)
    return path


def test_images_are_read_in_batches(store: Path) -> None:
    dataset = Hashed(path=store)
    images = list(dataset.catalog()["image"])
    stats = scan(dataset, images)
    assert calls == {"read_many": 5}
    single = [dataset.read(image) for image in images]
    assert [stat.digest for stat in stats] == [io.pixel_digest(pixels) for pixels in single]
    assert {stat.bit_depth for stat in stats} == {8}


def test_fingerprints_are_read_in_batches_too(store: Path) -> None:
    images = list(Stack(path=store).catalog()["image"])
    digests = list(fingerprints(Stack(path=store), images))
    assert calls == {"read_many": 5}
    assert len(set(digests)) == len(images)
    calls.clear()
    assert len(set(fingerprints(Hashed(path=store), images))) == len(images)
    assert calls == {}


def test_a_damaged_image_is_found_in_its_batch(store: Path) -> None:
    dataset = Hashed(path=store, damaged=(3, 50))
    stats = scan(dataset, list(dataset.catalog()["image"]))
    refused = {stat.image: stat.reason for stat in stats if stat.status == "refused"}
    assert refused == {"3": "damaged", "50": "damaged"}
    assert calls == {"read_many": 5, "read": 32}


def test_a_batch_of_another_length_is_refused(store: Path) -> None:
    dataset = Short(path=store)
    with pytest.raises(errors.PluginContractError, match=r"'short'.*returned 15 images for 16"):
        scan(dataset, list(dataset.catalog()["image"]))


def test_progress_counts_images(store: Path) -> None:
    seen: list[tuple[int, int]] = []
    dataset = Hashed(path=store)
    scan(
        dataset,
        list(dataset.catalog()["image"])[:20],
        lambda done, total: seen.append((done, total)),
    )
    assert seen == [(number, 20) for number in range(1, 21)]


def test_audit_finds_the_data_set_of_a_path(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["audit", str(store), "--json", "--recipe", "page"])
    said = capsys.readouterr()
    assert caught.value.code == 0, said.err
    assert f"{store}: read by dataset 'stack' (registered here)" in said.err
    assert json.loads(said.out)["class_names"] == ["dark", "light"]


def test_python_finds_it_too(store: Path) -> None:
    assert cv.audit(store).class_names == ("dark", "light")


def test_a_type_that_is_named_is_used(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["audit", str(store), "--json", "--recipe", "page", "--set", "dataset.type=hashed"]
    with pytest.raises(SystemExit) as caught:
        main(words)
    said = capsys.readouterr()
    assert caught.value.code == 0, said.err
    assert "read by" not in said.err


def test_two_that_recognise_a_path_are_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hashed, "recognises", Stack.recognises)
    with pytest.raises(errors.ExperimentError) as caught:
        cv.audit(store)
    assert "'hashed'" in caught.value.what
    assert "'stack'" in caught.value.what
    assert "--set dataset.type=" in caught.value.hint


def test_an_unknown_file_is_refused_as_before(tmp_path: Path) -> None:
    (tmp_path / "plate.xyz").write_text("?")
    with pytest.raises(errors.FolderError, match="neither a folder nor an experiment"):
        cv.audit(tmp_path / "plate.xyz")


@pytest.mark.slow
def test_a_run_predicts_on_a_file_of_many_images(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = cv.Experiment(
        dataset=Stack(path=store),
        architecture="level",
        preprocessing={"size": (16, 16), "channels": "gray"},
        training={"epochs": 2, "precision": "float32"},
        reporters=(),
    )
    run = cv.train(experiment, tmp_path / "run")
    assert list(run.provenance["dose"]) == list(run.provenance["group"])
    with pytest.raises(SystemExit) as caught:
        main(["predict", str(run.folder), str(store), "--out", str(tmp_path / "p.csv")])
    said = capsys.readouterr()
    assert caught.value.code == 0, said.err
    assert f"{store}: read by dataset 'stack'" in said.err
    table = pd.read_csv(tmp_path / "p.csv", dtype={"image": str})
    assert len(table) == 80
    recorded = run.predictions.set_index("image")["p_dark"]
    assert np.allclose(table.set_index("image")["p_dark"].loc[recorded.index], recorded, atol=1e-4)
    unknown = str(shutil.copy(store, tmp_path / "plate.bin"))
    with pytest.raises(SystemExit):
        main(["predict", str(run.folder), unknown, "--out", str(tmp_path / "no.csv")])
    assert "plate.bin" in capsys.readouterr().err
    assert not (tmp_path / "no.csv").exists()
    words = ("--dataset", "stack", "--out", str(tmp_path / "same.csv"))
    with pytest.raises(SystemExit) as caught:
        main(["predict", str(run.folder), unknown, *words])
    assert caught.value.code == 0
    assert (tmp_path / "same.csv").read_text() == (tmp_path / "p.csv").read_text()
    calls.clear()
    assert cv.predict(run, store).shape == table.shape
    # One read finds a sample for the engine; the others are the batches of all images.
    assert calls == {"read_many": 1 + 80 // Stack.images_per_read}


def test_images_to_predict_leave_memory_one_by_one(store: Path) -> None:
    dataset = Stack(path=store, damaged=(20,))
    images = [str(number) for number in range(40)]
    results = list(read_together(dataset, images))
    assert calls == {"read_many": 3, "read": 16}  # the damaged batch is read one by one
    faults = [item for item in results if isinstance(item, errors.UnreadableImage)]
    assert [fault.file for fault in faults] == ["20"]
    assert isinstance(results[20], errors.UnreadableImage)
    with np.load(store) as arrays:
        assert np.array_equal(results[39].pixels, arrays["pixels"][39])  # type: ignore[union-attr]
    reading = read_together(Stack(path=store), images)
    first = weakref.ref(next(reading).pixels)  # type: ignore[union-attr]
    next(reading)
    gc.collect()
    assert first() is None


def test_predicting_refuses_a_batch_of_another_length(store: Path) -> None:
    with pytest.raises(errors.PluginContractError, match="returned 15 images for 16"):
        list(read_together(Short(path=store), [str(number) for number in range(40)]))


class Wrong(Stack):
    """Breaks the contract in one way."""

    how: str

    images_per_read: ClassVar[Any] = 16

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return False

    def read(self, image: str) -> np.ndarray:
        if self.how == "read fails" and image == "3":
            raise RuntimeError("the chunk is damaged")
        if self.how == "read exits":
            raise SystemExit(3)
        return super().read(image)

    def read_many(self, images: Sequence[str]) -> Any:
        if self.how == "read_many fails":
            raise KeyError("pixelz")
        if self.how in ("read fails", "read exits"):
            raise OSError("damaged")
        return super().read_many(images)

    def fingerprint(self, image: str) -> Any:
        return None if self.how == "no fingerprint" else super().fingerprint(image)

    def skipped_files(self) -> Any:
        return ["a.txt"] if self.how == "skipped text" else ()


@pytest.fixture
def wrong(store: Path) -> Iterator[type[Wrong]]:
    cv.datasets.register("wrong", Wrong)
    yield Wrong
    cv.datasets.unregister("wrong")


@pytest.mark.parametrize("how", ["read fails", "read exits"])
def test_a_recipe_of_images_that_a_plugin_cannot_read(
    wrong: type[Wrong], store: Path, how: str
) -> None:
    settings: Any = {"preprocessing": {"channels": "gray"}}
    if how == "read exits":
        with pytest.raises(errors.CatalogError, match="reading it failed: SystemExit: 3"):
            cv.experiment_from_recipe(wrong(path=store, how=how), settings=settings)
    else:
        assert cv.experiment_from_recipe(wrong(path=store, how=how), settings=settings)


def test_images_to_predict_that_a_plugin_cannot_read_are_named(
    wrong: type[Wrong], store: Path
) -> None:
    found = list(read_together(wrong(path=store, how="read fails"), ["2", "3"]))
    assert isinstance(found[1], errors.UnreadableImage)
    assert "3" in found[1].what
    assert "RuntimeError: the chunk is damaged" in found[1].what
    assert not isinstance(found[0], errors.UnreadableImage)


def test_a_failing_read_many_is_said_once(
    wrong: type[Wrong], store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = wrong(path=store, how="read_many fails")
    for _ in range(2):
        assert all(stat.status == "read" for stat in scan(dataset, ["0", "1"]))
    (message,) = caplog.messages
    assert message.startswith("dataset 'wrong' (registered here): read_many() failed (KeyError: ")


def test_what_is_no_fingerprint_is_refused(wrong: type[Wrong], store: Path) -> None:
    with pytest.raises(errors.PluginContractError, match=r"fingerprint\(\) returned None"):
        list(fingerprints(wrong(path=store, how="no fingerprint"), ["0"]))


def test_text_is_no_skipped_file(wrong: type[Wrong], store: Path) -> None:
    dataset = wrong(path=store, how="skipped text")
    with pytest.raises(errors.PluginContractError, match=r"skipped_files\(\) returned 'a.txt'"):
        cv.audit(cv.Experiment(dataset=dataset))


@pytest.mark.parametrize("size", [0, "many", None, True])
def test_images_per_read_is_a_number(
    wrong: type[Wrong], store: Path, size: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrong, "images_per_read", size)
    with pytest.raises(errors.PluginContractError, match="images_per_read is "):
        scan(wrong(path=store, how=""), ["0"])


def test_numpy_integers_are_numbers(
    wrong: type[Wrong], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrong, "images_per_read", np.int64(7))
    (stats,) = scan(wrong(path=store, how=""), ["0"])
    assert stats.status == "read"
    image = cv.DecodedImage(np.zeros((2, 2, 1), np.uint16), np.uint8(12))  # type: ignore[arg-type]
    assert (image.bit_depth, type(image.bit_depth), image.fault) == (12, int, "")


def test_a_data_set_that_recognises_paths_needs_a_setting_path(
    tmp_path: Path,
) -> None:
    class Located(cv.Dataset):
        """Calls its path otherwise."""

        store: Path

        @classmethod
        def recognises(cls, path: Path) -> bool:
            return path.suffix == ".located"

        def catalog(self) -> pd.DataFrame:
            raise NotImplementedError

        def read(self, image: str) -> np.ndarray:
            raise NotImplementedError

    (tmp_path / "plate.located").write_text("")
    cv.datasets.register("located", Located)
    try:
        with pytest.raises(errors.PluginContractError, match="has no setting 'path'"):
            cv.audit(tmp_path / "plate.located")
    finally:
        cv.datasets.unregister("located")


def test_the_plugin_of_a_run_is_named_before_its_images_are_looked_for(
    example_run: Run, tmp_path: Path
) -> None:
    metadata = example_run.metadata
    dataset: Any = {"type": "lost_plate", "path": "plate.lost"}
    plugins = {**metadata.plugins, "cellvision.datasets:lost_plate": "lab-plates==1.2"}
    update = {"experiment": {**metadata.experiment, "dataset": dataset}, "plugins": plugins}
    run = Run(example_run.folder, metadata.model_copy(update=update))
    (tmp_path / "plate.lost").mkdir()
    with pytest.raises(errors.UnknownPlugin, match="the run's data set cannot be loaded") as caught:
        cv.predict(run, tmp_path / "plate.lost")
    assert "lab-plates is not installed" in caught.value.what
    assert caught.value.hint == "Install it: python -m pip install lab-plates"


def test_an_image_of_a_run_that_a_plugin_cannot_read_is_named(
    wrong: type[Wrong], store: Path, example_run: Run
) -> None:
    run = Run(example_run.folder, example_run.metadata)
    run.__dict__["dataset"] = wrong(path=store, how="read fails")
    with pytest.raises(errors.UnreadableImage, match=r"3.*the chunk is damaged") as caught:
        run.read_image("3")
    assert "author of the data set 'wrong'" in caught.value.hint
