"""The answer at the head of a page: what was asked, and what the study says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellvision_reporters.controls import STYLES
from cellvision_reporters.expert import summary
from cellvision_reporters.figures.phrasing import known, number, units

if TYPE_CHECKING:
    from cellvision import Run, Study


@dataclass(frozen=True)
class Box:
    """One answer.

    Attributes
    ----------
    about : str
        The experiment and test set; empty where there is only one.
    question : str
        What was asked.
    answer : str
        In one sentence.
    kind : str
        The verdict's word; empty where there is none.
    reasons : tuple of str
        Why, a sentence each.
    facts : tuple of (str, str)
        What the answer rests on.
    warnings : tuple of str
        What a reader should know.
    """

    about: str
    question: str
    answer: str
    kind: str
    reasons: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def study_boxes(study: Study) -> list[Box]:
    """A box for each experiment and test set of a study."""
    several = len(study.verdicts) > 1
    against = summary.of_study(study)
    return [
        Box(
            f"{told['experiment']}, {told['split']}" if several else "",
            told["question"],
            f"{told['sentence'][0].upper()}{told['sentence'][1:]}.",
            told["word"],
            tuple(told["reasons"]),
            (
                *_counts(told),
                *_test(told),
                *_controls(told),
                *_experts(against, told["experiment"], told["split"]),
            ),
            tuple(told["warnings"]),
        )
        for told in study.verdicts
    ]


def run_boxes(run: Run) -> list[Box]:
    """What a run alone shows, on each test set; it is no verdict."""
    from cellvision import statistics

    column = run.metadata.group_column
    against = summary.of_run(run)
    boxes = []
    for split in run.test_splits:
        rows = run.predictions[run.predictions["split"] == split]
        if rows.empty:
            continue
        score = run.scores[split]
        groups = None if column is None else rows["group"].to_numpy()
        test = statistics.permutation_test(
            rows["label"].to_numpy(), rows["predicted"].to_numpy(), groups
        )
        told = {
            **score,
            "group_column": column,
            "runs": 1,
            "balanced_accuracy": test.statistic,
            "chance": test.null_mean,
            "effect": test.effect,
            "effect_sd": test.effect_sd,
            "p": test.p,
            "smallest_p": test.smallest_p,
            "exact": test.exact,
            "permuted": test.permuted,
        }
        about = split if len(run.test_splits) > 1 else ""
        why = (
            "Several seeds and controls tell learning from memorising: cellvision study --controls."
        )
        boxes.append(
            Box(
                about,
                f"What does this run alone show on {split}?",
                "A run alone gives no verdict.",
                "",
                (why,),
                (*_counts(told), *_test(told), *_experts(against, "", split)),
                () if test.warning is None else (f"{test.warning.capitalize()}.",),
            )
        )
    return boxes


def _counts(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    column = told["group_column"]
    count = units(told["groups"], column) if column is not None else "unknown"
    spread = f"; SD over {told['runs']} runs {number(told.get('sd_over_runs'))}"
    low, high = told.get("accuracy_low"), told.get("accuracy_high")
    bounds = f" (95 % interval {number(low, 2)}–{number(high, 2)}, {told['interval']})"
    facts = [
        ("Images", str(told["n"])),
        ("Independent units", count),
        (
            "Held-out accuracy",
            f"{number(told['accuracy'], 2)}{bounds if known(low) else ''}"
            f"{spread if told['runs'] > 1 else ''}",
        ),
    ]
    if known(told.get("commonest_class")):
        facts.append(("Always the commonest class", number(told["commonest_class"], 2)))
    if known(told.get("training_accuracy")):
        facts.append(("Training accuracy", number(told["training_accuracy"], 2)))
    if known(told.get("expert")):
        facts.append(("Human expert, as given", number(told["expert"], 2)))
    return facts


def _test(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    in_sd = f", {told['effect_sd']:.1f} SD of the null" if known(told["effect_sd"]) else ""
    return [
        (
            "Against the permuted null",
            f"balanced accuracy {number(told['balanced_accuracy'], 2)}, null "
            f"{number(told['chance'], 2)}: effect {told['effect']:+.2f}{in_sd}",
        ),
        (
            "Permutation p",
            f"{told['p']:.2g} ({'exact' if told['exact'] else 'sampled'}; {told['permuted']}); "
            f"smallest attainable {told['smallest_p']:.2g}",
        ),
    ]


def _controls(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = []
    for each in told["controls"]:
        low, high = number(each["accuracy_low"], 2), number(each["accuracy_high"], 2)
        gap = each["difference"]
        less = (
            f"; true labels {gap['estimate']:+.2f} ({gap['low']:+.2f} to {gap['high']:+.2f})"
            if gap
            else ""
        )
        facts.append(
            (
                f"Control: {STYLES[each['control']][0]}",
                f"{number(each['accuracy'], 2)} ({low}–{high}), p = {each['p']:.2g}{less}",
            )
        )
    missing = [STYLES[name][0] for name in told["missing_controls"]]
    return [*facts, *([("Controls not run", ", ".join(missing))] if missing else [])]


def _experts(
    against: Sequence[Mapping[str, Any]], experiment: str, split: str
) -> list[tuple[str, str]]:
    """The answer to every comparison with a blinded expert on this test set."""
    return [
        ("Network and expert", each["told"])
        for each in against
        if (each["experiment"], each["split"]) == (experiment, split)
    ]
