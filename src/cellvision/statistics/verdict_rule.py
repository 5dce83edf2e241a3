"""The rule of the verdict: which case of the evidence decides, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cellvision.plurals import agreed, counted, plural
from cellvision.statistics.batches import BatchTable
from cellvision.statistics.controls import ControlResult
from cellvision.statistics.intervals import Interval
from cellvision.statistics.looks_at_test_sets import LookCount
from cellvision.statistics.permutation import PermutationTest
from cellvision.statistics.seeds import SeedSpread

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
"""Stable identifier of a verdict; the sentence adds the names of controls and batch."""

ALPHA = 0.05
"""Significance level of the permutation test of the true labels."""

Decision = tuple[Word, str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Case:
    """Evidence that the rule uses."""

    test: PermutationTest
    overall: PermutationTest | None
    p: float
    balanced: Interval
    classes: tuple[str, ...]
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
    spread: SeedSpread

    @property
    def images(self) -> str:
        """What sentences on batches call the held-out images; empty if they are all images."""
        return "" if self.cross_validated else "the test set"

    def decide(self) -> Decision:
        """Return word, sentence and reasons; the first case that applies decides."""
        leaks = [result for result in self.controls if result.finding == "leak"]
        if leaks:
            return "suspicious", _sentence(leaks[0]), tuple(result.describe() for result in leaks)
        if self.shared:
            return (
                "cannot tell",
                "cannot tell: these images are not held out",
                ("Training and test images share groups or images.",),
            )
        if len(self.classes) == 1:
            return (
                "cannot tell",
                "cannot tell: the test set has only one class",
                (
                    f"All {counted(self.balanced.n, 'image')} are of class {self.classes[0]}, so "
                    "there is nothing to tell apart.",
                ),
            )
        if self.table is not None and self.table.nested and not self.batches_held_out:
            return (
                "class is batch",
                f"cannot tell class from {self.batch_name}",
                (self.table.sentence(self.images),),
            )
        if self._significant():
            word, sentence, reasons = self._learned()
            untrained = self.untrained()
            return word, f"{sentence}; {untrained}" if untrained else sentence, reasons
        if self.overall is not None and self.overall.p <= ALPHA < self.test.p:
            return (
                "may be the batch",
                f"may be the {self.batch_name}",
                (
                    f"Across {plural(self.batch_name)} p = {self.overall.p:.2g}, within them "
                    f"p = {self.test.p:.2g}: what they share may explain the result.",
                ),
            )
        return self._not_learned()

    def _significant(self) -> bool:
        # Where p is no test of new groups, the interval has to be above chance as well.
        test = self.test
        needs_interval = self.cross_validated or test.inside_groups or test.sizes_depend_on_class
        return self.p <= ALPHA and (self.balanced.low > self.chance or not needs_interval)

    def untrained(self) -> str:
        """Say how many runs did not train; empty if all did."""
        if not self.spread.dead:
            return ""
        where = " in some folds" if self.cross_validated else ""
        return f"{self.spread.dead} of {counted(self.spread.runs, 'run')} did not train{where}"

    def _score(self) -> str:
        adjusted = "" if self.p == self.test.p else f", adjusted {self.p:.2g}"
        return (
            f"Balanced accuracy of {counted(self.balanced.n, 'image')} "
            f"{self.balanced.estimate:.2f} ({self.balanced.low:.2f} to "
            f"{self.balanced.high:.2f}), {self.test.effect:+.2f} from {self.test.null_mean:.2f}, "
            f"the mean of permuted labels (p = {self.test.p:.2g}{adjusted}).{self._beside_chance()}"
        )

    def _beside_chance(self) -> str:
        """Say that p alone speaks for the network, where the interval does not."""
        if self.p > ALPHA or self.balanced.low > self.chance:
            return ""
        classes = max(len(self.classes), 2)
        return f" The interval includes {self.chance:.2f}, guessing one of {classes} classes."

    def _learned(self) -> Decision:
        compared = [r for r in self.controls if r.difference is not None]
        reasons = (self._score(), *(result.describe() for result in compared))
        if self.looks is not None and self.looks.withheld:
            sentence = f"not to be said: {self.looks.describe()}; confirm on new groups"
            return "reused test set", sentence, reasons
        counted = [r for r in compared if r.counts]
        as_well = [r for r in counted if r.finding in ("no more", "worse")]
        for result in as_well:
            if result.meaning.kind == "alternative explanation":
                return "shortcut possible", _sentence(result), reasons
        better = [r for r in as_well if r.finding == "worse"]
        if better:
            return "undertrained", _do_better(better), reasons
        unclear = [r for r in counted if r.finding == "open"]
        # Brightness may be the biology, so it must not hide an open question about a shortcut.
        hidden = as_well if any(_may_be_shortcut(r) for r in unclear) else []
        word: Word = "learned"
        if as_well and not hidden:
            word, sentence = "learned, no more", _sentence(as_well[0])
            if len(as_well) > 1 and not any(r.meaning.sentences for r in as_well):
                sentence = f"learned, and {_subjects(as_well)} do as well"
        elif unclear:
            word, sentence = "learned, open", "learned"
        else:
            sentence = "learned: new groups are told apart"
            if counted:
                sentence += f", by more than {_subjects(counted)}"
        if unclear:
            sentence += f"; whether by more than {_subjects(unclear)} is not shown{_more(unclear)}"
        if hidden:
            sentence += f", and {_subjects(hidden)} {agreed(len(hidden), 'does')} as well"
        if self.groups_unknown:
            rest = sentence.removeprefix("learned").removeprefix(": new groups are told apart")
            sentence = f"learned only if images are independent{rest}"
            return "learned if independent", sentence, reasons
        return word, sentence, reasons

    def _not_learned(self) -> Decision:
        def cannot_tell(cause: str, *reasons: str) -> Decision:
            return "cannot tell", f"cannot tell: {cause}", reasons

        if self.test.smallest_p > ALPHA:
            limit = f"No {(self.test.warning or '').removeprefix('no ')}."
            return cannot_tell("too few groups", limit)
        score = self._score()
        better = [r for r in self.controls if _is_significant_rung(r) and r.finding == "worse"]
        if better:
            reasons = (score, *(result.describe() for result in better))
            return "undertrained", _do_better(better), reasons
        if self.training is None:
            reason = "The accuracy on training images is unknown."
            cause = "too few groups" if self.p <= ALPHA else "not better than permuted labels"
            return cannot_tell(cause, score, reason)
        rungs = tuple(r.describe() for r in self.controls if _is_significant_rung(r))
        fit = f"The balanced accuracy on training images is {self.training:.2f}"
        if self.training < (1 + self.chance) / 2:
            reason = f"{fit}: the network does not fit them either."
            return cannot_tell("the network did not train", score, reason, *rungs)
        halfway = (self.chance + self.training) / 2
        if self.balanced.high >= halfway:
            reason = (
                f"{fit}; the interval of the held-out one extends to {self.balanced.high:.2f}, "
                f"more than halfway from guessing ({self.chance:.2f}) to that: too few groups to "
                "decide."
            )
            return cannot_tell("too few groups", score, reason, *rungs)
        sentence = "memorised: fits training, far below it on new groups"
        return "memorised", sentence, (score, f"{fit}.", *rungs)


def _may_be_shortcut(result: ControlResult) -> bool:
    """Whether a control sees none of the biology and itself beats permuted labels."""
    return result.meaning.kind == "alternative explanation" and result.test.p <= ALPHA


def _is_significant_rung(result: ControlResult) -> bool:
    """Whether a control is a simpler model of the same images and itself beats permuted labels."""
    is_rung = result.meaning.kind == "lower rung" and result.counts
    return is_rung and result.test.p <= ALPHA


def _sentence(result: ControlResult) -> str:
    sentence = result.meaning.sentence(result.finding)
    return sentence or f"{result.meaning.subject}: {result.finding}"


def _do_better(rungs: Sequence[ControlResult]) -> str:
    """Say that simpler models do better than the network."""
    if len(rungs) == 1 or any("worse" in rung.meaning.sentences for rung in rungs):
        return _sentence(rungs[0])
    return f"{_subjects(rungs)} do better: the network is not trained enough"


def _subjects(results: Sequence[ControlResult]) -> str:
    names = [result.meaning.subject for result in results]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _more(results: Sequence[ControlResult]) -> str:
    """State how many groups would decide all of these comparisons, and what they would show."""
    plans = [result.deciding for result in results if result.deciding is not None]
    noun = plans[0].noun
    numbers = [plan.fewest for plan in plans if plan.fewest is not None]
    if len(numbers) < len(results):
        return f" (many more {noun} would be needed)"
    number = max(numbers)
    about = f"about {number} {noun} would"
    at = "at this difference" if len(results) == 1 else "at these differences"
    found = [plan.finding(number) for plan in plans]
    if "no more" not in found:
        return f" ({about} show it {at})"
    if "more" not in found:
        return f" ({about} show that it is no more {at})"
    each = ", ".join(
        f"{finding} than {_subjects(of_finding)}"
        for finding in ("more", "no more")
        for of_finding in [[r for r, f in zip(results, found, strict=True) if f == finding]]
    )
    return f" ({about} decide {at}: {each})"
