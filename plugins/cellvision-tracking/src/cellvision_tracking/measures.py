"""What is tracked of a run: its settings, its epochs and its scores, as plain names and numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellvision import Run

_MEASURED = ("loss", "accuracy", "val_loss", "val_accuracy")


def settings_of(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Give an experiment's settings by their paths: ``{"training.epochs": 9, ...}``.

    Parameters
    ----------
    experiment
        Plain values, as in ``run.json``. Settings that are None are left out.
    """
    return dict(_flat("", experiment))


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        items: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = enumerate(value)
    else:
        if value is not None:
            yield path, value
        return
    for key, item in items:
        yield from _flat(f"{path}.{key}" if path else str(key), item)


def epochs_of(run: Run) -> list[tuple[int, float, dict[str, float]]]:
    """Give each epoch of a finished run: its number, when it ended, and its numbers.

    The time is in seconds since 1970, reckoned back from that of ``history.csv``.
    """
    history = run.history
    end = (run.folder / "history.csv").stat().st_mtime
    after = history["seconds"].sum() - history["seconds"].cumsum()
    return [
        (int(row["epoch"]), end - float(left), known({name: row[name] for name in _MEASURED}))
        for row, left in zip(history.to_dict("records"), after, strict=True)
    ]


def scores_of(run: Run) -> dict[str, float]:
    """Give the final scores: ``{"final/test/accuracy": 0.91, ...}``."""
    names = plain(list(run.scores))
    return known(
        {
            f"final/{names[split]}/{name}": value
            for split, scores in run.scores.items()
            for name, value in scores.items()
        }
    )


def known(numbers: Mapping[Any, Any]) -> dict[str, float]:
    """Leave out what is no number: no validation split, no interval."""
    return {
        str(name): float(value)
        for name, value in numbers.items()
        if isinstance(value, (int, float)) and not math.isnan(value)
    }


def plain(names: Sequence[str]) -> dict[str, str]:
    """Spell names with letters, digits, blanks and ``_.-`` only, each in its own way."""
    spelt: dict[str, str] = {}
    for name in names:
        short = first = re.sub(r"[^\w. -]", "_", name).strip(". ") or "_"
        number = 1
        while short in spelt.values():
            number += 1
            short = f"{first}_{number}"
        spelt[name] = short
    return spelt


def name_of(run: Path) -> str:
    """Name a run by its folder, and by its study's where it has one: ``deep/003``."""
    run = run.absolute()
    return f"{run.parents[1].name}/{run.name}" if run.parent.name == "runs" else run.name


def figures_in(folder: Path) -> list[Path]:
    """List the pictures that other reporters made before."""
    return sorted(folder.glob("*.png"))
