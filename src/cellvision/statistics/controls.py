"""Findings of controls: the network against simpler explanations, and tests for leaks.

A control declares its own meaning (`ControlMeaning`), so that a third-party control is judged and
worded like a built-in one. Nothing here knows a control by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import validation
from cellvision.statistics.accuracy import (
    CROSS_VALIDATION_FACTOR,
    accuracy_interval,
    balanced_accuracy_interval,
)
from cellvision.statistics.deciding_groups import DecidingGroups, plan_comparison
from cellvision.statistics.intervals import Interval
from cellvision.statistics.paired import balanced_weights, paired_difference
from cellvision.statistics.permutation import PermutationTest, permutation_test

ControlKind = Literal["permuted labels", "alternative explanation", "lower rung"]
"""What a control tests.

*permuted labels*: trained on labels that mean nothing; must not beat chance on held-out images.
*alternative explanation*: sees none of the biology; if it does as well, a shortcut is possible.
*lower rung*: a simpler model of the same images; if it does as well, that may be the biology, and
if it does better, the network is not trained enough.
"""

Finding = Literal["more", "no more", "worse", "open", "leak", "no leak", "could not show a leak"]
"""How the network compares with a control, or whether permuted labels beat chance."""

MARGIN = 0.10
"""Difference of balanced accuracies below which the network does *no more* than a control."""

SUSPICION = 0.01
"""Level, of all controls with permuted labels together, at which they beat chance."""

_WORDING: Mapping[tuple[str, str], str] = {
    ("alternative explanation", "no more"): "shortcut possible: {subject} does as well",
    ("alternative explanation", "worse"): "shortcut possible: {subject} does better",
    ("lower rung", "no more"): "learned, and {subject} does as well",
    ("lower rung", "worse"): "{subject} does better: the network is not trained enough",
    ("permuted labels", "leak"): "suspicious: a leak or a bug",
}


@dataclass(frozen=True)
class ControlMeaning:
    """What a control stands for.

    Attributes
    ----------
    kind : {"permuted labels", "alternative explanation", "lower rung"}
        Which question it answers.
    subject : str
        Singular noun phrase for sentences: "brightness", "the background".
    sentences : mapping
        The verdict's sentence for a finding, in place of the default one.

    Raises
    ------
    InvalidInput
        There is no such kind or finding, or the subject is empty.
    """

    kind: ControlKind
    subject: str
    sentences: Mapping[Finding, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds, findings = get_args(ControlKind), get_args(Finding)
        if self.kind not in kinds:
            raise InvalidInput(
                f"there is no kind of control {self.kind!r}", f"Choose from: {', '.join(kinds)}."
            )
        if not self.subject.strip():
            raise InvalidInput("the control has no subject", 'Such as "the background".')
        for finding in self.sentences:
            if finding not in findings:
                raise InvalidInput(
                    f"there is no finding {finding!r}", f"Choose from: {', '.join(findings)}."
                )

    def sentence(self, finding: Finding) -> str | None:
        """Return the verdict's sentence for a finding; None if it alone decides nothing."""
        if finding in self.sentences:
            return self.sentences[finding]
        template = _WORDING.get((self.kind, finding))
        return template and template.format(subject=self.subject)


@dataclass(frozen=True, eq=False)
class ControlEvidence:
    """Held-out predictions of a control's runs, and what the control means.

    Attributes
    ----------
    meaning : ControlMeaning
        What the control stands for.
    predictions : array
        (n,) or (runs, n): predicted class of each image, in the order of the true labels.
    labels : array or None
        For permuted labels: the class that each image had in each run, shaped like
        `predictions`. None: the true labels.
    caveat : str
        Why it would mean little if the control did as well, as a clause; empty if nothing is
        known against it.
    groups : array or None
        For permuted labels: (n,) the groups that exchanged them, if they are smaller than those
        over which the network is judged. None: they are the same.
    """

    meaning: ControlMeaning
    predictions: ArrayLike
    labels: ArrayLike | None = None
    caveat: str = ""
    groups: ArrayLike | None = None


