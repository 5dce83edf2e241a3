"""Which labels may be wrong."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from cellvision_reporters.figures.display import by_itself, thumbnail
from cellvision_reporters.figures.grid import FONT, Grid
from cellvision_reporters.figures.settings import Picture
from pydantic import Field

import cellvision as cv
from cellvision import io
from cellvision_cleanlab.folds import OneFold, assign_folds, pixel_digests

if TYPE_CHECKING:
    import pandas as pd
    from cellvision_reporters.figures.figure import Sheet

    from cellvision import Experiment, Run

_NAME = "suspicious_labels"


class SuspiciousLabels(Picture):
    """Labels ranked from the most suspicious on, by cleanlab on out-of-fold probabilities.

    All images of the run, of all its splits, are divided into folds of whole units. For each
    fold, the run's experiment is trained again on the others; so every image gets its
    probabilities from a network that saw neither it nor another image of its unit. This takes
    as long as so many runs. The networks are kept beside the report, and used again.
    """

    enabled_by_default: ClassVar[bool] = False

    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """How many folds, and so how many networks are trained."""

    images: Annotated[int, Field(ge=1, le=400)] = 24
    """How many images to show at most."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the division into folds."""

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Train a network for each fold, and rank all labels."""
        home = folder / _NAME
        table = self._table(run, home)
        ranked = rank(self._out_of_fold(run, table, home), run.class_names)
        made = [
            _write(ranked, folder / f"{_NAME}.csv"),
            self._draw(run, ranked).save(folder / f"{_NAME}{self.suffix}", self.dpi),
        ]
        return [*made, *sorted(path for path in home.rglob("*") if path.is_file())]

    def _table(self, run: Run, home: Path) -> Path:
        """Write which image is in which fold."""
        images = run.predictions[["image", "label", "group"]].copy()
        if run.metadata.group_column is None:
            images["group"] = None
        digests = pixel_digests(run.experiment.dataset, list(images["image"]))
        images["fold"] = assign_folds(images, digests, self.folds, self.seed)
        home.mkdir(exist_ok=True)
        return _write(images, (home / "folds.csv").absolute())

    def _out_of_fold(self, run: Run, table: Path, home: Path) -> pd.DataFrame:
        """Every image with its probabilities by the network that has not seen it."""
        import pandas as pd

        parts = []
        for number in range(self.folds):
            asked = _experiment(run.experiment, table, number)
            trained = _trained(asked, home / f"fold_{number}")
            tested = trained.predictions
            parts.append(tested[tested["split"] == "test"].assign(fold=number))
        for other in home.glob("fold_*"):
            if int(other.name.removeprefix("fold_")) >= self.folds:
                shutil.rmtree(other)  # of an earlier report with more folds
        return pd.concat(parts, ignore_index=True)

    def _draw(self, run: Run, ranked: pd.DataFrame) -> Sheet:
        shown = ranked.head(self.images)
        channels = run.metadata.experiment["preprocessing"]["channels"]
        pictures = []
        for image in shown["image"]:
            pixels = thumbnail(run.read_image(image))
            if not isinstance(channels, str):
                pixels = pixels[..., list(channels)]
            pictures.append(by_itself(pixels, channels == "rgb" and pixels.shape[-1] == 3))
        above = [f"labelled {label}" for label in shown["label"]]
        below = [
            f"{'⚑ ' if flagged else ''}{name}? {100 * float(share):.0f}\N{NO-BREAK SPACE}%"
            for flagged, name, share in zip(
                shown["suspicious"], shown["suggested"], shown["suggested_probability"], strict=True
            )
        ]
        grid = Grid(above, below, max(p.shape[0] / p.shape[1] for p in pictures))
        sheet = grid.sheet(run, "The most suspicious labels", self._captions(run, ranked))
        for place, picture in enumerate(pictures):
            axes = grid.axes(sheet, place)
            axes.imshow(picture, interpolation="nearest" if len(picture) < 100 else "antialiased")
            axes.set_title(grid.above[place], fontsize=FONT, pad=4)
            axes.set_xlabel(grid.below[place], fontsize=FONT, labelpad=4, weight="bold")
        return sheet

    def _captions(self, run: Run, ranked: pd.DataFrame) -> list[str]:
        right = (ranked["label"] == ranked["suggested"]).to_numpy()
        known = run.metadata.group_column is not None
        accuracy = cv.statistics.accuracy_interval(
            right, ranked["group"].to_numpy() if known else None
        )
        flagged = ranked[ranked["suspicious"]]
        told = [
            f"{len(flagged)} of {len(ranked)} labels are flagged (⚑) by cleanlab; the least likely "
            "ones are shown, each with the class that the networks take it for. Every "
            f"probability is of a network that did not see the image or its unit: {self.folds} "
            f"folds, accuracy {accuracy.estimate:.2f} (95 % interval {accuracy.low:.2f} to "
            f"{accuracy.high:.2f}). Each image is stretched by itself. A flag is a reason to look, "
            "not a verdict: hard images are flagged too."
        ]
        if known and len(flagged):
            units = flagged["group"].value_counts()
            of = int((ranked["group"] == units.index[0]).sum())
            told.append(
                f"The flagged ones are of {len(units)} of {ranked['group'].nunique()} units; most "
                f"are of unit {units.index[0]} ({units.iloc[0]} of its {of})."
            )
        if accuracy.low <= 1 / len(run.class_names):
            told.append(
                "MIND: these networks are not surely better than chance, so the ranking may mean "
                "nothing."
            )
        return told


def rank(table: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """Rank labels by cleanlab, from the most suspicious on.

    C. G. Northcutt, L. Jiang and I. L. Chuang (2021), J. Artif. Intell. Res. 70, 1373-1411.

    Parameters
    ----------
    table
        ``image``, ``group``, ``label``, ``fold`` and ``p_<class>``, out of fold.
    class_names
        The classes, sorted.

    Returns
    -------
    pandas.DataFrame
        ``rank`` (1 is the most suspicious), ``image``, ``group``, ``label``, ``suggested`` (the
        likeliest class), ``suggested_probability``, ``quality`` (the probability of the label,
        0 to 1), ``suspicious`` (whether confident learning takes it for wrong), ``fold``, and
        the probabilities.
    """
    import numpy as np
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    columns = [f"p_{name}" for name in class_names]
    shares = table[columns].to_numpy(np.float64)
    shares = shares / shares.sum(axis=1, keepdims=True)
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = table["label"].map(numbers).to_numpy(int)
    ranked = table[["image", "group", "label"]].assign(
        suggested=np.array(class_names, dtype=object)[shares.argmax(axis=1)],
        suggested_probability=shares.max(axis=1),
        quality=get_label_quality_scores(labels, shares),
        suspicious=find_label_issues(labels, shares, n_jobs=1),
        fold=table["fold"],
    )
    ranked = ranked.join(table[columns]).sort_values(["quality", "image"])
    ranked.insert(0, "rank", range(1, len(ranked) + 1))
    return ranked.reset_index(drop=True)


def _experiment(experiment: Experiment, table: Path, fold: int) -> Experiment:
    """What the run was asked for, with one fold as its test set and no reports."""
    training = experiment.training
    # Validation images are not trained on: they are held back only where somebody looks at them.
    looked_at = training.early_stopping is not None or training.keep == "best"
    split = cv.Split(
        validation=experiment.split.validation if looked_at else 0.0, seed=experiment.split.seed
    )
    source = experiment.dataset
    dataset = OneFold(source=source, table=table, fold=fold)
    return experiment.model_copy(update={"dataset": dataset, "split": split, "reporters": ()})


def _trained(asked: Experiment, folder: Path) -> Run:
    """The run of one fold: the one that is there, where it is of the same images and settings."""
    if (folder / "run.json").is_file():
        there = cv.load_run(folder)
        same = there.metadata.experiment == asked.model_dump(mode="json")
        if same and _divided(there.predictions) == _divided(asked.dataset.catalog()):
            return there
        shutil.rmtree(folder)
    return cv.train(asked, folder)


def _divided(table: pd.DataFrame) -> dict[str, tuple[str, bool]]:
    """The label of each image, and whether it is tested on."""
    tested = table["split"] == "test"
    return dict(zip(table["image"], zip(table["label"], tested, strict=True), strict=True))


def _write(table: pd.DataFrame, target: Path) -> Path:
    with io.atomic_path(target) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
    return target
