"""The result of a control, as stored in ``verdict.json``."""

from __future__ import annotations

from cellvision.result_model import ResultModel


class DifferenceRecord(ResultModel):
    """Balanced accuracy of the network minus that of a control, with its interval."""

    estimate: float
    """The difference, -1 to 1."""

    low: float
    """Lower limit."""

    high: float
    """Upper limit."""


class ControlRecord(ResultModel):
    """What one control showed."""

    control: str
    """Its name."""

    runs: int
    """Number of runs."""

    accuracy: float
    """Accuracy on the test set, mean over runs."""

    accuracy_low: float
    """Lower limit of the 95 % interval."""

    accuracy_high: float
    """Upper limit of the 95 % interval."""

    p: float
    """p-value of the permutation test of the control's own labels."""

    kind: str
    """Kind of control: ``permuted labels``, ``alternative explanation`` or ``lower rung``."""

    finding: str
    """``more``, ``no more``, ``worse`` or ``open`` for a comparison; ``leak``, ``no leak`` or
    ``could not show a leak`` for permuted labels."""

    sentence: str
    """The finding as a sentence."""

    groups_needed: int | None = None
    """About how many test groups would decide an open comparison, at this difference; images if
    groups are unknown."""

    groups_would_show: str | None = None
    """What so many test groups would show: ``more`` or ``no more``."""

    caveat: str = ""
    """Why it would mean little if the control did as well."""

    training_accuracy: float | None = None
    """Accuracy on the training images, mean over runs."""

    difference: DifferenceRecord | None = None
    """Network minus control, 95 %; None for controls with permuted labels."""

    equivalence: DifferenceRecord | None = None
    """The same at 90 %; its upper limit is compared with the margin."""
