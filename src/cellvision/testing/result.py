"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


class CheckFailed(AssertionError):
    """A plugin does not do what a check demands.

    Parameters
    ----------
    what
        One line: what was found.
    hint
        One line: what its author can do.
    """

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"{what}\n{hint}")
        self.what = what
        self.hint = hint


@dataclass(frozen=True)
class CheckResult:
    """One line of ``cellvision check``.

    Attributes
    ----------
    check : str
        The check's name, such as ``loads_alone_and_cheaply``.
    demand : str
        What it demands, in one line.
    outcome : {"passed", "failed", "skipped", "expected"}
        ``expected`` is a failure that was announced, with its reason.
    reason : str
        What was found, or why the check was skipped; empty where it passed.
    hint : str
        What the plugin's author can do; empty unless it failed.
    """

    check: str
    demand: str
    outcome: Literal["passed", "failed", "skipped", "expected"]
    reason: str = ""
    hint: str = ""
