"""(l) The demo, from the command to the page."""

from __future__ import annotations

from benchmarks import process
from benchmarks.bench import Bench
from benchmarks.goals import goal
from benchmarks.process import Peer
from benchmarks.result import Ratio, Result

DEMO = Peer("cellvision demo", "cellvision_cli")


def measure(bench: Bench) -> Result:
    """Measure the seconds of whole processes."""
    result = Result("(l) Demo", "s", "Two problems, each with a training and a report.")
    result.rows = bench.rows(
        (DEMO,),
        lambda _, repeat: process.run(
            [*process.CELLVISION, "demo", "--out", str(bench.work / f"demo_{repeat}")],
            bench.cache(f"l{repeat}"),
        ),
        lambda done: done.wall_s,
    )
    result.ratios = [Ratio("seconds of the demo", result.rows[0].values, goal("demo"))]
    return result
