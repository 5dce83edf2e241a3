"""The answer at the top of the page: accuracy, chance, worst class, and a study's verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellvision import statistics
from cellvision_reporters.expert.record import read_expert_record
from cellvision_reporters.figures.class_warnings import worst_class
from cellvision_reporters.figures.control_styles import control_label
from cellvision_reporters.figures.phrasing import (
    capitalise,
    format_chance,
    format_groups,
    format_interval,
    format_number,
    format_percent,
    is_known,
    majority_fraction,
    plural,
)
from cellvision_reporters.page.single_run import looks_at, single_run_verdict, study_command

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study
    from cellvision.results.control_records import ControlRecord
    from cellvision.results.scores import Score
    from cellvision.results.study import StudyExperiment
    from cellvision.results.verdicts import VerdictRecord

_EVALUATION = "This is about trained networks on later images, without controls."
"""What the page of an evaluation says beside the rule's sentence."""

Fact = tuple[str, str]
"""Name and value."""


@dataclass(frozen=True)
class Answer:
    """The answer for one experiment and test set.

    Attributes
    ----------
    subject : str
        Experiment and test set; empty if there is only one.
    question : str
        The question.
    headline : str
        The answer in one sentence.
    style : str
        The verdict's word as a CSS class; empty without a verdict.
    reasons : tuple of str
        Why, one sentence each.
    facts : tuple of (str, str)
        What the answer rests on.
    warnings : tuple of str
        What a reader should know.
    command : str
        A command that gives a firmer answer; empty if there is none.
    """

    subject: str
    question: str
    headline: str
    style: str
    reasons: tuple[str, ...]
    facts: tuple[Fact, ...]
    warnings: tuple[str, ...]
    command: str = ""


def study_answers(study: Study) -> list[Answer]:
    """Return an answer for each verdict of a study."""
    several = len(study.verdicts) > 1
    experiments = {each.name: each for each in study.experiments}
    return [
        Answer(
            f"{verdict.experiment}, {verdict.split}" if several else "",
            verdict.question,
            f"{capitalise(verdict.sentence.rstrip('.'))}.",
            verdict.word.replace(" ", "-"),
            tuple(verdict.reasons),
            tuple(_verdict_facts(study, verdict, experiments[verdict.experiment])),
            tuple(_further_warnings(verdict)),
        )
        for verdict in study.verdicts
    ]


def _further_warnings(verdict: VerdictRecord) -> Iterator[str]:
    """Return the warnings that neither the reasons nor the facts repeat."""
    for warning in verdict.warnings:
        listed = warning.startswith("Controls not run:") and verdict.missing_controls
        if warning not in verdict.reasons and not listed:
            yield warning


def _verdict_facts(
    study: Study, verdict: VerdictRecord, experiment: StudyExperiment
) -> Iterator[Fact]:
    first = experiment.example
    interval = format_interval(verdict.accuracy_low, verdict.accuracy_high, 2)
    accuracy = f"{format_number(verdict.accuracy, 2)} (95 % interval {interval}, n = {verdict.n})"
    if verdict.runs > 1:
        sd = format_number(verdict.sd_over_runs)
        accuracy += f", mean of {verdict.runs} runs, SD over runs {sd}"
    yield "Accuracy on held-out images", accuracy
    yield from _group_facts(verdict, verdict.group_column)
    yield "Balanced accuracy", _with_n(verdict.balanced_accuracy, verdict.n)
    for ensemble in study.ensembles:
        score = ensemble.scores.get(verdict.split)
        if ensemble.experiment == verdict.experiment and score is not None:
            interval = format_interval(score.accuracy_low, score.accuracy_high, 2)
            text = f"{format_number(score.accuracy, 2)} (95 % interval {interval}, n = {score.n})"
            yield f"Ensemble of {plural(len(ensemble.runs), 'run')}", text
    yield from _comparison_facts(experiment.runs, verdict.split, verdict.commonest_class)
    if verdict.folds is None:
        yield (
            "Test images",
            _count(verdict.n, verdict.groups, verdict.unit_column or verdict.group_column),
        )
    else:
        yield "Cross-validation", folds_text(verdict)
    yield (
        "Permutation test",
        _test_text(
            verdict.p if verdict.unadjusted_p is None else verdict.unadjusted_p,
            verdict.smallest_p,
            verdict.permuted,
            verdict.chance,
            exact=verdict.exact,
            adjusted=verdict.p,
        ),
    )
    if verdict.worst_batch is not None:
        yield "Worst batch", verdict.worst_batch.sentence(verdict.batch_column)
    if verdict.looks is not None:
        yield "Looks at this test set", _looks_text(verdict.looks, verdict.settings_tried or 1)
    if is_known(verdict.training_accuracy) and first.training_split is not None:
        n = first.scores[first.training_split].n
        yield "Accuracy on training images", _with_n(verdict.training_accuracy, n)
    for control in verdict.controls:
        yield f"Control: {control_label(study, control.control)}", _control_text(control)
    if verdict.missing_controls:
        yield "Controls not run", _missing_controls(study, experiment, verdict)
    if is_known(verdict.expert):
        yield "Human expert, as given", format_number(verdict.expert, 2)
    yield from _expert_facts(study, verdict.experiment, verdict.split)


