"""Classification problems with real images, for the comparison of answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Problem:
    """A folder of images with one folder per class.

    Attributes
    ----------
    name : str
        Name in tables.
    folder : str
        Name of the folder.
    group : str or None
        Provenance column that names the groups; None if groups are unknown.
    classes : tuple of str or None
        Classes to tell apart; None for all.
    """

    name: str
    folder: str
    group: str | None = None
    classes: tuple[str, ...] | None = None

    def split(self, data: Path) -> pd.DataFrame:
        """Return cellvision's split: columns ``image``, ``label``, ``group`` and ``split``.

        Images with identical pixels are in one split, as in a training. ``image`` is a path.
        """
        import cellvision as cv
        from cellvision.data.prepared import prepare_data

        root = data / self.folder
        dataset = cv.datasets.create("folder", path=root, group=self.group, classes=self.classes)
        experiment = cv.Experiment(dataset=dataset, preprocessing={"size": (16, 16)})
        table = prepare_data(experiment).catalog.table
        images = [str(root / image) for image in table["image"]]
        return table.assign(image=images)[["image", "label", "group", "split"]]


PROBLEMS = (
    Problem("bbbc021_moa6, well", "bbbc021_moa6", "well"),
    Problem("bbbc021_moa6, compound", "bbbc021_moa6", "compound"),
    Problem("hela_mitosis8, cell_track", "hela_mitosis8", "cell_track"),
    Problem("jurkat_dna_16bit, G1/S/G2", "jurkat_dna_16bit", classes=("G1", "S", "G2")),
    Problem("jurkat_dna_16bit, all", "jurkat_dna_16bit"),
    Problem("flowers_128px", "flowers_128px"),
    Problem("pbc_blood", "pbc_blood"),
)
