"""`cellvision.statistics`: published values, properties, and simulated error rates.

Simulated images come in groups whose own accuracies scatter around the true one (a beta
distribution; its intraclass correlation is ``icc``) and whose sizes are unequal (log-normal,
coefficient of variation 0.7). Seeds are fixed, so the checks give the same result each time;
their Monte-Carlo standard error is stated where the bounds are chosen.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations as orders

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellvision import statistics
from cellvision.errors import InvalidInput

quick = settings(max_examples=40, deadline=None)
answers = st.lists(st.booleans(), min_size=1, max_size=60)


@st.composite
def grouped(draw: st.DrawFn) -> tuple[list[bool], list[int]]:
    correct = draw(answers)
    some = st.integers(0, draw(st.integers(0, 30)))
    return correct, draw(st.lists(some, min_size=len(correct), max_size=len(correct)))


def simulated_groups(rng: np.random.Generator, count: int, images: float = 20) -> NDArray[np.intp]:
    variance = np.log(1 + 0.7**2)
    scatter = rng.lognormal(-variance / 2, np.sqrt(variance), count)
    return np.repeat(np.arange(count), np.maximum(1, np.round(images * scatter)).astype(int))


def group_accuracies(
    rng: np.random.Generator, mean: float, icc: float, count: int
) -> NDArray[np.float64]:
    if icc == 0:
        return np.full(count, mean)
    total = (1 - icc) / icc
    return rng.beta(mean * total, (1 - mean) * total, count)


def simulated_answers(
    rng: np.random.Generator, groups: NDArray[np.intp], mean: float, icc: float
) -> NDArray[np.bool_]:
    accuracies = group_accuracies(rng, mean, icc, groups[-1] + 1)
    return rng.random(len(groups)) < accuracies[groups]


def test_importing_the_module_is_light() -> None:
    heavy = "{'scipy', 'statsmodels', 'sklearn', 'pandas', 'keras'}"
    code = f"import sys, cellvision.statistics; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# Wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe (1998), Stat. Med. 17, 857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_limits(successes: int, n: int, low: float, high: float) -> None:
    interval = statistics.wilson_interval(successes, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)
    assert interval.estimate == successes / n


def test_wilson_of_nothing_is_everything() -> None:
    interval = statistics.wilson_interval(0, 0)
    assert (interval.low, interval.high, interval.warning) == (0, 1, "no images")


@quick
@given(st.integers(0, 50), st.integers(0, 50), st.integers(2, 20))
def test_wilson_holds_its_estimate_and_narrows_with_images(
    right: int, wrong: int, times: int
) -> None:
    n = right + wrong
    few, many = (
        statistics.wilson_interval(right, n),
        statistics.wilson_interval(right * times, n * times),
    )
    assert 0 <= few.low <= few.high <= 1
    if n:
        assert few.low <= few.estimate <= few.high
        assert many.high - many.low < few.high - few.low
        mirrored = statistics.wilson_interval(wrong, n)
        assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((few.low, few.high))


# The interval of an accuracy


@quick
@given(grouped())
def test_an_interval_holds_its_estimate(case: tuple[list[bool], list[int]]) -> None:
    correct, groups = case
    interval = statistics.accuracy_interval(correct, groups)
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    assert interval.estimate == pytest.approx(np.mean(correct))
    assert interval.high - interval.low > 0
    assert (interval.n, interval.groups) == (len(correct), len(set(groups)))


@quick
@given(grouped(), st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(
    case: tuple[list[bool], list[int]], random: object
) -> None:
    correct, groups = case
    order = np.random.default_rng(0).permutation(len(correct))
    before = statistics.accuracy_interval(correct, groups)
    after = statistics.accuracy_interval(np.array(correct)[order], np.array(groups)[order])
    assert before == after


@quick
@given(grouped())
def test_right_and_wrong_mirror(case: tuple[list[bool], list[int]]) -> None:
    correct, groups = case
    interval = statistics.accuracy_interval(correct, groups)
    mirrored = statistics.accuracy_interval(np.logical_not(correct), groups)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((interval.low, interval.high))


def test_each_image_its_own_group_is_wilson() -> None:
    correct = np.arange(40) % 4 > 0
    expected = statistics.wilson_interval(30, 40)
    alone = statistics.accuracy_interval(correct)
    single = statistics.accuracy_interval(correct, [f"well {i}" for i in range(40)])
    assert (alone.low, alone.high, alone.method) == (expected.low, expected.high, "Wilson")
    assert (single.low, single.high) == (alone.low, alone.high)
    assert (alone.groups, single.groups) == (None, 40)


def test_the_bootstrap_over_groups_of_one_is_close_to_wilson() -> None:
    correct = np.arange(400) % 5 > 0
    boot = statistics.group_bootstrap(correct.astype(float), bounds=(0, 1))
    wilson = statistics.wilson_interval(320, 400)
    assert boot.method == "bootstrap over images (BCa)"
    assert (boot.low, boot.high) == pytest.approx((wilson.low, wilson.high), abs=0.01)


def test_groups_that_agree_within_make_the_interval_wide() -> None:
    correct = np.arange(40) % 4 > 0
    once = statistics.accuracy_interval(correct)
    copies = statistics.accuracy_interval(np.repeat(correct, 10), np.repeat(np.arange(40), 10))
    naive = statistics.accuracy_interval(np.repeat(correct, 10))
    assert copies.method == "beta-binomial over groups"
    assert copies.warning is None
    assert copies.high - copies.low == pytest.approx(once.high - once.low, rel=0.15)
    assert naive.high - naive.low < 0.5 * (copies.high - copies.low)


def test_the_posterior_is_that_of_a_direct_integration() -> None:
    """Against scipy's beta-binomial, summed over a fine grid."""
    from scipy.stats import beta, betabinom

    right, images = np.array([9, 4, 12, 7, 10]), np.array([10, 8, 12, 11, 10])
    mean = beta(0.5, 0.5).ppf((np.arange(800) + 0.5) / 800)[:, None]
    total = 1 / ((np.arange(400) + 0.5) / 400) - 1
    weight = np.ones((800, 400))
    for k, n in zip(right, images, strict=True):
        weight *= betabinom.pmf(k, n, mean * total, (1 - mean) * total)
    weight /= weight.sum()
    cumulative = np.cumsum(weight.sum(axis=1))
    expected = np.interp([0.025, 0.975], cumulative, mean[:, 0])
    groups = np.repeat(np.arange(5), images)
    correct = np.concatenate([np.arange(n) < k for k, n in zip(right, images, strict=True)])
    interval = statistics.accuracy_interval(correct, groups)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=0.005)


