"""What a study shows: mean, SD and range over runs, and the sampling interval apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from cellvision import Reporter, atomic_io
from cellvision_reporters.expert.summary import of_study
from cellvision_reporters.figures.banners import leak_stamp, stamps
from cellvision_reporters.figures.experiment_runs import arms_of, span
from cellvision_reporters.figures.phrasing import number
from cellvision_reporters.tables import markdown, write_csv

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Study

_COLUMNS = (
    *("experiment", "split", "role", "runs", "mean", "sd", "minimum", "maximum"),
    *("seeds_low", "seeds_high", "n", "groups", "sampling_low", "sampling_high"),
    *("balanced_accuracy", "chance", "expert", "leak"),
)

EXPLANATION = (
    "Mean, SD and range are over all runs of an experiment, which differ in their seed only: the "
    "spread of training. The sampling interval is the average over runs of each run's 95 % "
    "interval: how much the accuracy would vary with other test images. The two are different "
    "uncertainties and are not added up. No run is picked out as the best."
)


class Summary(Reporter):
    """Mean, SD and range of accuracy over runs for each experiment and split; CSV, Markdown."""

    enabled_by_default: ClassVar[bool] = True

    def study(self, study: Study, folder: Path) -> Sequence[Path]:
        """Write ``summary.csv`` and ``summary.md``."""
        table = summary_table(study)
        notes = [item for line in stamps(study) for item in (f"**{line}**", "")]
        lines = ["# Summary", "", *notes, markdown(readable(table)), "", EXPLANATION, ""]
        if against := of_study(study):
            lines += ["## Network and expert", ""]
            lines += [f"- {each['experiment']}: {each['told']}" for each in against]
            lines += [""]
        return [
            write_csv(folder / "summary.csv", table),
            atomic_io.text(folder / "summary.md", "\n".join(lines)),
        ]


def summary_table(study: Study) -> pd.DataFrame:
    """One row for each experiment and split; accuracies from 0 to 1."""
    import numpy as np
    import pandas as pd

    from cellvision import statistics

    expert = study.metadata.get("expert") or {}
    rows = []
    for arm in arms_of(study):
        first = arm.runs[0]
        for split in dict.fromkeys(arm.table["split"]):
            scores = arm.scores(split)
            if scores.empty:
                continue
            spread = statistics.seed_spread(np.clip(scores["accuracy"].to_numpy(float), 0, 1))
            several = spread.runs > 1
            roles = {first.training_split: "training", first.validation_split: "validation"}
            rows.append(
                {
                    "experiment": arm.name,
                    "split": split,
                    "role": roles.get(split, "test"),
                    "runs": spread.runs,
                    "mean": spread.mean,
                    "sd": spread.sd,
                    "minimum": spread.minimum,
                    "maximum": spread.maximum,
                    "seeds_low": spread.low if several else np.nan,
                    "seeds_high": spread.high if several else np.nan,
                    "n": span(scores["n"]),
                    "groups": span(scores["groups"]),
                    "sampling_low": scores["accuracy_low"].astype(float).mean(),
                    "sampling_high": scores["accuracy_high"].astype(float).mean(),
                    "balanced_accuracy": scores["balanced_accuracy"].astype(float).mean(),
                    "chance": arm.chance,
                    "expert": expert.get(split, np.nan),
                    "leak": leak_stamp(study),
                }
            )
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table for people: fewer columns, rounded."""
    import pandas as pd

    def joined(low: str, high: str) -> list[str]:
        return [
            f"{number(a)}–{number(b)}" if number(a) != "–" else "–"
            for a, b in zip(table[low], table[high], strict=True)
        ]

    shown = pd.DataFrame(
        {
            "experiment": table["experiment"],
            "split": table["split"],
            "runs": table["runs"],
            "mean accuracy": table["mean"].map(number),
            "SD over runs": table["sd"].map(number),
            "range over runs": joined("minimum", "maximum"),
            "n": table["n"],
            "groups": table["groups"],
            "95 % sampling interval": joined("sampling_low", "sampling_high"),
            "chance": table["chance"].map(number),
        }
    )
    if table["expert"].notna().any():
        shown["human expert"] = table["expert"].map(number)
    return shown
