"""Shares of variance: class, unit within class, and what chance gives."""

from __future__ import annotations

import numpy as np
import pytest

from cellvision import errors
from cellvision.statistics import variance_shares


def points(
    seed: int, by_class: float, by_group: float, groups: int = 12, images: int = 5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of groups, each of one class; means apart by normal draws of those SDs."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), images)
    label = group % 3
    x = rng.normal(size=(len(group), 4))
    x += by_class * rng.normal(size=(3, 4))[label] + by_group * rng.normal(size=(groups, 4))[group]
    return x, label, group


def test_shares_are_those_of_a_nested_analysis_of_variance() -> None:
    x, label, group = points(0, 1.0, 1.0)
    found = variance_shares(x, label, group)
    centre = x.mean(axis=0)
    total = ((x - centre) ** 2).sum()
    within_class = sum(((x[label == k] - x[label == k].mean(0)) ** 2).sum() for k in range(3))
    within_group = sum(((x[group == k] - x[group == k].mean(0)) ** 2).sum() for k in range(12))
    assert found.class_share == pytest.approx(1 - within_class / total)
    assert found.group_share == pytest.approx((within_class - within_group) / total)
    assert found.group_chance == pytest.approx(9 * within_group / 48 / total)
    assert found.class_chance == pytest.approx(2 * (found.group_share or 0) / 9)
    assert (found.n, found.classes, found.groups) == (60, 3, 12)


def test_what_means_nothing_has_the_share_of_chance() -> None:
    found = [variance_shares(*points(seed, 0.0, 0.0)) for seed in range(200)]
    assert np.mean([f.group_share for f in found]) == pytest.approx(
        np.mean([f.group_chance for f in found]), abs=0.01
    )
    assert np.mean([f.group_share for f in found]) > 0.1  # twelve groups look like something
    assert np.mean([f.class_share - f.class_chance for f in found]) == pytest.approx(0, abs=0.01)


def test_groups_beyond_class_are_found() -> None:
    found = variance_shares(*points(1, 0.0, 2.0))
    assert found.group_excess is not None
    assert found.group_excess > 0.5
    found = variance_shares(*points(1, 4.0, 0.0))
    assert found.class_excess > 0.5
    assert found.group_excess is not None
    assert found.group_excess < 0.05


def test_classes_that_mean_nothing_differ_as_units_do() -> None:
    found = [variance_shares(*points(seed, 0.0, 2.0)) for seed in range(200)]
    assert np.mean([f.class_share for f in found]) > 0.1
    assert np.mean([f.class_share - f.class_chance for f in found]) == pytest.approx(0, abs=0.02)


def test_unknown_groups_and_groups_of_one_image() -> None:
    x, label, _ = points(0, 1.0, 0.0)
    alone = variance_shares(x, label)
    assert (alone.group_share, alone.group_excess, alone.groups) == (None, None, 0)
    single = variance_shares(x, label, np.arange(len(x)))
    assert single.group_share is None
    assert single.class_share == alone.class_share
    assert single.class_chance == alone.class_chance > 0
    assert variance_shares(x, label, label).group_share is None


def test_turning_the_axes_changes_nothing() -> None:
    x, label, group = points(2, 1.0, 1.0)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    before, after = variance_shares(x, label, group), variance_shares(x @ turn, label, group)
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
def test_what_cannot_be_divided(x: object, label: object, group: object) -> None:
    with pytest.raises(errors.InvalidInput):
        variance_shares(x, label, group)  # type: ignore[arg-type]