def _missing_controls(study: Study, experiment: StudyExperiment, verdict: VerdictRecord) -> str:
    """Name the controls that were not run, and say why those that failed did."""
    failed = experiment.record.failed_controls
    return ", ".join(
        control_label(study, name) + (f" (failed: {failed[name]})" if name in failed else "")
        for name in verdict.missing_controls
    )


def folds_text(verdict: VerdictRecord) -> str:
    """State the folds of a cross-validated verdict, its images and its groups."""
    groups = format_groups(verdict.groups, verdict.unit_column or verdict.group_column)
    return f"{verdict.folds} folds by {verdict.folds_by}, {plural(verdict.n, 'image')}, {groups}"


def run_answers(run: Run) -> list[Answer]:
    """Return what a single run shows on each test set."""
    several = len(run.test_splits) > 1
    return [_run_answer(run, split, several=several) for split in run.test_splits]


def _run_answer(run: Run, split: str, *, several: bool) -> Answer:
    from cellvision import Evaluation

    evaluated = isinstance(run, Evaluation)
    score = run.scores[split]
    rows = run.predictions
    rows = rows[rows["split"] == split]
    verdict = single_run_verdict(run, split)
    test = verdict.test
    interval = format_interval(score.accuracy_low, score.accuracy_high, 2)
    facts: list[Fact] = [
        (
            "Accuracy on held-out images",
            f"{format_number(score.accuracy, 2)} (95 % interval {interval}, n = {score.n})",
        ),
        *_group_facts(score, run.group_column),
        ("Balanced accuracy", _with_n(score.balanced_accuracy, score.n)),
        *_averaged_facts(run, split),
        *_comparison_facts([run], split, majority_fraction(run.counts.get(split, {}))),
        ("Test images", _count(score.n, score.groups, run.unit_column)),
        *_test_facts(run, split, verdict),
    ]
    facts += _worst_batch_facts(run, rows)
    if run.training_split is not None:
        trained = run.scores[run.training_split]
        facts.append(("Accuracy on training images", _with_n(trained.accuracy, trained.n)))
    facts += _expert_facts(run, "", split)
    limits = () if test.warning is None else (f"{capitalise(test.warning)}.",)
    low, high = format_percent(score.accuracy_low), format_percent(score.accuracy_high)
    return Answer(
        split if several else "",
        f"How well does the network classify the images of {split}?"
        if evaluated
        else f"How well does the network classify images of {split} that it has not seen?",
        f"{format_percent(score.accuracy)} of {score.n} images are right "
        f"(95 % interval {low} to {high}).",
        "",
        (
            f"{capitalise(verdict.sentence.rstrip('.'))}. "
            f"{_EVALUATION if evaluated else statistics.SINGLE_RUN}",
            *verdict.reasons,
        ),
        tuple(facts),
        tuple(warning for warning in limits if warning not in verdict.reasons),
        "" if evaluated else study_command(run),
    )


def _test_facts(run: Run, split: str, verdict: statistics.Verdict) -> Iterator[Fact]:
    """State the permutation test of a run, and how often an evaluation's images were looked at."""
    test = verdict.test
    numbers = (test.p, test.smallest_p, test.permuted, test.null_mean)
    yield "Permutation test", _test_text(*numbers, exact=test.exact, adjusted=verdict.p)
    looks = looks_at(run, split)
    if looks is not None:
        yield "Looks at this test set", _looks_text(looks.looks, looks.settings)


