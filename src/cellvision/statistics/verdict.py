"""Decide by a fixed rule whether a network learned, memorised or used a shortcut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision import notebook_html
from cellvision.errors import InvalidInput
from cellvision.statistics import validation
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
from cellvision.statistics.looks_at_test_sets import LookCount
from cellvision.statistics.permutation import PermutationTest, permutation_test
from cellvision.statistics.seeds import (
    SeedSpread,
    retrained_interval,
    seed_spread,
    untrained_runs,
)
from cellvision.statistics.verdict_rule import Case, Word

SINGLE_RUN = (
    "This is the answer of a single run without controls. A firm verdict takes several seeds and "
    "controls."
)
"""What the demo and the page of a run say beside the rule's sentence."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """Verdict on one experiment and one test set, with its evidence.

    Attributes
    ----------
    word : Word
        Identifier of the verdict.
    sentence : str
        The verdict in words.
    reasons : tuple of str
        Reasons for the verdict, one sentence each.
    accuracy, balanced_accuracy : Interval
        Held-out, mean over runs; intervals for these networks on other groups.
    retrained : Interval or None
        Accuracy of a network trained anew, on other groups; None for a single run, or if a run
        did not train.
    spread : SeedSpread
        Spread of the accuracy over runs.
    test : PermutationTest
        Test of true against permuted labels, within batches if they are known.
    overall_test : PermutationTest or None
        The same test across batches; None if batches are unknown.
    p : float
        Decisive p: that of `test`, adjusted for arms and looks.
    chance : float
        Balanced accuracy of guessing, 1 / classes.
    commonest : float
        Fraction of images in the most common class.
    training : float or None
        Balanced accuracy on training images, mean over runs.
    controls : tuple of ControlResult
        Results of the controls, in the order of the argument.
    batches : BatchTable or None
        Association of class and batch; None if batches are unknown.
    warnings : tuple of str
        Warnings for readers, one sentence each.
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
            f"{self.accuracy.low:.3f} to {self.accuracy.high:.3f}; n = {self.accuracy.n}), "
            f"p = {self.p:.2g}>"
        )

    def _repr_html_(self) -> str:
        accuracy, balanced = self.accuracy, self.balanced_accuracy
        pairs = (
            (
                "Accuracy",
                f"{accuracy.estimate:.3f} (95 % {accuracy.low:.3f} to {accuracy.high:.3f}; "
                f"n = {accuracy.n})",
            ),
            (
                "Balanced accuracy",
                f"{balanced.estimate:.3f}; guessing {self.chance:.3f}, permuted labels "
                f"{self.test.null_mean:.3f}",
            ),
            ("p", f"{self.p:.2g}"),
        )
        return notebook_html.document(
            self.sentence,
            notebook_html.notes("", self.reasons),
            notebook_html.facts(pairs),
            notebook_html.notes("Controls", (each.describe() for each in self.controls)),
            notebook_html.notes("Warnings", (w for w in self.warnings if w not in self.reasons)),
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
    dead: ArrayLike | None = None,
    looks: LookCount | None = None,
    margin: float = MARGIN,
    seed: int = 0,
) -> Verdict:
    """Decide whether a network learned, from held-out predictions of a study and its controls.

    The documentation page "Learning or memorising?" states the rule; the first case that applies
    decides. Runs are not independent samples of images: the statistic is the mean over runs, and
    only groups swap labels.

    Parameters
    ----------
    labels
        (n,) true classes of held-out images.
    predictions
        (n,) or (runs, n) predicted classes.
    groups
        (n,) group of each image; None if unknown: images are then treated as independent, and
        the verdict says so.
    batches
        (n,) batch that groups share (plate, day); None if unknown.
    batch_name
        Singular noun for `batches` in sentences, such as "plate".
    batches_held_out
        Whether the training images come from other batches. If they do not and every batch holds
        one class, class and batch cannot be distinguished.
    training
        Balanced accuracy on training images, mean over runs, 0 to 1. Without it, the verdict is
        never *memorised*.
    controls
        Evidence of each control by name, in the order of the report.
    missing_controls
        Names of controls that were not run, to warn about.
    cross_validated
        Whether predictions are pooled over folds. Intervals are then widened, and *learned* also
        requires that the lower limit of the balanced accuracy is above chance, as it does where
        most groups hold several classes, or groups of one class many more images than others.
    shared
        Whether training and held-out images are known to share groups or images.
    adjusted_p
        p adjusted for several arms or test sets (`max_t_test`, `holm`); None for a single one.
    dead
        (runs,) whether the network of each run, or of one of its folds, did not train; None: those
        that predict one class for every held-out image, if there are several classes.
    looks
        Number of evaluations of this test set so far (`Odometer`); None if unknown.
    margin
        Difference below which the network does no more than a control. Set it before you see
        results.
    seed
        Seed of permutations and of the bootstrap.

    Raises
    ------
    InvalidInput
        There are no images, lengths differ, or a permuted control has no labels.

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
    truth, answers = _checked(labels, predictions, training)
    right = answers == truth
    test_set = HeldOutSet(truth, right.mean(axis=0), groups, batches, cross_validated)
    accuracy = test_set.interval(test_set.correct)
    balanced = test_set.balanced(truth, answers)
    test = permutation_test(truth, answers, groups, batches=batches, seed=seed)
    overall = None if batches is None else permutation_test(truth, answers, groups, seed=seed)
    classes, counts = np.unique(truth, return_counts=True)
    accuracies, dead = right.mean(axis=1), _dead_runs(answers, len(classes), dead)
    spread = seed_spread(accuracies, dead=dead)
    results = _evaluate_controls(controls or {}, test_set, margin, seed)
    p = _decisive_p(test.p, adjusted_p, looks)
    table = None if batches is None else batch_table(truth, batches, groups, name=batch_name)
    case = Case(
        test=test,
        overall=overall,
        p=p,
        balanced=balanced,
        classes=tuple(map(str, classes)),
        chance=1 / max(len(classes), 2),
        training=training,
        controls=results,
        groups_unknown=groups is None,
        cross_validated=cross_validated,
        shared=shared,
        table=table,
        batch_name=batch_name,
        batches_held_out=batches_held_out,
        looks=looks,
        spread=spread,
    )
    word, sentence, reasons = case.decide()
    return Verdict(
        word=word,
        sentence=sentence,
        reasons=reasons,
        accuracy=accuracy,
        balanced_accuracy=balanced,
        retrained=retrained_interval(accuracy, accuracies, dead=dead),
        spread=spread,
        test=test,
        overall_test=overall,
        p=p,
        chance=case.chance,
        commonest=float(counts.max() / len(truth)),
        training=training,
        controls=results,
        batches=table,
        warnings=_warnings(case, accuracy, missing_controls, reasons),
    )


def _dead_runs(answers: NDArray[Any], classes: int, dead: ArrayLike | None) -> ArrayLike:
    return untrained_runs(answers) & (classes > 1) if dead is None else dead


def _decisive_p(p: float, adjusted_p: float | None, looks: LookCount | None) -> float:
    """Return p, adjusted for arms and looks."""
    largest = max(p, adjusted_p or 0.0)
    return largest if looks is None else looks.adjust(largest)


def _checked(
    labels: ArrayLike, predictions: ArrayLike, training: float | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    if training is not None and not 0 <= training <= 1:
        raise InvalidInput(f"training is {training}", "Give an accuracy, 0 to 1.")
    truth = validation.check_column(labels, "labels")
    answers = validation.check_runs(predictions, "predictions")
    validation.check_same_length(labels=truth, predictions=answers[0])
    return truth, answers


def _evaluate_controls(
    evidence: Mapping[str, ControlEvidence], test_set: HeldOutSet, margin: float, seed: int
) -> tuple[ControlResult, ...]:
    permuted = sum(e.meaning.kind == "permuted labels" for e in evidence.values())
    level = SUSPICION / max(permuted, 1)
    return tuple(
        evaluate_control(name, one, test_set, margin=margin, level=level, seed=seed)
        for name, one in evidence.items()
    )


def _warnings(
    case: Case,
    accuracy: Interval,
    missing: Sequence[str],
    reasons: Sequence[str],
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
    if case.spread.dead:
        warnings.append(f"{case.untrained()}.")
    if case.table is not None and case.table.single_class:
        warnings.append(case.table.sentence(case.images))
    if case.looks is not None and case.looks.warning:
        warnings.append(case.looks.warning.capitalize())
    about_test = case.test.warning if len(case.classes) > 1 else None
    for text in filter(None, (about_test, accuracy.warning)):
        warnings.append(f"{text[0].upper()}{text[1:]}.")
    return tuple(each for each in dict.fromkeys(warnings) if each not in reasons)
