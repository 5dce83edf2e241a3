"""The verdict: learned, memorised, a shortcut, or not to be said, by a fixed rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
from cellvision.statistics.verdict_rule import Case, Word


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
    truth, answers = _checked(labels, predictions, training)
    right = answers == truth
    test_set = HeldOutSet(truth, right.mean(axis=0), groups, batches, cross_validated)
    accuracy = test_set.interval(test_set.correct)
    balanced = balanced_accuracy_interval(truth, answers, groups)
    balanced = balanced.widened(CROSS_VALIDATION_FACTOR) if cross_validated else balanced
    test = permutation_test(truth, answers, groups, batches=batches, seed=seed)
    overall = None if batches is None else permutation_test(truth, answers, groups, seed=seed)
    accuracies, dead = right.mean(axis=1), untrained_runs(answers)
    results = _evaluate_controls(controls or {}, test_set, margin, seed)
    p = max(test.p if looks is None else looks.adjust(test.p), adjusted_p or 0.0)
    classes, counts = np.unique(truth, return_counts=True)
    chance = 1 / max(len(classes), 2)
    table = None if batches is None else batch_table(truth, batches, groups, name=batch_name)
    case = Case(
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
    case: Case, accuracy: Interval, dead: NDArray[np.bool_], missing: Sequence[str]
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
