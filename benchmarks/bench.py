"""What every measure is given: how large, how often, who takes part, and where to work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import images, machine
from benchmarks.process import Failed, Peer, Took
from benchmarks.result import Row


@dataclass
class Turns:
    """What one peer's turns took, and why there are no more."""

    took: list[Took] = field(default_factory=list)
    note: str = ""

    def row(self, what: str, unit: Callable[[Took], float]) -> Row:
        """Its numbers, as `unit` takes them out; what has none is left out and told."""
        values, note = [], self.note
        for one in self.took:
            try:
                values.append(unit(one))
            except Failed as failure:
                note = str(failure)
        return Row(what, values, note=note)


@dataclass
class Bench:
    """A session of measuring.

    Attributes
    ----------
    work : pathlib.Path
        A folder for images, caches and runs.
    repeats : int
        How often everything is measured, in turns: A B A B.
    quick : bool
        Whether to do as little as shows that a measure works; its numbers mean nothing.
    data : pathlib.Path or None
        The four files of Fashion-MNIST; made images take their place without them.
    peers : set of str or None
        The modules of the peers that take part; None: all.
    """

    work: Path
    repeats: int = 3
    quick: bool = False
    data: Path | None = None
    peers: set[str] | None = None
    made: dict[str, dict[str, str | int]] = field(default_factory=dict)

    @cached_property
    def limits(self) -> dict[str, Any]:
        """The machine's; see `benchmarks.machine`."""
        return machine.limits()

    def cells(self, train: int = 400, test: int = 100) -> dict[str, str | int]:
        """Images of 256×256×3 in two classes."""
        if self.quick:
            train, test = max(8, train // 50), 4
        root = self.work / f"cells_{train}_{test}"
        if root.name not in self.made:
            self.made[root.name] = images.synthetic_set(root, 256, 3, 2, train, test)
        return self.made[root.name]

    def clothes(self, train: int = 6000, test: int = 1000) -> dict[str, str | int]:
        """Images of 28×28×1 in ten classes: Fashion-MNIST where its files are given."""
        train, test = (400, 100) if self.quick else (train, test)
        root = self.work / f"clothes_{train}_{test}"
        if root.name not in self.made:
            if self.data is None:
                self.made[root.name] = images.synthetic_set(root, 28, 1, 10, train, test)
            else:
                wanted = {"train": train, "test": test}
                splits = {s: images.fashion_mnist(self.data, s, n) for s, n in wanted.items()}
                self.made[root.name] = images.write_set(root, splits, 10)
        return self.made[root.name]

    def cache(self, name: str) -> dict[str, str]:
        """The environment in which cellvision's cache is a folder of this session."""
        return {"CELLVISION_CACHE": str(self.work / "cache" / name)}

    def in_turns(
        self, peers: Sequence[Peer], work: Callable[[Peer, int], Took]
    ) -> dict[str, Turns]:
        """Let peers do the work in turns, A B A B; what each took, by its label.

        Parameters
        ----------
        peers
            Who takes part, where it is installed and asked for.
        work
            Does it; told whose turn it is and the number of the repeat.
        """
        turns = {peer.label: Turns() for peer in peers}
        for repeat in range(self.repeats):
            for peer in peers:
                kept = turns[peer.label]
                if self.peers is not None and peer.module not in self.peers:
                    kept.note = "not asked for"
                elif missing := peer.missing():
                    kept.note = f"not installed: {', '.join(missing)}"
                if kept.note:
                    continue
                try:
                    kept.took.append(work(peer, repeat))
                    told = f"{kept.took[-1].wall_s:.1f} s"
                except Failed as failure:
                    kept.note = told = f"failed: {str(failure).splitlines()[-1][:200]}"
                print(f"  {peer.label}: {told}", file=sys.stderr, flush=True)
        return turns

    def rows(
        self,
        peers: Sequence[Peer],
        work: Callable[[Peer, int], Took],
        unit: Callable[[Took], float],
    ) -> list[Row]:
        """As `in_turns`, each peer's numbers as a row; `unit` takes the number out."""
        return [turns.row(what, unit) for what, turns in self.in_turns(peers, work).items()]

    def share(self, row: Row, network: str, precision: str, *, training: bool) -> None:
        """Work out a row's share of the machine's limit; its values are images a second."""
        if row.values and not self.quick:
            gflop = self.limits["gflop_an_image"][network][training]
            row.share = median(row.values) * gflop / self.limits["gflops"][precision]


def row_of(rows: Sequence[Row], label: str) -> Row | None:
    """The row of that label, where it has numbers."""
    return next((row for row in rows if row.what == label and row.values), None)
