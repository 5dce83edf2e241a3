"""Control: a simpler explanation of a result, tested beside the experiment."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision.component import Component
from cellvision.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision.experiment import Experiment
    from cellvision.statistics import ControlMeaning


@dataclass(frozen=True, eq=False)
class ControlData:
    """The images of an experiment, as a control sees them.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per image, in the order of `pixels`: ``image``, ``label``, ``split``, ``group`` and
        ``batch`` (None where unknown), and all further provenance columns. ``block`` numbers what
        a split must keep together: groups, and groups that share identical images. If the folds of
        a study leave out donors of one class each, blocks are donors in place of groups. ``copies``
        numbers images; those with identical pixels have the same number. Permuted labels are
        exchanged within a ``stratum``: the split, or all images of a cross-validated study.
    pixels : numpy.ndarray
        Shape (images, height, width, channels), native dtype, read-only.
    class_names : tuple of str
        The classes, sorted.
    training_split : str
        The split that is trained on.
    """

    table: pd.DataFrame
    pixels: np.ndarray
    class_names: tuple[str, ...]
    training_split: str

    @property
    def labels(self) -> np.ndarray:
        """The number of each image's class, shape (images,)."""
        numbers = {name: number for number, name in enumerate(self.class_names)}
        labels: np.ndarray = self.table["label"].map(numbers).to_numpy(dtype="int64")
        return labels

    @property
    def training_rows(self) -> np.ndarray:
        """The positions of the training images."""
        rows: np.ndarray = (self.table["split"] == self.training_split).to_numpy().nonzero()[0]
        return rows


class Control(Component, group="cellvision.controls"):
    """A simpler explanation of a result, tested on the same images beside the experiment.

    Override at least one of `change_image`, `change_labels`, `change_experiment` and `predict`.
    What is not overridden stays as it is in the experiment: network, epochs, seeds, images.
    """

    label: ClassVar[str] = ""
    """Name in figures and tables, such as ``"background alone"``. Default: that of the plugin."""

    order: ClassVar[int] = 1000
    """Position among the controls; those of this project have 100 to 400."""

    depends_on_seed: ClassVar[bool] = True
    """Whether runs with other seeds differ. If not, one run accompanies each experiment."""

    enabled_by_default: ClassVar[bool] = True
    """Whether ``study --controls`` runs it."""

    @abstractmethod
    def meaning(self) -> ControlMeaning:
        """Say what the control tests, and how the verdict words what it finds.

        Returns
        -------
        cellvision.statistics.ControlMeaning
            With the kind ``"permuted labels"`` if `change_labels` is overridden: the control must
            not beat chance. Else ``"alternative explanation"`` (it sees no biology) or ``"lower
            rung"`` (a simpler model of the same images): the network should do more.
        """

    def unavailable(self, catalog: pd.DataFrame) -> str:
        """Say why the control cannot accompany an experiment; an empty string if it can.

        Parameters
        ----------
        catalog
            One row per image with the columns ``image``, ``label``, ``split``, ``group``,
            ``batch`` (None where unknown) and all further provenance columns.
        """
        return ""

    def caveat(self, data: ControlData) -> str:
        """Say why it would mean little for these images if the control did as well.

        With a caveat, the verdict uses the comparison only if the network does more. Permuted
        labels need none.

        Parameters
        ----------
        data
            The images of the experiment, before the control changes them.

        Returns
        -------
        str
            A clause such as ``"cells fill the images, so there is no background"``; empty if there
            is no caveat.
        """
        return ""

    def change_image(self, pixels: np.ndarray) -> np.ndarray:
        """Return what is left of an image.

        It depends on this image and the settings alone, so that images of a finished run can be
        shown as its network saw them.

        Parameters
        ----------
        pixels
            Shape (height, width, channels), native dtype; read-only.

        Returns
        -------
        numpy.ndarray
            Same shape and dtype.
        """
        return pixels

    def change_labels(self, data: ControlData, seed: int) -> Sequence[str]:
        """Return the class of each image to train and evaluate for.

        Parameters
        ----------
        data
            The images with their true classes.
        seed
            Seed of the run.
        """
        return list(data.table["label"])

    def change_experiment(self, experiment: Experiment) -> Experiment:
        """Return the experiment to train in place of the given one.

        Data set and split must stay as they are. If it is returned unchanged, and the control
        changes nothing else, the control is not run: it would be the experiment.
        """
        return experiment

    def predict(self, data: ControlData, seed: int) -> np.ndarray:
        """Return the probabilities of all images; no network is trained.

        Fit on the rows of `ControlData.training_rows` alone.

        Parameters
        ----------
        data
            The images and their classes.
        seed
            Seed of the run.

        Returns
        -------
        numpy.ndarray
            Shape (images, classes); rows sum to 1.
        """
        raise NotImplementedError


CHANGES = ("change_image", "change_labels", "change_experiment", "predict")
"""The methods of which a control overrides at least one."""


def overridden(control: Control) -> frozenset[str]:
    """Return which of `CHANGES` a control overrides."""
    cls = type(control)
    return frozenset(name for name in CHANGES if getattr(cls, name) is not getattr(Control, name))


def read_control(settings: Mapping[str, Any]) -> Control:
    """Create a control from plain values: its name as ``type``, and its settings.

    Raises
    ------
    errors.PluginError
        The plugin is not installed or cannot be used.
    """
    values = {key: value for key, value in settings.items() if key != "type"}
    return controls.create(settings["type"], **values)


controls: Registry[Control] = Control.registry
"""Registry of controls."""
