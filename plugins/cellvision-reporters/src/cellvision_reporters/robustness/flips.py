"""Images whose right answer is lost under a perturbation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_MOST_SHOWN = 4
"""Most images to show that an attack flips; one for each other perturbation."""

_COLUMNS = ("image", "label", "change", "strength", "unit", "answer", "confidence")


@dataclass(frozen=True, eq=False)
class Flip:
    """One image, and the mildest strength of one perturbation that flips its right answer.

    Attributes
    ----------
    image, label : str
        The image and its true class, which was the answer.
    change : str
        Name of the perturbation.
    strength : float
        Its strength.
    unit : str
        Unit of the strength.
    answer : str
        The class predicted for the perturbed image.
    before, confidence : float
        Probability of the answer, before and after.
    original : numpy.ndarray
        The image as the network sees it.
    changed : numpy.ndarray or None
        The perturbed image; None if it is not needed for a figure.
    """

    image: str
    label: str
    change: str
    strength: float
    unit: str
    answer: str
    before: float
    confidence: float
    original: np.ndarray
    changed: np.ndarray | None


def is_worth_keeping(flips: Sequence[Flip], change: str, *, attack: bool) -> bool:
    """Return whether the pixels of one more flip are needed for the figure.

    Parameters
    ----------
    flips
        The flips so far.
    change
        Name of the perturbation of the new one.
    attack
        Whether that is an attack.
    """
    shown = sum(flip.change == change and flip.changed is not None for flip in flips)
    return shown < (_MOST_SHOWN if attack else 1)


def examples(flips: Sequence[Flip], attacks: Sequence[str]) -> list[Flip]:
    """Return the flips to show: those of attacks first, each image once."""
    shown = [flip for flip in flips if flip.changed is not None]
    attacked = {flip.image: flip for flip in shown if flip.change in attacks}
    others = [flip for flip in shown if flip.change not in attacks]
    return [*list(attacked.values())[:_MOST_SHOWN], *others]


def flip_table(flips: Sequence[Flip]) -> pd.DataFrame:
    """Return one row per flip."""
    import pandas as pd

    rows = [[getattr(flip, name) for name in _COLUMNS] for flip in flips]
    return pd.DataFrame(rows, columns=list(_COLUMNS))
