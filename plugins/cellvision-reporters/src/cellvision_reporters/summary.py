"""Reporter ``summary``: the verdicts of a study, and its accuracy over runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact, Reporter, io, statistics
from cellvision_reporters.expert.record import read_expert_record
from cellvision_reporters.figures.banners import banners, leak_banner
from cellvision_reporters.figures.intervals import accuracy_interval
from cellvision_reporters.figures.phrasing import (
    capitalise,
    format_interval,
    format_number,
    format_range,
)
from cellvision_reporters.figures.tables import markdown_table, write_csv

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study
    from cellvision.results.study import StudyExperiment

EXPLANATION = (
    "Mean, SD and range are over all runs of an experiment, which differ in their seed only: the "
    "variation of training. The sampling interval is that of the fraction of runs that are right "
    "on each image: the uncertainty from the choice of test images, for these networks. The two "
    "are different uncertainties and are not added. No run is singled out as the best."
)


PAIRS_EXPLANATION = (
    "Accuracy of a minus that of b on the same test images, means over runs. The 95 % intervals of "
    "all pairs hold together: pairs whose interval excludes 0 differ."
)


class Summary(Reporter):
    """Verdicts, and mean, SD and range of accuracy over runs; CSV and Markdown."""

    enabled_by_default: ClassVar[bool] = True

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Write ``summary.csv`` and ``summary.md``."""
        table = summary_table(study)
        return [
            *_differences(study, folder),
            Artifact(
                write_csv(folder / "summary.csv", table),
                "Summary",
                "table",
                EXPLANATION,
                order=40,
            ),
            Artifact(
                io.write_text(folder / "summary.md", _text(study, table)),
                "Summary for reading",
                "data",
                order=900,
            ),
        ]


def _text(study: Study, table: pd.DataFrame) -> str:
    lines = ["# Summary", ""]
    text = io.escape_markdown
    lines += [item for line in banners(study) for item in (f"**{text(line)}**", "")]
    for verdict in study.verdicts:
        name = f"{verdict.experiment}, {verdict.split}"
        lines += [f"**{text(f'{name}: {capitalise(verdict.sentence)}.')}**", ""]
    lines += [markdown_table(readable_summary(table)), "", EXPLANATION, ""]
    if study.pairs:
        lines += ["## Differences between experiments", ""]
        lines += [f"- {text(f'{pair.split}: {pair.sentence}')}" for pair in study.pairs]
        lines += ["", PAIRS_EXPLANATION, ""]
    record = read_expert_record(study)
    if record is not None:
        lines += ["## Network and expert", ""]
        statements = [f"{each.experiment}: {record.statement(each)}" for each in record.comparisons]
        lines += [f"- {text(statement)}" for statement in statements]
        lines += [""]
    return "\n".join(lines)


def _differences(study: Study, folder: Path) -> list[Artifact]:
    """Write the differences of experiments; nothing for a single one."""
    if not study.pairs:
        return []
    path = write_csv(folder / "summary_pairs.csv", pairs_table(study))
    title = "Differences between experiments"
    return [Artifact(path, title, "table", PAIRS_EXPLANATION, order=41)]


def pairs_table(study: Study) -> pd.DataFrame:
    """Return one row per pair of experiments and test set: the difference of accuracies."""
    import pandas as pd

    return pd.DataFrame(
        [pair.model_dump() for pair in study.pairs],
        columns=["split", "a", "b", "difference", "low", "high", "interval"],
    )


def summary_table(study: Study) -> pd.DataFrame:
    """Return one row per experiment and split; accuracies from 0 to 1."""
    import pandas as pd

    expert, leak = study.metadata.expert, leak_banner(study)
    ensembles = {
        (ensemble.experiment, split): score.accuracy
        for ensemble in study.ensembles
        for split, score in ensemble.scores.items()
    }
    rows = [
        {
            **row,
            "ensemble": ensembles.get((experiment.name, row["split"])),
            "expert": expert.get(row["split"]),
            "leak": leak,
        }
        for experiment in study.experiments
        if experiment.runs
        for row in _experiment_rows(experiment)
    ]
    return pd.DataFrame(rows).astype({"ensemble": float, "expert": float})