def test_the_resolution_does_not_depend_on_the_number_of_images() -> None:
    groups = np.repeat(np.arange(200), 500)
    correct = np.random.default_rng(0).random(len(groups)) < 0.9
    interval = statistics.accuracy_interval(correct, groups)
    wilson = statistics.wilson_interval(correct.sum(), len(correct))
    assert 0.8 < (interval.high - interval.low) / (wilson.high - wilson.low) < 1.5


def test_one_error_more_raises_the_limit_by_a_hair_at_most() -> None:
    for groups in (np.arange(72) // 9, np.arange(72) % 8, np.arange(72) // 3, np.arange(96) // 3):
        n = len(groups)
        lows = [
            statistics.accuracy_interval(np.arange(n) >= errors, groups).low for errors in range(8)
        ]
        assert (np.diff(lows) <= 0.01).all(), lows
        assert lows[0] > lows[-1]


def test_fractions_of_runs_lie_between_their_runs() -> None:
    groups = np.arange(60) // 5
    none, all_ = np.zeros(60), np.ones(60)
    half = statistics.accuracy_interval((none + all_) / 2, groups)
    assert (half.estimate, half.low < 0.5 < half.high) == (0.5, True)


def test_the_same_seed_gives_the_same_limits() -> None:
    rng = np.random.default_rng(0)
    groups = simulated_groups(rng, 30)
    correct = simulated_answers(rng, groups, 0.8, 0.2).astype(float)
    first, again, other = (
        statistics.group_bootstrap(correct, groups, seed=seed, resamples=300) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert (first.low, first.high) == pytest.approx((other.low, other.high), abs=0.03)


@pytest.mark.parametrize("correct", [0.0, 1.0])
def test_no_error_or_nothing_but_errors_is_not_certainty(correct: float) -> None:
    interval = statistics.accuracy_interval(np.full(400, correct), np.arange(400) // 20)
    of_images = statistics.wilson_interval(400 * correct, 400)
    assert interval.high - interval.low > 2 * (of_images.high - of_images.low)


def test_one_group_says_almost_nothing() -> None:
    interval = statistics.accuracy_interval([True] * 99 + [False], ["slide 1"] * 100)
    assert interval.high - interval.low > 0.5
    assert interval.warning is not None
    assert "one group" in interval.warning


# 150 simulations a cell: a coverage of 0.95 has a Monte-Carlo standard error of 0.018, that of
# all cells together 0.008. docs/explanation/statistics.md has the long form (benchmarks/evidence).
CELLS = [(4, 0.8, 0.5), (8, 0.9, 0.1), (20, 0.95, 0.5), (30, 0.9, 0.3), (15, 0.6, 0.0)]


def test_95_percent_intervals_of_grouped_images_cover() -> None:
    simulations, coverage = 150, []
    rng = np.random.default_rng(20)
    for count, mean, icc in CELLS:
        hits = 0
        for _ in range(simulations):
            groups = simulated_groups(rng, count, 8)
            interval = statistics.accuracy_interval(
                simulated_answers(rng, groups, mean, icc), groups
            )
            hits += interval.low <= mean <= interval.high
        coverage.append(hits / simulations)
    assert min(coverage) >= 0.93 - 0.045, coverage
    assert np.mean(coverage) >= 0.94, coverage


def test_taking_grouped_images_for_independent_would_cover_far_too_little() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(200):  # standard error at most 0.035
        groups = simulated_groups(rng, 20)
        correct = simulated_answers(rng, groups, 0.8, 0.3)
        interval = statistics.accuracy_interval(correct)
        hits += interval.low <= 0.8 <= interval.high
    assert hits / 200 < 0.7


# The bootstrap of any statistic


def test_the_bootstrap_takes_any_statistic_of_several_columns() -> None:
    from sklearn.metrics import balanced_accuracy_score

    rng = np.random.default_rng(0)
    labels, groups = np.arange(240) % 3, np.arange(240) // 8
    predictions = np.where(rng.random(240) < 0.7, labels, 0)
    interval = statistics.group_bootstrap(
        (labels, predictions), groups, balanced_accuracy_score, bounds=(0, 1), resamples=300
    )
    assert interval.estimate == pytest.approx(balanced_accuracy_score(labels, predictions))
    assert interval.low < interval.estimate < interval.high
    assert (interval.method, interval.groups) == ("bootstrap over groups (BCa)", 30)


def test_few_groups_make_the_bootstrap_fall_back_with_a_warning() -> None:
    values = np.random.default_rng(0).normal(5, 1, 60)
    interval = statistics.group_bootstrap(values, np.arange(60) // 10)
    assert interval.method == "t, jackknife over groups"
    assert interval.warning == "only 6 groups: too few for a bootstrap over groups"
    assert interval.low < 5 < interval.high


def test_the_jackknife_of_equal_groups_is_the_t_interval_of_their_means() -> None:
    from scipy.stats import t

    means = np.array([0.2, 0.5, 0.1, 0.4, 0.6])
    interval = statistics.group_bootstrap(np.repeat(means, 3), np.repeat(np.arange(5), 3))
    expected = t.interval(0.95, 4, means.mean(), means.std(ddof=1) / np.sqrt(5))
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_a_perfect_score_between_bounds_keeps_an_interval() -> None:
    interval = statistics.group_bootstrap(np.ones(100), np.arange(100) // 4, bounds=(0, 1))
    assert (interval.low, interval.high) == pytest.approx(
        (statistics.wilson_interval(25, 25).low, 1)
    )
    assert interval.warning is not None


def test_a_statistic_that_is_undefined_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the statistic is nan"):
        statistics.group_bootstrap([1.0, 2.0], statistic=lambda _: float("nan"))


# Seeds


def test_the_spread_over_seeds_is_mean_sd_range_and_t_interval() -> None:
    from scipy.stats import t

    values = [0.81, 0.84, 0.79, 0.88, 0.83]
    spread = statistics.seed_spread(values)
    expected = t.interval(0.95, 4, np.mean(values), np.std(values, ddof=1) / np.sqrt(5))
    assert (spread.low, spread.high) == pytest.approx(expected)
    assert (spread.mean, spread.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (spread.minimum, spread.maximum, spread.runs) == (0.79, 0.88, 5)


def test_equal_runs_have_no_spread() -> None:
    spread = statistics.seed_spread([130 / 132] * 10)
    assert (spread.sd, spread.low, spread.high) == (0.0, spread.mean, spread.mean)


def test_one_seed_has_no_spread() -> None:
    spread = statistics.seed_spread([0.9])
    assert np.isnan(spread.sd)
    assert (spread.low, spread.high) == (0, 1)
    assert spread.warning == "one run: the spread over seeds is unknown"


@quick
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_the_spread_holds_its_mean(values: list[float]) -> None:
    spread = statistics.seed_spread(values)
    assert 0 <= spread.low <= spread.mean <= spread.high <= 1


# Paired classifiers


def test_mcnemar_counts_and_gives_the_exact_binomial_p() -> None:
    from scipy.stats import binomtest

    a = [1] * 50 + [1] * 12 + [0] * 4 + [0] * 7
    b = [1] * 50 + [0] * 12 + [1] * 4 + [0] * 7
    test = statistics.mcnemar(a, b)
    assert (test.both, test.only_a, test.only_b, test.neither, test.n) == (50, 12, 4, 7, 73)
    assert test.p == pytest.approx(binomtest(4, 16, 0.5).pvalue)
    # By hand: 2 (1 + 16 + 120 + 560 + 1820) / 2^16.
    assert test.p == pytest.approx(2 * 2517 / 65536)


def test_mcnemar_of_the_same_answers_is_one() -> None:
    assert statistics.mcnemar([1, 0, 1], [1, 0, 1]).p == 1


@quick
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_swapping_the_classifiers_mirrors_the_comparison(
    pairs: list[tuple[bool, bool]],
) -> None:
    a, b = (list(side) for side in zip(*pairs, strict=True))
    forward, backward = statistics.mcnemar(a, b), statistics.mcnemar(b, a)
    assert forward.p == backward.p
    assert 0 < forward.p <= 1
    assert (forward.only_a, forward.only_b) == (backward.only_b, backward.only_a)
    difference = statistics.paired_difference(a, b)
    mirrored = statistics.paired_difference(b, a)
    assert -1 <= difference.low <= difference.estimate <= difference.high <= 1
    assert (-mirrored.high, -mirrored.low) == pytest.approx((difference.low, difference.high))
    assert difference.estimate == pytest.approx(np.mean(a) - np.mean(b))


def test_bonett_and_price_by_hand() -> None:
    # 20 images, 6 and 1 discordant: (7 - 2) / 22 -+ 1.96 sqrt((9/22 - (5/22)^2) / 22).
    a = [1] * 6 + [0] * 1 + [1] * 13
    b = [0] * 6 + [1] * 1 + [1] * 13
    interval = statistics.paired_difference(a, b)
    half = 1.959964 * np.sqrt((9 / 22 - (5 / 22) ** 2) / 22)
    assert (interval.low, interval.high) == pytest.approx((5 / 22 - half, 5 / 22 + half))


def test_a_difference_over_groups_says_how_it_was_made() -> None:
    rng = np.random.default_rng(0)
    groups = simulated_groups(rng, 40)
    a = simulated_answers(rng, groups, 0.9, 0.1)
    b = simulated_answers(rng, groups, 0.7, 0.1)
    many = statistics.paired_difference(a, b, groups)
    few = statistics.paired_difference(a, b, groups % 5)
    same = statistics.paired_difference(a, a, groups)
    assert many.method == "paired bootstrap over groups (BCa)"
    assert many.warning is None
    assert 0 < many.low < 0.2 < many.high
    assert few.method == "Bonett-Price, effective sample size"
    assert few.warning is not None
    assert same.low < 0 < same.high
    assert same.warning is not None
    assert "differ in only 0 of 40 groups" in same.warning


def test_one_image_more_that_differs_moves_the_interval_a_little() -> None:
    """Equal answers had the limits ±0.13 (90 %), and ±0.05 if one image in one group differed."""
    groups = np.repeat(np.arange(16), 4)
    network = np.ones(64)
    highs = []
    for differ in range(5):
        control = network.copy()
        control[4 * np.arange(differ)] = 0  # in as many groups
        highs.append(statistics.paired_difference(network, control, groups, 0.90).high)
    assert highs == pytest.approx([0.089, 0.095, 0.107, 0.122, 0.138], abs=0.001)
    # One group that differs as a whole says that images of a group are not independent.
    control = np.where(groups == 0, 0, 1)
    whole = statistics.paired_difference(network, control, groups, 0.90)
    assert whole.high == pytest.approx(0.212, abs=0.001)
    # Few groups show nothing, however alike the answers.
    few = statistics.paired_difference(network[:24], network[:24], groups[:24], 0.90)
    assert few.high > 0.2


def test_intervals_of_a_difference_over_groups_cover() -> None:
    simulations, covered = 300, []
    rng = np.random.default_rng(5)
    for count, icc in ((10, 0.1), (30, 0.2)):
        hits = 0
        for seed in range(simulations):
            groups = simulated_groups(rng, count, 10)
            a = simulated_answers(rng, groups, 0.8, icc)
            b = simulated_answers(rng, groups, 0.7, icc)
            interval = statistics.paired_difference(a, b, groups, seed=seed)
            hits += interval.low <= 0.1 <= interval.high
        covered.append(hits / simulations)
    error = np.sqrt(0.95 * 0.05 / simulations)  # 0.013
    assert min(covered) >= 0.93 - 2 * error, covered
    assert max(covered) <= 0.97 + 2 * error, covered


def test_mcnemar_is_wrong_in_at_most_5_percent_of_independent_null_data() -> None:
    simulations = 1000
    rng = np.random.default_rng(1)
    right = rng.random((2, simulations, 80)) < 0.75
    wrong = np.mean([statistics.mcnemar(a, b).p <= 0.05 for a, b in zip(*right, strict=True)])
    assert wrong <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / simulations)


# Permutation


def test_all_arrangements_of_whole_groups_are_tried() -> None:
    wells = np.repeat(np.arange(6), 4)
    labels = np.where(wells < 3, "dead", "live")
    predictions = labels.copy()
    predictions[[0, 5, 13]] = ["live", "live", "dead"]
    test = statistics.permutation_test(labels, predictions, wells)
    # By hand: every order of three dead and three live wells.
    scores = []
    for order in set(orders(["dead"] * 3 + ["live"] * 3)):
        permuted = np.repeat(order, 4)
        recalls = [np.mean(predictions[permuted == c] == c) for c in ("dead", "live")]
        scores.append(np.mean(recalls))
    assert (test.exact, test.arrangements) == (True, 20)
    assert test.statistic == pytest.approx(21 / 24)
    assert test.p == pytest.approx(np.mean(np.array(scores) >= test.statistic - 1e-9))
    assert test.smallest_p == 1 / 20
    assert test.null_mean == pytest.approx(np.mean(scores))
    assert test.effect == pytest.approx(test.statistic - np.mean(scores))
    assert test.effect_sd == pytest.approx(test.effect / np.std(scores))
    assert test.permuted == "labels of whole groups"
    assert test.warning is None


def test_too_few_groups_for_any_significant_p_are_reported() -> None:
    wells = np.repeat(np.arange(4), 50)
    labels = wells // 2
    test = statistics.permutation_test(labels, labels, wells)
    assert test.p == test.smallest_p == pytest.approx(1 / 6)
    assert test.warning == "no p below 0.17 is possible with 4 groups"


def test_sampled_arrangements_agree_with_all_of_them() -> None:
    rng = np.random.default_rng(0)
    wells = np.repeat(np.arange(16), rng.integers(2, 9, 16))  # 12,870 arrangements
    labels = wells % 2
    predictions = np.where(rng.random(len(wells)) < 0.6, labels, 1 - labels)
    everything = statistics.permutation_test(labels, predictions, wells)
    # One more group of a third class puts the number of arrangements beyond trying.
    more = np.concatenate([wells, [16, 17]]), np.concatenate([labels, [0, 1]])
    sampled = statistics.permutation_test(
        more[1], np.concatenate([predictions, [0, 1]]), more[0], permutations=4999
    )
    assert everything.exact
    assert not sampled.exact
    assert sampled.arrangements == 4999
    assert sampled.smallest_p == 1 / 5000
    assert sampled.p == pytest.approx(everything.p, abs=0.05)


def test_always_the_same_answer_is_never_significant() -> None:
    wells = np.repeat(np.arange(10), [30, 30, 30, 30, 30, 2, 2, 2, 2, 2])
    labels = (wells >= 5).astype(int)
    test = statistics.permutation_test(labels, np.zeros_like(labels), wells)
    assert (test.statistic, test.p) == (0.5, 1)
    assert np.isnan(test.effect_sd)
    # Plain accuracy would be taken in: the large wells happen to share the answer.
    accuracy = statistics.permutation_test(
        labels, np.zeros_like(labels), wells, statistic="accuracy"
    )
    assert accuracy.p == pytest.approx(1 / 252)


def test_labels_within_mixed_groups_stay_in_their_group() -> None:
    groups = np.repeat(np.arange(12), 10)
    labels = np.tile([0] * 5 + [1] * 5, 12)
    learned = statistics.permutation_test(labels, labels, groups, permutations=999)
    assert learned.permuted == "labels of images within their group"
    assert learned.p == learned.smallest_p == 1 / 1000
    # Predictions that know the group and nothing else carry no information within it.
    unit = statistics.permutation_test(labels, groups % 2, groups, permutations=999)
    assert unit.p == 1


def test_mixed_groups_swap_their_compositions() -> None:
    groups = np.repeat(np.arange(10), 6)
    labels = np.where(groups < 4, 0, np.where(groups < 8, 1, np.arange(60) % 2))
    test = statistics.permutation_test(labels, labels, groups, permutations=999)
    assert test.permuted == "label compositions of groups, then labels of images inside"
    assert test.p == 1 / 1000


def test_one_class_cannot_be_tested() -> None:
    test = statistics.permutation_test(["a"] * 5, ["a", "b", "a", "a", "a"])
    assert test.p == 1
    assert test.warning == "only one class among the labels: there is nothing to test"


@quick
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=40),
    st.integers(1, 8),
)
def test_renaming_the_classes_changes_nothing(pairs: list[tuple[int, int]], wells: int) -> None:
    labels, predictions = (np.array(side) for side in zip(*pairs, strict=True))
    groups = np.arange(len(pairs)) % wells
    names = np.array(["G1", "G2", "S"])
    numbers = statistics.permutation_test(labels, predictions, groups, permutations=99)
    named = statistics.permutation_test(names[labels], names[predictions], groups, permutations=99)
    assert named.p == numbers.p
    assert named.statistic == pytest.approx(numbers.statistic)
    assert 0 < numbers.smallest_p <= numbers.p <= 1


def test_a_network_that_knows_groups_only_is_called_significant_in_at_most_5_percent() -> None:
    simulations, wrong, naive = 400, 0, 0
    rng = np.random.default_rng(2)
    for seed in range(simulations):
        count = int(rng.choice([8, 20]))
        groups = simulated_groups(rng, count, 10)
        labels = rng.permutation(np.arange(count) % 2)[groups]
        taste = rng.beta(0.5, 0.5, count)  # each group's own share of answers 1
        predictions = rng.random(len(groups)) < taste[groups]
        test = statistics.permutation_test(
            labels, predictions.astype(int), groups, permutations=199, seed=seed
        )
        wrong += test.p <= 0.05
        if seed < 100:
            images = statistics.permutation_test(
                labels, predictions.astype(int), permutations=199, seed=seed
            )
            naive += images.p <= 0.05
    assert wrong / simulations <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / simulations)  # 0.072
    assert naive / 100 > 0.2  # permuting images instead of groups would be badly wrong


# Calibration


def test_curves_and_calibration_of_pooled_folds_are_widened() -> None:
    rng = np.random.default_rng(0)
    labels, groups = np.arange(120) % 2, np.arange(120) // 6
    p = np.clip(0.3 + 0.4 * labels + rng.normal(0, 0.2, 120), 0, 1)
    table = np.stack([1 - p, p], axis=1)
    for area, curves in (
        ("auc", statistics.roc_curve),
        ("average_precision", statistics.precision_recall_curve),
    ):
        plain, pooled = (
            curves(labels, table, groups, resamples=200, cross_validated=folds)[1]  # type: ignore[operator]
            for folds in (False, True)
        )
        before, after = getattr(plain, area), getattr(pooled, area)
        assert after == before.widened(1.3, reason="cross-validation")
        assert (pooled.band_low <= plain.band_low).all()
        assert (pooled.band_high >= plain.band_high).all()
        # Somewhere in the middle nothing is cut off, and a curve within its band stays in place.
        wide = plain.band_high > plain.band_low
        widths = (
            (pooled.band_high - pooled.band_low)[wide],
            (plain.band_high - plain.band_low)[wide],
        )
        assert (widths[0] / widths[1]).max() == pytest.approx(1.3)
    plain, pooled = (
        statistics.calibration(labels, table, groups=groups, cross_validated=folds)
        for folds in (False, True)
    )
    filled = plain.counts > 0
    expected = plain.accuracy - 1.3 * (plain.accuracy - plain.low)
    assert pooled.low[filled] == pytest.approx(np.clip(expected, 0, 1)[filled])
    assert pooled.method == "beta-binomial over groups, widened 1.3 times"


def test_calibration_bins_by_hand() -> None:
    labels = [0, 0, 1, 1, 0]
    first = np.array([0.95, 0.85, 0.15, 0.55, 0.45])
    result = statistics.calibration(labels, np.stack([first, 1 - first], axis=1), bins=5)
    assert result.counts.tolist() == [0, 0, 2, 0, 3]
    assert result.accuracy[[2, 4]].tolist() == [0, 1]
    assert result.confidence[[2, 4]] == pytest.approx([0.55, (0.95 + 0.85 + 0.85) / 3])
    wrong = (2 * 0.55 + 3 * (1 - 2.65 / 3)) / 5
    assert result.expected_calibration_error == pytest.approx(wrong)
    squares = [0.05**2, 0.15**2, 0.15**2, 0.55**2, 0.55**2]
    assert result.brier == pytest.approx(2 * np.mean(squares))
    expected = statistics.wilson_interval(3, 3)
    assert (result.low[4], result.high[4]) == (expected.low, expected.high)
    assert (result.low[0], result.high[0]) == (0, 1)
    assert np.isnan(result.accuracy[0])


def test_brier_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import brier_score_loss

    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), 100)
    labels = rng.integers(0, 4, 100)
    expected = brier_score_loss(labels, probabilities, labels=range(4), scale_by_half=False)
    assert statistics.calibration(labels, probabilities).brier == pytest.approx(expected)


