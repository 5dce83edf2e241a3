"""Trust at prediction: columns of images and groups, and the flag for unlike groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cellvision as cv
from cellvision import cli, errors
from cellvision.inference.group_likeness import fit_group_likeness, image_features
from cellvision.inference.image_groups import GroupAnswers
from cellvision.inference.trust import PredictionTrust
from cellvision.statistics import AbstentionRule, PredictionSets

CLASSES = np.array(["dark", "light", "none"], dtype=object)


def trust(**parts: object) -> PredictionTrust:
    settings = {"sets": None, "abstention": None, "likeness": None, "notes": (), **parts}
    return PredictionTrust(**settings)  # type: ignore[arg-type]


def images(groups: int, level: float = 100.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Four images of noise for each group, whose brightness varies between groups."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(0, 5, groups).repeat(4)
    pixels = rng.normal(level, 10, (4 * groups, 12, 12, 1)) + shift[:, None, None, None]
    return pixels, np.arange(groups).repeat(4)


def test_features_of_an_image_by_hand() -> None:
    stripes = np.tile(np.array([0, 10] * 8, dtype=np.uint16), (16, 1))[None, :, :, None]
    mean, sd, low, middle, high, near, two, four = image_features(stripes)[0]
    assert (mean, sd, low, middle, high) == (5, 5, 0, 5, 10)
    # Neighbours in a row differ by 10, those in a column by 0; every second one is equal.
    assert (near, two, four) == (5, 0, 0)


def test_features_of_channels_are_separate() -> None:
    pixels = np.stack([np.zeros((8, 8)), np.full((8, 8), 7)], axis=-1)[None]
    assert image_features(pixels).reshape(8, 2)[0].tolist() == [0, 7]


def test_a_group_unlike_the_others_is_flagged() -> None:
    pixels, groups = images(24)
    likeness = fit_group_likeness(image_features(pixels), groups)
    brighter, _ = images(1, level=200.0, seed=1)
    assert likeness.flag.is_unlike(likeness.distances(image_features(brighter)))
    alike, numbers = images(40, seed=2)
    distances = likeness.distances(image_features(alike))
    flagged = [likeness.flag.is_unlike(distances[numbers == g]) for g in range(40)]
    assert np.mean(flagged) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 40)


@pytest.mark.parametrize("groups", [1, 18])
def test_too_few_groups_flag_nothing(groups: int) -> None:
    pixels, names = images(groups)
    with pytest.raises(errors.InvalidInput, match=f"{groups} groups to flag"):
        fit_group_likeness(image_features(pixels), names)


def test_columns_of_images() -> None:
    table = np.array([[0.9, 0.1, 0.0], [0.5, 0.45, 0.05], [0.34, 0.33, 0.33]])
    columns = trust(
        sets=PredictionSets(0.9, 0.6, 12), abstention=AbstentionRule(0.9, 0.5, 0.7, 12)
    ).image_columns(table, CLASSES)
    # Classes of at least 0.4 are in the set; answers need at least 0.5.
    assert columns["prediction_set"].tolist() == ["dark", "dark; light", ""]
    assert columns["answer"].tolist() == ["dark", "dark", None]
    assert trust().image_columns(table, CLASSES) == {}


def test_columns_of_groups() -> None:
    pixels, groups = images(24)
    likeness = fit_group_likeness(image_features(pixels), groups)
    names = {"a": "A01", "b": "A01", "c": "A02"}
    answers = GroupAnswers("well", names, CLASSES.tolist(), trust(likeness=likeness))
    for image, distance in (("a", 0.1), ("b", 0.1), ("c", 99.0)):
        answers.add(image, np.array([0.8, 0.1, 0.1]), distance)
    table = answers.table()
    assert table["unlike"].tolist() == [False, True]
    assert table["p_unlike"].tolist() == [1.0, pytest.approx(1 / 25)]
    plain = GroupAnswers("well", names, CLASSES.tolist())
    plain.add("a", np.array([0.8, 0.1, 0.1]))
    assert "unlike" not in plain.table()


def test_trust_is_refused_with_averages_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "no_such_study"
    with pytest.raises(errors.ExperimentError, match="does not hold with tta"):
        cv.predict(missing, tmp_path, tta=True, trust=True)
    words = ["predict", str(missing), str(tmp_path), "--out", str(tmp_path / "new.csv")]
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "--tta", "--trust"])
    assert end.value.code == 2
    assert "does not hold with tta" in capsys.readouterr().err
