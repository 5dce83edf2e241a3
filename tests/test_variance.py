"""Fractions of variance: class, group within class, and what chance gives."""

from __future__ import annotations

import numpy as np
import pytest

from cellvision import errors
from cellvision.statistics import variance_shares


def points(
    seed: int, by_class: float, by_group: float, groups: int = 12, images: int = 5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of groups, each of one class, with normal class and group effects of these SDs."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), images)
    label = group % 3
    x = rng.normal(size=(len(group), 4))
    x += by_class * rng.normal(size=(3, 4))[label] + by_group * rng.normal(size=(groups, 4))[group]
    return x, label, group


def test_shares_are_those_of_a_nested_analysis_of_variance() -> None:
    x, label, group = points(0, 1.0, 1.0)
    shares = variance_shares(x, label, group)
    centre = x.mean(axis=0)
    total = ((x - centre) ** 2).sum()
    within_class = sum(((x[label == k] - x[label == k].mean(0)) ** 2).sum() for k in range(3))
    within_group = sum(((x[group == k] - x[group == k].mean(0)) ** 2).sum() for k in range(12))
    assert shares.class_share == pytest.approx(1 - within_class / total)
    assert shares.group_share == pytest.approx((within_class - within_group) / total)
    assert shares.group_chance == pytest.approx(9 * within_group / 48 / total)
    assert shares.class_chance == pytest.approx(2 * (shares.group_share or 0) / 9)
    assert (shares.n, shares.classes, shares.groups) == (60, 3, 12)


def test_meaningless_classes_and_groups_have_the_fraction_of_chance() -> None:
    shares = [variance_shares(*points(seed, 0.0, 0.0)) for seed in range(200)]
    assert np.mean([f.group_share for f in shares]) == pytest.approx(
        np.mean([f.group_chance for f in shares]), abs=0.01
    )
    assert np.mean([f.group_share for f in shares]) > 0.1  # twelve groups look like something
    assert np.mean([f.class_share - f.class_chance for f in shares]) == pytest.approx(0, abs=0.01)


def test_group_effects_beyond_class_are_measured() -> None:
    shares = variance_shares(*points(1, 0.0, 2.0))
    assert shares.group_excess is not None
    assert shares.group_excess > 0.5
    shares = variance_shares(*points(1, 4.0, 0.0))
    assert shares.class_excess > 0.5
    assert shares.group_excess is not None
    assert shares.group_excess < 0.05


def test_meaningless_classes_differ_as_groups_do() -> None:
    shares = [variance_shares(*points(seed, 0.0, 2.0)) for seed in range(200)]
    assert np.mean([f.class_share for f in shares]) > 0.1
    assert np.mean([f.class_share - f.class_chance for f in shares]) == pytest.approx(0, abs=0.02)


def test_unknown_groups_and_groups_of_one_image() -> None:
    x, label, _ = points(0, 1.0, 0.0)
    alone = variance_shares(x, label)
    assert (alone.group_share, alone.group_excess, alone.groups) == (None, None, 0)
    single = variance_shares(x, label, np.arange(len(x)))
    assert single.group_share is None
    assert single.class_share == alone.class_share
    assert single.class_chance == alone.class_chance > 0
    assert variance_shares(x, label, label).group_share is None


def test_rotating_the_axes_changes_nothing() -> None:
    x, label, group = points(2, 1.0, 1.0)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    before, after = variance_shares(x, label, group), variance_shares(x @ rotation, label, group)
    assert after.class_share == pytest.approx(before.class_share)
    assert after.group_share == pytest.approx(before.group_share)


@pytest.mark.parametrize(
    ("x", "label", "group"),
    [
        ([[1.0]], ["a"], None),
        ([[1.0], [2.0]], ["a"], None),
        ([[1.0], [np.nan]], ["a", "b"], None),
        ([[1.0], [1.0]], ["a", "b"], None),
        ([[1.0], [2.0]], ["a", "b"], ["u"]),
    ],
)
def test_bad_input_is_refused(x: object, label: object, group: object) -> None:
    with pytest.raises(errors.InvalidInput):
        variance_shares(x, label, group)  # type: ignore[arg-type]