def _averaged_facts(run: Run, split: str) -> Iterator[Fact]:
    score = run.metadata.tta_scores.get(split)
    if score is not None:
        interval = format_interval(score.accuracy_low, score.accuracy_high, 2)
        yield (
            "Accuracy of the mean over flips and turns (predict --tta)",
            f"{format_number(score.accuracy, 2)} (95 % interval {interval}, n = {score.n})",
        )


def _group_facts(result: VerdictRecord | Score, column: str | None) -> Iterator[Fact]:
    """State how many groups are classified correctly, beside the accuracy of images."""
    if result.group_accuracy is None or result.groups_scored is None:
        return
    interval = format_interval(result.group_accuracy_low, result.group_accuracy_high, 2)
    groups = format_groups(result.groups_scored, column)
    rest = result.groups_left_out or 0
    left_out = f"; without {plural(rest, 'group')} of several labels or a tie" if rest else ""
    yield (
        "Accuracy of groups",
        f"{format_number(result.group_accuracy, 2)} (95 % interval {interval}) of {groups}, by the "
        f"mean probability of their images{left_out}",
    )


def _worst_batch_facts(run: Run, rows: pd.DataFrame) -> Iterator[Fact]:
    """Name the batch with the lowest accuracy, if there are several that differ."""
    if run.batch_column is None:
        return
    batches = run.provenance.set_index("image").loc[rows["image"], "batch"]
    if batches.isna().any() or batches.nunique() < 2:
        return
    right = (rows["predicted"] == rows["label"]).to_numpy(float)
    groups = run.independent_units(rows["image"])
    worst, *others = statistics.batch_accuracies(
        right, batches.to_numpy(), groups, cross_validated=run.cross_validated
    )
    if others[-1].accuracy.estimate == worst.accuracy.estimate:
        return
    interval = format_interval(worst.accuracy.low, worst.accuracy.high, 2)
    yield (
        "Worst batch",
        f"{worst.batch}: accuracy {format_number(worst.accuracy.estimate, 2)} (95 % interval for "
        f"all {len(others) + 1} batches together {interval}, n = {worst.accuracy.n})",
    )


def _comparison_facts(runs: Sequence[Run], split: str, majority: float) -> Iterator[Fact]:
    classes = len(runs[0].class_names)
    chance = f"{format_chance(1 / classes)} (guessing one of {classes} classes)"
    common = f"; always predicting the most common class: {format_number(majority, 2)}"
    yield "Chance", f"{chance}{common if is_known(majority) else ''}"
    worst = worst_class(runs, split)
    if worst is not None:
        yield "Worst class", worst


def _with_n(accuracy: float | None, n: int) -> str:
    return f"{format_number(accuracy, 2)} (n = {n})"


def _count(n: int, groups: int | None, column: str | None) -> str:
    source = f" from {format_groups(groups, column)}" if column is not None else ""
    return f"{n}{source}" if source else f"{n}, groups unknown"


def _looks_text(looks: int, settings: int) -> str:
    return f"{looks}, by {plural(settings, 'setting')}"


def _test_text(
    p: float,
    smallest: float,
    permuted: str,
    mean: float,
    *,
    exact: bool,
    adjusted: float | None = None,
) -> str:
    text = f"{p:.2g}"
    changed = "" if adjusted is None else f"{adjusted:.2g}"
    also = f", adjusted p = {changed}" if changed not in ("", text) else ""
    method = "exact" if exact else "sampled"
    return (
        f"p = {text}{also} ({method}; {permuted}); smallest possible p: {smallest:.2g}; mean "
        f"balanced accuracy of permuted labels: {format_number(mean, 2)}"
    )


def _control_text(control: ControlRecord) -> str:
    """Return what a control shows, with the interval of its accuracy."""
    interval = format_interval(control.accuracy_low, control.accuracy_high, 2)
    sentence = getattr(control, "sentence", "")
    if sentence:
        tested = "" if "(p = " in sentence else f" Against permuted labels, p = {control.p:.2g}."
        return f"{sentence}{tested}"
    numbers = f"{format_number(control.accuracy, 2)} ({interval}), p = {control.p:.2g}"
    if control.difference is not None:
        gap = control.difference
        numbers += (
            f"; network minus control {gap.estimate:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})"
        )
    return f"{numbers}. {capitalise(control.finding)}" if control.finding else numbers


def _expert_facts(results: Run | Study, experiment: str, split: str) -> Sequence[Fact]:
    record = read_expert_record(results)
    if record is None:
        return []
    return [
        ("Network and expert", record.statement(each))
        for each in record.comparisons
        if (each.experiment, each.split) == (experiment, split)
    ]
