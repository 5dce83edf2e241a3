"""Small images, networks, runs and studies for checks. This module imports no keras."""

from __future__ import annotations

import atexit
import functools
import itertools
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from cellvision import errors
from cellvision.data.preprocessing import Preprocessing
from cellvision.experiment import Experiment
from cellvision.interfaces.architecture import Architecture, architectures
from cellvision.interfaces.dataset import Dataset, datasets
from cellvision.testing.isolation import isolated
from cellvision.training_settings import Training

if TYPE_CHECKING:
    import keras
    import numpy as np
    import pandas as pd

    from cellvision.results.audits import AuditReport
    from cellvision.results.run import Run
    from cellvision.results.study import Study

SIZE = (12, 16)
"""Height and width of the synthetic images, in pixels."""


class SyntheticImages(Dataset):
    """Images of a bright stripe at a place of its class: 12 x 16 pixels, 12 bits in uint16.

    In each split, the images of a class come from two groups, each on one plate and with wells
    from A01 on.
    """

    names: tuple[str, ...] = ("alpha", "beta", "gamma")
    """Names of the classes."""

    splits: Mapping[str, int] = Field(
        default={"train": 4, "validation": 2, "test": 2, "other lab": 2}
    )
    """Number of images of each class, by split."""

    absent: tuple[str, str] | None = None
    """A split, and a class that has no images in it."""

    channels: int = Field(default=1, ge=1)
    """Number of channels, all with the same stripe."""

    def catalog(self) -> pd.DataFrame:
        """List all images."""
        import pandas as pd

        rows = [
            {
                "image": f"{split}/{name}/{number}",
                "label": name,
                "split": split,
                "group": f"{split}, group {number % 2}",
                "plate": f"plate {number % 2}",
                "well": "ABCDEFGH"[number % 8] + f"{1 + number % 12:02}",
            }
            for split, count in self.splits.items()
            for name in self.names
            for number in range(count)
            if (split, name) != self.absent
        ]
        return pd.DataFrame(rows)

    def read(self, image: str) -> np.ndarray:
        """Return one image: (12, 16, channels), uint16."""
        import numpy as np

        names = [name for name in self.names if f"/{name}/" in image]
        if not names:
            raise errors.UnreadableImage(image, "there is no such image")
        # Identical images would count as a leak between splits.
        noise = np.random.default_rng(zlib.crc32(image.encode()))
        pixels = noise.integers(100, 400, (*SIZE, self.channels))
        left = self.names.index(max(names, key=len)) * SIZE[1] // len(self.names)
        pixels[:, left : left + 2] += 3000
        return pixels.astype(np.uint16)


class SyntheticNetwork(Architecture):
    """The smallest network: one dense layer with softmax."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Return the network; see `cellvision.Architecture.build`."""
        import keras

        image = keras.Input(input_shape)
        flat = keras.layers.Flatten()(image)
        out = keras.layers.Dense(classes, activation="softmax", dtype="float32")(flat)
        return keras.Model(image, out)


@contextmanager
def example_plugins() -> Iterator[None]:
    """Register ``synthetic_images`` and ``synthetic_network``, the classes of this module.

    Experiments that contain them can then be saved and loaded.
    """
    plugins: tuple[tuple[Any, str, Any], ...] = (
        (datasets, "synthetic_images", SyntheticImages),
        (architectures, "synthetic_network", SyntheticNetwork),
    )
    new = [(registry, name, cls) for registry, name, cls in plugins if name not in registry]
    for registry, name, cls in new:
        registry.register(name, cls)
    try:
        yield
    finally:
        for registry, name, _ in new:
            registry.unregister(name)


def example_experiment(**changes: Any) -> Experiment:
    """Return a small experiment: synthetic images, the smallest network, two epochs, no reports.

    Parameters
    ----------
    **changes
        Fields of `cellvision.Experiment` to use in place of these. Saving the experiment needs
        `example_plugins`.

    Examples
    --------
    >>> from cellvision.testing import example_experiment
    >>> example_experiment().preprocessing.input_shape
    (12, 16, 1)
    """
    settings: dict[str, Any] = {
        "dataset": SyntheticImages(),
        "architecture": SyntheticNetwork(),
        "training": Training(
            epochs=2, batch_size=8, precision="float32", devices="cpu", steps_per_execution=1
        ),
        "preprocessing": Preprocessing(size=SIZE, channels=(0,)),
        "reporters": (),
    }
    return Experiment(**{**settings, **changes})


