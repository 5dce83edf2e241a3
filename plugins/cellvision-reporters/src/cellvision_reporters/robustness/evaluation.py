"""Evaluates a network on perturbed and attacked images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellvision import statistics
from cellvision_reporters.robustness.attacks import fast_gradient, projected_gradient
from cellvision_reporters.robustness.flips import Flip, is_worth_keeping
from cellvision_reporters.robustness.perturbations import (
    FRACTION_OF_RANGE,
    IntensityRange,
    Perturbation,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision import Probe, Run

FAST_GRADIENT, PROJECTED_GRADIENT = "fast gradient", "projected gradient"
ATTACKS = (FAST_GRADIENT, PROJECTED_GRADIENT)
"""Names of the attacks."""


@dataclass(eq=False)
class Evaluation:
    """Answers of a network on images of one split, and on perturbed copies of them.

    Attributes
    ----------
    probe : Probe
        The network.
    names : list of str
        The images.
    images : numpy.ndarray
        Shape (n, height, width, channels), as the network sees them.
    labels : list of str
        Their true classes.
    classes : numpy.ndarray
        Numbers of the true classes.
    class_names : tuple of str
        All classes.
    groups : numpy.ndarray or None
        Group of each image; None if groups are unknown.
    seed : int
        Seed of everything random.
    """

    probe: Probe
    names: list[str]
    images: np.ndarray
    labels: list[str]
    classes: np.ndarray
    class_names: tuple[str, ...]
    groups: np.ndarray | None
    seed: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    flips: list[Flip] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limits = IntensityRange.from_images(self.images)
        self._before = self.probe.probabilities(self.images)
        self._right: np.ndarray = self._before.argmax(axis=1) == self.classes
        self._flipped: set[tuple[str, int]] = set()
        self._add_row("unchanged", 0.0, "", self._right)

    @classmethod
    def from_run(cls, run: Run, probe: Probe, rows: pd.DataFrame, seed: int) -> Evaluation:
        """Evaluate the images of some predictions."""
        import numpy as np

        names, labels = list(rows["image"]), list(rows["label"])
        return cls(
            probe,
            names,
            run.network_input(names),
            labels,
            np.array([run.class_names.index(label) for label in labels]),
            run.class_names,
            run.independent_units(names),
            seed,
        )

    @property
    def table(self) -> pd.DataFrame:
        """One row per perturbation and strength; see the reporter ``robustness``."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def perturb(self, perturbation: Perturbation) -> None:
        """Evaluate all strengths of a perturbation."""
        import numpy as np

        for strength in perturbation.strengths:
            changed = perturbation.apply(self.images, self.names, strength, self.seed, self.limits)
            right = self.probe.probabilities(changed).argmax(axis=1) == self.classes
            self._add_row(perturbation.name, strength, perturbation.unit, right)
            lost = np.flatnonzero(self._right & ~right)
            if len(lost):
                self._add_flips(perturbation.name, perturbation.unit, strength, lost, changed[lost])

    def attack(self, name: str, fractions: Sequence[float], steps: int) -> None:
        """Evaluate an attack on the images that are right.

        An image that a weaker attack has flipped counts as flipped for stronger ones.
        """
        import numpy as np

        robust = self._right.copy()
        for fraction in sorted(fractions):
            remaining = np.flatnonzero(robust)
            if len(remaining):
                attacked = self._attacked(name, remaining, fraction, steps)
                answers = self.probe.probabilities(attacked).argmax(axis=1)
                fell = answers != self.classes[remaining]
                robust[remaining[fell]] = False
                if fell.any():
                    self._add_flips(
                        name, FRACTION_OF_RANGE, fraction, remaining[fell], attacked[fell]
                    )
            self._add_row(name, fraction, FRACTION_OF_RANGE, robust)

    def _attacked(self, name: str, indices: np.ndarray, fraction: float, steps: int) -> np.ndarray:
        images, classes = self.images[indices], self.classes[indices]
        epsilon = fraction * self.limits.width
        if name == FAST_GRADIENT:
            return fast_gradient(self.probe, images, classes, epsilon, self.limits)
        return projected_gradient(
            self.probe, images, classes, epsilon, self.limits, steps, self.seed
        )

    def _add_row(self, name: str, strength: float, unit: str, right: np.ndarray) -> None:
        interval = statistics.accuracy_interval(right, self.groups)
        self.rows.append(
            {
                "change": name,
                "strength": strength,
                "unit": unit,
                "n": len(right),
                "groups": interval.groups,
                "accuracy": interval.estimate,
                "accuracy_low": interval.low,
                "accuracy_high": interval.high,
                "interval": interval.method,
                "flipped": int((self._right & ~right).sum()),
            }
        )

    def _add_flips(
        self, name: str, unit: str, strength: float, indices: np.ndarray, changed: np.ndarray
    ) -> None:
        """Record the images whose right answer is lost for the first time."""
        answers = self.probe.probabilities(changed)
        for index, image, answer in zip(indices.tolist(), changed, answers, strict=True):
            predicted = int(answer.argmax())
            if predicted == self.classes[index] or (name, index) in self._flipped:
                continue
            self._flipped.add((name, index))
            keep = is_worth_keeping(self.flips, name, attack=name in ATTACKS)
            self.flips.append(
                Flip(
                    self.names[index],
                    self.labels[index],
                    name,
                    strength,
                    unit,
                    self.class_names[predicted],
                    float(self._before[index].max()),
                    float(answer.max()),
                    self.images[index],
                    image if keep else None,
                )
            )
