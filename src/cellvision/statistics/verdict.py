"""Learned, memorised, or neither: one of five sentences, by a fixed rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import checks
from cellvision.statistics.intervals import Interval, share_interval
from cellvision.statistics.paired import share_difference
from cellvision.statistics.permutation import Permutation, permutation_test
from cellvision.statistics.seeds import SeedSpread, seed_spread

Word = Literal["learned", "cannot tell", "memorised", "suspicious", "shortcut"]

SENTENCES: Mapping[Word, str] = {
    "learned": "learned",
    "cannot tell": "cannot tell",
    "memorised": "memorised: fits training, no better than the permuted null",
    "suspicious": "suspicious: permuted labels beat chance (leak or bug)",
    "shortcut": "shortcut: background or intensity alone does as well",
}
"""What a verdict says; it says nothing else."""

PERMUTED = ("permuted_groups", "permuted_images")
"""Controls trained on permuted labels: they must not beat chance on held-out images."""

ALONE = ("background", "intensity")
"""Controls trained on true labels without the cells: they should not do as well."""

ALPHA = 0.05
"""Level of the permutation test of the true labels, and of the controls of `ALONE` together."""

SUSPICION = 0.01
"""Level, of all controls of `PERMUTED` together, at which permuted labels beat chance."""


@dataclass(frozen=True, eq=False)
class Control:
    """The held-out answers of one control's runs.

    Attributes
    ----------
    predictions : array
        (n,) or (runs, n): the predicted class of each image, in the order of the true runs'.
    labels : array or None
        For permuted labels: the class that each image had in each run, shaped like
        `predictions`. None where the labels are the true ones.
    """

    predictions: ArrayLike
    labels: ArrayLike | None = None


@dataclass(frozen=True, eq=False)
class ControlResult:
    """What a control shows.

    Attributes
    ----------
    name : str
        Which.
    runs : int
        How many.
    accuracy : Interval
        Held-out, on the labels that it was trained for; mean over runs, sampling interval.
    test : Permutation
        Against permuted labels.
    beats_chance : bool
        Whether its p is at most the level for its kind.
    difference : Interval or None
        Accuracy of the true labels minus its own, on the same images; None where its labels are
        not the true ones.
    """

    name: str
    runs: int
    accuracy: Interval
    test: Permutation
    beats_chance: bool
    difference: Interval | None


@dataclass(frozen=True, eq=False)
class Verdict:
    """A verdict on one experiment and one test set, with all that it rests on.

    Attributes
    ----------
    word : {"learned", "cannot tell", "memorised", "suspicious", "shortcut"}
        The verdict.
    reasons : tuple of str
        Why, a sentence each.
    accuracy : Interval
        Held-out accuracy, mean over runs, with the sampling interval.
    spread : SeedSpread
        Over runs.
    test : Permutation
        The true labels against permuted ones: p, smallest attainable p, effect.
    commonest : float
        The share of the commonest class: what always naming it would get right.
    training : float or None
        Balanced accuracy on the training images, mean over runs.
    controls : tuple of ControlResult
        Those that were run.
    missing : tuple of str
        Those that were not.
    warnings : tuple of str
        What a reader should know, a sentence each.
    """

    word: Word
    reasons: tuple[str, ...]
    accuracy: Interval
    spread: SeedSpread
    test: Permutation
    commonest: float
    training: float | None
    controls: tuple[ControlResult, ...]
    missing: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """One of the five fixed sentences."""
        return SENTENCES[self.word]


def verdict(
    labels: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    training: float | None = None,
    controls: Mapping[str, Control] | None = None,
    shared: bool = False,
    seed: int = 0,
) -> Verdict:
    """Say whether a network learned, from held-out predictions of a study and its controls.

    The first rule that applies decides:

    1. *suspicious*: a control with permuted labels beats chance on held-out images, by a
       permutation test over its runs at 0.01 (shared by such controls);
    2. *cannot tell*: the splits are known to share units or images;
    3. where p of the true labels is at most 0.05, *shortcut* if `background` or `intensity`
       beats chance too (at 0.05, shared) and the interval of the difference of the accuracies
       is not above zero, else *learned*;
    4. *memorised*: half of the way from chance to perfect is passed on the training images, and
       the interval of the held-out accuracy ends before half of the way from the commonest
       class to the training accuracy;
    5. *cannot tell*.

    Runs are not independent samples of images: the statistic is the mean over runs, and only
    labels of images, or of whole groups, are permuted.

    Parameters
    ----------
    labels
        (n,) true class of the held-out images.
    predictions
        (n,) or (runs, n) predicted class.
    groups
        (n,) the unit each image came from; None where it is unknown: images are then taken as
        independent, and a warning says so.
    training
        Balanced accuracy on the training images, mean over runs, 0 to 1. Without it nothing can
        be called memorised.
    controls
        By name: ``permuted_groups``, ``permuted_images`` (with their labels), ``background``,
        ``intensity``.
    shared
        Whether training and held-out images are known to share units or images.
    seed
        Of permutations and bootstrap.

    Raises
    ------
    InvalidInput
        No image, lengths that differ, an unknown control, or a permuted one without labels.

    Notes
    -----
    Fitting random labels shows nothing: Zhang et al. (2017), arXiv 1611.03530. Permutation of
    labels as a test of a classifier: Ojala and Garriga (2010), J. Mach. Learn. Res. 11,
    1833-1863. Measured error rates: the documentation page "Statistics".

    Examples
    --------
    >>> wells = [w for w in range(8) for _ in range(3)]
    >>> classes = ["dead" if w < 4 else "live" for w in wells]
    >>> found = verdict(classes, [classes, classes], wells, training=1.0)
    >>> found.word, round(found.test.p, 4), found.missing[0]
    ('learned', 0.0143, 'permuted_groups')
    """
    given = dict(controls or {})
    unknown = [name for name in given if name not in (*PERMUTED, *ALONE)]
    if unknown:
        raise InvalidInput(
            f"unknown control {unknown[0]!r}", f"Controls: {', '.join((*PERMUTED, *ALONE))}"
        )
    if training is not None and not 0 <= training <= 1:
        raise InvalidInput(f"training is {training}", "Give an accuracy, 0 to 1.")
    truth = checks.column(labels, "labels")
    answers = _runs(predictions, truth, "predictions")
    right = answers == truth
    share = right.mean(axis=0)
    test = permutation_test(truth, answers, groups, seed=seed)
    accuracy = share_interval(share, groups, seed=seed)
    commonest = float(np.unique(truth, return_counts=True)[1].max() / len(truth))
    results = tuple(
        _result(name, given, truth, share, groups, seed)
        for name in (*PERMUTED, *ALONE)
        if name in given
    )
    word, reasons = _decide(test, accuracy, commonest, training, results, shared)
    missing = tuple(name for name in (*PERMUTED, *ALONE) if name not in given)
    return Verdict(
        word,
        reasons,
        accuracy,
        seed_spread(right.mean(axis=1)),
        test,
        commonest,
        training,
        results,
        missing,
        _warnings(test, accuracy, groups is None, missing),
    )


def _runs(values: ArrayLike, truth: NDArray[np.generic], name: str) -> NDArray[np.generic]:
    """Answers as (runs, n)."""
    array = np.asarray(values)
    rows = array if array.ndim == 2 and len(array) else array[None]
    stacked = np.stack([checks.column(row, name) for row in rows])
    checks.same_length(labels=truth, **{name: stacked[0]})
    return stacked


def _result(
    name: str,
    given: Mapping[str, Control],
    truth: NDArray[np.generic],
    share: NDArray[np.float64],
    groups: ArrayLike | None,
    seed: int,
) -> ControlResult:
    control = given[name]
    answers = _runs(control.predictions, truth, f"predictions of {name}")
    if name in PERMUTED and control.labels is None:
        raise InvalidInput(f"{name} has no labels", "Give the labels that its runs had.")
    labels = truth if control.labels is None else _runs(control.labels, truth, f"labels of {name}")
    test = permutation_test(labels, answers, groups, seed=seed)
    kind, level = (PERMUTED, SUSPICION) if name in PERMUTED else (ALONE, ALPHA)
    level /= sum(other in given for other in kind)
    own = (answers == labels).mean(axis=0)
    return ControlResult(
        name,
        len(answers),
        share_interval(own, groups, seed=seed),
        test,
        test.p <= level,
        None if name in PERMUTED else share_difference(share, own, groups, seed=seed),
    )


def _decide(
    test: Permutation,
    accuracy: Interval,
    commonest: float,
    training: float | None,
    results: tuple[ControlResult, ...],
    shared: bool,
) -> tuple[Word, tuple[str, ...]]:
    beyond = [result for result in results if result.beats_chance]
    leaking = [result for result in beyond if result.name in PERMUTED]
    if leaking:
        return "suspicious", tuple(
            f"With {_named(result.name)} the network is right on "
            f"{result.accuracy.estimate:.0%} of held-out images, more than chance gives "
            f"({_p(result.test.p)} over {result.runs} run{'s' * (result.runs > 1)})."
            for result in leaking
        )
    if shared:
        return "cannot tell", (
            "Splits share units or images, which was allowed: these images are not held out.",
        )
    beaten = (
        f"Balanced accuracy is {test.statistic:.2f}, {test.effect:+.2f} from the permuted null "
        f"({_p(test.p)})."
    )
    if test.p <= ALPHA:
        as_well = [r for r in beyond if r.difference is not None and r.difference.low <= 0]
        if as_well:
            return "shortcut", (beaten, *(_as_well(result) for result in as_well))
        weaker = [r for r in beyond if r.difference is not None]
        return "learned", (beaten, *(_weaker(result) for result in weaker))
    if test.smallest_p > ALPHA:
        return "cannot tell", (
            f"No p below {test.smallest_p:.2g} is possible with {test.groups} units.",
        )
    if training is None:
        return "cannot tell", (beaten, "How well the training images are fitted is not known.")
    fitted = f"The balanced accuracy on training images is {training:.2f}"
    # Over permutations, any answers have a mean balanced accuracy of one over the classes.
    if training < (1 + test.null_mean) / 2:
        return "cannot tell", (beaten, f"{fitted}: the network has not fitted them either.")
    halfway = (commonest + training) / 2
    if accuracy.high >= halfway:
        return "cannot tell", (
            beaten,
            f"The interval of the held-out accuracy, up to {accuracy.high:.2f}, allows for more "
            f"than half of what is fitted in training: too few units to say.",
        )
    return "memorised", (beaten, f"{fitted}.")


def _named(control: str) -> str:
    return {
        "permuted_groups": "labels permuted across groups",
        "permuted_images": "labels permuted across images",
        "background": "the background alone",
        "intensity": "intensity summaries alone",
    }[control]


def _p(p: float) -> str:
    return f"p = {p:.2g}"


def _difference(result: ControlResult) -> str:
    assert result.difference is not None
    gap = result.difference
    return (
        f"the true labels' accuracy less that is {gap.estimate:+.2f} "
        f"({gap.low:+.2f} to {gap.high:+.2f})"
    )


def _as_well(result: ControlResult) -> str:
    return (
        f"With {_named(result.name)} the accuracy is {result.accuracy.estimate:.0%} "
        f"({_p(result.test.p)}); {_difference(result)}."
    )


def _weaker(result: ControlResult) -> str:
    return f"{_as_well(result)[:-1]}: the network uses more than that."


def _warnings(
    test: Permutation, accuracy: Interval, unknown: bool, missing: tuple[str, ...]
) -> tuple[str, ...]:
    told = []
    if unknown:
        told.append("Units unknown: images taken as independent, which flatters if they are not.")
    if missing:
        told.append(f"Controls not run: {', '.join(missing)}; what they would find is not known.")
    told += [f"{text[0].upper()}{text[1:]}." for text in (test.warning, accuracy.warning) if text]
    return tuple(told)
