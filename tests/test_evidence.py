"""Rules of evidence: batches, cross-validation, seeds, several arms, groups, planning and trust.

Short forms of the simulations in ``benchmarks/evidence``; bounds allow two Monte-Carlo standard
errors, seeds are fixed.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.evidence import (
    batch,
    cross_validation,
    findings,
    interval,
    multiplicity,
    permuting,
    seeds,
    trust,
)
from benchmarks.evidence import groups as groups_rule
from benchmarks.evidence.arms import drawn_arms
from benchmarks.evidence.designs import LEARNERS
from cellvision import statistics
from cellvision.errors import FolderError, InvalidInput
from cellvision.statistics import LookCount, Odometer, Pilot

quick = settings(max_examples=25, deadline=None)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# --- A and E: intervals --------------------------------------------------------------------


def test_intervals_cover_where_groups_are_few_or_clustered(rng: np.random.Generator) -> None:
    cells = [
        interval.coverage(rng, groups, mean, icc, equal=equal, simulations=50)
        for groups, mean, icc, equal in ((8, 0.8, 0.3, False), (15, 0.95, 0.5, True))
    ]
    assert np.mean(cells) >= 0.93 - 2 * np.sqrt(0.07 * 0.93 / 100)


def test_pooled_folds_cover_and_are_seldom_learned_by_chance(rng: np.random.Generator) -> None:
    widened, plain = cross_validation.coverage(rng, LEARNERS["ridge LDA"], 20, 40)
    assert widened >= plain
    assert widened >= 0.92 - 2 * np.sqrt(0.08 * 0.92 / 40)
    false, _ = cross_validation.learned(rng, LEARNERS["nearest mean"], 16, 0.0, 40)
    assert false <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 40)


def test_balanced_accuracy_is_the_mean_recall_with_an_interval_around_it() -> None:
    from sklearn.metrics import balanced_accuracy_score

    labels = np.repeat([0, 1, 1, 1], 12)
    predictions = np.where(np.arange(48) % 5 == 0, 1 - labels, labels)
    groups = np.arange(48) // 4
    result = statistics.balanced_accuracy_interval(labels, predictions, groups)
    assert result.estimate == pytest.approx(balanced_accuracy_score(labels, predictions))
    assert result.low < result.estimate < result.high
    assert result.groups == 12
    # The class with three groups decides the width.
    plain = statistics.accuracy_interval(labels == predictions, groups)
    assert result.high - result.low > plain.high - plain.low


# --- B: what is permuted -------------------------------------------------------------------


def test_stray_labels_move_p_by_less_than_a_hundredth(rng: np.random.Generator) -> None:
    for _ in range(4):
        assert permuting.p_with_strays(rng, strays=0.05) == pytest.approx(1 / 70, abs=0.01)


def test_one_wrong_label_in_each_of_four_wells_changes_little() -> None:
    """Fault 6 of the former test: p rose from 0.014 to 1."""
    wells = np.repeat(np.arange(8), 10)
    truth = wells // 4
    labels = truth.copy()
    labels[[0, 10, 40, 50]] = 1 - labels[[0, 10, 40, 50]]
    assert statistics.permutation_test(labels, truth, wells).p == pytest.approx(1 / 70, abs=0.01)


def test_mixed_groups_keep_the_level(rng: np.random.Generator) -> None:
    rate = permuting.null_rate(rng, 40, 0.1, permutations=199)
    assert rate <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 40)


def test_groups_swap_within_their_batch_only() -> None:
    plates = np.repeat([0, 1], 4)
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 0])
    test = statistics.permutation_test(labels, labels, np.arange(8), batches=plates)
    assert (test.exact, test.arrangements) == (True, 16)  # four orders on each plate
    assert test.permuted == "labels of images within batches"
    assert test.p == 1 / 16
    assert statistics.permutation_test(labels, labels, np.arange(8)).arrangements == 70


def test_groups_in_several_batches_swap_with_groups_of_the_same_batches() -> None:
    # Compounds 0 and 1 lie on plates a and b, compounds 2 and 3 on a alone.
    compounds = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    plates = np.array(list("ababaaaa"))
    labels = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    test = statistics.permutation_test(labels, labels, compounds, batches=plates)
    assert test.arrangements == 4


def test_where_every_batch_holds_one_class_whole_batches_swap() -> None:
    plates = np.repeat(np.arange(6), 8)
    wells = np.arange(48) // 2
    test = statistics.permutation_test(plates % 2, plates % 2, wells, batches=plates)
    assert test.permuted == "labels of whole batches (each holds one class)"
    assert (test.groups, test.p) == (6, 1 / 20)


@quick
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 1), st.integers(0, 1)),
        min_size=1,
        max_size=30,
    )
)
def test_any_design_gives_a_p_value(rows: list[tuple[int, int, int, int]]) -> None:
    groups, batches, labels, predictions = (np.array(c) for c in zip(*rows, strict=True))
    test = statistics.permutation_test(
        labels, predictions, groups, batches=batches, permutations=99
    )
    assert 0 < test.smallest_p <= test.p <= 1
    assert test.permuted


# --- C: batches ----------------------------------------------------------------------------


def test_the_batch_table_counts_groups_and_says_what_matters() -> None:
    wells = np.repeat(np.arange(12), 3)
    plates = np.array(["p1", "p2", "p3"])[wells // 4]
    labels = np.array(list("aabbaaaabbbb"))[wells]
    table = statistics.batch_table(labels, plates, wells, name="plate")
    assert table.counts.tolist() == [[2, 4, 0], [2, 0, 4]]
    assert (table.swappable, table.groups, table.single_class, table.nested) == (4, 12, 2, False)
    assert table.smallest_p == pytest.approx(1 / 6)
    assert (
        table.sentence() == "2 of 3 plates hold one class: class cannot be told from plate there."
    )
    assert table.sentence("the test set") == (
        "2 of 3 plates of the test set hold one class: class cannot be told from plate there."
    )
    # Without the well itself, p1 names the other class; p2 and p3 name the right one.
    assert table.naming_accuracy == pytest.approx(8 / 12)


def test_nested_plates_are_reported_before_training() -> None:
    plates = np.repeat(np.arange(4), 5)
    table = statistics.batch_table(plates % 2, plates, name="plate")
    assert table.nested
    assert table.sentence() == (
        "Every plate holds one class (4 plates): class cannot be told from plate."
    )
    crossed = statistics.batch_table(np.arange(20) % 2, plates, name="plate")
    assert not crossed.nested
    assert crossed.sentence().startswith("20 of 20 groups share a plate with groups of another")


def test_cramers_v_is_bias_corrected() -> None:
    """Against Bergsma's formulas by hand for a table of two by two."""
    table = np.array([[30, 10], [10, 30]])
    n, chi_squared = 80, 20.0
    phi = max(chi_squared / n - 1 / (n - 1), 0)
    expected = np.sqrt(phi / (2 - 1 / (n - 1) - 1))
    assert statistics.cramers_v(table) == pytest.approx(expected)
    rng = np.random.default_rng(0)
    independent = [statistics.cramers_v(rng.multinomial(60, [0.1] * 10).reshape(2, 5))
                   for _ in range(200)]  # fmt: skip
    assert np.mean(independent) < 0.12  # the plain V is 0.25 on average