@dataclass(frozen=True, eq=False)
class ControlResult:
    """What a control shows.

    Attributes
    ----------
    name : str
        Name of the control.
    meaning : ControlMeaning
        What it stands for.
    finding : Finding
        *more*, *no more*, *worse* or *open* for a comparison; *leak*, *no leak* or *could not
        show a leak* for permuted labels.
    runs : int
        Number of runs.
    accuracy : Interval
        Held-out, with the labels it was trained for; mean over runs.
    test : PermutationTest
        Of its predictions.
    difference : Interval or None
        Balanced accuracy of the network minus that of the control, on the same images, 95 %;
        None for permuted labels.
    equivalence : Interval or None
        The same at 90 %: its upper limit is compared with the margin.
    deciding : DecidingGroups or None
        How many test groups would decide an *open* comparison, and in which sense; None if it is
        decided.
    caveat : str
        See `ControlEvidence`.
    """

    name: str
    meaning: ControlMeaning
    finding: Finding
    runs: int
    accuracy: Interval
    test: PermutationTest
    difference: Interval | None
    equivalence: Interval | None
    deciding: DecidingGroups | None
    caveat: str = ""

    @property
    def counts(self) -> bool:
        """Whether the verdict uses its comparison: there is no caveat, or the network does more."""
        return self.difference is not None and (not self.caveat or self.finding == "more")

    @property
    def groups_needed(self) -> int | None:
        """About how many test groups would decide, at this difference; None if not to be said."""
        return None if self.deciding is None else self.deciding.fewest

    @property
    def groups_would_show(self) -> Finding | None:
        """What `groups_needed` test groups would show: *more* or *no more*."""
        if self.deciding is None or self.deciding.fewest is None:
            return None
        return self.deciding.finding(self.deciding.fewest)

    def describe(self) -> str:
        """Say in a sentence what was found."""
        subject = self.meaning.subject
        accuracy = (
            f"{self.accuracy.estimate:.0%} ({self.accuracy.low:.2f} to {self.accuracy.high:.2f}; "
            f"n = {self.accuracy.n})"
        )
        if self.difference is None:
            clause = {
                "leak": f"beats chance (p = {self.test.p:.2g})",
                "no leak": f"does not beat chance (p = {self.test.p:.2g})",
            }.get(
                self.finding,
                f"could not have shown a leak ({self._why_no_leak_shows()})",
            )
            # Of unequal classes, the accuracy of guessing can look like a result.
            balanced = f"balanced {self.test.statistic:.0%}"
            return f"{_capital(subject)}: accuracy {accuracy}, {balanced}, which {clause}."
        gap = self.difference
        comparison = {
            "more": "the network does more",
            "no more": "the network does no more",
            "worse": "the network does worse",
        }.get(self.finding, "whether the network does more is open")
        needed = ""
        if self.deciding is not None and self.groups_needed is not None:
            needed = (
                f"; about {self.groups_needed} {self.deciding.noun} would show that it does "
                f"{self.groups_would_show} at this difference"
            )
        limit = "" if self.counts else f" It decides nothing: {self.caveat}."
        return (
            f"{_capital(subject)}: accuracy {accuracy}; network minus control, balanced "
            f"accuracy: {gap.estimate:+.2f} ({gap.low:+.2f} to {gap.high:+.2f}): "
            f"{comparison}{needed}.{limit}"
        )

    def _why_no_leak_shows(self) -> str:
        """Say that permuted labels could not beat chance, whatever the network does."""
        if self.test.smallest_p > 1 - 1e-9:
            return f"there is nothing to permute: {self.test.permuted}"
        return f"no p below {self.test.smallest_p:.2g} is possible, permuting {self.test.permuted}"


def compare_with_control(
    difference: Interval, equivalence: Interval, margin: float = MARGIN
) -> Finding:
    """Decide between *more*, *no more*, *worse* and *open*.

    Parameters
    ----------
    difference, equivalence
        95 % and 90 % interval of the network's accuracy minus the control's.
    margin
        Differences below it count as *no more*.

    Notes
    -----
    Absence of evidence is not evidence of absence: Altman and Bland (1995), BMJ 311, 485. Two
    one-sided tests: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680.
    """
    if difference.low > 0:
        return "more"
    if difference.high < 0:
        return "worse"
    return "no more" if equivalence.high < margin else "open"


