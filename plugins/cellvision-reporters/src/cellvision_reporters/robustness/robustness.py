"""How much an image may change before the network's answer does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from cellvision import atomic_io, statistics
from cellvision_reporters.figures.experiment_runs import arms_of
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.selection import even_over_classes, splits_shown
from cellvision_reporters.figures.settings import Picture
from cellvision_reporters.robustness.attacks import fast_gradient, projected_gradient
from cellvision_reporters.robustness.curves import draw_runs, draw_study
from cellvision_reporters.robustness.flips import Flip, draw_flips
from cellvision_reporters.robustness.perturbations import (
    Change,
    Scale,
    blurred,
    brightened,
    compressed,
    noised,
    rotated,
    shifted,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision import Probe, Run, Study

FAST, PROJECTED = "fast gradient", "projected gradient"
SHARE = "share of the range used"

_MOST_SHOWN = 4
"""How many images that an attack flips are shown; and one for each other change."""

Positive = Annotated[float, Field(gt=0)]
Strengths = tuple[Positive, ...]


@dataclass(frozen=True, eq=False)
class Measured:
    """What came of all changes to some images of a split.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a change and strength; see `Robustness`.
    flips : list of Flip
        For each image that was answered rightly and each change: the mildest strength at which
        it is not.
    scale : Scale
        What the images use of the intensity range.
    """

    table: pd.DataFrame
    flips: list[Flip]
    scale: Scale


class Robustness(Picture):
    """Accuracy against small changes that should not matter, and against attacks.

    Each field holds the strengths of one change, from the mildest on; an empty one leaves it
    out. For each split: a figure and a table of accuracies with their 95 % intervals, and the
    images at which the answer flips, as a picture and a table.

    Of a study: the mean over runs, and their range, on the same images.
    """

    enabled_by_default: ClassVar[bool] = False

    images: Annotated[int, Field(ge=1)] = 100
    """How many images of each split are changed at most, evenly over classes."""

    split: str | None = None
    """The split to use. None: every test set; the validation split where there is none."""

    rotation: Strengths = (5, 10, 20, 45)
    """Degrees, to one side or the other."""

    shift: Strengths = (0.02, 0.05, 0.1, 0.2)
    """Share of the shorter side of an image, in any direction; told in pixels."""

    darker: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.9, 0.8, 0.6, 0.4)
    """Factors of all intensities, as of a shorter exposure."""

    brighter: tuple[Annotated[float, Field(gt=1)], ...] = (1.1, 1.25, 1.6, 2.5)
    """Factors of all intensities, as of a longer exposure; saturated at the full range."""

    blur: Strengths = (0.5, 1, 2, 4)
    """SD of a Gaussian, in pixels as the network sees them."""

    noise: Strengths = (0.01, 0.02, 0.05, 0.1)
    """SD of Gaussian noise, as a share of the intensity range that the images use."""

    jpeg: tuple[Annotated[int, Field(ge=1, le=100)], ...] = (90, 70, 40, 10)
    """Quality of JPEG."""

    attack: Strengths = (0.003, 0.01, 0.03, 0.1)
    """How far attacks may move an intensity, as a share of the range that the images use."""

    attack_steps: Annotated[int, Field(ge=1)] = 10
    """Steps of the projected gradient."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of all that is by chance: sides, directions, noise, where attacks start."""

    def files(self, about: Run | Study) -> dict[str, str]:
        """The file name of each split's figure."""
        several: Sequence[Run] = getattr(about, "runs", None) or [about]
        names = dict.fromkeys(name for run in several for name in run.scores)
        shown = dict.fromkeys(split for run in several for split in splits_shown(run, self.split))
        every = file_names("robustness", names, self.suffix)
        return {split: every[split] for split in shown}

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Change images of each split, and draw what comes of it."""
        probe = run.probe()
        flipped = file_names("robustness_flips", run.scores, self.suffix)
        made: list[Path] = []
        for split, file in self.files(run).items():
            found = self._measured(run, probe, split)
            figure = draw_runs(run, split, found.table, found.scale)
            made.append(figure.save(folder / file, self.dpi))
            made.append(_write(found.table, (folder / file).with_suffix(".csv")))
            target = folder / flipped[split]
            made.append(_write(_flip_table(found.flips), target.with_suffix(".csv")))
            shown = _examples(found.flips)
            if shown:
                made.append(draw_flips(run, split, shown).save(target, self.dpi))
            else:
                target.unlink(missing_ok=True)  # of other settings: nothing flips any more
        return made

    def study(self, study: Study, folder: Path) -> Sequence[Path]:
        """Do it for every run, and draw the mean over runs."""
        import pandas as pd

        tables: dict[str, list[pd.DataFrame]] = {}
        for arm in arms_of(study):
            for run in arm.runs:
                probe = run.probe()
                for split in splits_shown(run, self.split):
                    table = self._measured(run, probe, split).table
                    told = {"experiment": arm.name, "run": run.folder.name}
                    tables.setdefault(split, []).append(table.assign(**told))
        made: list[Path] = []
        for split, file in self.files(study).items():
            table = pd.concat(tables[split], ignore_index=True)
            made.append(draw_study(study, split, table).save(folder / file, self.dpi))
            made.append(_write(table, (folder / file).with_suffix(".csv")))
        return made

    def _changes(self, shape: Sequence[int]) -> list[Change]:
        side = min(shape[:2])
        every = [
            Change("rotation", "degrees", self.rotation, rotated),
            Change("shift", "px", tuple(side * share for share in self.shift), shifted),
            Change("darker", "factor", self.darker, brightened),
            Change("brighter", "factor", self.brighter, brightened),
            Change("blur", "px", self.blur, blurred),
            Change("noise", SHARE, self.noise, noised),
            Change("JPEG", "quality", tuple(map(float, self.jpeg)), compressed),
        ]
        return [change for change in every if change.strengths]

    def _measured(self, run: Run, probe: Probe, split: str) -> Measured:
        import numpy as np
        import pandas as pd

        rows = run.predictions[run.predictions["split"] == split]
        chosen = even_over_classes(rows, self.images)
        names = list(chosen["image"])
        images = run.network_input(names)
        classes = np.array([run.class_names.index(label) for label in chosen["label"]])
        scale = Scale.of(images)
        units = None if run.metadata.group_column is None else chosen["group"].to_numpy()
        before = probe.probabilities(images)
        right = before.argmax(axis=1) == classes
        told = [_row("unchanged", 0.0, "", right, right, units)]
        flips: list[Flip] = []
        gone: set[tuple[str, int]] = set()

        def note(change: str, unit: str, strength: float, at: np.ndarray, made: np.ndarray) -> None:
            """Keep the images (places `at`, changed to `made`) whose answer has just flipped."""
            answers = probe.probabilities(made)
            for place, image, answer in zip(at, made, answers, strict=True):
                wrong = int(answer.argmax()) != classes[place]
                if not (right[place] and wrong) or (change, int(place)) in gone:
                    continue
                gone.add((change, int(place)))
                flips.append(
                    Flip(
                        names[place],
                        str(chosen["label"].iloc[place]),
                        change,
                        strength,
                        unit,
                        run.class_names[int(answer.argmax())],
                        float(before[place].max()),
                        float(answer.max()),
                        images[place],
                        image if _kept(flips, change) else None,
                    )
                )

        everything = np.arange(len(images))
        for change in self._changes(images.shape[1:]):
            for strength in change.strengths:
                made = change.changed(images, names, strength, self.seed, scale)
                now = probe.probabilities(made).argmax(axis=1) == classes
                told.append(_row(change.name, strength, change.unit, now, right, units))
                lost = everything[right & ~now]
                if len(lost):
                    note(change.name, change.unit, strength, lost, made[lost])
        for name in (FAST, PROJECTED):
            standing = right.copy()
            for share in sorted(self.attack):
                # What a smaller attack has flipped, a larger one may leave as it is.
                left = everything[standing]
                if len(left):
                    made = self._attacked(name, probe, images[left], classes[left], share, scale)
                    fell = probe.probabilities(made).argmax(axis=1) != classes[left]
                    standing[left[fell]] = False
                    if fell.any():
                        note(name, SHARE, share, left[fell], made[fell])
                told.append(_row(name, share, SHARE, standing, right, units))
        return Measured(pd.DataFrame(told), flips, scale)

    def _attacked(
        self,
        name: str,
        probe: Probe,
        images: np.ndarray,
        classes: np.ndarray,
        share: float,
        scale: Scale,
    ) -> np.ndarray:
        reach = share * scale.span
        if name == FAST:
            return fast_gradient(probe, images, classes, reach, scale)
        return projected_gradient(
            probe, images, classes, reach, scale, self.attack_steps, self.seed
        )


def _row(
    change: str,
    strength: float,
    unit: str,
    now: np.ndarray,
    before: np.ndarray,
    units: np.ndarray | None,
) -> dict[str, Any]:
    interval = statistics.accuracy_interval(now, units)
    return {
        "change": change,
        "strength": strength,
        "unit": unit,
        "n": len(now),
        "groups": interval.groups,
        "accuracy": interval.estimate,
        "accuracy_low": interval.low,
        "accuracy_high": interval.high,
        "interval": interval.method,
        "flipped": int((before & ~now).sum()),
    }


def _kept(flips: Sequence[Flip], change: str) -> bool:
    """Whether pixels of one more flip by this change are worth keeping, to be shown."""
    most = _MOST_SHOWN if change in (FAST, PROJECTED) else 1
    return sum(flip.change == change and flip.changed is not None for flip in flips) < most


def _examples(flips: Sequence[Flip]) -> list[Flip]:
    """The flips to show, the mildest of each change: they come in this order."""
    attacks = [flip for flip in flips if flip.change in (FAST, PROJECTED)]
    by_attack = {flip.image: flip for flip in attacks if flip.changed is not None}
    others = [flip for flip in flips if flip.changed is not None and flip not in attacks]
    return [*list(by_attack.values())[:_MOST_SHOWN], *others]


def _flip_table(flips: Sequence[Flip]) -> pd.DataFrame:
    import pandas as pd

    columns = ["image", "label", "change", "strength", "unit", "answer", "confidence"]
    return pd.DataFrame([flip.row() for flip in flips], columns=columns)


def _write(table: pd.DataFrame, target: Path) -> Path:
    with atomic_io.path(target) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
    return target
