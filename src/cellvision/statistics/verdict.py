"""The verdict: learned, memorised, a shortcut, or not to be said, by a fixed rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision import notebook_html
from cellvision.errors import InvalidInput
from cellvision.statistics import validation
from cellvision.statistics.accuracy import CROSS_VALIDATION_FACTOR, balanced_accuracy_interval
from cellvision.statistics.batches import BatchTable, batch_table
from cellvision.statistics.controls import (
    MARGIN,
    SUSPICION,
    ControlEvidence,
    ControlResult,
    HeldOutSet,
    evaluate_control,
)
from cellvision.statistics.intervals import Interval
from cellvision.statistics.odometer import LookCount
from cellvision.statistics.permutation import PermutationTest, permutation_test
from cellvision.statistics.seeds import (
    SeedSpread,
    retrained_interval,
    seed_spread,
    untrained_runs,
)

Word = Literal[
    "learned",
    "learned, no more",
    "learned, open",
    "learned if independent",
    "undertrained",
    "shortcut possible",
    "may be the batch",
    "class is batch",
    "memorised",
    "suspicious",
    "reused test set",
    "cannot tell",
]
"""Stable identifier of a verdict; its sentence names the controls and the batch."""

ALPHA = 0.05
"""Level of the permutation test of the true labels."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """A verdict on one experiment and one test set, with the evidence behind it.

    Attributes
    ----------
    word : Word
        Identifier of the verdict.
    sentence : str
        The verdict in words.
    reasons : tuple of str
        Why, one sentence each.
    accuracy, balanced_accuracy : Interval
        Held-out, mean over runs: these networks, other groups.
    retrained : Interval or None
        The accuracy of a network trained anew, on other groups; None for one run or if a run did
        not train.
    spread : SeedSpread
        Over runs.
    test : PermutationTest
        True labels against permuted ones, within batches if there are several.
    overall_test : PermutationTest or None
        The same across batches; None without batches.
    p : float
        The p that decides: of `test`, adjusted for arms and for looks.
    chance : float
        Balanced accuracy by chance, 1 / classes.
    commonest : float
        Fraction of the commonest class.
    training : float or None
        Balanced accuracy on training images, mean over runs.
    controls : tuple of ControlResult
        In the order given.
    batches : BatchTable or None
        How class and batch go together.
    warnings : tuple of str
        What a reader should know, one sentence each.
    """

    word: Word
    sentence: str
    reasons: tuple[str, ...]
    accuracy: Interval
    balanced_accuracy: Interval
    retrained: Interval | None
    spread: SeedSpread
    test: PermutationTest
    overall_test: PermutationTest | None
    p: float
    chance: float
    commonest: float
    training: float | None
    controls: tuple[ControlResult, ...]
    batches: BatchTable | None
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"<Verdict: {self.word}; accuracy {self.accuracy.estimate:.3f} (95 % "
            f"{self.accuracy.low:.3f} to {self.accuracy.high:.3f}), p = {self.p:.2g}>"
        )

    def _repr_html_(self) -> str:
        accuracy, balanced = self.accuracy, self.balanced_accuracy
        pairs = (
            (
                "Accuracy",
                f"{accuracy.estimate:.3f} (95 % {accuracy.low:.3f} to {accuracy.high:.3f})",
            ),
            ("Balanced accuracy", f"{balanced.estimate:.3f}; chance {self.chance:.3f}"),
            ("p", f"{self.p:.2g}"),
        )
        return notebook_html.document(
            self.sentence,
            notebook_html.notes("", self.reasons),
            notebook_html.facts(pairs),
            notebook_html.notes("Controls", (each.describe() for each in self.controls)),
            notebook_html.notes("Warnings", self.warnings),
        )


def verdict(
    labels: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    batches: ArrayLike | None = None,
    batch_name: str = "batch",
    batches_held_out: bool = False,
    training: float | None = None,
    controls: Mapping[str, ControlEvidence] | None = None,
    missing_controls: Sequence[str] = (),
    cross_validated: bool = False,
    shared: bool = False,
    adjusted_p: float | None = None,
    looks: LookCount | None = None,
    margin: float = MARGIN,
    seed: int = 0,
) -> Verdict:
    """Say whether a network learned, from held-out predictions of a study and its controls.

    The documentation page "Learning or memorising?" has the rule; the first case that applies
    decides. Runs are not independent samples of images: the statistic is the mean over runs, and
    only labels of groups are permuted.

    Parameters
    ----------
    labels
        (n,) true classes of held-out images.
    predictions
        (n,) or (runs, n) predicted classes.
    groups
        (n,) the group of each image; None if unknown: images are then treated as independent,
        and the verdict says so.
    batches
        (n,) what groups share (plate, day); None if unknown.
    batch_name
        Singular noun for `batches` in sentences, such as "plate".
    batches_held_out
        Whether no training image lies in these batches. Otherwise, if every batch holds one
        class, class cannot be told from batch.
    training
        Balanced accuracy on training images, mean over runs, 0 to 1. Without it nothing can be
        called memorised.
    controls
        By name, in the order of the report.
    missing_controls
        Names of controls that were not run, for a warning.
    cross_validated
        Whether predictions are pooled over folds. Intervals are then widened, and *learned* also
        needs a balanced accuracy whose lower limit is above chance.
    shared
        Whether training and held-out images are known to share groups or images.
    adjusted_p
        p adjusted for several arms or test sets (`max_t_test`, `holm`); None if there is one.
    looks
        How often this test set was evaluated before (`Odometer`); None if unknown.
    margin
        Difference below which the network does no more than a control. Fix it before the result.
    seed
        Seed of permutations and bootstrap.

    Raises
    ------
    InvalidInput
        There is no image, lengths differ, or permuted labels are missing.

    Notes
    -----
    Permutation of labels as a test of a classifier: Ojala and Garriga (2010), J. Mach. Learn.
    Res. 11, 1833-1863. Measured error rates: the documentation page "Statistics".

    Examples
    --------
    >>> wells = [w for w in range(8) for _ in range(3)]
    >>> classes = ["dead" if w < 4 else "live" for w in wells]
    >>> result = verdict(classes, [classes, classes], wells, training=1.0)
    >>> result.word, round(result.test.p, 4), result.sentence
    ('learned', 0.0143, 'learned: new groups are told apart')
    """
    if training is not None and not 0 <= training <= 1:
        raise InvalidInput(f"training is {training}", "Give an accuracy, 0 to 1.")
    truth = validation.check_column(labels, "labels")
    answers = validation.check_runs(predictions, "predictions")
    validation.check_same_length(labels=truth, predictions=answers[0])
    right = answers == truth
    test_set = HeldOutSet(truth, right.mean(axis=0), groups, batches, cross_validated)
    accuracy = test_set.interval(test_set.correct)
    balanced = balanced_accuracy_interval(truth, answers, groups)
    if cross_validated:
        balanced = balanced.widened(CROSS_VALIDATION_FACTOR)
    test = permutation_test(truth, answers, groups, batches=batches, seed=seed)
    overall = None if batches is None else permutation_test(truth, answers, groups, seed=seed)
    accuracies, dead = right.mean(axis=1), untrained_runs(answers)
    evidence = dict(controls or {})
    permuted = sum(e.meaning.kind == "permuted labels" for e in evidence.values())
    results = tuple(
        evaluate_control(
            *(name, one, test_set),
            margin=margin,
            level=SUSPICION / max(permuted, 1),
            seed=seed,
        )
        for name, one in evidence.items()
    )
    p = test.p if looks is None else looks.adjust(test.p)
    p = max(p, adjusted_p or 0.0)
    classes, counts = np.unique(truth, return_counts=True)
    chance = 1 / max(len(classes), 2)
    table = None if batches is None else batch_table(truth, batches, groups, name=batch_name)
    case = _Case(
        test=test,
        overall=overall,
        p=p,
        balanced=balanced,
        chance=chance,
        training=training,
        controls=results,
        groups_unknown=groups is None,
        cross_validated=cross_validated,
        shared=shared,
        table=table,
        batch_name=batch_name,
        batches_held_out=batches_held_out,
        looks=looks,
    )
    word, sentence, reasons = case.decide()
    return Verdict(
        word=word,
        sentence=sentence,
        reasons=reasons,
        accuracy=accuracy,
        balanced_accuracy=balanced,
        retrained=retrained_interval(accuracy, accuracies, dead=dead),
        spread=seed_spread(accuracies, dead=dead),
        test=test,
        overall_test=overall,
        p=p,
        chance=chance,
        commonest=float(counts.max() / len(truth)),
        training=training,
        controls=results,
        batches=table,
        warnings=_warnings(case, accuracy, dead, missing_controls),
    )


Decision = tuple[Word, str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class _Case:
    """The evidence on which the rule decides."""

    test: PermutationTest
    overall: PermutationTest | None
    p: float
    balanced: Interval
    chance: float
    training: float | None
    controls: tuple[ControlResult, ...]
    groups_unknown: bool
    cross_validated: bool
    shared: bool
    table: BatchTable | None
    batch_name: str
    batches_held_out: bool
    looks: LookCount | None

    def decide(self) -> Decision:
        """Return word, sentence and reasons; the first case that applies decides."""
        leaks = [result for result in self.controls if result.finding == "leak"]
        if leaks:
            return "suspicious", _sentence(leaks[0]), tuple(result.describe() for result in leaks)
        if self.shared:
            return (
                *("cannot tell", "cannot tell: these images are not held out"),
                ("Training and test share groups or images, which was allowed.",),
            )
        if self.table is not None and self.table.nested and not self.batches_held_out:
            return (
                *("class is batch", f"cannot tell class from {self.batch_name}"),
                (self.table.sentence(),),
            )
        if self._significant():
            return self._learned()
        if self.overall is not None and self.overall.p <= ALPHA < self.test.p:
            return (
                *("may be the batch", f"may be the {self.batch_name}"),
                (
                    f"Across {self.batch_name}s p = {self.overall.p:.2g}, within them "
                    f"p = {self.test.p:.2g}: what they share may explain the result.",
                ),
            )
        return self._not_learned()

    def _significant(self) -> bool:
        above = not self.cross_validated or self.balanced.low > self.chance
        return self.p <= ALPHA and above

    def _score(self) -> str:
        adjusted = "" if self.p == self.test.p else f", adjusted {self.p:.2g}"
        return (
            f"Balanced accuracy {self.balanced.estimate:.2f} ({self.balanced.low:.2f} to "
            f"{self.balanced.high:.2f}), {self.test.effect:+.2f} from the mean of permuted labels "
            f"(p = {self.test.p:.2g}{adjusted})."
        )

    def _learned(self) -> Decision:
        compared = [r for r in self.controls if r.difference is not None]
        reasons = (self._score(), *(result.describe() for result in compared))
        if self.looks is not None and self.looks.withheld:
            sentence = f"not to be said: {self.looks.describe()}; confirm on new groups"
            return "reused test set", sentence, reasons
        as_well = [r for r in compared if r.finding in ("no more", "worse")]
        for result in as_well:
            if result.meaning.kind == "alternative explanation":
                return "shortcut possible", _sentence(result), reasons
        for result in as_well:
            if result.finding == "worse":
                return "undertrained", _sentence(result), reasons
        unclear = [r for r in compared if r.finding == "open"]
        word: Word = "learned"
        if as_well:
            word, sentence = "learned, no more", _sentence(as_well[0])
            if len(as_well) > 1 and not any(r.meaning.sentences for r in as_well):
                sentence = f"learned, and {_subjects(as_well)} do as well"
        elif unclear:
            word, sentence = "learned, open", "learned"
        else:
            sentence = "learned: new groups are told apart"
            if compared:
                sentence += f", by more than {_subjects(compared)}"
        if unclear:
            sentence += f"; whether by more than {_subjects(unclear)} is not shown{_more(unclear)}"
        if self.groups_unknown:
            rest = sentence.removeprefix("learned").removeprefix(": new groups are told apart")
            sentence = f"learned only if images are independent{rest}"
            return "learned if independent", sentence, reasons
        return word, sentence, reasons

    def _not_learned(self) -> Decision:
        def cannot_tell(why: str, *reasons: str) -> Decision:
            return "cannot tell", f"cannot tell: {why}", reasons

        if self.test.smallest_p > ALPHA:
            limit = f"No {(self.test.warning or '').removeprefix('no ')}."
            return cannot_tell("too few groups", limit)
        score = self._score()
        if self.training is None:
            why = "How well the network fits the training images is unknown."
            return cannot_tell("not better than permuted labels", score, why)
        fit = f"The balanced accuracy on training images is {self.training:.2f}"
        if self.training < (1 + self.chance) / 2:
            why = f"{fit}: the network does not fit them either."
            return cannot_tell("the network did not train", score, why)
        halfway = (self.chance + self.training) / 2
        if self.balanced.high >= halfway:
            why = (
                f"{fit}; the interval of the held-out one, up to {self.balanced.high:.2f}, allows "
                "more than half of that above chance: too few groups to say."
            )
            return cannot_tell("too few groups", score, why)
        sentence = "memorised: fits training, far below it on new groups"
        return "memorised", sentence, (score, f"{fit}.")


def _sentence(result: ControlResult) -> str:
    sentence = result.meaning.sentence(result.finding)
    return sentence or f"{result.meaning.subject}: {result.finding}"


def _subjects(results: Sequence[ControlResult]) -> str:
    names = [result.meaning.subject for result in results]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _more(results: Sequence[ControlResult]) -> str:
    """Say how many groups would decide all of these comparisons."""
    needed = [result.groups_needed for result in results]
    if any(number is None for number in needed):
        return " (many more groups would be needed)"
    return f" (about {max(n for n in needed if n is not None)} groups would show it)"


def _warnings(
    case: _Case, accuracy: Interval, dead: NDArray[np.bool_], missing: Sequence[str]
) -> tuple[str, ...]:
    warnings = []
    if case.groups_unknown:
        warnings.append(
            "Groups unknown: images were treated as independent; if they are not, accuracy and "
            "p-value are optimistic."
        )
    if missing:
        warnings.append(f"Controls not run: {', '.join(missing)}.")
    warnings += [
        result.describe() for result in case.controls if result.finding == "could not show a leak"
    ]
    if dead.any():
        warnings.append(f"{int(dead.sum())} of {len(dead)} runs did not train.")
    if case.table is not None and case.table.single_class:
        warnings.append(case.table.sentence())
    if case.looks is not None and case.looks.settings > 1:
        warnings.append(f"{case.looks.describe().capitalize()}: p is multiplied by the looks.")
    for text in (case.test.warning, accuracy.warning):
        if text:
            warnings.append(f"{text[0].upper()}{text[1:]}.")
    return tuple(dict.fromkeys(warnings))