def test_the_batch_alone_predicts_its_commonest_training_class() -> None:
    predicted = statistics.commonest_class_of_batch(
        ["a", "a", "b", "b", "b"], ["p1", "p1", "p1", "p2", "p2"], ["p2", "p1", "new"]
    )
    assert predicted.tolist() == ["b", "a", "b"]


def test_plates_do_not_make_false_discoveries(rng: np.random.Generator) -> None:
    within, across = np.mean(
        [
            batch.rate(rng, "80/20", 4, 1.0, LEARNERS["ridge LDA"], 60),
            batch.rate(rng, "random", 8, 1.0, LEARNERS["1-nearest neighbour"], 60),
        ],
        axis=0,
    )
    assert within <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 120)
    assert across > within


# --- D: findings ---------------------------------------------------------------------------


def test_few_wells_leave_a_comparison_open_rather_than_wrong(rng: np.random.Generator) -> None:
    better = findings.findings(rng, 5, 0.85, 0.75, 80)
    equal = findings.findings(rng, 5, 0.80, 0.80, 80)
    assert better.count("no more") / 80 <= 0.07 + 2 * np.sqrt(0.07 * 0.93 / 80)
    assert equal.count("more") / 80 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 80)
    assert better.count("open") > 40


# --- F: seeds ------------------------------------------------------------------------------


