"""The checks of a control."""

from __future__ import annotations

import unittest
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from cellvision import errors
from cellvision.interfaces.control import Control, ControlData, controls, overridden
from cellvision.plurals import counted
from cellvision.testing.component import ComponentChecks, conformance_check
from cellvision.testing.conformance import line_of
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    import numpy as np

_SIZE = (12, 16)
_PLATES = 6


def example_control_data(groups: int = 24, images: int = 3) -> ControlData:
    """Return images as controls see them: two classes, wells on six plates, three splits.

    Parameters
    ----------
    groups
        Number of groups (wells).
    images
        Number of images of each group: 12 x 16 pixels, one channel, uint16.
    """
    import numpy as np

    from cellvision.testing.splitter import example_table

    table = example_table(groups, images)
    number = np.repeat(np.arange(groups), images)
    fraction = number / groups
    splits = np.array(["train", "validation", "test"])[(fraction >= 0.5) + 1 * (fraction >= 0.75)]
    rng = np.random.default_rng(0)
    pixels = rng.integers(100, 400, (len(table), *_SIZE, 1))
    pixels[number % 2 == 1, 4:8, 4:8] += 3000
    pixels = pixels.astype(np.uint16)
    pixels.flags.writeable = False
    table = table.assign(split=splits, block=number, copies=np.arange(len(table)))
    return ControlData(table, pixels, ("control", "treated"), "train")


