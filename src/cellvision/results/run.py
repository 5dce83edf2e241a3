"""A finished run: its folder, its results and its network."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors, remote
from cellvision.data.catalog import is_test, is_training, is_validation
from cellvision.results.artifacts import ReportedResults
from cellvision.results.audit_file import read_audit
from cellvision.results.metadata import LeakRecord, RunMetadata, Timings, read_run_metadata
from cellvision.results.moved_images import Place, with_all_images
from cellvision.results.scores import Scores
from cellvision.results.tables import read_predictions, read_table

if TYPE_CHECKING:
    import keras
    import numpy as np
    import pandas as pd

    from cellvision.data.audit import Audit
    from cellvision.data.preprocessing import Preprocessing
    from cellvision.experiment import Experiment
    from cellvision.interfaces.dataset import Dataset
    from cellvision.interfaces.plots import RunPlots
    from cellvision.results.model_probe import Probe


def load_run(
    folder: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    allow_network: bool = False,
) -> Run:
    """Open a run's folder; its record and tables need none of its plugins.

    Parameters
    ----------
    folder
        The folder given to `train`. A run on remote storage is copied to this machine.
    images
        Where its images are now, if they were moved: a folder (or a table or file, if the data
        set reads one) or an address. None: where they were at the training.
    allow_network
        Read its images also from an address that its record names and that you never read before.

    Raises
    ------
    errors.FolderError
        The folder is missing or holds no finished run; or images are missing in `images`.
    """
    with remote.finished(folder) as local:
        run = Run(local, read_run_metadata(local), None if allow_network else folder, images)
    return run if images is None else with_all_images(run)


class Run(ReportedResults):
    """A finished run.

    Parameters
    ----------
    folder
        Its folder.
    metadata
        Content of ``run.json``.
    storage
        Where the record is; None to read images from any address that it names.
    images
        Where its images are now; None: where they were at the training.
    """

    def __init__(
        self, folder: Path, metadata: RunMetadata, storage: Place = None, images: Place = None
    ) -> None:
        self.folder = folder
        self._storage = storage
        self._images = images
        self.prepared: Mapping[str, np.ndarray] = {}  # see `run_images.prepared_images`
        self._metadata = metadata

    @property
    def metadata(self) -> RunMetadata:
        """Content of ``run.json``; a copy, so that changes to it affect nobody else."""
        return self._metadata.model_copy(deep=True)

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {s.accuracy:.3f} (n={s.n})" for name, s in self.scores.items())
        interrupted = ", interrupted" if self.interrupted else ""
        return f"<Run {self.folder}: accuracy {scores}{interrupted}>"

    def _repr_html_(self) -> str:
        from cellvision.results.run_html import run_html

        return run_html(self)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, sorted; a class's number is its position."""
        return self._metadata.class_names

    @property
    def seed(self) -> int:
        """Seed of the weights, the order of images, augmentation and dropout."""
        return self._metadata.seed

    @property
    def interrupted(self) -> bool:
        """Whether the training was interrupted; `train` with ``resume=True`` completes it."""
        return self._metadata.interrupted

    @property
    def group_column(self) -> str | None:
        """Provenance column that names the groups; None if groups are unknown."""
        return self._metadata.group_column

    @property
    def unit_column(self) -> str | None:
        """Provenance column of the independent units; None if they are unknown.

        The groups, or what the folds of a cross-validated study leave out if that is coarser:
        with ``--leave-out compound``, results hold for other compounds, not for other wells.
        """
        return self._metadata.left_out_column or self._metadata.group_column

    def independent_units(self, images: Iterable[str]) -> np.ndarray | None:
        """Return the independent unit of each of these images; None if they are unknown.

        Intervals and tests of its predictions are over these units; see `unit_column`.
        """
        if self.unit_column is None:
            return None
        column = self._metadata.left_out_column
        table, name = (self._predictions, "group") if column is None else (self._provenance, column)
        return table.set_index("image").loc[list(images), name].to_numpy(dtype=object)

    @property
    def batch_column(self) -> str | None:
        """Provenance column that names the batches (plate, day); None if they are unknown."""
        return self._metadata.batch_column

    @property
    def leaks(self) -> tuple[LeakRecord, ...]:
        """Groups and images that splits share, if leaks were allowed."""
        return self._metadata.leaks

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images per split and class."""
        return {split: dict(counts) for split, counts in self._metadata.counts.items()}

    @property
    def intensity_range(self) -> tuple[float, float]:
        """Intensities that the network sees as 0 and as 1."""
        return self._metadata.intensity_zero, self._metadata.intensity_scale

    @property
    def timings(self) -> Timings:
        """Duration of the steps."""
        return self._metadata.timings

    @property
    def cross_validated(self) -> bool:
        """Whether its predictions are pooled over the folds of a study."""
        return self._metadata.folds is not None

    @property
    def control(self) -> str | None:
        """The control that it belongs to; None for a run of the experiment itself."""
        return self._metadata.control

    @property
    def scores(self) -> Scores:
        """Score of each split: accuracy with its 95 % interval, balanced accuracy, loss."""
        return Scores(self._metadata.scores)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the results should know."""
        return self._metadata.warnings

    @property
    def training_split(self) -> str | None:
        """The split that was trained on."""
        return next((name for name in self._metadata.scores if is_training(name)), None)

    @property
    def validation_split(self) -> str | None:
        """The split that was evaluated after every epoch."""
        return next((name for name in self._metadata.scores if is_validation(name)), None)

    @property
    def test_splits(self) -> tuple[str, ...]:
        """All other splits."""
        return tuple(name for name in self._metadata.scores if is_test(name))

    @property
    def plot(self) -> RunPlots:
        """Its figures: ``run.plot.confusion()``, ``.panel()``, ``.curves()``, ``.mistakes()``."""
        from cellvision.interfaces.plots import RunPlots

        return RunPlots(self)

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch: the columns of ``history.csv``."""
        return self._history.copy()

    @cached_property
    def _history(self) -> pd.DataFrame:
        return read_table(self._file("history.csv"), {})

    @property
    def predictions(self) -> pd.DataFrame:
        """One row per image, in a copy: image, split, group, label, predicted, p_<class>..."""
        return self._predictions.copy()

    def predictions_of(self, split: str) -> pd.DataFrame:
        """Return the rows of `predictions` that belong to one split.

        Parameters
        ----------
        split
            Name of a split.
        """
        return self._predictions[self._predictions["split"] == split].copy()

    @cached_property
    def _predictions(self) -> pd.DataFrame:
        return read_predictions(self._file("predictions.csv"), self.class_names)

    @property
    def provenance(self) -> pd.DataFrame:
        """One row per evaluated image: image, group, batch, and all that is known of its origin.

        Every access returns a copy. Values are text; unknown ones are NaN.
        """
        return self._provenance.copy()

    @cached_property
    def _provenance(self) -> pd.DataFrame:
        return read_table(self._file("provenance.csv"), str)

    @property
    def audit(self) -> Audit | None:
        """The audit of its images, a copy; None if the folder has no ``audit.json``.

        Raises
        ------
        errors.FolderError
            The file cannot be read or holds no audit.
        """
        return None if self._audit is None else self._audit.copy()

    @cached_property
    def _audit(self) -> Audit | None:
        return read_audit(self.folder)

    @cached_property
    def experiment(self) -> Experiment:
        """The complete experiment, with its images where they are now.

        Raises
        ------
        errors.UnknownPlugin
            Plugins that it needs are not installed; all are named, with their versions.
        errors.ExperimentError
            An installed plugin no longer understands a recorded setting.
        """
        from cellvision.results.recorded_experiment import recorded_experiment

        experiment = recorded_experiment(self._metadata, self.folder)
        return experiment.model_copy(update={"dataset": self.dataset} if self._images else {})

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the network's input; needs none of the run's plugins."""
        from cellvision.data.preprocessing import Preprocessing

        recorded: Any = self._metadata.experiment["preprocessing"]
        return Preprocessing.from_settings(recorded, str(self.folder / "run.json"))

    @cached_property
    def dataset(self) -> Dataset:
        """The data set of the experiment, to read its images; needs none of the other plugins.

        Raises
        ------
        errors.UnknownPlugin
            Its plugin is not installed.
        errors.ExperimentError
            The installed plugin no longer understands a recorded setting; or the record names an
            address from which you have never read.
        """
        from cellvision.results.recorded_dataset import dataset_of

        return dataset_of(self, self._storage, self._images)

    def model(self, *, verify: bool | None = None) -> keras.Model:
        """Load the trained model: native pixels (n, height, width, channels) to probabilities.

        A network of stock Keras layers needs none of the run's plugins; one with custom layers
        needs that of its architecture, whose version is compared with the recorded one.

        Parameters
        ----------
        verify
            Whether to predict some recorded images again. True raises an error if the
            probabilities differ from the recorded ones; None does so for networks with custom
            layers, and only warns; False skips it.

        Raises
        ------
        errors.FolderError
            The model is missing or cannot be read.
        errors.UnknownPlugin
            It has custom layers, and the plugin of its architecture is not installed.
        errors.CellvisionError
            `verify` is True and the model predicts differently than recorded.
        """
        from cellvision.results.saved_model import open_model

        if self._metadata.folds is not None:
            raise errors.FolderError(
                f"{self.folder}: pooled over {self._metadata.folds} folds with a network each",
                "Use the networks of the folds: StudyExperiment.networks, in the folder runs",
            )
        return open_model(self, self._file("model.keras"), verify=verify)

    def probe(self) -> Probe:
        """Load the trained network as a `Probe`: probabilities, gradients, features.

        It takes images as `network_input` returns them, modified or not. Every call loads the
        network again, which takes a moment.

        Raises
        ------
        errors.CellvisionError
            As for `model`.

        Examples
        --------
        >>> import cellvision as cv
        >>> run = cv.load_run("runs/first")  # doctest: +SKIP
        >>> images = run.network_input(["treated/0.png"])  # doctest: +SKIP
        >>> run.probe().gradients(images, [1]).shape  # doctest: +SKIP
        (1, 256, 256, 3)
        """
        from cellvision.results.model_probe import Probe

        zero, one = self.intensity_range
        return Probe(self.model(), zero, one)

    def read_image(self, image: str) -> np.ndarray:
        """Read one of its images: native pixels, shape (height, width, channels).

        Raises
        ------
        errors.UnreadableImage
            It cannot be read, or its pixels have changed since the training.
        """
        from cellvision.results.run_images import read_image

        return read_image(self, image, self._digests)

    @cached_property
    def _digests(self) -> dict[str, str]:
        from cellvision.results.run_images import recorded_digests

        return recorded_digests(self)

    def model_input(self, images: Sequence[str]) -> np.ndarray:
        """Return images as the model takes them: size and channels set, native intensities."""
        from cellvision.results.run_images import model_input

        return model_input(self, images)

    def network_input(self, images: Sequence[str]) -> np.ndarray:
        """Return images exactly as the network sees them.

        Returns
        -------
        numpy.ndarray
            Shape (n, height, width, channels), float32; 0 to 1 spans the intensity range.
        """
        from cellvision.results.run_images import network_input

        return network_input(self, images)

    def augmented_input(self, images: Sequence[str], seed: int = 0) -> np.ndarray:
        """Return a random variation of each image, as in training; else as `network_input`."""
        from cellvision.results.run_images import augmented_input

        return augmented_input(self, images, seed)
