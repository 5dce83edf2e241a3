"""Options of a prediction."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cellvision import errors


@dataclass(frozen=True)
class PredictionOptions:
    """How to predict; the fields are documented at `predict`."""

    engine: str = "auto"
    tta: bool = False
    by: str | None = None
    experiment: str | None = None
    skip_unreadable: bool | None = None
    sort_into: str | os.PathLike[str] | None = None
    contact_sheet: str | os.PathLike[str] | None = None
    progress: bool | None = None
    trust: bool = False

    def __post_init__(self) -> None:
        """Raise ExperimentError if options exclude each other."""
        if self.trust and self.tta:
            # Averaged probabilities are distributed differently than the recorded ones.
            raise errors.ExperimentError(
                "trust is fitted on predictions without averaging, so it does not hold with tta",
                "Omit --tta or --trust.",
            )
