"""One simulated figure, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Figure:
    """A rate from a simulation.

    Attributes
    ----------
    what : str
        What was simulated.
    value : float
        The rate.
    simulations : int
        Number of simulated studies.
    bound : str
        What it must reach, such as ``">= 0.93"``; empty if it is only described.
    exact : bool
        Whether the value itself must reach the bound: it is no rate that varies by chance.
    """

    what: str
    value: float
    simulations: int
    bound: str = ""
    exact: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the bound holds, give or take two Monte-Carlo standard errors."""
        if not self.bound:
            return None
        sign, limit = self.bound.split()
        target = float(limit)
        slack = 0.0 if self.exact else 2 * sqrt(max(target * (1 - target), 1e-4) / self.simulations)
        return self.value >= target - slack if sign == ">=" else self.value <= target + slack


def markdown(figures: Iterable[Figure]) -> str:
    """Return a Markdown table."""
    words = {True: "yes", False: "**no**", None: ""}
    rows = [
        f"| {f.what} | {f.value:.3f} | {f.simulations} | {f.bound} | {words[f.reached]} |"
        for f in figures
    ]
    header = "| simulated | rate | simulations | must reach | reached (± 2 SE) |"
    return "\n".join([header, "|---|---:|---:|---|---|", *rows])