class ControlChecks(ComponentChecks):
    """The checks of a control, to subclass in a plugin's tests.

    Examples
    --------
    >>> from cellvision.testing import ControlChecks
    >>> class TestIntensity(ControlChecks):
    ...     name = "intensity"
    """

    registry: ClassVar = controls

    @property
    def control(self) -> Control:
        """The example."""
        component = self.component
        assert isinstance(component, Control)
        return component

    def _changing(self, method: str) -> Control:
        """Return the example; skip a check of a method that it does not override."""
        control = self.control
        if method not in overridden(control):
            raise unittest.SkipTest(f"it does not override {method}")
        return control

    @conformance_check
    def test_says_what_it_means(self) -> None:
        """It changes something, and `meaning` returns a ControlMeaning that fits the change."""
        from cellvision.studies.control_contract import checked_meaning

        control = self.control
        meaning = self.once(
            "meaning()", "test_says_what_it_means", lambda: checked_meaning(control)
        )
        self.require(meaning, "there is no meaning", "")

    @conformance_check
    def test_says_where_it_is_available(self) -> None:
        """`unavailable` returns a text: empty, or why the control cannot be run."""
        table = example_control_data().table.drop(columns=["block", "copies"])
        for kind, catalog in (("batches", table), ("no batches", table.assign(batch=None))):
            reason = self.control.unavailable(catalog)
            self.require(
                isinstance(reason, str),
                f"for images with {kind}, unavailable() returned {reason!r}",
                "Return an empty string, or the reason in one line.",
            )

    @conformance_check
    def test_says_what_is_against_it(self) -> None:
        """`caveat` returns a text: empty, or why doing as well as the control would mean little."""
        caveat = self.control.caveat(example_control_data())
        self.require(
            isinstance(caveat, str),
            f"caveat() returned {caveat!r}",
            "Return an empty string, or the reason as a clause.",
        )

    @conformance_check
    def test_changes_images(self) -> None:
        """`change_image` keeps shape and dtype, and gives the same for the same image."""
        import numpy as np

        from cellvision.studies.control_contract import checked_image

        control = self._changing("change_image")
        for image in _images():
            kind = f"{image.dtype}, {counted(image.shape[-1], 'channel')}"
            before = image.copy()
            try:
                with _as_raised():
                    first, second = (checked_image(control, image) for _ in range(2))
            except CheckFailed:
                raise
            except Exception as error:
                is_read_only = isinstance(error, ValueError) and "read-only" in str(error)
                raise CheckFailed(
                    f"change_image() fails for {kind}: {errors.summarize(error)}",
                    "The given image is read-only: change a copy."
                    if is_read_only
                    else line_of(error),
                ) from error
            self.require(
                np.array_equal(first, second, equal_nan=first.dtype.kind == "f"),
                f"change_image() differs from call to call ({kind})",
                "Draw random numbers from a generator that the image itself seeds.",
            )
            self.require(
                np.array_equal(image, before), "it changes the given image", "Change a copy."
            )

    @conformance_check
    def test_changes_labels(self) -> None:
        """`change_labels` returns other classes of the experiment, decided by the seed alone."""
        from cellvision.studies.control_contract import checked_labels

        control = self._changing("change_labels")
        data = example_control_data()

        def labels(seed: int) -> Sequence[str]:
            with _as_raised():
                return checked_labels(control, data, seed)

        self.require(
            labels(0) != list(data.table["label"]),
            "change_labels() returned the true labels",
            "Permute them.",
        )
        self.require(
            labels(0) == labels(0),
            "change_labels() differs from call to call with one seed",
            "numpy.random.default_rng(seed)",
        )
        if control.depends_on_seed:
            self.require(
                any(labels(seed) != labels(0) for seed in range(1, 5)),
                "change_labels() returns the same for every seed",
                "Use the seed, or set depends_on_seed = False.",
            )

    @conformance_check
    def test_predicts(self) -> None:
        """`predict` returns probabilities, and the same ones again."""
        import numpy as np

        first = self._predicted()
        self.require(
            np.array_equal(self._predicted(example_control_data()), first),
            "predict() differs from call to call with one seed",
            "numpy.random.default_rng(seed)",
        )

    @conformance_check
    def test_predicts_from_training_labels_alone(self) -> None:
        """`predict` does not use the classes of validation and test images."""
        import numpy as np

        data = example_control_data()
        held_out = data.table["split"] != "train"
        labels = data.table["label"].to_numpy(dtype=object).copy()
        labels[held_out] = labels[held_out][::-1]
        other = replace(data, table=data.table.assign(label=labels))
        expected = self._predicted()
        self.require(
            np.array_equal(self._predicted(other), expected),
            "predict() changes with the classes of images that are not for training",
            "Fit on the rows of data.training_rows.",
        )

    def _predicted(self, data: ControlData | None = None) -> np.ndarray:
        from cellvision.studies.control_contract import checked_probabilities

        control = self._changing("predict")

        def predicted(given: ControlData) -> np.ndarray:
            with _as_raised():
                return checked_probabilities(control, given, 0)

        if data is not None:
            return predicted(data)
        return self.once("predict()", "test_predicts", lambda: predicted(example_control_data()))

    @conformance_check
    def test_changes_the_experiment(self) -> None:
        """`change_experiment` returns another experiment with the same data set and split."""
        from cellvision.studies.control_contract import checked_experiment
        from cellvision.testing.examples import example_experiment

        control = self._changing("change_experiment")
        with _as_raised():
            changed = checked_experiment(control, example_experiment())
        self.require(
            changed != example_experiment(),
            "change_experiment() returns the experiment as it is",
            "Return experiment.model_copy(update={...}).",
        )

    @conformance_check
    def test_leaves_the_table_alone(self) -> None:
        """Neither labels nor predictions change the table that it receives."""
        control, data = self.control, example_control_data()
        before = data.table.copy()
        if "change_labels" in overridden(control):
            control.change_labels(data, 0)
        if "predict" in overridden(control):
            control.predict(data, 0)
        control.unavailable(data.table)
        control.caveat(data)
        self.require(data.table.equals(before), "it changes the table", "Work on a copy.")

    @conformance_check
    def test_runs_in_a_study(self) -> None:
        """`cellvision.study` runs it, and the study is readable without the plugin."""
        from cellvision.results.study import load_study
        from cellvision.studies.study import study
        from cellvision.testing.examples import SyntheticImages, example_experiment, example_plugins

        control = self.control
        self._skip_after_failures()
        images = SyntheticImages(names=("control", "treated"), batch="group")
        experiment = example_experiment(dataset=images)
        with example_plugins():
            try:
                folder = study(
                    experiment, 1, self.folder / "study", controls=[control], progress=False
                ).folder
            except errors.ExperimentError as error:
                raise unittest.SkipTest(error.what) from None
            except errors.CellvisionError as error:
                raise CheckFailed(error.what, error.hint) from error
        name = controls.name_of(type(control))
        finished = load_study(folder)
        failed = finished.metadata.experiments[0].failed_controls
        self.require(name not in failed, failed.get(name, ""), "Correct what it says.")
        record = next(each for each in finished.metadata.controls if each.name == name)
        finding = finished.verdicts[0].controls[0]
        self.require(
            (finding.control, finding.kind) == (name, record.kind),
            f"the verdict has {finding.control!r}, {finding.kind}",
            "Report this as a bug of cellvision.",
        )

    def _skip_after_failures(self) -> None:
        """Skip the check of a study if a check of one method fails: one fault, one failure."""
        for check in (
            self.test_says_what_it_means,
            self.test_changes_images,
            self.test_changes_labels,
            self.test_predicts,
            self.test_changes_the_experiment,
            self.test_says_what_is_against_it,
        ):
            try:
                check()
            except unittest.SkipTest:
                continue
            except Exception as error:
                raise unittest.SkipTest(f"needs {check.__name__} to pass first") from error


@contextmanager
def _as_raised() -> Iterator[None]:
    """Turn a broken contract into a failed check; raise an error of the control's own code."""
    try:
        yield
    except errors.PluginContractError as error:
        if isinstance(error.__cause__, Exception):
            raise error.__cause__ from None
        raise CheckFailed(error.what, error.hint) from error


def _images() -> list[np.ndarray]:
    """Return images of several types; the last one is flat."""
    import numpy as np

    rng = np.random.default_rng(0)
    images: list[np.ndarray] = [
        (255 * rng.random((12, 16, 3))).astype(np.uint8),
        (4095 * rng.random((16, 12, 1))).astype(np.uint16),
        rng.random((12, 12, 2)).astype(np.float32),
        np.full((12, 16, 1), 7, np.uint8),
    ]
    for image in images:
        image.flags.writeable = False
    return images