def _experiment_rows(experiment: StudyExperiment) -> list[dict[str, Any]]:
    import numpy as np

    splits = dict.fromkeys(split for run in experiment.runs for split in run.scores)
    rows = []
    for split in splits:
        scores = experiment.scores(split)
        evaluated = [split in run.scores for run in experiment.runs]
        dead = np.array(experiment.untrained)[evaluated]
        accuracies = np.clip([score.accuracy for score in scores], 0, 1)
        spread = statistics.seed_spread(accuracies, dead=dead)
        # Student's t describes no runs of which some did not train; their range is in the table.
        has_interval = spread.runs > 1 and not spread.dead
        sampling = _sampling_interval(experiment, split)
        rows.append(
            {
                "experiment": experiment.name,
                "split": split,
                "role": split_role(experiment.runs[0], split),
                "runs": spread.runs,
                "dead_runs": spread.dead,
                "mean": spread.mean,
                "sd": spread.sd,
                "median": spread.median,
                "minimum": spread.minimum,
                "maximum": spread.maximum,
                "seeds_low": spread.low if has_interval else np.nan,
                "seeds_high": spread.high if has_interval else np.nan,
                "n": format_range(score.n for score in scores),
                "groups": format_range(score.groups for score in scores),
                "sampling_low": sampling.low,
                "sampling_high": sampling.high,
                "group_accuracy": np.mean(
                    [np.nan if s.group_accuracy is None else s.group_accuracy for s in scores]
                ),
                "balanced_accuracy": np.mean([score.balanced_accuracy for score in scores]),
                "chance": experiment.chance,
            }
        )
    return rows


def _sampling_interval(experiment: StudyExperiment, split: str) -> statistics.Interval:
    """Return the interval of the accuracy of these networks on other groups.

    Splits on which folds were trained have no pooled predictions, and get none.
    """
    import numpy as np

    tables = [run.predictions for run in experiment.runs if split in run.scores]
    tables = [table[table["split"] == split].set_index("image") for table in tables]
    first = tables[0]
    if first.empty:
        return statistics.Interval(np.nan, np.nan, np.nan, "none", 0)
    right = [(table["predicted"] == table["label"]).loc[first.index] for table in tables]
    return accuracy_interval(experiment.runs[0], first.index, np.mean(right, axis=0))


def split_role(run: Run, split: str) -> str:
    """Return ``training``, ``validation`` or ``test``."""
    roles = {run.training_split: "training", run.validation_split: "validation"}
    return roles.get(split, "test")


def readable_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table for people: fewer columns, rounded numbers."""
    import pandas as pd

    def intervals(low: str, high: str) -> list[str]:
        return [format_interval(a, b) for a, b in zip(table[low], table[high], strict=True)]

    readable = pd.DataFrame(
        {
            "experiment": table["experiment"],
            "split": table["split"],
            "runs": table["runs"],
            "mean accuracy": table["mean"].map(format_number),
            "SD over runs": table["sd"].map(format_number),
            "range over runs": intervals("minimum", "maximum"),
            "accuracy of groups": table["group_accuracy"].map(format_number),
            "balanced accuracy": table["balanced_accuracy"].map(format_number),
            "n": table["n"],
            "groups": table["groups"],
            "95 % sampling interval": intervals("sampling_low", "sampling_high"),
            "chance": table["chance"].map(format_number),
        }
    )
    if table["dead_runs"].any():
        readable.insert(3, "runs that did not train", table["dead_runs"])
        readable.insert(6, "median over runs", table["median"].map(format_number))
    if table["ensemble"].notna().any():
        readable["ensemble"] = table["ensemble"].map(format_number)
    if table["expert"].notna().any():
        readable["human expert"] = table["expert"].map(format_number)
    return readable
