"""Scores of each class: in ``scores``, on the terminal, and warnings of what accuracy hides."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

from cellvision import statistics
from cellvision.cli.score_tables import (
    class_table,
    mean_class_table,
    omitted_classes,
    partly_defined,
)
from cellvision.results.class_scores import never_predicted, score_classes
from cellvision.results.scores import Score


def seen() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Predictions of four classes: accuracy 0.73, with three classes hardly ever right."""
    names = ("large", "metaphase", "rare", "telophase")
    right = {"large": (368, 370), "metaphase": (1, 14), "rare": (0, 3), "telophase": (3, 121)}
    labels, predicted = [], []
    for number, name in enumerate(names):
        hits, n = right[name]
        labels += [number] * n
        predicted += [number] * hits + [0 if number else 3] * (n - hits)
    return np.array(labels), np.array(predicted), names


def printed(table: object) -> list[str]:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_classes_are_scored_as_scikit_learn_does() -> None:
    from sklearn.metrics import precision_recall_fscore_support

    labels, predicted, names = seen()
    classes = score_classes(labels, predicted, None, names)
    precision, recall, f1, n = precision_recall_fscore_support(
        labels, predicted, labels=range(4), zero_division=0
    )
    for number, name in enumerate(names):
        score = classes[name]
        assert score.n == n[number]
        assert score.precision == (None if name == "rare" else pytest.approx(precision[number]))
        assert score.recall == pytest.approx(recall[number])
        assert score.f1 == pytest.approx(f1[number])
        interval = statistics.accuracy_interval((predicted == labels)[labels == number])
        assert (score.recall_low, score.recall_high) == (interval.low, interval.high)


def test_intervals_are_over_groups_and_wider_for_folds() -> None:
    labels = np.zeros(40, int)
    predicted = np.repeat([0, 0, 0, 1], 10)
    groups = np.repeat(list("abcd"), 10)
    alone = score_classes(labels, predicted, None, ("a", "b"))["a"]
    grouped = score_classes(labels, predicted, groups, ("a", "b"))["a"]
    folds = score_classes(labels, predicted, groups, ("a", "b"), cross_validated=True)["a"]
    lows = [score.recall_low for score in (alone, grouped, folds)]
    assert lows == sorted(lows, reverse=True)
    assert len(set(lows)) == 3
    absent = score_classes(labels, predicted, groups, ("a", "b"))["b"]
    assert (absent.n, absent.predicted, absent.recall, absent.recall_low) == (0, 10, None, None)


def test_accuracy_hides_what_balanced_accuracy_and_a_warning_show() -> None:
    labels, predicted, names = seen()
    score = Score.from_predictions(labels, np.eye(4)[predicted], None, 0.5, class_names=names)
    assert round(score.accuracy, 2) == 0.73
    assert round(score.balanced_accuracy, 2) == 0.27
    (warning,) = never_predicted("test", score.classes)
    assert warning.startswith(
        "test: class 'rare' is never predicted (all 3 images of it are wrong). Balanced accuracy"
    )
    again = Score.from_json(score.to_json())
    assert again == score
    html = score._repr_html_()
    assert all(name in html for name in (*names, "precision", "F1"))


def test_many_classes_never_predicted_are_one_line() -> None:
    labels = np.repeat(np.arange(9), 2)[:-1]
    classes = score_classes(labels, np.zeros(17, int), None, [f"c{k}" for k in range(9)])
    (warning,) = never_predicted("test", classes)
    assert warning.startswith(
        "test: 8 of 9 classes are never predicted: 'c1' (2 images), 'c2' (2 images)"
    )
    assert "and 3 more." in warning
    assert never_predicted("test", {"a": classes["c0"]}) == []


def test_the_terminal_has_a_row_for_each_class() -> None:
    labels, predicted, names = seen()
    classes = score_classes(labels, predicted, None, names)
    lines = printed(class_table(classes))
    assert lines[0] == "class images precision recall 95 % interval F1"
    assert lines[3].startswith("rare 3 – 0.000 0.000 to 0.")
    assert lines[2].startswith("metaphase 14 1.000 0.071 0.")
    score = Score.from_predictions(labels, np.eye(4)[predicted], None, 0.5, class_names=names)
    perfect = Score.from_predictions(labels, np.eye(4)[labels], None, 0.5, class_names=names)
    assert printed(mean_class_table([score, perfect]))[2].startswith("metaphase 14 1.000 0.536")


def test_a_mean_of_fewer_runs_says_of_how_many() -> None:
    """One run of three predicts the rare class, always rightly; a precision of 1 would flatter."""
    labels, predicted, names = seen()
    one_right = np.where(np.arange(len(labels)) == np.flatnonzero(labels == 2)[0], 2, predicted)
    scores = [
        Score.from_predictions(labels, np.eye(4)[answers], None, 0.5, class_names=names)
        for answers in (predicted, one_right, predicted)
    ]
    lines = printed(mean_class_table(scores))
    assert lines[3] == "rare 3 1.000 (1 of 3) 0.111 0.167"
    assert lines[2].startswith("metaphase 14 1.000 0.071")
    assert partly_defined(scores) == (
        "  (1 of 3): mean of the runs that predict the class; the others have no precision for it"
    )
    for same in (scores[0], scores[1]):
        assert " of 3" not in "".join(printed(mean_class_table([same] * 3)))
        assert partly_defined([same] * 3) == ""


def test_of_many_classes_the_worst_are_shown() -> None:
    labels = np.repeat(np.arange(40), 2)
    predicted = labels.copy()
    predicted[2:4] = 0
    classes = score_classes(labels, predicted, None, [f"class {k:02}" for k in range(40)])
    lines = printed(class_table(classes))
    assert len(lines) == 31
    assert any(re.match("class 01 2 – 0.000", line) for line in lines)
    assert "and 10 more with a higher recall" in omitted_classes(classes)


def test_the_terminal_shows_balanced_accuracy_beside_accuracy(tmp_path: Path) -> None:
    from types import SimpleNamespace
    from typing import Any

    from cellvision.cli.score_tables import score_table

    labels, predicted, names = seen()
    score = Score.from_predictions(labels, np.eye(4)[predicted], None, 0.5, class_names=names)
    metadata = SimpleNamespace(tta_scores={})
    run: Any = SimpleNamespace(metadata=metadata, scores={"test": score}, unit_column=None)
    head, row = printed(score_table(run))
    assert head == "split images groups unknown accuracy 95 % interval balanced"
    assert re.fullmatch(r"test 508 0\.732 0\.\d+ to 0\.\d+ 0\.\d+", row)
