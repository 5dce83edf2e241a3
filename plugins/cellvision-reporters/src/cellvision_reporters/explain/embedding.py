"""How the network's features arrange images: by class, or by the unit that they came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cellvision import errors, statistics
from cellvision_reporters.figures.colours import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
)
from cellvision_reporters.figures.figure import Sheet, fitted, height_of
from cellvision_reporters.figures.phrasing import units
from cellvision_reporters.figures.selection import even_over_classes

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision import Probe, Run

_AT_ONCE = 64
"""How many images are in memory at once."""

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, BLACK)
_MARKERS = "os^Dv<>Ph*Xp"
_NAMED = 24
"""Up to so many classes or units, each is named."""

_FONT = 9.5
_SIDE = 4.2


@dataclass(frozen=True, eq=False)
class Embedding:
    """Images as points in the space of the network's features.

    Attributes
    ----------
    run : Run
        Whose network it is.
    split : str
        Whose images they are.
    table : pandas.DataFrame
        ``image``, ``group``, ``label``, ``predicted``, ``x`` and ``y``.
    axes : tuple of str
        What the two axes are.
    features : int
        How many features there are.
    shares : VarianceShares
        Of all features, not of the two axes only.
    of : int
        How many images the split has.
    """

    run: Run
    split: str
    table: pd.DataFrame
    axes: tuple[str, str]
    features: int
    shares: statistics.VarianceShares
    of: int

    def numbers(self) -> dict[str, Any]:
        """Give the shares as plain values."""
        return {
            **asdict(self.shares),
            "class_excess": self.shares.class_excess,
            "group_excess": self.shares.group_excess,
        }

    def sheet(self) -> Sheet:
        """Draw the points twice: coloured by class, and by unit where it is known."""
        column = self.run.metadata.group_column
        panels = [("label", "by class")]
        if column is not None:
            count = self.table["group"].nunique()
            panels.append(("group", f"by unit: {units(count, column)}"))
        lines = max(_lines(self.table[name]) for name, _ in panels)
        below = height_of(lines, _FONT) + 0.55
        width = len(panels) * (_SIDE + 0.45) + 0.2
        sheet = Sheet(
            self.run,
            max(width, 6.2),
            _SIDE + 0.3 + below,
            f"{self.split}: images by the network's features",
            [self._points(), *explained(self.shares, column)],
        )
        for place, (name, title) in enumerate(panels):
            axes = sheet.axes(0.4 + place * (_SIDE + 0.45), 0.3, _SIDE, _SIDE)
            self._scatter(axes, name)
            axes.set_title(fitted(title, _SIDE, 11.0), fontsize=11, loc="left", pad=5)
        return sheet

    def _points(self) -> str:
        some = f"{len(self.table)} of {self.of}" if len(self.table) < self.of else f"{self.of}"
        return (
            f"{some} images, placed by the {self.features} numbers that the last layer with "
            "weights is given."
        )

    def _scatter(self, axes: Any, name: str) -> None:
        names = sorted(self.table[name].dropna().unique())
        for place, value in enumerate(names):
            rows = self.table[self.table[name] == value]
            colour = _COLOURS[place % len(_COLOURS)]
            marker = _MARKERS[(place + place // len(_COLOURS)) % len(_MARKERS)]
            if name == "group" and len(rows) > 1:
                # Lines to the middle of a unit show it where colours no longer can.
                centre = rows[["x", "y"]].mean()
                for x, y in zip(rows["x"], rows["y"], strict=True):
                    axes.plot(
                        [x, centre["x"]], [y, centre["y"]], color=colour, linewidth=0.6, alpha=0.6
                    )
            axes.scatter(
                rows["x"],
                rows["y"],
                s=26,
                color=colour,
                marker=marker,
                edgecolors="white",
                linewidths=0.5,
                label=fitted(str(value), _SIDE / 2 - 0.5, _FONT),
                zorder=3,
            )
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel(self.axes[0], fontsize=_FONT)
        axes.set_ylabel(self.axes[1], fontsize=_FONT)
        axes.margins(0.06)
        if len(names) <= _NAMED:
            axes.legend(
                loc="upper left",
                bbox_to_anchor=(0.0, -0.32 / _SIDE),
                ncols=2,
                fontsize=_FONT,
                frameon=False,
                borderaxespad=0,
                handletextpad=0.3,
                labelspacing=0.35,
            )


def _lines(names: pd.Series[Any]) -> int:
    """How many lines the legend of so many names takes, in two columns."""
    count = int(names.nunique())
    return -(-count // 2) if count <= _NAMED else 0


def explained(shares: statistics.VarianceShares, column: str | None) -> list[str]:
    """Say whose the variance is."""
    told = [
        f"Of the variance of all features {_percent(shares.class_share)} is between classes "
        f"({_percent(shares.class_chance)} would be by chance)"
    ]
    if shares.group_share is None or shares.group_chance is None or shares.group_excess is None:
        why = "the unit is unknown" if column is None else f"each {column} has one image of a class"
        return [f"{told[0]}; {why}, so that its share cannot be told."]
    told[0] += (
        f", and {_percent(shares.group_share)} between units of one class "
        f"({_percent(shares.group_chance)} by chance): beyond chance, "
        f"{_percent(shares.class_excess)} is the class's and {_percent(shares.group_excess)} "
        "the unit's."
    )
    if shares.group_excess >= max(shares.class_excess, 0.05):
        told.append(
            "MIND: the features tell units apart at least as much as classes: what was learned "
            "may be staining, focus or the day."
        )
    return told


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def embed(
    run: Run,
    probe: Probe,
    split: str,
    rows: pd.DataFrame,
    most: int,
    projection: str,
    seed: int,
) -> Embedding | None:
    """Place a split's images by the network's features.

    Parameters
    ----------
    run, probe
        The run and its network.
    split
        The split's name.
    rows
        Its predictions.
    most
        How many images to take at most, evenly over classes.
    projection
        ``"pca"`` or ``"umap"``.
    seed
        Of UMAP.

    Returns
    -------
    Embedding or None
        None where there are fewer than three images, or all features are the same.

    Raises
    ------
    errors.InvalidInput
        UMAP is asked for and not installed.
    """
    import numpy as np

    chosen = even_over_classes(rows, most)
    if len(chosen) < 3:
        return None
    images = list(chosen["image"])
    features = np.concatenate(
        [
            probe.features(run.network_input(images[start : start + _AT_ONCE]))
            for start in range(0, len(images), _AT_ONCE)
        ]
    ).astype(np.float64)
    if np.ptp(features, axis=0).max() == 0:
        return None
    known = chosen["group"].notna().all() and run.metadata.group_column is not None
    shares = statistics.variance_shares(
        features, chosen["label"], chosen["group"] if known else None
    )
    places, axes = _umap(features, seed) if projection == "umap" else _components(features)
    table = chosen[["image", "group", "label", "predicted"]].assign(x=places[:, 0], y=places[:, 1])
    return Embedding(run, split, table, axes, features.shape[1], shares, len(rows))


def _components(features: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    import numpy as np
    from sklearn.decomposition import PCA

    count = min(2, *features.shape)
    model = PCA(count, svd_solver="full")
    places = model.fit_transform(features)
    if count == 1:
        places = np.column_stack([places, np.zeros(len(places))])
    parts = [*model.explained_variance_ratio_, 0.0]
    return places, (
        f"principal component 1: {_percent(parts[0])} of the variance",
        f"principal component 2: {_percent(parts[1])}",
    )


def _umap(features: np.ndarray, seed: int) -> tuple[np.ndarray, tuple[str, str]]:
    try:
        import umap
    except ImportError as fault:
        raise errors.InvalidInput(
            f"projection = 'umap' needs umap-learn, which cannot be imported: {fault}",
            "python -m pip install umap-learn, or projection = 'pca'",
        ) from fault
    neighbours = min(15, len(features) - 1)
    model = umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1, init="pca")
    return model.fit_transform(features), ("UMAP 1", "UMAP 2 (distances are no measure)")
