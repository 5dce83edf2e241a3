"""What a study is asked for, checked before the images are read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.integers import as_int
from cellvision.remote import is_address
from cellvision.results.claimed_folder import PLAN, raise_if_in_use
from cellvision.studies.controls import named_controls
from cellvision.studies.sizes import check_sizes

if TYPE_CHECKING:
    from cellvision.interfaces.control import Control


def check_request(
    runs: object,
    out: str | os.PathLike[str],
    *,
    controls: bool | str | Control | Sequence[str | Control],
    sizes: bool | Sequence[int],
    expert: Mapping[str, float],
    several: bool,
) -> int:
    """Refuse what is wrong whatever the images are; return the number of runs.

    Parameters
    ----------
    runs, out, controls, sizes, expert
        As for `cellvision.study`.
    several
        Whether the study has several experiments.

    Raises
    ------
    errors.InvalidInput
        The first of them that cannot be used.
    """
    number = _checked_runs(runs)
    _check_accuracies(expert)
    if sizes is not False:
        check_sizes(sizes, several=several)
    named_controls(controls)
    if is_address(out) or not (Path(out) / PLAN).is_file():
        raise_if_in_use(out)
    return number


def _checked_runs(runs: object) -> int:
    """Return the number of runs as an int, whatever integer type it has."""
    number = as_int(runs)
    if number is not None and number >= 1:
        return number
    raise errors.ExperimentError(
        f"runs must be a whole number of at least 1, not {runs!r:.80}",
        "Give the number of runs of each experiment, such as 5.",
    )


def _check_accuracies(expert: Mapping[str, float]) -> None:
    for split, accuracy in expert.items():
        if not 0 <= accuracy <= 1:
            raise errors.ExperimentError(
                f"the accuracy of an expert on {split!r} is {accuracy}, which is not from 0 to 1",
                "Give it as a fraction, such as 0.93.",
            )
