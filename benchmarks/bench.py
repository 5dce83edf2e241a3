"""A benchmark session: size of the work, number of repeats, peers, and working folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import images, machine
from benchmarks.process import Peer, ProcessFailed, ProcessResult
from benchmarks.result import Row


@dataclass
class PeerResults:
    """The results of one peer, and a note if some are missing."""

    results: list[ProcessResult] = field(default_factory=list)
    note: str = ""

    def row(self, label: str, value_of: Callable[[ProcessResult], float]) -> Row:
        """Return its values as a row; a result without a value is left out and noted."""
        values, note = [], self.note
        for result in self.results:
            try:
                values.append(value_of(result))
            except ProcessFailed as failure:
                note = str(failure)
        return Row(label, values, note=note)


@dataclass
class Bench:
    """A benchmark session.

    Attributes
    ----------
    work : pathlib.Path
        Folder for images, caches and runs.
    repeats : int
        Number of repeats, interleaved over peers: A B A B.
    quick : bool
        Do only what shows that a measure works; the numbers mean nothing.
    data : pathlib.Path or None
        Folder with the four files of Fashion-MNIST; None uses synthetic images instead.
    peers : set of str or None
        Modules of the peers to run; None runs all.
    """

    work: Path
    repeats: int = 3
    quick: bool = False
    data: Path | None = None
    peers: set[str] | None = None
    image_sets: dict[str, dict[str, str | int]] = field(default_factory=dict)

    @cached_property
    def limits(self) -> dict[str, Any]:
        """Limits of the machine; see `benchmarks.machine`."""
        return machine.limits()

    def cells(
        self, train: int = 400, test: int = 100, side: int = 256, suffix: str = ".png"
    ) -> dict[str, str | int]:
        """Return images of side×side×3 in two classes."""
        if self.quick:
            train, test = max(8, train // 50), 4
        root = self.work / f"cells_{side}_{train}_{test}"
        if root.name not in self.image_sets:
            self.image_sets[root.name] = images.synthetic_set(root, side, 3, 2, train, test, suffix)
        return self.image_sets[root.name]

    def clothes(self, train: int = 6000, test: int = 1000) -> dict[str, str | int]:
        """Return images of 28×28×1 in ten classes: Fashion-MNIST if `data` is given."""
        train, test = (400, 100) if self.quick else (train, test)
        root = self.work / f"clothes_{train}_{test}"
        if root.name not in self.image_sets:
            if self.data is None:
                image_set = images.synthetic_set(root, 28, 1, 10, train, test)
            else:
                counts = {"train": train, "test": test}
                splits = {s: images.fashion_mnist(self.data, s, n) for s, n in counts.items()}
                image_set = images.write_set(root, splits, 10)
            self.image_sets[root.name] = image_set
        return self.image_sets[root.name]

    def cache(self, name: str) -> dict[str, str]:
        """Return the environment that puts cellvision's cache into this session's folder."""
        return {"CELLVISION_CACHE": str(self.work / "cache" / name)}

    def interleave(
        self, peers: Sequence[Peer], work: Callable[[Peer, int], ProcessResult]
    ) -> dict[str, PeerResults]:
        """Let peers do the work alternately, A B A B, and return their results by label.

        Parameters
        ----------
        peers
            The peers; those that are not installed or not selected are noted as such.
        work
            Called with a peer and the number of the repeat.
        """
        by_label = {peer.label: PeerResults() for peer in peers}
        for repeat in range(self.repeats):
            for peer in peers:
                entry = by_label[peer.label]
                if self.peers is not None and peer.module not in self.peers:
                    entry.note = "not selected"
                elif missing := peer.missing():
                    entry.note = f"not installed: {', '.join(missing)}"
                if entry.note:
                    continue
                try:
                    entry.results.append(work(peer, repeat))
                    outcome = f"{entry.results[-1].wall_s:.1f} s"
                except ProcessFailed as failure:
                    outcome = f"failed: {str(failure).splitlines()[-1][:200]}"
                    entry.note = outcome
                print(f"  {peer.label}: {outcome}", file=sys.stderr, flush=True)
        return by_label

    def rows(
        self,
        peers: Sequence[Peer],
        work: Callable[[Peer, int], ProcessResult],
        value_of: Callable[[ProcessResult], float],
    ) -> list[Row]:
        """Do as `interleave`, and return one row per peer with the values of its results."""
        return [entry.row(label, value_of) for label, entry in self.interleave(peers, work).items()]

    def add_share(self, row: Row, network: str, precision: str, *, training: bool) -> None:
        """Set a row's share of the machine's limit; its values are images per second."""
        if row.values and not self.quick:
            gflop = self.limits["gflop_per_image"][network][training]
            row.share = median(row.values) * gflop / self.limits["gflops"][precision]


def find_row(rows: Sequence[Row], label: str) -> Row | None:
    """Return the row with a label, or None if it has no values."""
    return next((row for row in rows if row.label == label and row.values), None)
