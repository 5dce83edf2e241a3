"""Numbers and sentences, worded alike in every table, figure and page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellvision import Run
    from cellvision.results.scores import Score

SOLVED = "solved exactly; epochs, batch size and optimizer have no effect"
"""Says how a network was trained whose softmax layer was solved at once."""

_NO_BREAK = "\N{NO-BREAK SPACE}"
_OTHER_PLURALS = ("s", "x", "y", "z", "ch", "sh")
"""Nouns with these ends, such as batch and biopsy, take more than an s in the plural."""


def is_known(value: Any) -> bool:
    """Return whether a number is neither None nor NaN."""
    return value is not None and not math.isnan(float(value))


def format_number(value: Any, digits: int = 3) -> str:
    """Format a number with a fixed number of decimals; a dash if it is unknown."""
    return f"{float(value):.{digits}f}" if is_known(value) else "–"


def format_p(p: float) -> str:
    """Format a probability with two digits that count: none is shown as zero.

    Examples
    --------
    >>> format_p(0.25), format_p(0.00012)
    ('0.25', '0.00012')
    """
    return f"{p:.2g}"


def format_percent(fraction: float) -> str:
    """Format a fraction as a percentage that stays on one line."""
    return f"{100 * fraction:.0f}{_NO_BREAK}%"


def format_interval(low: Any, high: Any, digits: int = 3) -> str:
    """Format an interval, such as ``0.623–0.791``; a dash if it is unknown."""
    if not (is_known(low) and is_known(high)):
        return "–"
    return f"{format_number(low, digits)}–{format_number(high, digits)}"


def format_groups(count: Any, column: str | None) -> str:
    """Format the number of groups, such as ``12 wells``."""
    if column is None:
        return "groups unknown"
    if _is_regular(column):
        return plural(count, column)
    return f"{plural(count, 'group')} ({column})"


def new_groups(column: str) -> str:
    """Name groups that a network has not seen, such as ``new wells``."""
    return f"new {column}s" if _is_regular(column) else f"new groups ({column})"


def _is_regular(column: str) -> bool:
    return column.isalpha() and not column.endswith(_OTHER_PLURALS)


def format_range(values: Iterable[Any]) -> str:
    """Format whole numbers as one number, or as a range if they differ."""
    numbers = sorted({int(value) for value in values if is_known(value)})
    if not numbers:
        return "–"
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}"


def format_training_images(runs: Iterable[Run]) -> str:
    """Say how many images runs train and validate on; empty if they name neither split.

    Such as ``462 training and 66 validation images``. Runs that are pooled over folds count test
    images only.
    """
    counts: dict[str, list[int]] = {}
    for run in runs:
        for role, split in (("training", run.training_split), ("validation", run.validation_split)):
            if split is not None and split in run.counts:
                counts.setdefault(role, []).append(sum(run.counts[split].values()))
    listed = " and ".join(f"{format_range(numbers)} {role}" for role, numbers in counts.items())
    return listed and f"{listed} images"


def format_intensities(ranges: Iterable[tuple[float, float]]) -> str:
    """Format the intensities that become 0 and 1; trainings on different images may differ."""
    return " or ".join(f"{zero:g} to {one:g}" for zero, one in sorted(set(ranges)))


def format_chance(chance: float) -> str:
    """Format chance with two decimals, or three if two are not enough: 0.50, 0.125."""
    return f"{chance:.2f}" if math.isclose(chance, round(chance, 2)) else f"{chance:.3f}"


def plural(count: int, noun: str) -> str:
    """Format a count with its noun: ``1 run``, ``3 runs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def capitalise(sentence: str) -> str:
    """Begin a sentence with a capital letter."""
    return sentence[:1].upper() + sentence[1:]


def accuracy_sentence(split: str, score: Score, column: str | None, classes: int) -> str:
    """State the accuracy on a split beside chance, with n and interval."""
    n = f"n = {plural(score.n, 'image')}"
    source = f" from {format_groups(score.groups, column)}" if column is not None else ""
    interval = format_interval(score.accuracy_low, score.accuracy_high, 2)
    unknown = "" if column is not None else "; groups unknown, images treated as independent"
    return (
        f"{split}: accuracy {format_number(score.accuracy, 2)} (95 % interval {interval}, "
        f"{n}{source}{unknown}), balanced accuracy {format_number(score.balanced_accuracy, 2)}; "
        f"chance is {format_chance(1 / classes)}."
    )


def accuracy_headline(title: str, score: Score) -> str:
    """State a split's accuracy for the title of a figure, with interval and n."""
    interval = format_interval(score.accuracy_low, score.accuracy_high, 2)
    return (
        f"{title}: accuracy {format_number(score.accuracy, 2)} "
        f"(95 % interval {interval}, n = {score.n})"
    )


def majority_fraction(counts: Mapping[str, int]) -> float:
    """Return the fraction of the most common class: the accuracy of always predicting it."""
    total = sum(counts.values())
    return max(counts.values()) / total if total else math.nan


def keep_together(text: str) -> str:
    """Keep numbers and their units on one line, with no-break spaces, also in 95%."""
    text = re.sub("(?<=[0-9]) ?%", f"{_NO_BREAK}%", text)
    return re.sub(r"\b([np]) = ", rf"\1{_NO_BREAK}={_NO_BREAK}", text)