@dataclass(frozen=True, eq=False)
class HeldOutSet:
    """True labels and the network's answers that controls are compared with.

    Attributes
    ----------
    labels : numpy.ndarray
        (n,) true classes.
    correct : numpy.ndarray
        (n,) fraction of the network's runs that are right.
    groups, batches : array or None
        (n,) of each image.
    cross_validated : bool
        Whether predictions are pooled over folds: intervals are then widened.
    """

    labels: NDArray[np.generic]
    correct: NDArray[np.float64]
    groups: ArrayLike | None
    batches: ArrayLike | None
    cross_validated: bool

    def interval(self, correct: NDArray[np.float64]) -> Interval:
        """Interval of an accuracy on this test set."""
        interval = accuracy_interval(correct, self.groups)
        return interval.widened(CROSS_VALIDATION_FACTOR) if self.cross_validated else interval

    def balanced(self, labels: NDArray[Any], predictions: NDArray[Any]) -> Interval:
        """Interval of a balanced accuracy on this test set, by these labels."""
        interval = balanced_accuracy_interval(labels, predictions, self.groups)
        return interval.widened(CROSS_VALIDATION_FACTOR) if self.cross_validated else interval

    def difference(self, correct: NDArray[np.float64], confidence: float, seed: int) -> Interval:
        """Interval of the network's balanced accuracy minus another one."""
        interval = paired_difference(
            self.correct,
            correct,
            self.groups,
            confidence=confidence,
            seed=seed,
            weights=balanced_weights(self.labels),
        )
        if not self.cross_validated:
            return interval
        return interval.widened(CROSS_VALIDATION_FACTOR, (-1.0, 1.0))


def evaluate_control(
    name: str,
    evidence: ControlEvidence,
    test_set: HeldOutSet,
    *,
    margin: float = MARGIN,
    level: float = SUSPICION,
    seed: int = 0,
) -> ControlResult:
    """Judge one control.

    Parameters
    ----------
    name
        Name of the control, for messages.
    evidence
        Its predictions and meaning.
    test_set
        What it is compared with.
    margin
        See `compare_with_control`.
    level
        p at or below which permuted labels beat chance.
    seed
        Seed of permutations and bootstrap.

    Raises
    ------
    InvalidInput
        Predictions differ in length, or labels are missing for permuted labels.
    """
    answers = validation.check_runs(evidence.predictions, f"predictions of {name}")
    validation.check_same_length(labels=test_set.labels, **{f"predictions of {name}": answers[0]})
    permuted = evidence.meaning.kind == "permuted labels"
    if permuted and evidence.labels is None:
        raise InvalidInput(f"{name} has no labels", "Give the permuted labels of its runs.")
    labels = test_set.labels
    if evidence.labels is not None:
        labels = validation.check_runs(evidence.labels, f"labels of {name}")
    # The test permutes what was permuted: if wells exchanged labels, every donor has mixed ones.
    groups = test_set.groups if evidence.groups is None else evidence.groups
    test = permutation_test(labels, answers, groups, batches=test_set.batches, seed=seed)
    correct = (answers == labels).mean(axis=0)
    accuracy = test_set.interval(correct)
    difference = equivalence = deciding = None
    if permuted:
        finding: Finding = "no leak"
        if test.smallest_p > level:
            finding = "could not show a leak"
        elif test.p <= level and _beats_chance(test_set, labels, answers):
            finding = "leak"
    else:
        difference = test_set.difference(correct, 0.95, seed)
        equivalence = test_set.difference(correct, 0.90, seed)
        finding = compare_with_control(difference, equivalence, margin)
        if finding == "open":
            deciding = plan_comparison(difference, equivalence, margin)
    return ControlResult(
        name,
        evidence.meaning,
        finding,
        runs=len(answers),
        accuracy=accuracy,
        test=test,
        difference=difference,
        equivalence=equivalence,
        deciding=deciding,
        caveat="" if permuted else evidence.caveat,
    )


def _beats_chance(test_set: HeldOutSet, labels: NDArray[Any], predictions: NDArray[Any]) -> bool:
    """Whether the interval of permuted labels is above chance as well, where p alone is no test.

    Predictions that are pooled over folds depend on each other through the training images. The
    interval is the average over runs, which is wider than that of their mean.
    """
    if not test_set.cross_validated:
        return True
    rows = np.broadcast_to(labels, predictions.shape)
    lows = [test_set.balanced(*pair).low for pair in zip(rows, predictions, strict=True)]
    return bool(np.mean(lows) > 1 / len(np.unique(test_set.labels)))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
