"""The verdict: each case of the rule, and its error rates on simulated studies.

Simulated networks recognise groups: they lean to one class on each group, the same in every run,
so runs agree with each other far more than independent samples would.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellvision import statistics
from cellvision.errors import InvalidInput
from cellvision.statistics import ControlEvidence, ControlMeaning, LookCount

GROUPS = np.repeat(np.arange(40), 6)
LABELS = (GROUPS % 2).astype(int)
FEW = GROUPS < 10
BRIGHTNESS = ControlMeaning("lower rung", "brightness")
BACKGROUND = ControlMeaning("alternative explanation", "the background")
PERMUTED = ControlMeaning("permuted labels", "labels permuted across groups")


def predictions_of(
    rng: np.random.Generator, labels: NDArray[np.intp], right: float, runs: int = 3
) -> NDArray[np.intp]:
    """Return predictions of several runs; about the fraction `right` is correct."""
    wrong = rng.random((runs, len(labels))) >= right
    return np.where(wrong, 1 - labels, labels)


def leaning(
    rng: np.random.Generator, groups: NDArray[np.intp] = GROUPS, runs: int = 3
) -> NDArray[np.intp]:
    """Return predictions that depend on the group but not on its class."""
    lean = rng.beta(0.5, 0.5, groups.max() + 1)
    return (rng.random((runs, len(groups))) < lean[groups]).astype(int)


def permuted_labels(rng: np.random.Generator, runs: int = 3) -> NDArray[np.intp]:
    return np.stack([rng.permutation(np.arange(40) % 2)[GROUPS] for _ in range(runs)])


def judge(
    predictions: NDArray[np.intp], training: float | None = 1.0, **options: object
) -> statistics.Verdict:
    return statistics.verdict(LABELS, predictions, GROUPS, training=training, **options)  # type: ignore[arg-type]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


# --- each case ---------------------------------------------------------------------------


def test_better_than_permuted_labels_is_learned(rng: np.random.Generator) -> None:
    result = judge(predictions_of(rng, LABELS, 0.95), missing_controls=["intensity"])
    assert (result.word, result.sentence) == ("learned", "learned: new groups are told apart")
    assert result.p == result.test.p == 1e-4
    assert result.test.effect == pytest.approx(result.test.statistic - 0.5, abs=0.01)
    assert (result.accuracy.n, result.accuracy.groups, result.spread.runs) == (240, 40, 3)
    assert result.accuracy.low < result.accuracy.estimate < result.accuracy.high
    assert "Controls not run: intensity." in result.warnings


def test_fitted_and_far_below_on_new_groups_is_memorised(rng: np.random.Generator) -> None:
    guesses = predictions_of(rng, LABELS, 0.5)
    assert judge(guesses).sentence == "memorised: fits training, far below it on new groups"
    not_fitted = judge(guesses, training=0.6)
    assert not_fitted.word == "cannot tell"
    assert "does not fit them either" in not_fitted.reasons[1]
    assert judge(guesses, training=None).word == "cannot tell"


def test_too_few_groups_cannot_tell() -> None:
    four = GROUPS < 4
    result = statistics.verdict(LABELS[four], LABELS[four], GROUPS[four], training=1.0)
    assert result.sentence == "cannot tell: too few groups"
    assert result.reasons == ("No p below 0.17 is possible with 4 groups.",)


def test_permuted_labels_that_beat_chance_are_suspicious(rng: np.random.Generator) -> None:
    permuted = permuted_labels(rng)
    leak = {"permuted_groups": ControlEvidence(PERMUTED, permuted, permuted)}
    result = judge(predictions_of(rng, LABELS, 0.95), controls=leak)
    assert result.sentence == "suspicious: a leak or a bug"
    assert result.controls[0].finding == "leak"
    fair = {"permuted_groups": ControlEvidence(PERMUTED, leaning(rng), permuted)}
    learned = judge(predictions_of(rng, LABELS, 0.95), controls=fair)
    assert (learned.word, learned.controls[0].finding) == ("learned", "no leak")


def test_permuted_labels_are_tested_over_the_groups_that_exchanged_them(
    rng: np.random.Generator,
) -> None:
    permuted, answers, donors = permuted_labels(rng), leaning(rng), GROUPS // 4
    control = {"permuted_groups": ControlEvidence(PERMUTED, answers, permuted, groups=GROUPS)}
    result = statistics.verdict(LABELS, answers, donors, controls=control)
    (found,) = result.controls
    assert found.test.p == statistics.permutation_test(permuted, answers, GROUPS).p
    assert (found.accuracy.groups, result.accuracy.groups) == (10, 10)


def test_a_permuted_control_with_too_few_groups_could_not_show_a_leak() -> None:
    """All four groups per class are right in one run: no p below 1/70 is possible."""
    rows = GROUPS < 8
    labels = LABELS[rows]
    control = {"permuted_groups": ControlEvidence(PERMUTED, labels, labels)}
    result = statistics.verdict(labels, labels, GROUPS[rows], controls=control)
    assert result.controls[0].finding == "could not show a leak"
    assert any("could not have shown a leak" in warning for warning in result.warnings)


def test_shared_groups_are_not_held_out(rng: np.random.Generator) -> None:
    result = judge(predictions_of(rng, LABELS, 0.95), shared=True)
    assert result.sentence == "cannot tell: these images are not held out"


@pytest.mark.parametrize(
    ("meaning", "right", "word", "sentence"),
    [
        (BRIGHTNESS, 0.95, "learned, no more", "learned, and brightness does as well"),
        (BACKGROUND, 0.95, "shortcut possible", "shortcut possible: the background does as well"),
        (
            BRIGHTNESS,
            0.6,
            "learned",
            "learned: new groups are told apart, by more than brightness",
        ),
    ],
)
def test_a_control_decides_by_its_kind(
    meaning: ControlMeaning, right: float, word: str, sentence: str, rng: np.random.Generator
) -> None:
    control = {"control": ControlEvidence(meaning, predictions_of(rng, LABELS, right))}
    result = judge(predictions_of(rng, LABELS, 0.95), controls=control)
    assert (result.word, result.sentence) == (word, sentence)


def test_an_open_shortcut_comes_before_brightness(rng: np.random.Generator) -> None:
    """What may be the biology does not hide that it may be the background."""
    groups = np.repeat(np.arange(16), 4)
    labels = groups % 2
    network = predictions_of(rng, labels, 0.97, runs=1)
    background = network.copy()
    background[0, ::16] = 1 - background[0, ::16]  # a few more errors, each in another group
    controls = {
        "background": ControlEvidence(BACKGROUND, background),
        "intensity": ControlEvidence(BRIGHTNESS, network),
    }
    result = statistics.verdict(labels, network, groups, training=1.0, controls=controls)
    assert [each.finding for each in result.controls] == ["open", "no more"]
    assert result.word == "learned, open"
    assert result.sentence.startswith("learned; whether by more than the background is not shown")
    assert result.sentence.endswith(", and brightness does as well")
    chance = rng.integers(0, 2, (1, len(labels)))  # a background that tells nothing hides nothing
    controls["background"] = ControlEvidence(BACKGROUND, chance)
    result = statistics.verdict(labels, network, groups, training=1.0, controls=controls)
    assert result.sentence.startswith("learned, and brightness does as well")


@pytest.mark.parametrize("right", [0.95, 0.5])
def test_a_control_with_a_caveat_decides_only_if_the_network_does_more(
    right: float, rng: np.random.Generator
) -> None:
    network = predictions_of(rng, LABELS, 0.95)
    background = predictions_of(rng, LABELS, right)
    rung = ControlEvidence(BRIGHTNESS, predictions_of(rng, LABELS, 0.95))
    alone = {"background": ControlEvidence(BACKGROUND, background, caveat="cells fill the images")}
    result = judge(network, controls={**alone, "intensity": rung})
    assert result.sentence == "learned, and brightness does as well"
    result = judge(network, controls=alone)
    assert result.word == "learned"
    more = result.controls[0].finding == "more"
    assert more == (right == 0.5)
    assert ("by more than the background" in result.sentence) == more
    assert ("It decides nothing: cells fill the images." in result.reasons[1]) != more


def test_a_network_below_a_lower_rung_is_undertrained(
    rng: np.random.Generator,
) -> None:
    control = {"texture": ControlEvidence(ControlMeaning("lower rung", "texture"), LABELS)}
    result = judge(predictions_of(rng, LABELS, 0.7), controls=control)
    assert result.word == "undertrained"
    assert result.sentence == "texture does better: the network is not trained enough"
    assert result.controls[0].finding == "worse"
    both = {"intensity": ControlEvidence(BRIGHTNESS, LABELS), **control}
    assert judge(predictions_of(rng, LABELS, 0.7), controls=both).sentence == (
        "brightness and texture do better: the network is not trained enough"
    )


def test_a_lower_rung_shows_that_a_network_at_chance_is_undertrained(
    rng: np.random.Generator,
) -> None:
    texture = ControlMeaning("lower rung", "texture")
    guesses = predictions_of(rng, LABELS, 0.5)
    result = judge(guesses, controls={"texture": ControlEvidence(texture, LABELS)})
    assert result.word == "undertrained"
    assert result.sentence == "texture does better: the network is not trained enough"
    assert "the network does worse" in result.reasons[1]
    # Neither a rung that does not beat chance itself nor an alternative explanation shows that.
    chance = ControlEvidence(texture, predictions_of(rng, LABELS, 0.5))
    assert judge(guesses, controls={"texture": chance}).word == "memorised"
    background = ControlEvidence(BACKGROUND, LABELS)
    assert judge(guesses, controls={"background": background}).word == "memorised"


def test_without_a_decision_the_reasons_name_simpler_models_that_succeed() -> None:
    """Six groups cannot show that a network that is right on four of them does worse."""
    six = GROUPS < 6
    guesses = np.where(GROUPS[six] < 2, 1 - LABELS[six], LABELS[six])
    rung = {"texture": ControlEvidence(ControlMeaning("lower rung", "texture"), LABELS[six])}
    result = statistics.verdict(LABELS[six], guesses, GROUPS[six], training=0.6, controls=rung)
    assert result.controls[0].finding != "worse"
    assert result.sentence == "cannot tell: the network did not train"
    assert result.reasons[2].startswith("Texture: accuracy 100%")


def control_with_errors(groups: tuple[int, ...]) -> NDArray[np.intp]:
    """Return answers that are wrong on the first two images of these of ten groups."""
    wrong = np.isin(GROUPS[FEW], groups) & (np.arange(FEW.sum()) % 6 < 2)
    return np.where(wrong, 1 - LABELS[FEW], LABELS[FEW])


NEARLY_ALWAYS_RIGHT = control_with_errors((0,))


def open_verdict(**controls: NDArray[np.intp]) -> statistics.Verdict:
    """Judge a network of ten groups beside simpler models with these answers."""
    evidence = {
        name: ControlEvidence(ControlMeaning("lower rung", name), answers)
        for name, answers in controls.items()
    }
    result = statistics.verdict(LABELS[FEW], NEARLY_ALWAYS_RIGHT, GROUPS[FEW], controls=evidence)
    assert result.word == "learned, open"
    assert {control.finding for control in result.controls} == {"open"}
    return result


def finding_of(result: statistics.ControlResult, groups: int) -> str:
    """Return the finding at this number of groups: widths shrink with the root of it."""
    assert result.difference is not None
    assert result.equivalence is not None
    shrink = np.sqrt(result.difference.groups / groups)
    at_more = [
        replace(
            interval,
            low=interval.estimate - (interval.estimate - interval.low) * shrink,
            high=interval.estimate + (interval.high - interval.estimate) * shrink,
        )
        for interval in (result.difference, result.equivalence)
    ]
    return statistics.compare_with_control(*at_more)


FAR_BELOW, LITTLE_BELOW = (1, 2, 3, 4, 5, 6), (1, 2)


def test_the_number_of_groups_comes_with_the_finding_they_would_show() -> None:
    """A small difference, positive or not, would first be shown to be within the margin."""
    for wrong, finding, clause in (
        (FAR_BELOW, "more", "would show it at this difference"),
        (LITTLE_BELOW, "no more", "would show that it is no more at this difference"),
        ((), "no more", "would show that it is no more at this difference"),
    ):
        result = open_verdict(texture=control_with_errors(wrong))
        (control,) = result.controls
        needed = control.groups_needed
        assert needed is not None
        assert (control.groups_would_show, finding_of(control, needed + 1)) == (finding, finding)
        assert finding_of(control, needed - 1) == "open"
        assert result.sentence == (
            f"learned; whether by more than texture is not shown (about {needed} groups {clause})"
        )
        assert f"{needed} groups would show that it does {finding} at this" in result.reasons[1]


def test_without_groups_the_number_is_one_of_images() -> None:
    control = {"texture": ControlEvidence(BRIGHTNESS, control_with_errors(LITTLE_BELOW))}
    result = statistics.verdict(LABELS[FEW], NEARLY_ALWAYS_RIGHT, controls=control)
    (found,) = result.controls
    assert (found.finding, found.groups_would_show) == ("open", "no more")
    assert result.sentence == (
        "learned only if images are independent; whether by more than brightness is not shown "
        f"(about {found.groups_needed} images would show that it is no more at this difference)"
    )
    assert "groups would show" not in found.describe()


def test_findings_of_several_controls_are_told_apart() -> None:
    far, little = control_with_errors(FAR_BELOW), control_with_errors(LITTLE_BELOW)
    result = open_verdict(texture=far, brightness=little)
    number = max(control.groups_needed or 0 for control in result.controls)
    assert [finding_of(control, number + 1) for control in result.controls] == ["more", "no more"]
    assert result.sentence == (
        "learned; whether by more than texture and brightness is not shown (about "
        f"{number} groups would decide at these differences: more than texture, no more than "
        "brightness)"
    )


def test_guessing_and_permuted_labels_are_named_apart() -> None:
    """Predictions from the plate alone beat guessing, but not labels permuted within plates."""
    plates = np.repeat([0, 1], 10)
    truth = (plates + np.tile([1, *[0] * 9], 2)) % 2  # nine of ten wells of a plate have its class
    result = statistics.verdict(truth, plates, np.arange(20), batches=plates)
    assert result.test.null_mean == pytest.approx(0.9)
    score = statistics.verdict(truth, plates, np.arange(20), training=1.0).reasons
    assert "+0.40 from 0.50, the mean of permuted labels" in " ".join(score)
    assert "0.900; guessing 0.500, permuted labels 0.900" in result._repr_html_()


def test_a_third_party_control_provides_its_sentence(rng: np.random.Generator) -> None:
    meaning = ControlMeaning(
        "alternative explanation", "the focus", {"no more": "the focus explains it"}
    )
    control = {"my_focus": ControlEvidence(meaning, predictions_of(rng, LABELS, 0.95))}
    assert (
        judge(predictions_of(rng, LABELS, 0.95), controls=control).sentence
        == "the focus explains it"
    )


def test_a_leak_comes_before_a_shortcut(rng: np.random.Generator) -> None:
    permuted = permuted_labels(rng)
    both = {
        "intensity": ControlEvidence(BRIGHTNESS, LABELS),
        "permuted_images": ControlEvidence(PERMUTED, permuted, permuted),
    }
    assert judge(predictions_of(rng, LABELS, 0.95), controls=both).word == "suspicious"


def test_unknown_groups_are_reported(rng: np.random.Generator) -> None:
    result = statistics.verdict(LABELS, predictions_of(rng, LABELS, 0.9))
    assert result.word == "learned if independent"
    assert result.sentence == "learned only if images are independent"
    assert "Groups unknown" in result.warnings[0]


def test_class_and_plate_cannot_be_distinguished_if_each_plate_has_one_class() -> None:
    plates = np.where(LABELS == 0, GROUPS % 4, GROUPS % 4)
    options = {"batches": plates, "batch_name": "plate", "controls": None}
    result = judge(LABELS, **options)
    assert (result.word, result.sentence) == ("class is batch", "cannot tell class from plate")
    assert result.reasons == (
        "Every plate of the test set holds one class (4 plates): class cannot be told from plate.",
    )
    # The folds of a cross-validation test all images.
    pooled = judge(LABELS, **options, cross_validated=True)
    assert pooled.reasons == (
        "Every plate holds one class (4 plates): class cannot be told from plate.",
    )
    (reason,) = result.reasons
    assert result._repr_html_().count(reason) == 1
    held_out = judge(LABELS, **options, batches_held_out=True)
    assert held_out.test.permuted == "labels of whole batches (each holds one class)"
    assert held_out.word == "may be the batch"
    assert "No p below 0.17 is possible with 4 batches." in held_out.warnings


def test_an_effect_only_across_plates_may_be_the_plate() -> None:
    plate = GROUPS // 10
    leaning_plates = np.array([0.9, 0.9, 0.1, 0.1])
    rng = np.random.default_rng(0)
    labels = (rng.random(40) < leaning_plates[np.arange(40) // 10]).astype(int)[GROUPS]
    predictions = (plate < 2).astype(int)  # depends only on the plate
    result = statistics.verdict(
        labels, predictions, GROUPS, batches=plate, batch_name="day", training=1.0
    )
    assert (result.word, result.sentence) == ("may be the batch", "may be the day")
    assert result.overall_test is not None
    assert result.overall_test.p <= 0.05 < result.test.p


def test_cross_validation_widens_intervals_and_needs_a_limit_above_chance() -> None:
    rng = np.random.default_rng(3)
    predictions = predictions_of(rng, LABELS, 0.7, runs=1)
    plain, pooled = judge(predictions), judge(predictions, cross_validated=True)
    width = plain.accuracy.high - plain.accuracy.low
    assert pooled.accuracy.high - pooled.accuracy.low == pytest.approx(1.3 * width)
    weak = np.where((np.arange(240) % 12 * 5) % 12 < 7, LABELS, 1 - LABELS)  # 0.58
    result = judge(weak, cross_validated=True)
    assert result.p <= 0.05
    assert result.balanced_accuracy.low < 0.5
    assert result.word != "learned"


def test_groups_of_several_classes_need_a_limit_above_chance(rng: np.random.Generator) -> None:
    """Inside two plates, images are told apart; two plates say little about a third."""
    plates = np.repeat([0, 1], 60)
    truth = np.tile([0, 1], 60)
    wrong = rng.random(120) < np.where(plates == 0, 0.1, 0.5)
    answers = np.where(wrong, 1 - truth, truth)
    result = statistics.verdict(truth, answers, plates, training=1.0)
    assert result.test.inside_groups
    assert result.p <= 0.05
    assert result.balanced_accuracy.low < 0.5
    assert result.sentence == "cannot tell: too few groups"
    assert "The interval includes 0.50, guessing one of 2 classes." in result.reasons[0]
    unknown = statistics.verdict(truth, answers, plates)
    assert unknown.sentence == "cannot tell: too few groups"
    many = np.repeat(np.arange(20), 6)
    assert statistics.verdict(truth, truth, many, training=1.0).word == "learned"


def test_groups_whose_size_depends_on_the_class_need_a_limit_above_chance() -> None:
    """A treatment that kills cells leaves few images in its wells, whose recall then scatters."""
    truth = np.repeat([0, 1], [8 * 5, 8 * 50])
    wells = np.repeat(np.arange(16), [5] * 8 + [50] * 8)
    results = []
    for seed in range(40):
        guesses = np.random.default_rng(seed).integers(0, 2, len(truth))
        results.append(statistics.verdict(truth, guesses, wells, training=1.0))
    assert all(each.test.sizes_depend_on_class for each in results)
    assert sum(each.p <= 0.05 for each in results) > 4  # of 40, with nothing to learn
    assert sum(each.word == "learned" for each in results) <= 2
    assert statistics.verdict(truth, truth, wells, training=1.0).word == "learned"
    even = statistics.verdict(LABELS, LABELS, GROUPS, training=1.0)
    assert not even.test.sizes_depend_on_class


def test_permuted_labels_of_pooled_folds_need_a_limit_above_chance() -> None:
    weak = np.where((np.arange(240) % 12 * 5) % 12 < 7, LABELS, 1 - LABELS)  # 0.58
    evidence = {"permuted_groups": ControlEvidence(PERMUTED, weak, LABELS)}
    results = [judge(LABELS, controls=evidence, cross_validated=folds) for folds in (False, True)]
    assert [each.controls[0].test.p <= 0.01 for each in results] == [True, True]
    assert [each.controls[0].finding for each in results] == ["leak", "no leak"]


def test_many_looks_multiply_p_and_withhold_the_word() -> None:
    seeds = judge(LABELS, looks=LookCount(looks=3, settings=1))
    assert seeds.p == seeds.test.p
    assert any("p is not adjusted for them" in warning for warning in seeds.warnings)
    twice = judge(LABELS, looks=LookCount(looks=4, settings=2))
    assert twice.p == pytest.approx(4 * twice.test.p)
    assert twice.word == "learned"
    assert "Look 4 of this test set, by 2 settings: p is multiplied" in twice.warnings[0]
    often = judge(LABELS, looks=LookCount(looks=7, settings=5))
    assert often.word == "reused test set"
    assert "look 7 of this test set, by 5 settings" in often.sentence
    assert judge(LABELS, adjusted_p=0.2).word != "learned"


def test_untrained_runs_are_counted() -> None:
    runs = np.stack([LABELS, np.zeros_like(LABELS), LABELS])
    result = judge(runs)
    assert result.spread.dead == 1
    assert result.retrained is None
    assert result.sentence == "learned: new groups are told apart; 1 of 3 runs did not train"
    assert "1 of 3 runs did not train." in result.warnings


def test_a_run_with_an_untrained_fold_has_no_t_interval() -> None:
    """In each fold the network answers one class, though not the same one in all."""
    fold = GROUPS % 5
    runs = np.stack([LABELS, np.isin(fold, (0, 3)).astype(int), LABELS])
    result = judge(runs, cross_validated=True, dead=[False, True, False])
    assert result.spread.dead == 1
    assert result.retrained is None
    assert result.sentence.endswith("; 1 of 3 runs did not train in some folds")


def test_a_trained_network_may_answer_one_class_on_the_test_images() -> None:
    result = judge(np.stack([LABELS, np.zeros_like(LABELS)]), dead=[False, False])
    assert result.spread.dead == 0
    assert result.retrained is not None


def test_a_test_set_of_one_class_tests_nothing() -> None:
    """Answering that class for every image is right, and no sign of a dead network."""
    truth, groups = np.ones(18, np.intp), np.repeat(np.arange(6), 3)
    slip = truth.copy()
    slip[-1] = 0
    result = statistics.verdict(truth, [truth, slip], groups, batches=groups % 3, training=1.0)
    assert (result.word, result.p) == ("cannot tell", 1.0)
    assert result.sentence == "cannot tell: the test set has only one class"
    assert result.reasons == ("All 18 images are of class 1, so there is nothing to tell apart.",)
    assert result.spread.dead == 0
    assert result.retrained is not None
    assert not result.warnings


def test_a_reason_is_no_warning_as_well() -> None:
    truth, groups = np.array([0, 0, 1, 1, 1, 1]), np.repeat(np.arange(3), 2)
    result = statistics.verdict(truth, truth, groups, training=1.0)
    assert result.sentence == "cannot tell: too few groups"
    assert result.reasons == ("No p below 0.33 is possible with 3 groups.",)
    assert not set(result.reasons) & set(result.warnings)


# --- properties --------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2), st.booleans(), st.booleans()),
        min_size=1,
        max_size=30,
    ),
    st.one_of(st.none(), st.floats(0, 1)),
    st.booleans(),
)
def test_any_predictions_get_a_sentence_and_reasons(
    rows: list[tuple[int, int, bool, bool]], training: float | None, shared: bool
) -> None:
    groups, batches, labels, predicted = (
        np.array(column, dtype=int) for column in zip(*rows, strict=True)
    )
    result = statistics.verdict(
        labels, predicted, groups, batches=batches, training=training, shared=shared
    )
    assert result.sentence
    assert result.reasons
    assert 0 < result.test.smallest_p <= result.test.p <= 1
    assert result.accuracy.low <= result.accuracy.estimate <= result.accuracy.high
    if result.word.startswith("learned"):
        assert result.test.p <= 0.05
        assert not shared


def test_copies_of_a_run_add_no_evidence(rng: np.random.Generator) -> None:
    once = predictions_of(rng, LABELS, 0.7, runs=1)
    one, many = judge(once), judge(np.repeat(once, 20, axis=0))
    assert (one.word, one.test.p) == (many.word, many.test.p)
    assert (one.accuracy.low, one.accuracy.high) == pytest.approx(
        (many.accuracy.low, many.accuracy.high)
    )
    # Also if groups hold several classes, and if groups are unknown.
    mixed = np.arange(240) // 24
    for groups in (mixed, None):
        single = statistics.permutation_test(LABELS, once, groups, permutations=999)
        copies = statistics.permutation_test(
            LABELS, np.repeat(once, 20, axis=0), groups, permutations=999
        )
        assert copies.null_sd == pytest.approx(single.null_sd, rel=0.1)
        assert copies.statistic == pytest.approx(single.statistic)


def test_the_order_of_runs_does_not_matter(rng: np.random.Generator) -> None:
    runs = predictions_of(rng, LABELS, 0.7)
    one, other = judge(runs), judge(runs[::-1])
    assert (one.word, one.reasons, one.test.p) == (other.word, other.reasons, other.test.p)


# --- error rates (long forms: benchmarks/evidence) -----------------------------------------


def test_null_data_are_rarely_called_learned() -> None:
    # At most 12 of 252 arrangements, 0.048; the standard error is 0.015.
    rng = np.random.default_rng(0)
    groups, labels = GROUPS[FEW], LABELS[FEW]
    words = [
        statistics.verdict(labels, leaning(rng, groups), groups, training=1.0).word
        for _ in range(200)
    ]
    assert sum(word.startswith("learned") for word in words) / 200 <= 0.08


def test_a_network_ten_points_better_is_rarely_no_more() -> None:
    """Five groups per class, accuracies 0.85 and 0.75; 0.75 of them by the former rule."""
    rng = np.random.default_rng(0)
    groups, labels = GROUPS[FEW], LABELS[FEW]
    no_more = more = 0
    for seed in range(100):
        network = predictions_of(rng, labels, 0.85, runs=1)[0] == labels
        simple, same = (
            predictions_of(rng, labels, right, runs=1)[0] == labels for right in (0.75, 0.85)
        )
        for other, better in ((simple, True), (same, False)):
            finding = statistics.compare_with_control(
                *(
                    statistics.paired_difference(network, other, groups, level, seed)
                    for level in (0.95, 0.90)
                )
            )
            no_more += better and finding == "no more"
            more += not better and finding == "more"
    assert no_more <= 13  # of 100 at 0.07; standard error 2.6
    assert more <= 10


def test_memorised_uses_balanced_accuracy_on_unequal_classes() -> None:
    """Balanced accuracy 0.70 with 3 and 9 groups; 0.425 of them by the former rule."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 6)
    labels = (groups >= 3).astype(int)
    words = []
    for _ in range(100):
        accuracy = rng.beta(0.7 * 4, 0.3 * 4, 12)
        right = rng.random(72) < accuracy[groups]
        predictions = np.where(right, labels, 1 - labels)
        words.append(statistics.verdict(labels, predictions, groups, training=1.0).word)
    assert words.count("memorised") <= 22


