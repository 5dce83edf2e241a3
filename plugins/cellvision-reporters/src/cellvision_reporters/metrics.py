"""Reporter ``metrics``: the metrics that papers report, the suitable one first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

from pydantic import Field

from cellvision import Artifact, Reporter, errors, statistics
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.reporter import example_note
from cellvision_reporters.figures.selection import shown_splits
from cellvision_reporters.figures.tables import write_csv

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run, Study

UNEQUAL = 1.5
"""Classes are unequal if the most common has so many times the images of the rarest."""

_SOURCE = "Metrics Reloaded: Maier-Hein, Reinke et al. 2024, Nat. Methods 21, 195-212"

_REASONS = {
    "balanced accuracy": (
        "Balanced accuracy comes first because classes have unequal numbers of images: it weighs "
        "every class alike and does not depend on how common a class is."
    ),
    "accuracy": (
        "Accuracy comes first because all classes have about the same number of images; balanced "
        "accuracy is then nearly the same."
    ),
    "weighted kappa": (
        "Weighted kappa comes first because the classes have an order: an error counts by the "
        "square of its distance."
    ),
    "expected cost": (
        "Expected cost comes first because errors have known costs: it is their mean per image."
    ),
}


class _Target(NamedTuple):
    """One split to report on."""

    run: Run
    split: str
    title: str
    note: str


class Metrics(Reporter):
    """Accuracy, balanced accuracy, MCC and macro-F1 with intervals; the suitable one first.

    Weighted kappa is added if the classes have an order, and expected cost if errors have costs.
    """

    enabled_by_default: ClassVar[bool] = True

    split: str | None = None
    """The split to report on. None: every test set, or the validation split if there is none."""

    ordered_classes: tuple[str, ...] | None = None
    """The classes in their order, such as ``["G1", "S", "G2"]``. None: they have no order."""

    costs: dict[str, dict[str, Annotated[float, Field(ge=0)]]] | None = None
    """Cost of each error by true and predicted class, such as ``{"G2": {"S": 3}}``. Errors that
    are not named cost nothing. None: there are no costs."""

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Write ``metrics_<split>.csv`` for each split."""
        targets = [_Target(run, split, split, "") for split in shown_splits(run, self.split)]
        return self._write(targets, folder)

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Do the same for the run of each experiment that figures show."""
        several = len(study.experiments) > 1
        targets = [
            _Target(
                each.example,
                split,
                f"{each.name}, {split}" if several else split,
                example_note(each),
            )
            for each in study.experiments
            if each.runs
            for split in shown_splits(each.example, self.split)
        ]
        return self._write(targets, folder)

    def _write(self, targets: Sequence[_Target], folder: Path) -> list[Artifact]:
        files = file_names("metrics", [target.title for target in targets], ".csv")
        artifacts = []
        for target in targets:
            table = self.table(target.run, target.split)
            path = write_csv(folder / files[target.title], table)
            caption = f"{_REASONS[str(table['metric'].iloc[0])]} {_SOURCE}. {target.note}".strip()
            artifacts.append(Artifact(path, f"Metrics: {target.title}", "table", caption, order=42))
        return artifacts

    def table(self, run: Run, split: str) -> pd.DataFrame:
        """Return one row per metric, the suitable one first: estimate, interval, method.

        Parameters
        ----------
        run
            The run.
        split
            Name of a split.

        Raises
        ------
        errors.ExperimentError
            `ordered_classes` or `costs` do not fit the classes of the run.
        """
        import pandas as pd

        rows = run.predictions
        rows = rows[rows["split"] == split]
        self._check(run.class_names)
        metrics = statistics.classification_metrics(
            rows["label"].to_numpy(),
            rows["predicted"].to_numpy(),
            run.independent_units(rows["image"]),
            ordered_classes=self.ordered_classes,
            costs=self._pairs(),
        )
        counts = rows["label"].value_counts()
        intervals: Mapping[str, statistics.Interval | None] = {
            "expected cost": metrics.expected_cost,
            "weighted kappa": metrics.weighted_kappa,
            "balanced accuracy": metrics.balanced_accuracy,
            "accuracy": metrics.accuracy,
            "MCC": metrics.mcc,
            "macro F1": metrics.macro_f1,
        }
        names = [name for name, interval in intervals.items() if interval is not None]
        if counts.max() <= UNEQUAL * counts.min():
            first = names.index("balanced accuracy")
            names[first : first + 2] = ["accuracy", "balanced accuracy"]
        return pd.DataFrame([_row(name, intervals[name], run) for name in names])

    def _pairs(self) -> dict[tuple[object, object], float] | None:
        if self.costs is None:
            return None
        return {(true, name): cost for true, by in self.costs.items() for name, cost in by.items()}

    def _check(self, class_names: Sequence[str]) -> None:
        """Refuse settings that name other classes than the run has."""
        named = {name for true, by in (self.costs or {}).items() for name in (true, *by)}
        ordered = self.ordered_classes
        unknown = sorted((named | set(ordered or ())) - set(class_names))
        missing = sorted(set(class_names) - set(ordered)) if ordered is not None else []
        if unknown or missing:
            fault = f"there is no class {unknown[0]!r}" if unknown else f"{missing[0]!r} is missing"
            raise errors.ExperimentError(
                f"reporter metrics: {fault}", f"Classes of the run: {', '.join(class_names)}"
            )


def _row(
    name: str, interval: statistics.Interval | None, run: Run
) -> dict[str, str | float | None]:
    assert interval is not None
    if run.cross_validated:
        bounds = (-1.0, 1.0) if name in ("MCC", "weighted kappa") else (0.0, 1.0)
        limit = (0.0, float("inf")) if name == "expected cost" else bounds
        interval = interval.widened(statistics.CROSS_VALIDATION_FACTOR, limit)
    return {
        "metric": name,
        "value": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "interval": interval.method,
    }