FORTY_CLASSES = tuple(f"class {number:02}" for number in range(40))

ODD_NAMES = ("G0/G1 phase", "müde ß-Zellen, „alt“", "細胞 | <b>", "..")
"""Class names with spaces, slashes, Unicode, and characters that mean something in a format."""

_ODD_SPLITS = {"train": 4, "validation": 2, "Tag 2 / größer": 2, "../test": 2}

RUNS = ("ordinary", "missing class", "single epoch", "forty classes", "odd names")
"""Kinds of example runs."""


def _experiment(kind: str) -> Experiment:
    one = Training(
        epochs=1, batch_size=8, precision="float32", devices="cpu", steps_per_execution=1
    )
    match kind:
        case "ordinary":
            return example_experiment()
        case "missing class":
            return example_experiment(dataset=SyntheticImages(absent=("test", "gamma")))
        case "single epoch":
            return example_experiment(training=one)
        case "forty classes":
            return example_experiment(dataset=SyntheticImages(names=FORTY_CLASSES), training=one)
        case "odd names":
            return example_experiment(dataset=SyntheticImages(names=ODD_NAMES, splits=_ODD_SPLITS))
    raise ValueError(f"no example run is called {kind!r}: {', '.join(RUNS)}")


def example_run(folder: Path, kind: str = "ordinary") -> Run:
    """Copy a finished run of `cellvision.train` into a folder.

    Each kind is trained once per process.

    Parameters
    ----------
    folder
        A new folder.
    kind
        One of ``ordinary`` (three classes, two epochs, two test sets), ``missing class`` (a
        class has no image in one test set), ``single epoch``, ``forty classes``, ``odd names``
        (of classes and test sets: spaces, slashes, Unicode).
    """
    from cellvision.results.run import load_run

    shutil.copytree(_trained(kind), folder)
    return load_run(folder)


def example_audit(folder: Path) -> AuditReport:
    """Audit images of odd names in two channels; `folder` receives nothing but reports."""
    from cellvision.data.audit import audit
    from cellvision.results.audits import AuditReport

    folder.mkdir(parents=True, exist_ok=True)
    splits = {"train": 4, **_ODD_SPLITS}
    images = SyntheticImages(names=ODD_NAMES, splits=splits, channels=2)
    preprocessing = Preprocessing(size=SIZE, channels=(0, 1))
    experiment = example_experiment(dataset=images, preprocessing=preprocessing)
    return AuditReport(audit(experiment), folder)


def example_study(folder: Path) -> Study:
    """Copy a finished study of two runs into a folder."""
    from cellvision.results.study import load_study

    shutil.copytree(_studied(), folder)
    return load_study(folder)


@functools.cache
def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="cellvision-examples-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@contextmanager
def _only_examples() -> Iterator[None]:
    """Hide all plugins but those of this module, which then have the same names in every test."""
    with isolated(_temporary_folder() / "site-packages"), example_plugins():
        yield


@functools.cache
def _trained(kind: str) -> Path:
    from cellvision.training.train import train

    with _only_examples():
        return train(_experiment(kind), _temporary_folder() / kind, progress=False).folder


@functools.cache
def _studied() -> Path:
    from cellvision.studies.study import study

    with _only_examples():
        folder = _temporary_folder() / "study"
        return study(_experiment("ordinary"), 2, folder, progress=False).folder


def write_images(
    folder: Path,
    classes: Sequence[str] = ("alpha", "beta"),
    count: int = 6,
    suffix: str = ".png",
    shape: Sequence[int] = (12, 16),
) -> list[Path]:
    """Write small 8-bit images to ``folder/<class>/0.png``, ``1.png``, ...

    Parameters
    ----------
    folder
        Created if missing.
    classes
        Names of the class folders.
    count
        Number of images of each class.
    suffix
        ``.png``, ``.tif``, ``.jpg`` or ``.npy``.
    shape
        Height, width and, for colour images, channels.

    Returns
    -------
    list of pathlib.Path
        The files.
    """
    import numpy as np
    from PIL import Image

    files = []
    for (index, name), number in itertools.product(enumerate(classes), range(count)):
        noise = np.random.default_rng((index, number))
        pixels = noise.integers(0, 60, tuple(shape), dtype=np.uint8)
        width = max(1, shape[1] // len(classes))
        pixels[:, index * width : (index + 1) * width] += 150
        file = folder / name / f"{number}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".npy":
            np.save(file, pixels)
        else:
            Image.fromarray(pixels).save(file)
        files.append(file)
    return files
