"""The images of a run are decoded once, by audit, training and reporters together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.progress import Display
from cellvision.results.reporting import make_reports

calls: Counter[str] = Counter()
shown: list[np.ndarray] = []


class Counting(cv.Dataset):
    """Dark and light images, grey and colour; counts what is asked of it."""

    def catalog(self) -> pd.DataFrame:
        calls["catalog"] += 1
        labels = ["dark", "light"] * 12
        return pd.DataFrame({"image": [str(k) for k in range(24)], "label": labels})

    def read(self, image: str) -> np.ndarray:
        calls["read"] += 1
        number = int(image)
        pixels = tiny.pixels(200 if number % 2 else 60, number)
        return np.stack([pixels] * (3 if number % 5 == 0 else 1), axis=-1)

    def fingerprint(self, image: str) -> str:
        return image


class Viewer(cv.Reporter):
    """Looks at every image of a run, twice."""

    def run(self, run: cv.Run, folder: Path) -> Sequence[cv.Artifact]:
        images = list(run.predictions["image"])
        shown[:] = [run.model_input(images), run.network_input(images)]
        return []


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    calls.clear()
    with tiny.on_offer():
        cv.datasets.register("counting", Counting)
        cv.reporters.register("viewer", Viewer)
        yield
        cv.reporters.unregister("viewer")
        cv.datasets.unregister("counting")


def test_audit_training_and_reporters_decode_every_image_once(tmp_path: Path) -> None:
    experiment = cv.Experiment(
        dataset=Counting(),
        architecture="level",
        preprocessing=cv.Preprocessing(size=(16, 16)),
        training=cv.Training(epochs=1, batch_size=10),
        reporters=(Viewer(),),
    )
    cv.audit(experiment)
    assert calls == {"catalog": 1, "read": 24}
    run = cv.train(experiment, tmp_path / "run")
    assert calls == {"catalog": 2, "read": 24}
    during, scaled = shown
    images = list(run.predictions["image"])
    after = run.model_input(images)
    assert calls["read"] == 48  # the images of today, not those of the training
    assert during.shape == (24, 16, 16, 3)
    np.testing.assert_array_equal(during, after)
    np.testing.assert_array_equal(scaled, run.network_input(images))


def test_reports_show_no_other_pixels_than_those_of_the_training(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images", count=12)
    run = cv.train(tiny.experiment(images, reporters=()), tmp_path / "run")
    changed = str(run.predictions.query("split == 'test'")["image"].iloc[0])
    assert run.read_image(changed).shape == (32, 32, 1)
    tiny.write(images / changed, tiny.pixels(90, seed=9999))

    again = cv.load_run(tmp_path / "run")
    with pytest.raises(errors.UnreadableImage, match="have changed since the training") as refused:
        again.read_image(changed)
    assert changed in str(refused.value)
    others = [image for image in again.predictions["image"] if image != changed]
    assert len(again.model_input(others)) == len(others)

    reporters = [cv.reporters.create(name) for name in ("panel", "html")]
    artifacts, faults = make_reports(again, reporters, Display())
    assert [changed in fault.what for fault in faults] == [True]
    assert [artifact.path.name for artifact in artifacts] == ["report.html"]
    assert "have changed since the training" in artifacts[0].path.read_text(encoding="utf-8")
