"""The verdict on one experiment and one test set, as stored in ``verdict.json``."""

from __future__ import annotations

from cellvision import notebook_html
from cellvision.plurals import counted
from cellvision.result_model import ResultModel
from cellvision.results.control_records import ControlRecord


class WorstBatchRecord(ResultModel):
    """The batch (plate, day) with the lowest accuracy."""

    batch: str
    """Its name."""

    batches: int
    """Number of batches in the test set."""

    n: int
    """Number of its images."""

    groups: int | None
    """Number of its groups; None if groups are unknown."""

    accuracy: float
    """Accuracy on its images, mean over runs."""

    accuracy_low: float
    """Lower limit; the 95 % intervals of all batches hold together."""

    accuracy_high: float
    """Upper limit."""

    def sentence(self, column: str | None) -> str:
        """State it; `column` is the provenance column that names the batches."""
        groups = "" if self.groups is None else f", {counted(self.groups, 'group')}"
        return (
            f"Worst of {self.batches} batches ({column or 'batch'}): {self.batch}, accuracy "
            f"{self.accuracy:.2f} ({self.accuracy_low:.2f} to {self.accuracy_high:.2f}; "
            f"{counted(self.n, 'image')}{groups})."
        )


class VerdictRecord(ResultModel):
    """The verdict on one experiment and one test set, with everything it rests on."""

    experiment: str
    """Name of the experiment."""

    split: str
    """Name of the test set."""

    question: str
    """The question, as a sentence."""

    word: str
    """Stable identifier of the verdict, a word or two."""

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

    unit_column: str | None = None
    """Provenance column of the independent units, which `groups` counts; see `Run.unit_column`."""

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

    retrained_low: float | None = None
    """Lower limit for a network trained anew, on other groups; None if it cannot be said."""

    retrained_high: float | None = None
    """Upper limit for a network trained anew, on other groups."""

    sd_over_runs: float | None
    """Standard deviation of the test accuracy over runs."""

    dead_runs: int = 0
    """Runs whose network did not train, or that of one of their folds."""

    commonest_class: float
    """Fraction of the commonest class."""

    balanced_accuracy: float
    """Balanced test accuracy, mean over runs."""

    balanced_accuracy_low: float | None = None
    """Lower limit of its 95 % interval."""

    balanced_accuracy_high: float | None = None
    """Upper limit of its 95 % interval."""

    group_accuracy: float | None = None
    """Fraction of groups right by mean probability over images and runs; None if none is scored."""

    group_accuracy_low: float | None = None
    """Lower limit of its 95 % interval."""

    group_accuracy_high: float | None = None
    """Upper limit of its 95 % interval."""

    groups_scored: int | None = None
    """Groups that were scored: those with one label and no tie."""

    groups_left_out: int | None = None
    """Groups that were not: those with several labels or a tie."""

    worst_batch: WorstBatchRecord | None = None
    """The batch with the lowest accuracy; None if batches are unknown or equally accurate."""

    chance: float
    """Mean balanced accuracy of permuted labels."""

    null_low: float
    """2.5th percentile of the balanced accuracy of permuted labels."""

    null_high: float
    """97.5th percentile of the balanced accuracy of permuted labels."""

    p: float
    """p-value that decides: within batches if there are several, adjusted for the number of
    experiments and test sets."""

    unadjusted_p: float | None = None
    """The same for this experiment and test set alone."""

    p_across_batches: float | None = None
    """p-value of the test across batches; None without batches."""

    smallest_p: float
    """Smallest p-value that the test could give."""

    exact: bool
    """Whether all permutations were counted."""

    permuted: str
    """What was permuted."""

    effect: float
    """Balanced accuracy minus the mean of permuted labels."""

    effect_sd: float | None
    """The effect in standard deviations of the null distribution."""

    training_balanced_accuracy: float | None
    """Balanced accuracy on the training images, mean over runs."""

    training_accuracy: float | None
    """Accuracy on the training images, mean over runs."""

    batch_column: str | None = None
    """Provenance column that names the batches."""

    batches: str | None = None
    """How class and batch go together, as a sentence."""

    cross_validated: bool = False
    """Whether predictions are pooled over folds."""

    folds: int | None = None
    """Number of folds; None without cross-validation."""

    folds_by: str | None = None
    """What the folds hold out, such as ``well``."""

    looks: int | None = None
    """How many studies have evaluated this test set, this one included; None if not counted."""

    settings_tried: int | None = None
    """With how many different settings."""

    controls: tuple[ControlRecord, ...] = ()
    """The controls that were run."""

    missing_controls: tuple[str, ...] = ()
    """The controls that were not run."""

    expert: float | None = None
    """Accuracy of a person on this test set."""

    warnings: tuple[str, ...] = ()
    """What a reader should know."""

    def __repr__(self) -> str:
        return (
            f"<Verdict on {self.experiment}, {self.split}: {self.word}; accuracy "
            f"{self.accuracy:.3f} (95 % {self.accuracy_low:.3f} to {self.accuracy_high:.3f}; "
            f"n = {self.n}), p = {self.p:.2g}>"
        )

    def _repr_html_(self) -> str:
        groups = "groups unknown" if self.groups is None else counted(self.groups, "group")
        images = counted(self.n, "image")
        pairs = (
            ("Question", self.question),
            (
                "Accuracy",
                f"{self.accuracy:.3f} (95 % {self.accuracy_low:.3f} to {self.accuracy_high:.3f})",
            ),
            ("Balanced accuracy", f"{self.balanced_accuracy:.3f}"),
            ("p", f"{self.p:.2g} ({self.permuted} permuted: mean {self.chance:.3f})"),
            ("Test set", f"{self.split}: {images}, {groups}, {counted(self.runs, 'run')}"),
            ("Controls not run", ", ".join(self.missing_controls) or None),
        )
        return notebook_html.document(
            f"{self.experiment}: {self.sentence}",
            notebook_html.notes("", self.reasons),
            notebook_html.facts(pairs),
            notebook_html.notes("Controls", (f"{c.control}: {c.sentence}" for c in self.controls)),
            notebook_html.notes("Warnings", (w for w in self.warnings if w not in self.reasons)),
        )