def test_a_network_trained_anew_is_covered(rng: np.random.Generator) -> None:
    anew, these = seeds.coverage(rng, 30, 0.06, 60)
    assert anew >= 0.92 - 2 * np.sqrt(0.08 * 0.92 / 60)
    assert anew >= these


def test_dead_seeds_get_a_range_and_no_t_interval() -> None:
    predictions = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]])
    dead = statistics.untrained_runs(predictions)
    assert dead.tolist() == [False, True, False]
    spread = statistics.seed_spread([1.0, 0.5, 0.75], dead=dead)
    assert (spread.low, spread.high, spread.median) == (0.5, 1.0, 0.75)
    assert (spread.method, spread.warning) == ("range over seeds", "1 of 3 runs did not train")
    accuracy = statistics.accuracy_interval([1, 1, 1, 0])
    assert statistics.retrained_interval(accuracy, [1.0, 0.5, 0.75], dead=dead) is None


def test_retraining_adds_the_spread_over_seeds_in_squares() -> None:
    accuracy = statistics.Interval(0.8, 0.7, 0.88, "given", 100, 20)
    result = statistics.retrained_interval(accuracy, [0.78, 0.80, 0.82])
    assert result is not None
    half = 4.302653 * 0.02 * np.sqrt(4 / 3)  # t with 2 degrees of freedom
    assert result.low == pytest.approx(0.8 - np.hypot(0.1, half))
    assert result.high == pytest.approx(0.8 + np.hypot(0.08, half))


# --- G: several arms -----------------------------------------------------------------------


def test_twelve_null_experiments_are_rarely_learned(rng: np.random.Generator) -> None:
    plain, adjusted = multiplicity.any_learned(rng, drawn_arms, 5, 0.5, 60)
    assert adjusted <= 0.06 + 2 * np.sqrt(0.06 * 0.94 / 60)
    assert plain > adjusted


def test_adjusted_p_of_one_experiment_is_its_p() -> None:
    wells = np.repeat(np.arange(12), 3)
    labels = wells % 2
    noisy = np.where(np.arange(36) % 4 == 0, 1 - labels, labels)
    alone = statistics.permutation_test(labels, noisy, wells)
    tests = statistics.max_t_test(labels, {"only": noisy}, wells)
    assert tests["only"].p == tests["only"].adjusted_p == pytest.approx(alone.p)
    twice = statistics.max_t_test(labels, {"a": noisy, "b": noisy, "c": labels}, wells)
    assert twice["a"].adjusted_p == twice["b"].adjusted_p == pytest.approx(alone.p)
    assert twice["c"].adjusted_p <= twice["a"].adjusted_p


def test_holm_is_that_of_statsmodels_by_hand() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == [0.03, 0.06, 0.06]


@quick
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_one_family_is_left_alone_and_families_of_one_test_are_those_of_holm(
    p_values: list[float],
) -> None:
    (one,) = statistics.holm_over_families([sorted(p_values)])
    assert one == pytest.approx(sorted(p_values), abs=1e-11)
    several = statistics.holm_over_families([[p] for p in p_values])
    assert several == [[p] for p in statistics.holm(p_values)]


def test_arms_that_learn_leave_no_level_to_those_that_do_not(rng: np.random.Generator) -> None:
    """On each of three test sets one arm learns and another does not."""
    families = [[[0.0, p] for p in row] for row in rng.random((2000, 3))]
    any_false = [
        min(row[1] for row in statistics.holm_over_families(family)) <= 0.05 for family in families
    ]
    assert np.mean(any_false) == pytest.approx(0.05, abs=0.015)


def test_pairs_of_experiments_have_simultaneous_intervals(rng: np.random.Generator) -> None:
    groups = np.repeat(np.arange(20), 10)
    good, same, bad = (rng.random(200) < p for p in (0.95, 0.95, 0.5))
    pairs = statistics.pairwise_differences({"good": good, "same": same, "bad": bad}, groups)
    assert list(pairs) == [("good", "same"), ("good", "bad"), ("same", "bad")]
    assert pairs["good", "same"].low < 0 < pairs["good", "same"].high
    assert pairs["good", "bad"].low > 0
    single = statistics.pairwise_differences({"good": good, "bad": bad}, groups)
    assert (
        pairs["good", "bad"].high - pairs["good", "bad"].low
        > single["good", "bad"].high - single["good", "bad"].low
    )


