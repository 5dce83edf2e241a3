"""The verdict: each rule by itself, and how often it errs on simulated studies.

Simulated networks recognise groups: on each group they lean to one class, the same in every run,
so that runs agree with each other far more than independent samples would.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellvision import statistics
from cellvision.errors import InvalidInput
from cellvision.statistics import Control

SENTENCES = {
    "learned",
    "cannot tell",
    "memorised: fits training, no better than the permuted null",
    "suspicious: permuted labels beat chance (leak or bug)",
    "shortcut: background or intensity alone does as well",
}
GROUPS = np.repeat(np.arange(10), 6)
LABELS = (GROUPS % 2).astype(int)


def answers(
    rng: np.random.Generator, labels: NDArray[np.intp], right: float, runs: int = 3
) -> NDArray[np.intp]:
    """Predictions of several runs of which about this share of images is right."""
    wrong = rng.random((runs, len(labels))) >= right
    return np.where(wrong, 1 - labels, labels)


def leaning(rng: np.random.Generator, runs: int = 3) -> NDArray[np.intp]:
    """Predictions that know the group and nothing of its class."""
    lean = rng.beta(0.5, 0.5, 10)
    return (rng.random((runs, len(GROUPS))) < lean[GROUPS]).astype(int)


def permuted_labels(rng: np.random.Generator, runs: int = 3) -> NDArray[np.intp]:
    return np.stack([rng.permutation(np.arange(10) % 2)[GROUPS] for _ in range(runs)])


def judge(
    predictions: NDArray[np.intp], training: float | None = 1.0, **settings: object
) -> statistics.Verdict:
    return statistics.verdict(LABELS, predictions, GROUPS, training=training, **settings)  # type: ignore[arg-type]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


# --- each rule ---------------------------------------------------------------------------


def test_better_than_the_permuted_null_is_learned(rng: np.random.Generator) -> None:
    found = judge(answers(rng, LABELS, 0.95))
    assert found.sentence == "learned"
    assert found.test.exact
    assert found.test.p == found.test.smallest_p == 1 / 252
    assert found.test.effect == pytest.approx(found.test.statistic - 0.5)
    assert (found.accuracy.n, found.accuracy.groups, found.spread.runs) == (60, 10, 3)
    assert found.accuracy.low < found.accuracy.estimate < found.accuracy.high
    assert found.missing == ("permuted_groups", "permuted_images", "background", "intensity")
    assert "Controls not run: permuted_groups" in found.warnings[0]


def test_fitted_and_no_better_than_the_null_is_memorised(rng: np.random.Generator) -> None:
    guesses = answers(rng, LABELS, 0.5)
    assert judge(guesses).sentence.startswith("memorised: fits training")
    not_fitted = judge(guesses, training=0.6)
    assert not_fitted.word == "cannot tell"
    assert "not fitted" in not_fitted.reasons[1]
    assert judge(guesses, training=None).word == "cannot tell"


def test_too_few_units_cannot_tell(rng: np.random.Generator) -> None:
    four = GROUPS < 4
    found = statistics.verdict(LABELS[four], LABELS[four], GROUPS[four], training=1.0)
    assert found.word == "cannot tell"
    assert found.reasons == ("No p below 0.17 is possible with 4 units.",)
    # Between chance and half of what was fitted: neither shown nor excluded.
    few = GROUPS < 6
    unsure = statistics.verdict(LABELS[few], GROUPS[few] < 4, GROUPS[few], training=0.8)
    assert unsure.word == "cannot tell"
    assert "too few units to say" in unsure.reasons[1]


def test_permuted_labels_that_are_right_are_suspicious(rng: np.random.Generator) -> None:
    drawn = permuted_labels(rng)
    leak = {"permuted_groups": Control(drawn, drawn)}
    found = judge(answers(rng, LABELS, 0.95), controls=leak)
    assert found.sentence == "suspicious: permuted labels beat chance (leak or bug)"
    assert found.controls[0].test.smallest_p == pytest.approx(1e-4)
    fair = {"permuted_groups": Control(leaning(rng), drawn)}
    assert judge(answers(rng, LABELS, 0.95), controls=fair).word == "learned"


def test_what_is_shared_is_not_held_out(rng: np.random.Generator) -> None:
    found = judge(answers(rng, LABELS, 0.95), shared=True)
    assert found.word == "cannot tell"
    assert "Splits share" in found.reasons[0]


@pytest.mark.parametrize("name", ["background", "intensity"])
def test_what_does_as_well_alone_is_a_shortcut(name: str, rng: np.random.Generator) -> None:
    right = answers(rng, LABELS, 0.95)
    as_well = judge(right, controls={name: Control(answers(rng, LABELS, 0.95))})
    assert as_well.sentence == "shortcut: background or intensity alone does as well"
    (result,) = as_well.controls
    assert result.difference is not None
    assert result.difference.low <= 0 <= result.difference.high
    weaker = judge(right, controls={name: Control(answers(rng, LABELS, 0.7))})
    assert weaker.word == "learned"
    assert weaker.controls[0].beats_chance
    assert "uses more than that" in weaker.reasons[1]
    chance = judge(right, controls={name: Control(leaning(rng))})
    assert chance.word == "learned"


def test_a_leak_comes_before_a_shortcut(rng: np.random.Generator) -> None:
    drawn = permuted_labels(rng)
    both = {"permuted_images": Control(drawn, drawn), "intensity": Control(LABELS)}
    assert judge(answers(rng, LABELS, 0.95), controls=both).word == "suspicious"


def test_unknown_units_are_said(rng: np.random.Generator) -> None:
    found = statistics.verdict(LABELS, answers(rng, LABELS, 0.9))
    assert found.word == "learned"
    assert found.accuracy.groups is None
    assert "Units unknown" in found.warnings[0]


# --- properties --------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), min_size=1, max_size=30),
    st.one_of(st.none(), st.floats(0, 1)),
    st.booleans(),
)
def test_any_answers_get_one_of_the_five_sentences(
    rows: list[tuple[int, bool, bool]], training: float | None, shared: bool
) -> None:
    groups, labels, predicted = (np.array(column, dtype=int) for column in zip(*rows, strict=True))
    found = statistics.verdict(labels, predicted, groups, training=training, shared=shared)
    assert found.sentence in SENTENCES
    assert found.reasons
    assert 0 < found.test.smallest_p <= found.test.p <= 1
    assert found.accuracy.low <= found.accuracy.estimate <= found.accuracy.high
    if found.word == "learned":
        assert found.test.p <= 0.05
        assert not shared


def test_copies_of_a_run_are_no_further_evidence(rng: np.random.Generator) -> None:
    once = answers(rng, LABELS, 0.7, runs=1)
    one, many = judge(once), judge(np.repeat(once, 20, axis=0))
    assert (one.word, one.test.p) == (many.word, many.test.p)
    assert (one.accuracy.low, one.accuracy.high) == pytest.approx(
        (many.accuracy.low, many.accuracy.high)
    )
    # Also where images of one group differ in class, and where images are their own units.
    mixed = np.arange(60) // 12
    for groups in (mixed, None):
        single = statistics.permutation_test(LABELS, once, groups, permutations=999)
        copies = statistics.permutation_test(
            LABELS, np.repeat(once, 20, axis=0), groups, permutations=999
        )
        assert copies.null_sd == pytest.approx(single.null_sd, rel=0.1)
        assert copies.statistic == pytest.approx(single.statistic)


def test_runs_in_another_order_give_the_same(rng: np.random.Generator) -> None:
    given_runs = answers(rng, LABELS, 0.7)
    one, other = judge(given_runs), judge(given_runs[::-1])
    assert (one.word, one.reasons, one.test.p) == (other.word, other.reasons, other.test.p)


# --- error rates -------------------------------------------------------------------------


def test_null_data_are_seldom_called_learned() -> None:
    # At most 12 of 252 arrangements, 0.048; the standard error is 0.011.
    rng = np.random.default_rng(0)
    words = [judge(leaning(rng)).word for _ in range(400)]
    assert words.count("learned") / 400 <= 0.05
    # Runs taken for independent samples would err far more often.
    naive = np.mean(
        [
            statistics.permutation_test(np.tile(LABELS, 3), leaning(rng).ravel()).p <= 0.05
            for _ in range(60)
        ]
    )
    assert naive > 0.15


def test_permuted_labels_seldom_look_suspicious_without_a_leak() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(100):
        phenotype = answers(rng, LABELS, 0.9)  # learned, so permuted labels agree by chance
        controls = {"permuted_groups": Control(phenotype, permuted_labels(rng))}
        alarms += judge(answers(rng, LABELS, 0.9), controls=controls).word == "suspicious"
    assert alarms <= 4  # of 100 at a level of 0.01; more has a probability of 0.003


# --- what is refused ---------------------------------------------------------------------


def test_bad_input_is_named() -> None:
    for call, what in (
        ({"controls": {"colour": Control(LABELS)}}, "unknown control 'colour'"),
        ({"controls": {"permuted_groups": Control(LABELS)}}, "permuted_groups has no labels"),
        ({"controls": {"intensity": Control([1, 0])}}, "lengths differ"),
        ({"training": 90.0}, "training is 90"),
    ):
        with pytest.raises(InvalidInput, match=what):
            statistics.verdict(LABELS, LABELS, GROUPS, **call)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="labels of 2 runs, predictions of 3"):
        statistics.permutation_test(np.stack([LABELS] * 2), np.stack([LABELS] * 3), GROUPS)
