"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NOT_INSTALLED = "not installed: "
"""Begins the reason of a check that was skipped because a package is missing."""


class CheckFailed(AssertionError):
    """A plugin does not keep its contract.

    Parameters
    ----------
    what
        One line: what is wrong.
    hint
        One line: what the author can do.
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
        Name of the check, such as ``loads_alone_and_cheaply``.
    demand : str
        What the check requires, in one line.
    outcome : {"passed", "failed", "skipped", "expected"}
        ``expected`` is a failure listed in ``expected_failures``.
    reason : str
        What is wrong, why the check was skipped, or advice for a check that passed.
    hint : str
        What the plugin's author can do. Empty unless the check failed.
    traceback : str
        Traceback of the error behind a failure. Empty if there is none.
    """

    check: str
    demand: str
    outcome: Literal["passed", "failed", "skipped", "expected"]
    reason: str = ""
    hint: str = ""
    traceback: str = ""