def test_intervals_of_pairs_hold_where_one_group_has_most_images(rng: np.random.Generator) -> None:
    sizes = [200, *[10] * 9]
    groups = np.repeat(np.arange(10), sizes)
    covered = []
    for _ in range(60):
        first, second = (rng.beta(2.8, 1.2, 10)[groups] > rng.random(len(groups)) for _ in "ab")
        pair = statistics.pairwise_differences({"a": first, "b": second}, groups)["a", "b"]
        covered.append(pair.low <= 0 <= pair.high)
    assert np.mean(covered) >= 0.93  # 0.56 if the variance is linearised


def test_looks_and_settings_are_counted(tmp_path: Path) -> None:
    odometer = Odometer(tmp_path / "data" / "odometer.jsonl")
    test_set = statistics.digest_of_test_set(["d1", "d2"], ["a", "b"])
    assert test_set == statistics.digest_of_test_set(["d2", "d1"], ["b", "a"])
    assert test_set != statistics.digest_of_test_set(["d1", "d2"], ["b", "a"])
    assert odometer.count(test_set) == LookCount(0, 0)
    assert odometer.record(test_set, "s1", "study 1") == LookCount(1, 1)
    assert odometer.record(test_set, "s1", "study 1") == LookCount(1, 1)  # resumed
    assert odometer.record(test_set, "s1", "study 2") == LookCount(2, 1)
    count = odometer.record(test_set, "s2", "study 3")
    assert count.describe() == "look 3 of this test set, by 2 settings"
    assert count.adjust(0.02) == pytest.approx(0.06)
    assert LookCount(3, 1).adjust(0.02) == 0.02
    odometer.record("other", "s1", "study 4")
    lines = odometer.path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["study"] for line in lines] == [f"study {k}" for k in (1, 2, 3, 4)]
    assert Odometer(odometer.path).count(test_set) == count


def test_damaged_line_of_looks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odometer.jsonl"
    odometer = Odometer(path)
    odometer.record("t", "s", "a")
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + '{"test_set": "cut o', encoding="utf-8")
    assert odometer.count("t") == LookCount(1, 1)  # cut off while it was written
    assert odometer.record("t", "s", "b") == LookCount(2, 1)
    assert odometer.record("t", "s", "c") == LookCount(3, 1)
    path.write_text("nonsense\n" + whole, encoding="utf-8")
    with pytest.raises(FolderError, match="line 1 is not a look") as caught:
        odometer.record("t", "s", "d")
    assert caught.value.hint == "Restore or remove that line."


def test_looks_of_several_processes_are_all_kept(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "odometer.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: Odometer(path).record("t", f"s{k}", "study"), range(24)))
    assert Odometer(path).count("t") == LookCount(24, 24)


# --- H: groups -----------------------------------------------------------------------------


def test_groups_are_answered_by_their_mean_probability() -> None:
    table = [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.5, 0.5], [0.6, 0.4], [0.1, 0.9]]
    wells = ["A01", "A01", "A02", "A03", "A04", "A04"]
    labels = ["live", "live", "dead", "dead", "live", "dead"]
    scores = statistics.score_groups(labels, table, wells, class_names=["live", "dead"])
    assert scores.predictions.predicted.tolist() == [0, 1, -1, 1]
    assert scores.labels.tolist() == [0, 1, 1, -1]
    assert (scores.ties, scores.mixed) == (1, 1)
    expected = statistics.wilson_interval(2, 2)
    assert (scores.accuracy.low, scores.accuracy.high) == (expected.low, expected.high)
    assert (scores.accuracy.groups, scores.accuracy.n, scores.balanced_accuracy) == (2, 6, 1.0)


def test_mean_probabilities_have_more_power_than_votes(rng: np.random.Generator) -> None:
    mean, votes = groups_rule.rates(rng, 4, 0.6, 60)
    assert mean > votes


