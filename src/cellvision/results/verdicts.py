"""The verdict on one experiment and one test set, as stored in ``verdict.json``."""

from __future__ import annotations

from cellvision.result_model import ResultModel


class DifferenceRecord(ResultModel):
    """Accuracy of the network minus that of a control, with its 95 % interval."""

    estimate: float
    """The difference, -1 to 1."""

    low: float
    """Lower limit."""

    high: float
    """Upper limit."""


class ControlRecord(ResultModel):
    """What one control showed."""

    control: str
    """Its name."""

    runs: int
    """Number of runs."""

    accuracy: float
    """Accuracy on the test set, mean over runs."""

    accuracy_low: float
    """Lower limit of the 95 % interval."""

    accuracy_high: float
    """Upper limit of the 95 % interval."""

    p: float
    """p-value of the permutation test of the control's own labels."""

    beats_chance: bool
    """Whether that p-value is below the level for its kind of control."""

    training_accuracy: float | None = None
    """Accuracy on the training images, mean over runs."""

    difference: DifferenceRecord | None = None
    """Network minus control; None for controls with permuted labels."""


class VerdictRecord(ResultModel):
    """The verdict on one experiment and one test set, with everything it rests on."""

    experiment: str
    """Name of the experiment."""

    split: str
    """Name of the test set."""

    question: str
    """The question, as a sentence."""

    word: str
    """The verdict in a word or two."""

    sentence: str
    """The verdict as a sentence."""

    reasons: tuple[str, ...]
    """Why, one sentence each."""

    n: int
    """Number of test images."""

    groups: int | None
    """Number of test groups; None if groups are unknown."""

    group_column: str | None
    """Provenance column that names the groups."""

    runs: int
    """Number of runs."""

    accuracy: float
    """Test accuracy, mean over runs."""

    accuracy_low: float
    """Lower limit of the 95 % interval."""

    accuracy_high: float
    """Upper limit of the 95 % interval."""

    interval: str
    """Method of the interval."""

    sd_over_runs: float | None
    """Standard deviation of the test accuracy over runs."""

    commonest_class: float
    """Fraction of the commonest class."""

    balanced_accuracy: float
    """Balanced test accuracy."""

    chance: float
    """Mean balanced accuracy of permuted labels."""

    null_low: float
    """2.5th percentile of the balanced accuracy of permuted labels."""

    null_high: float
    """97.5th percentile of the balanced accuracy of permuted labels."""

    p: float
    """p-value of the permutation test."""

    smallest_p: float
    """Smallest p-value that the test could give."""

    exact: bool
    """Whether all permutations were counted."""

    permuted: str
    """What was permuted."""

    effect: float
    """Balanced accuracy minus chance."""

    effect_sd: float | None
    """The effect in standard deviations of the null distribution."""

    training_balanced_accuracy: float | None
    """Balanced accuracy on the training images, mean over runs."""

    training_accuracy: float | None
    """Accuracy on the training images, mean over runs."""

    controls: tuple[ControlRecord, ...] = ()
    """The controls that were run."""

    missing_controls: tuple[str, ...] = ()
    """The controls that were not run."""

    expert: float | None = None
    """Accuracy of a person on this test set."""

    warnings: tuple[str, ...] = ()
    """What a reader should know."""


class VerdictFile(ResultModel):
    """Content of ``verdict.json``."""

    verdicts: tuple[VerdictRecord, ...]
    """One verdict for each experiment and test set."""
