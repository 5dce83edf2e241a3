"""Maps images by the network's features, to see whether they separate by class or group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cellvision import errors, statistics
from cellvision_reporters.figures.colours import MARKERS, SERIES
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text, text_height
from cellvision_reporters.figures.phrasing import format_groups, format_percent
from cellvision_reporters.figures.selection import balanced_sample

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision import Probe, Run

_BATCH = 64
"""Images in memory at the same time."""

_NAMED = 24
"""Most classes or groups that the legend names."""

_FONT = 9.5
_SIDE = 4.2


@dataclass(frozen=True, eq=False)
class Embedding:
    """Images as points in the space of the network's features.

    Attributes
    ----------
    run : Run
        The run.
    split : str
        The split.
    table : pandas.DataFrame
        ``image``, ``group``, ``label``, ``predicted``, ``x`` and ``y``.
    axes : tuple of str
        Names of the two axes.
    features : int
        Number of features.
    shares : VarianceShares
        Shares of the variance of all features, not of the two axes only.
    total : int
        Number of images in the split.
    """

    run: Run
    split: str
    table: pd.DataFrame
    axes: tuple[str, str]
    features: int
    shares: statistics.VarianceShares
    total: int

    def numbers(self) -> dict[str, Any]:
        """Return the shares of variance as plain values."""
        return {
            **asdict(self.shares),
            "class_excess": self.shares.class_excess,
            "group_excess": self.shares.group_excess,
        }

    def captions(self) -> list[str]:
        """Describe the points and the shares of variance."""
        count = len(self.table)
        some = f"{count} of {self.total}" if count < self.total else f"{count}"
        first = (
            f"{some} images, placed by the {self.features} features that the last layer with "
            "weights receives."
        )
        return [first, *describe_shares(self.shares, self.run.group_column)]

    def draw(self) -> CaptionedFigure:
        """Draw the points coloured by class, and by group if groups are known."""
        column = self.run.group_column
        panels = [("label", "by class")]
        if column is not None:
            count = self.table["group"].nunique()
            panels.append(("group", f"by group: {format_groups(count, column)}"))
        lines = max(_legend_lines(self.table[name]) for name, _ in panels)
        below = text_height(lines, _FONT) + 0.55
        figure = CaptionedFigure(
            self.run,
            max(len(panels) * (_SIDE + 0.45) + 0.2, 6.2),
            _SIDE + 0.3 + below,
            f"{self.split}: images by the network's features",
            self.captions(),
        )
        for index, (name, title) in enumerate(panels):
            axes = figure.add_axes(0.4 + index * (_SIDE + 0.45), 0.3, _SIDE, _SIDE)
            axes.set(xticks=[], yticks=[])
            self._draw_points(axes, name)
            axes.set_title(fit_text(title, _SIDE, 11.0), fontsize=11, loc="left", pad=5)
        return figure

    def _draw_points(self, axes: Any, name: str) -> None:
        values = sorted(self.table[name].dropna().unique())
        for index, value in enumerate(values):
            rows = self.table[self.table[name] == value]
            colour = SERIES[index % len(SERIES)]
            if name == "group" and len(rows) > 1:
                # Lines to the centre of a group show it when colours no longer can.
                centre = rows[["x", "y"]].mean()
                for x, y in zip(rows["x"], rows["y"], strict=True):
                    line = ([x, centre["x"]], [y, centre["y"]])
                    axes.plot(*line, color=colour, linewidth=0.6, alpha=0.6)
            axes.scatter(
                rows["x"],
                rows["y"],
                s=26,
                color=colour,
                marker=MARKERS[(index + index // len(SERIES)) % len(MARKERS)],
                edgecolors="white",
                linewidths=0.5,
                # A label that begins with "_" would be missing from the legend.
                label=f"\N{ZERO WIDTH SPACE}{fit_text(str(value), _SIDE / 2 - 0.5, _FONT)}",
                zorder=3,
            )
        axes.set_xlabel(self.axes[0], fontsize=_FONT)
        axes.set_ylabel(self.axes[1], fontsize=_FONT)
        axes.margins(0.06)
        if len(values) <= _NAMED:
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


def _legend_lines(names: pd.Series[Any]) -> int:
    """Return the number of lines of a legend in two columns."""
    count = int(names.nunique())
    return -(-count // 2) if count <= _NAMED else 0


def describe_shares(shares: statistics.VarianceShares, column: str | None) -> list[str]:
    """Describe how much of the variance lies between classes and between groups."""
    first = (
        f"Of the variance of all features {format_percent(shares.class_share)} is between classes "
        f"({format_percent(shares.class_chance)} by chance)"
    )
    if shares.group_share is None or shares.group_chance is None or shares.group_excess is None:
        reason = (
            "groups are unknown"
            if column is None
            else f"each {column} has only one image of a class"
        )
        return [f"{first}; {reason}, so the share of groups cannot be computed."]
    sentences = [
        f"{first}, and {format_percent(shares.group_share)} between groups of one class "
        f"({format_percent(shares.group_chance)} by chance). Beyond chance: "
        f"{format_percent(shares.class_excess)} for classes, "
        f"{format_percent(shares.group_excess)} for groups."
    ]
    if shares.group_excess >= max(shares.class_excess, 0.05):
        sentences.append(
            "WARNING: the features separate groups at least as well as classes. The network may "
            "have learned staining, focus or the day."
        )
    return sentences


def embed(
    run: Run, probe: Probe, split: str, most: int, projection: str, seed: int
) -> Embedding | None:
    """Map a split's images by the network's features.

    Parameters
    ----------
    run, probe
        The run and its network.
    split
        Name of the split.
    most
        Most images to take, the same number from each class as far as possible.
    projection
        ``"pca"`` or ``"umap"``.
    seed
        Seed of UMAP.

    Returns
    -------
    Embedding or None
        None if there are fewer than three images, or all features are constant.

    Raises
    ------
    errors.InvalidInput
        UMAP is selected but not installed.
    """
    import numpy as np

    rows = run.predictions
    rows = rows[rows["split"] == split]
    selected = balanced_sample(rows, most)
    if len(selected) < 3:
        return None
    features = _features(run, probe, list(selected["image"]))
    if np.ptp(features, axis=0).max() == 0:
        return None
    known = selected["group"].notna().all() and run.group_column is not None
    shares = statistics.variance_shares(
        features, selected["label"], selected["group"] if known else None
    )
    points, axes = _umap(features, seed) if projection == "umap" else _components(features)
    columns = selected[["image", "group", "label", "predicted"]]
    table = columns.assign(x=points[:, 0], y=points[:, 1])
    return Embedding(run, split, table, axes, features.shape[1], shares, len(rows))


def _features(run: Run, probe: Probe, images: Sequence[str]) -> np.ndarray:
    import numpy as np

    starts = range(0, len(images), _BATCH)
    batches = [probe.features(run.network_input(images[s : s + _BATCH])) for s in starts]
    return np.concatenate(batches).astype(np.float64)


def _components(features: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    import numpy as np
    from sklearn.decomposition import PCA

    count = min(2, *features.shape)
    model = PCA(count, svd_solver="full")
    points = model.fit_transform(features)
    if count == 1:
        points = np.column_stack([points, np.zeros(len(points))])
    ratios = [*model.explained_variance_ratio_, 0.0]
    return points, (
        f"principal component 1: {format_percent(ratios[0])} of the variance",
        f"principal component 2: {format_percent(ratios[1])}",
    )


def _umap(features: np.ndarray, seed: int) -> tuple[np.ndarray, tuple[str, str]]:
    try:
        import umap
    except ImportError as error:
        raise errors.InvalidInput(
            f"projection = 'umap' needs umap-learn, which cannot be imported: {error}",
            "python -m pip install umap-learn, or set projection = 'pca'",
        ) from error
    neighbours = min(15, len(features) - 1)
    model = umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1, init="pca")
    return model.fit_transform(features), ("UMAP 1", "UMAP 2 (distances have no meaning)")