def test_permuted_labels_are_rarely_suspicious_without_a_leak() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    groups, labels = GROUPS[FEW], LABELS[FEW]
    for _ in range(60):
        phenotype = predictions_of(
            rng, labels, 0.9
        )  # the network learned, so permuted labels agree only by chance
        permuted = np.stack([rng.permutation(np.arange(10) % 2)[groups] for _ in range(3)])
        test = statistics.permutation_test(permuted, phenotype, groups, permutations=999)
        alarms += test.p <= 0.01
    assert alarms <= 3  # of 60 at a level of 0.01; more has a probability of 0.003


# --- invalid input ---------------------------------------------------------------------


def test_errors_name_the_invalid_input() -> None:
    evidence = ControlEvidence(PERMUTED, LABELS)
    short = ControlEvidence(BRIGHTNESS, [1, 0])
    for options, message in (
        ({"controls": {"permuted_groups": evidence}}, "permuted_groups has no labels"),
        ({"controls": {"intensity": short}}, "lengths differ"),
        ({"training": 90.0}, "training is 90"),
    ):
        with pytest.raises(InvalidInput, match=message):
            statistics.verdict(LABELS, LABELS, GROUPS, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="labels of 2 runs, predictions of 3"):
        statistics.permutation_test(np.stack([LABELS] * 2), np.stack([LABELS] * 3), GROUPS)