class PairRecord(ResultModel):
    """The difference of two experiments of a study on one test set."""

    split: str
    """Name of the test set."""

    a: str
    """Name of one experiment."""

    b: str
    """Name of the other."""

    difference: float
    """Accuracy of `a` minus that of `b`, means over runs."""

    low: float
    """Lower limit; the intervals of all pairs together hold with 95 %."""

    high: float
    """Upper limit."""

    interval: str
    """Method of the interval."""

    @property
    def sentence(self) -> str:
        """Say which is better, or that it is open, with the numbers."""
        numbers = f"{self.difference:+.2f} ({self.low:+.2f} to {self.high:+.2f})"
        if self.low > 0:
            return f"{self.a} is better than {self.b}: {numbers}"
        if self.high < 0:
            return f"{self.b} is better than {self.a}: {self.a} minus {self.b} is {numbers}"
        return f"{self.a} minus {self.b}: {numbers}, open"


class LearningCurveRecord(ResultModel):
    """Accuracy against the number of training groups, on one test set."""

    split: str
    """Name of the test set."""

    measured_groups: tuple[int, ...]
    """Numbers of training groups that were trained on."""

    measured_accuracy: tuple[float, ...]
    """Accuracy of each, mean over runs."""

    test_groups: int
    """Number of test groups (of images if groups are unknown)."""

    groups: tuple[float, ...] = ()
    """Numbers of groups of the fitted curve: those measured, then twice and 4 times the most."""

    accuracy: tuple[float, ...] = ()
    """Fitted accuracy, a - b n^-c."""

    low: tuple[float, ...] = ()
    """Lower 95 % limit, widened 1.3 times."""

    high: tuple[float, ...] = ()
    """Upper 95 % limit, widened 1.3 times."""

    a: float | None = None
    """Accuracy that the curve approaches."""

    b: float | None = None
    """Factor of the curve."""

    c: float | None = None
    """Exponent of the curve."""

    reason: str | None = None
    """Why no curve is fitted; None if one is."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """State what was measured and what the curve expects, one sentence each."""
        pairs = zip(self.measured_groups, self.measured_accuracy, strict=True)
        measured = ", ".join(f"{n} groups: {accuracy:.2f}" for n, accuracy in pairs)
        lines = [f"Accuracy by training groups: {measured}."]
        if self.reason is not None:
            return (*lines, f"No curve is fitted: {self.reason.rstrip('.')}.")
        for n, accuracy, low, high in zip(
            self.groups, self.accuracy, self.low, self.high, strict=True
        ):
            if n > max(self.measured_groups):
                lines.append(
                    f"With {n:.0f} groups, the curve expects {accuracy:.2f} ({low:.2f} to "
                    f"{high:.2f})."
                )
        return tuple(lines)


class VerdictFile(ResultModel):
    """Content of ``verdict.json``."""

    verdicts: tuple[VerdictRecord, ...]
    """One verdict for each experiment and test set."""

    pairs: tuple[PairRecord, ...] = ()
    """The difference of each pair of experiments on each test set."""

    learning_curves: tuple[LearningCurveRecord, ...] = ()
    """Accuracy against the number of training groups, if several were trained."""
