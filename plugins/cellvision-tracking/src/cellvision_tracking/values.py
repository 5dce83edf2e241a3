"""The values to track of a run: settings, epochs and scores, as plain names and numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from cellvision import Run, Study


class Epoch(NamedTuple):
    """One epoch of a finished run."""

    number: int
    """Number of the epoch; the first is 1."""

    time: float
    """End of the epoch, in seconds since 1970."""

    metrics: dict[str, float]
    """Loss, accuracy and further metrics of training and validation."""


def flat_settings(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten an experiment's settings: ``{"training.epochs": 9, ...}``.

    Parameters
    ----------
    experiment
        Plain values, as in ``run.json``. Settings that are None are left out.
    """
    return dict(_flatten("", experiment))


def _flatten(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        items: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = enumerate(value)
    else:
        if value is not None:
            yield path, value
        return
    for key, item in items:
        yield from _flatten(f"{path}.{key}" if path else str(key), item)


def epochs(run: Run) -> list[Epoch]:
    """Return the epochs of a finished run.

    The times are computed back from the time of ``history.csv``.
    """
    history = run.history
    end = (run.folder / "history.csv").stat().st_mtime
    remaining = history["seconds"].sum() - history["seconds"].cumsum()
    return [
        Epoch(
            int(row["epoch"]),
            end - float(seconds),
            finite_numbers({name: row[name] for name in row if name not in ("epoch", "seconds")}),
        )
        for row, seconds in zip(history.to_dict("records"), remaining, strict=True)
    ]


def final_scores(run: Run) -> dict[str, float]:
    """Return the final scores: ``{"final/test/accuracy": 0.91, ...}``."""
    names = plain_names(list(run.scores))
    return finite_numbers(
        {
            f"final/{names[split]}/{name}": value
            for split, score in run.scores.items()
            for name, value in score.model_dump().items()
        }
    )


def finite_numbers(values: Mapping[Any, Any]) -> dict[str, float]:
    """Keep numbers that are not NaN: without validation or interval there are others."""
    return {
        str(name): float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
    }


def plain_names(names: Sequence[str]) -> dict[str, str]:
    """Replace all characters but letters, digits, spaces and ``_.-``; the results are unique."""
    plain: dict[str, str] = {}
    for name in names:
        candidate = base = re.sub(r"[^\w. -]", "_", name).strip(". ") or "_"
        number = 1
        while candidate in plain.values():
            number += 1
            candidate = f"{base}_{number}"
        plain[name] = candidate
    return plain


def run_name(folder: Path) -> str:
    """Return the name of a run: its folder, preceded by that of its study: ``deep/003``."""
    folder = folder.absolute()
    study = folder.parents[1]
    # An unfinished study has only its plan.
    of_study = any((study / name).is_file() for name in ("study.json", ".plan.json"))
    return f"{study.name}/{folder.name}" if of_study else folder.name


def png_figures(results: Run | Study) -> list[Path]:
    """Return the PNG figures that other reporters have written."""
    return [
        artifact.path
        for artifact in results.artifacts
        if artifact.kind == "figure" and artifact.path.suffix == ".png"
    ]