def test_groups_swap_within_batches() -> None:
    wells = np.repeat(np.arange(8), 2)
    labels = wells % 2
    table = np.stack([1 - labels * 0.8, labels * 0.8], axis=1)
    test = statistics.score_groups(labels, table, wells, batches=wells // 4).test
    assert test is not None
    assert (test.arrangements, test.p) == (36, 1 / 36)
    assert statistics.score_groups(labels, table, np.zeros(16)).test is None


# --- I: planning ---------------------------------------------------------------------------


def test_groups_for_an_interval_follow_the_design_effect() -> None:
    alone = statistics.groups_for_interval(Pilot(0.8, 0.0, 1), 0.05)
    assert alone == pytest.approx(246, abs=4)  # z^2 p (1 - p) / h^2
    clustered = statistics.groups_for_interval(Pilot(0.8, 1.0, 50), 0.05)
    assert clustered == pytest.approx(246, abs=8)
    assert statistics.groups_for_interval(Pilot(0.8, 0.2, 20), 0.02) == pytest.approx(369, abs=8)


@pytest.mark.parametrize(("accuracy", "correlation"), [(1.0, 0.2), (0.95, 0.2), (0.9, 0.5)])
def test_planned_groups_give_the_interval_that_is_reported(
    accuracy: float, correlation: float, rng: np.random.Generator
) -> None:
    number = statistics.groups_for_interval(Pilot(accuracy, correlation, 20), 0.05)
    groups = np.repeat(np.arange(number), 20)
    total, half_widths = 1 / correlation - 1, []
    for _ in range(25):
        wrong = rng.beta((1 - accuracy) * total + 1e-9, accuracy * total, number)
        interval = statistics.accuracy_interval(rng.random(len(groups)) >= wrong[groups], groups)
        half_widths.append((interval.high - interval.low) / 2)
    assert np.mean(half_widths) == pytest.approx(0.05, abs=0.006)


def test_a_pilot_is_summarised(rng: np.random.Generator) -> None:
    groups = np.repeat(np.arange(60), 15)
    accuracy = rng.beta(0.8 * 4, 0.2 * 4, 60)  # correlation 0.2
    pilot = statistics.summarise_pilot(rng.random(900) < accuracy[groups], groups, groups % 2)
    assert pilot.accuracy == pytest.approx(0.8, abs=0.06)
    assert pilot.correlation == pytest.approx(0.2, abs=0.1)
    assert pilot.images == 15


def test_groups_for_a_test_are_simulated() -> None:
    easy = statistics.groups_for_test(Pilot(0.95, 0.1, 10), simulations=20)
    hard = statistics.groups_for_test(Pilot(0.7, 0.3, 10), simulations=20)
    assert easy.groups_per_class == 3  # p can be 1/20
    assert hard.groups_per_class is not None
    assert hard.groups_per_class > 4
    assert all(0 <= power <= 1 for power in hard.power.values())


def test_the_plan_of_a_cross_validated_study_is_for_its_verdict() -> None:
    """The number for p alone gives *learned* in a fifth of studies, and the planned one in 0.8."""
    pilot = Pilot(0.8, 0.2, 20)
    plan = statistics.groups_for_test(pilot)
    assert (plan.groups_per_class, plan.groups_per_class_cross_validated) == (3, 5)
    for number in (3, 5):
        rng, learned = np.random.default_rng(1), 0
        labels = np.repeat([0, 1], number * 20)
        groups = np.repeat(np.arange(2 * number), 20)
        for _ in range(100):
            right = rng.random(len(labels)) < rng.beta(3.2, 0.8, 2 * number)[groups]
            answers = np.where(right, labels, 1 - labels)
            result = statistics.verdict(labels, answers, groups, cross_validated=True)
            learned += result.word == "learned"
        assert learned / 100 == pytest.approx(plan.power_cross_validated[number], abs=0.11)


def test_a_constant_network_is_at_chance_however_many_groups_are_planned() -> None:
    groups = np.repeat(np.arange(20), 20)
    labels = np.where(groups < 18, "a", "b")
    pilot = statistics.summarise_pilot(labels == "a", groups, labels)
    assert (pilot.accuracy, pilot.recalls) == (0.9, (1.0, 0.0))
    result = statistics.groups_for_test(pilot)
    assert (result.groups_per_class, result.power, result.at_chance) == (None, {}, True)
    assert statistics.groups_for_test(Pilot(0.25, 0.1, 10), 4).at_chance
    with pytest.raises(InvalidInput, match="3 classes, and the pilot has recalls of 2"):
        statistics.groups_for_test(pilot, 3)


def test_classes_of_unequal_recall_do_not_count_as_correlation(rng: np.random.Generator) -> None:
    groups = np.repeat(np.arange(40), 20)
    labels = groups % 2
    correct = rng.random(800) < np.where(labels == 1, 0.95, 0.6)
    pilot = statistics.summarise_pilot(correct, groups, labels)
    assert pilot.correlation > 0.12
    assert pilot.within_classes is not None
    assert pilot.within_classes < 0.05


def test_a_learning_curve_is_extended_with_limits_and_not_too_far(
    rng: np.random.Generator,
) -> None:
    sizes = [8, 16, 32, 64]
    groups = np.repeat(np.arange(40), 10)
    correct = [rng.random(400) < 0.95 - 0.8 * size**-0.5 for size in sizes]
    curve = statistics.learning_curve(sizes, correct, groups, at=[128, 256], resamples=200)
    assert curve.groups.tolist() == [8, 16, 32, 64, 128, 256]
    assert curve.measured == 4
    assert (np.diff(curve.accuracy) >= 0).all()
    assert ((curve.low <= curve.accuracy) & (curve.accuracy <= curve.high)).all()
    assert curve.low[-1] < 0.95 - 0.8 * 256**-0.5 < curve.high[-1]
    with pytest.raises(InvalidInput, match="cannot be extended to 512"):
        statistics.learning_curve(sizes, correct, groups, at=[512])
    with pytest.raises(InvalidInput, match="10 test groups"):
        statistics.learning_curve(sizes, correct, groups % 10)
    with pytest.raises(InvalidInput, match="three sizes or more"):
        statistics.learning_curve(sizes[:2], correct[:2], groups)


# --- J: trust ------------------------------------------------------------------------------


def test_prediction_sets_cover_new_groups(rng: np.random.Generator) -> None:
    coverage = []
    for _ in range(60):
        held_out, new = trust._predictions(rng, 12), trust._predictions(rng, 40)
        sets = statistics.fit_prediction_sets(*held_out)
        coverage.append(sets.sets(new[1])[np.arange(len(new[0])), new[0]].mean())
    assert np.mean(coverage) >= 0.90 - 2 * np.std(coverage) / np.sqrt(60)


def test_conformal_sets_by_hand() -> None:
    """Nine groups of one image: the largest score is the threshold of 0.90."""
    right = np.linspace(0.1, 0.9, 9)
    table = np.stack([right, 1 - right], axis=1)
    sets = statistics.fit_prediction_sets(np.zeros(9, int), table, np.arange(9))
    assert sets.threshold == pytest.approx(0.9)
    assert sets.sets([[0.1, 0.9], [0.05, 0.95]]).tolist() == [[True, True], [False, True]]


def test_abstention_answers_the_confident_images(rng: np.random.Generator) -> None:
    held_out = trust._predictions(rng, 40)
    rule = statistics.fit_abstention(*held_out, accuracy=0.85)
    table = held_out[1]
    answered = rule.answers(table)
    assert 0 < answered.mean() < 1
    assert answered.mean() == pytest.approx(rule.answered)
    assert (table.argmax(axis=1) == held_out[0])[answered].mean() > 0.85
    hopeless = statistics.fit_abstention(1 - held_out[0], table, held_out[2])
    assert not hopeless.answers(table).any()


def test_abstention_on_pooled_folds_is_stricter() -> None:
    held_out = trust._predictions(np.random.default_rng(0), 40)
    one = statistics.fit_abstention(*held_out, accuracy=0.9)
    pooled = statistics.fit_abstention(*held_out, accuracy=0.9, cross_validated=True)
    assert 0 < pooled.answered < one.answered
    assert pooled.threshold > one.threshold


@pytest.mark.parametrize("curve", ["roc_curve", "precision_recall_curve"])
def test_a_class_of_few_groups_gets_the_interval_of_few_groups(
    curve: str, rng: np.random.Generator
) -> None:
    groups = np.repeat(np.arange(20), 10)
    widths = []
    for number in (1, 2, 7):
        positive = (groups < number).astype(int)
        scores = np.clip(rng.normal(0.35 + 0.3 * positive, 0.2), 0, 1)
        result = getattr(statistics, curve)(positive, np.stack([1 - scores, scores], 1), groups)[1]
        area = result.auc if curve == "roc_curve" else result.average_precision
        widths.append(area.high - area.low)
        warning = {1: "a class has only 1 group", 2: "a class has only 2 groups", 7: None}
        assert area.warning == warning[number]
    assert widths[0] == 1
    assert widths[1] > 0.9
    assert widths[2] < 0.8


def test_unlike_groups_are_flagged_by_rank() -> None:
    wells = np.repeat(np.arange(19), 3)
    flag = statistics.fit_unlike_groups(wells.astype(float), wells)
    assert flag.p_value([100.0, 100.0, 0.0]) == 1 / 20
    assert flag.is_unlike([100.0, 100.0, 0.0])
    assert not flag.is_unlike([17.5])
    assert flag.p_value([-1.0]) == 1


def test_trust_refuses_too_few_groups() -> None:
    label, table, well = trust._predictions(np.random.default_rng(0), 30)
    for fit, fewest in (
        (statistics.fit_prediction_sets, 9),
        (statistics.fit_abstention, 10),
        (lambda _, table, groups: statistics.fit_unlike_groups(table[:, 0], groups), 19),
    ):
        few = well < fewest - 1
        with pytest.raises(InvalidInput, match=f"{fewest} groups or more"):
            fit(label[few], table[few], well[few])
        enough = well < fewest
        fit(label[enough], table[enough], well[enough])


# --- metrics -------------------------------------------------------------------------------


def test_metrics_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    from sklearn import metrics

    labels = rng.integers(0, 3, 300)
    predictions = np.where(rng.random(300) < 0.7, labels, rng.integers(0, 3, 300))
    costs = {(0, 2): 5.0, (2, 0): 1.0}
    result = statistics.classification_metrics(
        labels,
        predictions,
        np.arange(300) // 10,
        ordered_classes=[0, 1, 2],
        costs=costs,
        resamples=300,
    )
    expected = {
        "accuracy": metrics.accuracy_score(labels, predictions),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predictions),
        "mcc": metrics.matthews_corrcoef(labels, predictions),
        "macro_f1": metrics.f1_score(labels, predictions, average="macro"),
        "weighted_kappa": metrics.cohen_kappa_score(labels, predictions, weights="quadratic"),
        "expected_cost": np.mean(
            [costs.get((int(t), int(p)), 0) for t, p in zip(labels, predictions, strict=True)]
        ),
    }
    for name, value in expected.items():
        metric = getattr(result, name)
        assert metric.estimate == pytest.approx(value), name
        assert metric.low < value < metric.high
        assert metric.groups == 30