def test_overconfident_probabilities_are_not_calibrated() -> None:
    rng = np.random.default_rng(0)
    claim = rng.uniform(0.5, 1, 20_000)
    table = np.stack([claim, 1 - claim], axis=1)
    honest = statistics.calibration((rng.random(20_000) > claim).astype(int), table)
    boast = statistics.calibration(rng.integers(0, 2, 20_000), table)
    assert honest.expected_calibration_error < 0.02
    assert boast.expected_calibration_error == pytest.approx(0.25, abs=0.02)


def test_groups_widen_the_limits_of_a_bin() -> None:
    right = np.repeat(np.arange(20) % 2, 10)
    table = np.tile([0.8, 0.2], (200, 1))
    alone = statistics.calibration(1 - right, table)
    grouped = statistics.calibration(1 - right, table, groups=np.arange(200) // 10)
    assert grouped.high[7] - grouped.low[7] > 2 * (alone.high[7] - alone.low[7])


# Curves


def scores_of(
    rng: np.random.Generator, groups: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    labels = rng.integers(0, 3, len(groups))
    logits = rng.normal(0, 1, (len(groups), 3)) + 1.5 * np.eye(3)[labels]
    odds = np.exp(logits)
    return labels, np.round(odds / odds.sum(axis=1, keepdims=True), 2)  # with ties


def test_areas_agree_with_scikit_learn_and_lie_in_their_intervals() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(0)
    groups = simulated_groups(rng, 30, 8)
    labels, table = scores_of(rng, groups)
    names = ["G1", "G2", "S"]
    truth = np.array(names)[labels]
    rocs = statistics.roc_curve(truth, table, groups, class_names=names, resamples=300)
    precisions = statistics.precision_recall_curve(
        truth, table, groups, class_names=names, resamples=300
    )
    for number, (roc, precision) in enumerate(zip(rocs, precisions, strict=True)):
        positive = labels == number
        area = roc_auc_score(positive, table[:, number])
        assert roc.class_name == precision.class_name == names[number]
        assert roc.auc.estimate == pytest.approx(area)
        assert precision.average_precision.estimate == pytest.approx(
            average_precision_score(positive, table[:, number])
        )
        for interval in (roc.auc, precision.average_precision):
            assert 0 < interval.low < interval.estimate < interval.high < 1
            assert interval.method == "bootstrap over groups (BCa)"
        assert (roc.band_low <= roc.band_high).all()
        at = np.interp(roc.grid, roc.false_positive_rate, roc.true_positive_rate)
        inside = (roc.band_low - 1e-9 <= at) & (at <= roc.band_high + 1e-9)
        assert inside[1:].mean() > 0.95
        assert precision.prevalence == pytest.approx(positive.mean())


def test_the_interval_of_an_area_is_that_of_the_general_bootstrap() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(1)
    groups = simulated_groups(rng, 25, 8)
    labels, table = scores_of(rng, groups)
    columns = (labels == 0, table[:, 0])
    for curve, measure in (
        (statistics.roc_curve(labels, table, groups, resamples=200)[0].auc, roc_auc_score),
        (
            statistics.precision_recall_curve(labels, table, groups, resamples=200)[
                0
            ].average_precision,
            average_precision_score,
        ),
    ):
        general = statistics.group_bootstrap(columns, groups, measure, bounds=(0, 1), resamples=200)
        assert (curve.low, curve.high) == pytest.approx((general.low, general.high))


def test_a_perfect_curve_keeps_an_interval_and_a_missing_class_has_none() -> None:
    labels = np.arange(40) % 2
    table = np.stack([1.0 - labels, labels, np.zeros(40)], axis=1)
    perfect, _, absent = statistics.roc_curve(labels, table, resamples=100)
    assert perfect.auc.estimate == perfect.auc.high == 1
    assert 0.8 < perfect.auc.low < 1
    assert perfect.auc.warning is not None
    assert np.isnan(absent.auc.estimate)
    assert (absent.auc.low, absent.auc.high) == (0, 1)
    assert absent.auc.warning == "no image of class 2"
    assert len(absent.thresholds) == 0


def test_curves_over_few_groups_warn() -> None:
    rng = np.random.default_rng(0)
    groups = simulated_groups(rng, 8)
    labels, table = scores_of(rng, groups)
    area = statistics.roc_curve(labels, table, groups, resamples=100)[0].auc
    assert area.method == "t, jackknife over groups, logit scale"
    assert area.warning is not None
    assert "only 8 groups" in area.warning


def scores_of_a_rare_class(
    rng: np.random.Generator, groups: int
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.intp]]:
    """Simulate a class in some of 20 groups: true area Phi(2.5 / sqrt(2 * 1.49)) = 0.926."""
    group = np.repeat(np.arange(20), 8)
    label = (group < groups).astype(int)
    score = 2.5 * label + rng.normal(0, 0.7, 20)[group] + rng.normal(size=160)
    return label, np.stack([-score, score], axis=1), group


@pytest.mark.parametrize("groups", [3])
def test_the_area_of_a_class_in_few_groups_covers_the_truth(groups: int) -> None:
    """Of 150 intervals, the bootstrap over all 20 groups covered in 0.80 to 0.87 (3 groups)."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(150):
        label, score, group = scores_of_a_rare_class(rng, groups)
        table = 1 / (1 + np.exp(-score))
        area = statistics.roc_curve(label, table, group, resamples=100)[1].auc
        hits += area.low <= 0.926 <= area.high
    assert hits / 150 >= 0.93 - 2 * 0.018


def test_few_groups_of_a_class_or_of_the_rest_decide_how_wide_its_area_is() -> None:
    rng = np.random.default_rng(0)
    for groups, few in ((6, 6), (14, 6), (7, None), (13, None)):
        label, score, group = scores_of_a_rare_class(rng, groups)
        table = 1 / (1 + np.exp(-score))
        area = statistics.roc_curve(label, table, group, resamples=100)[1].auc
        warning = None if few is None else f"a class has only {few} groups"
        assert area.warning == warning
        precision = statistics.precision_recall_curve(label, table, group, resamples=100)[1]
        assert precision.average_precision.warning is None


# Agreement


def test_kappa_gives_the_published_example() -> None:
    # Fleiss, Cohen and Everitt (1969), table 1: weights aside, kappa 0.429, variance 0.002885.
    table = np.array([[106, 10, 4], [22, 28, 10], [2, 12, 6]])
    a, b = (np.repeat(side.ravel(), table.ravel()) for side in np.indices((3, 3)))
    result = statistics.cohen_kappa(a, b)
    assert result.kappa == pytest.approx(0.429, abs=5e-4)
    half = 1.959964 * np.sqrt(0.002885)
    assert (result.low, result.high) == pytest.approx((0.429 - half, 0.429 + half), abs=2e-3)


def test_full_agreement_is_not_certainty() -> None:
    result = statistics.cohen_kappa(["a", "b"] * 10, ["a", "b"] * 10)
    assert (result.kappa, result.high, result.warning) == (1, 1, "full agreement")
    assert result.low == pytest.approx(2 * statistics.wilson_interval(20, 20).low - 1)


def test_one_answer_throughout_has_no_kappa() -> None:
    result = statistics.cohen_kappa(["a"] * 9, ["a"] * 9)
    assert np.isnan(result.kappa)
    assert (result.low, result.high, result.agreement) == (-1, 1, 1)


@quick
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=50))
def test_kappa_is_symmetric_and_in_its_interval(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import cohen_kappa_score

    a, b = (list(side) for side in zip(*pairs, strict=True))
    forward, backward = statistics.cohen_kappa(a, b), statistics.cohen_kappa(b, a)
    if len(set(a) | set(b)) > 1:
        assert forward.kappa == pytest.approx(cohen_kappa_score(a, b))
        assert forward.kappa == pytest.approx(backward.kappa)
        assert (forward.low, forward.high) == pytest.approx((backward.low, backward.high))
        assert -1 <= forward.low <= forward.kappa <= forward.high <= 1


# What cannot be used


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.wilson_interval(5, 4), "5 successes of 4 images"),
        (lambda: statistics.wilson_interval(-1, 4), "-1 successes of 4 images"),
        (lambda: statistics.wilson_interval(1, float("nan")), "1 successes of nan images"),
        (lambda: statistics.wilson_interval(1, 4, 95), "confidence is 95"),
        (lambda: statistics.accuracy_interval([]), "correct is empty"),
        (lambda: statistics.accuracy_interval([1.5]), "values other than right and wrong"),
        (lambda: statistics.accuracy_interval(["yes"]), "values other than right and wrong"),
        (lambda: statistics.accuracy_interval([[True]]), r"correct has shape \(1, 1\)"),
        (lambda: statistics.accuracy_interval([1, 0], [1]), "correct 2, groups 1"),
        (
            lambda: statistics.accuracy_interval([1, 0], np.array(["a", None], dtype=object)),
            "groups has no value in row 1",
        ),
        (lambda: statistics.group_bootstrap([]), "values is empty"),
        (lambda: statistics.group_bootstrap([1.0], resamples=5), "resamples is 5"),
        (lambda: statistics.seed_spread([]), "accuracies is empty"),
        (lambda: statistics.seed_spread([0.9, float("nan")]), "no value in row 1"),
        (lambda: statistics.seed_spread([90, 91]), "accuracies range from 90.0 to 91.0"),
        (lambda: statistics.mcnemar([1, 0], [1]), "correct_a 2, correct_b 1"),
        (lambda: statistics.paired_difference([1, 0], [1]), "correct_a 2, correct_b 1"),
        (lambda: statistics.permutation_test(["a"], ["a", "b"]), "labels 1, predictions 2"),
        (lambda: statistics.permutation_test(["a"], [1]), "labels are <U1, predictions int64"),
        (
            lambda: statistics.permutation_test([0], [0], statistic="f1"),  # type: ignore[arg-type]
            "unknown statistic 'f1'",
        ),
        (lambda: statistics.calibration([0], [[0.4, 0.5]]), "row 0 sums to 0.9"),
        (lambda: statistics.calibration([0], [[float("nan"), 1]]), "row 0 is"),
        (lambda: statistics.calibration([2], [[0.5, 0.5]]), "none of the classes 0, 1"),
        (lambda: statistics.calibration(["a"], [[0.5, 0.5]]), "none of the classes 0, 1"),
        (lambda: statistics.calibration([0], [0.5]), r"probabilities has shape \(1,\)"),
        (lambda: statistics.calibration([0, 1], [[0.5, 0.5]]), "labels 2, probabilities 1"),
        (lambda: statistics.calibration([0], [[0.5, 0.5]], 0), "bins is 0"),
        (
            lambda: statistics.roc_curve(["a"], [[0.5, 0.5]], class_names=["a", "a"]),
            "2 class_names",
        ),
        (lambda: statistics.roc_curve([0], [[0.5, 1.5]]), r"row 0 is \[0.5, 1.5\]"),
        (lambda: statistics.cohen_kappa([], []), "a is empty"),
        (lambda: statistics.cohen_kappa(["a"], ["a", "b"]), "a 1, b 2"),
    ],
)
def test_invalid_input_is_named(call: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        call()  # type: ignore[operator]
    assert len(str(caught.value).splitlines()) >= 2  # what, and how to fix it


def test_an_accuracy_that_depends_on_the_size_of_groups_is_said() -> None:
    """The interval is of the mean over groups, and the accuracy that of the images."""
    sizes = [1] * 100 + [10] * 20
    groups = np.repeat(np.arange(120), sizes)
    interval = statistics.accuracy_interval(groups < 100, groups)
    assert interval.estimate == pytest.approx(1 / 3)
    assert interval.warning is not None
    assert "large groups are right at another rate" in interval.warning
    even = statistics.accuracy_interval(groups % 2 == 0, groups)
    assert even.warning is None
