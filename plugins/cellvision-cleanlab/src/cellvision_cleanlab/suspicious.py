"""The reporter ``suspicious_labels``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from cellvision_reporters.figures import (
    CaptionedFigure,
    FigureReporter,
    ImageGrid,
    autoscale,
    format_percent,
    select_channels,
    thumbnail,
    write_csv,
)
from pydantic import Field

import cellvision as cv
from cellvision import Artifact, errors
from cellvision_cleanlab.folds import OneFold, assign_folds, pixel_digests

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision import Experiment, Run

_NAME = "suspicious_labels"


class SuspiciousLabels(FigureReporter):
    """Labels ranked by suspicion, by cleanlab on out-of-fold probabilities.

    All images of the run, of all its splits, are divided into folds of whole groups. For each
    fold, the run's experiment is trained again on the other folds, so that every image gets its
    probabilities from a network that saw neither it nor another image of its group. This takes
    as long as that many runs. The networks are stored beside the report and reused.
    """

    enabled_by_default: ClassVar[bool] = False

    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Number of folds, and of networks to train."""

    images: Annotated[int, Field(ge=1, le=400)] = 24
    """Most images to show."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the division into folds."""

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Train a network for each fold, and rank all labels."""
        networks = folder / _NAME
        table = self._write_folds(run, networks)
        ranked = rank(self._out_of_fold(run, table, networks), run.class_names)
        captions = self._captions(run, ranked)
        figure = self._draw(run, ranked, captions)
        return [
            Artifact(
                figure.save(folder / f"{_NAME}{self.suffix}", self.dpi),
                "Suspicious labels",
                "figure",
                " ".join(captions),
                order=160,
            ),
            Artifact(
                write_csv(folder / f"{_NAME}.csv", ranked, digits=6),
                "All labels, ranked by suspicion",
                "data",
                order=900,
            ),
        ]

    def _write_folds(self, run: Run, networks: Path) -> Path:
        """Write the fold of every image."""
        images = run.predictions[["image", "label", "group"]]
        if run.group_column is None:
            images = images.assign(group=None)
        digests = pixel_digests(run.read_image, list(images["image"]))
        folds = assign_folds(images, digests, self.folds, self.seed)
        networks.mkdir(exist_ok=True)
        return write_csv((networks / "folds.csv").absolute(), images.assign(fold=folds))

    def _out_of_fold(self, run: Run, table: Path, networks: Path) -> pd.DataFrame:
        """Return every image with its probabilities from the network that has not seen it."""
        import pandas as pd

        parts = []
        for number in range(self.folds):
            experiment = _fold_experiment(run.experiment, table, number)
            predictions = _trained(experiment, networks / f"fold_{number}").predictions
            parts.append(predictions[predictions["split"] == "test"].assign(fold=number))
        for other in networks.glob("fold_*"):
            if int(other.name.removeprefix("fold_")) >= self.folds:
                shutil.rmtree(other)  # of an earlier report with more folds
        return pd.concat(parts, ignore_index=True)

    def _draw(self, run: Run, ranked: pd.DataFrame, captions: Sequence[str]) -> CaptionedFigure:
        shown = ranked.head(self.images)
        pictures = [_picture(run, image) for image in shown["image"]]
        below = [
            f"{'⚑ ' if flagged else ''}{name}? {format_percent(float(probability))}"
            for flagged, name, probability in zip(
                shown["suspicious"], shown["suggested"], shown["suggested_probability"], strict=True
            )
        ]
        above = [f"labelled {label}" for label in shown["label"]]
        grid = ImageGrid(above, below, max(p.shape[0] / p.shape[1] for p in pictures))
        figure = grid.figure(run, "The most suspicious labels", captions)
        for index, picture in enumerate(pictures):
            grid.draw(figure, index, picture)
        return figure

    def _captions(self, run: Run, ranked: pd.DataFrame) -> list[str]:
        right = (ranked["label"] == ranked["suggested"]).to_numpy()
        known = run.group_column is not None
        accuracy = cv.statistics.cross_validated_accuracy(
            right, run.independent_units(ranked["image"])
        )
        flagged = ranked[ranked["suspicious"]]
        sentences = [
            f"cleanlab flags {len(flagged)} of {len(ranked)} labels (⚑). Shown are the least "
            "likely ones, each with the class that the networks predict. Every probability is from "
            f"a network that did not see the image or its group: {self.folds} folds, accuracy "
            f"{accuracy.estimate:.2f} (95 % interval {accuracy.low:.2f} to {accuracy.high:.2f}). "
            "Each image has its own display range. A flag is a reason to look, not a verdict: hard "
            "images are flagged too."
        ]
        if known and len(flagged):
            counts = flagged["group"].value_counts()
            total = int((ranked["group"] == counts.index[0]).sum())
            sentences.append(
                f"The flagged labels are in {len(counts)} of {ranked['group'].nunique()} groups; "
                f"most are in group {counts.index[0]} ({counts.iloc[0]} of its {total})."
            )
        if accuracy.low <= 1 / len(run.class_names):
            sentences.append(
                "WARNING: these networks may be no better than chance, so the ranking may mean "
                "nothing."
            )
        return sentences


def _picture(run: Run, image: str) -> np.ndarray:
    pixels = select_channels(run, thumbnail(run.read_image(image)))
    is_colour = run.preprocessing.channels == "rgb" and pixels.shape[-1] == 3
    return autoscale(pixels, is_colour=is_colour)


def rank(table: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """Rank labels by cleanlab, the most suspicious first.

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
        most probable class), ``suggested_probability``, ``quality`` (the probability of the
        label, 0 to 1), ``suspicious`` (whether confident learning flags it), ``fold``, and the
        probabilities.
    """
    import numpy as np
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    columns = [f"p_{name}" for name in class_names]
    probabilities = table[columns].to_numpy(np.float64)
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = table["label"].map(numbers).to_numpy(int)
    ranked = table[["image", "group", "label"]].assign(
        suggested=np.array(class_names, dtype=object)[probabilities.argmax(axis=1)],
        suggested_probability=probabilities.max(axis=1),
        quality=get_label_quality_scores(labels, probabilities),
        suspicious=find_label_issues(labels, probabilities, n_jobs=1),
        fold=table["fold"],
    )
    ranked = ranked.join(table[columns]).sort_values(["quality", "image"])
    ranked.insert(0, "rank", range(1, len(ranked) + 1))
    return ranked.reset_index(drop=True)


def _fold_experiment(experiment: Experiment, table: Path, fold: int) -> Experiment:
    """Return the run's experiment with one fold as its test set, and without reports."""
    training = experiment.training
    # Without early stopping, validation images would only be missing from training.
    validated = training.early_stopping is not None or training.keep == "best"
    split = cv.Split(
        validation=experiment.split.validation if validated else 0.0, seed=experiment.split.seed
    )
    if training.keep == "auto" and not validated:
        training = training.model_copy(update={"keep": "last"})
    changes = {"split": split, "training": training, "reporters": ()}
    dataset = OneFold(source=experiment.dataset, table=table, fold=fold)
    return experiment.model_copy(update={"dataset": dataset, **changes})


def _trained(experiment: Experiment, folder: Path) -> Run:
    """Return the run of one fold; reuse or finish the stored one if images and settings agree."""
    if (folder / "run.json").is_file():
        stored = cv.load_run(folder)
        same = stored.metadata.experiment == experiment.model_dump(mode="json")
        if not same or _membership(stored.predictions) != _membership(experiment.dataset.catalog()):
            shutil.rmtree(folder)
        elif not stored.interrupted:
            return stored
    try:
        return cv.train(experiment, folder, resume=True)
    except errors.ResumeError:  # such as after a change of the folds
        shutil.rmtree(folder)
        return cv.train(experiment, folder)


def _membership(table: pd.DataFrame) -> dict[str, tuple[str, bool]]:
    """Return the label of each image, and whether it is in the test set."""
    is_test = table["split"] == "test"
    return dict(zip(table["image"], zip(table["label"], is_test, strict=True), strict=True))