def test_the_interval_of_a_metric_is_that_of_the_general_bootstrap(
    rng: np.random.Generator,
) -> None:
    from sklearn.metrics import matthews_corrcoef

    labels = rng.integers(0, 2, 200)
    predictions = np.where(rng.random(200) < 0.8, labels, 1 - labels)
    groups = np.arange(200) // 8
    general = statistics.group_bootstrap(
        (labels, predictions), groups, matthews_corrcoef, bounds=(-1, 1), resamples=200
    )
    result = statistics.classification_metrics(labels, predictions, groups, resamples=200).mcc
    assert (result.low, result.high) == pytest.approx((general.low, general.high))


def test_metrics_name_invalid_input() -> None:
    with pytest.raises(InvalidInput, match="no place for b"):
        statistics.classification_metrics(["a", "b"], ["a", "a"], ordered_classes=["a"])
    with pytest.raises(InvalidInput, match="names none of the classes"):
        statistics.classification_metrics(["a", "b"], ["a", "a"], costs={("x", "y"): 1.0})


def test_kappa_over_groups_is_wider_where_groups_agree(rng: np.random.Generator) -> None:
    groups = np.repeat(np.arange(30), 8)
    answer = rng.integers(0, 2, 30)
    other = np.where(rng.random(30) < 0.8, answer, 1 - answer)
    images = statistics.cohen_kappa(answer[groups], other[groups])
    over_groups = statistics.cohen_kappa(answer[groups], other[groups], groups=groups)
    assert over_groups.kappa == pytest.approx(images.kappa)
    assert over_groups.high - over_groups.low > 2 * (images.high - images.low)
    assert over_groups.groups == 30


def test_a_calibrated_network_has_the_error_that_is_expected_of_it(
    rng: np.random.Generator,
) -> None:
    claim = rng.uniform(0.5, 1, 72)
    table = np.stack([claim, 1 - claim], axis=1)
    errors, expected = [], []
    for _ in range(60):
        result = statistics.calibration((rng.random(72) > claim).astype(int), table)
        errors.append(result.expected_calibration_error)
        expected.append(result.expected_if_calibrated)
    assert np.mean(errors) == pytest.approx(expected[0], abs=0.01)
    assert expected[0] > 0.05  # what 72 images have by chance
