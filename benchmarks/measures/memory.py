"""(g) Peak memory as images grow 1×, 4× and 16×, and under a limit."""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import process
from benchmarks.bench import Bench
from benchmarks.measures.folder_to_model import train_command
from benchmarks.measures.throughput import SCRIPT
from benchmarks.process import Took
from benchmarks.result import Ratio, Result, Row, compare


def measure(bench: Bench) -> Result:
    """Anonymous memory: what a process has of its own."""
    base = 4 if bench.quick else 150
    epoch = {"network": "deep", "shape": [256, 256, 3], "batch": 20, "epochs": 1}
    result = Result(
        "(g) Peak memory while training",
        "MiB",
        "The most anonymous memory (RssAnon) of a whole process, one epoch of `deep`, the cache "
        "filled by that same process the first time. Pages of the cache, a mapped file, are not "
        "counted: the system takes them back when others need memory, so a machine with little "
        "of it reads more from disk and does not fail. The resident set that includes them is "
        "told beside it. The limit is on private writable memory (RLIMIT_DATA), of which mapped "
        "files are no part: the least, in steps of 512 MiB, under which 1× can be trained on.",
    )
    sets = {times: bench.cells(train=base * times, test=20) for times in (1, 4, 16)}

    def ours(times: int, name: str, allowed: int = 0) -> Took:
        out = bench.work / "runs" / f"g_{name}_{times}"
        command = train_command(str(sets[times]["folder"]), out, 1)
        limit = partial(_limit, allowed) if allowed else None
        return process.run(command, bench.cache("g"), watch_memory=True, before=limit)

    def script(times: int, allowed: int = 0) -> Took:
        task = {**sets[times], **epoch, "evaluate": False}
        return SCRIPT.run(
            task, watch_memory=True, before=partial(_limit, allowed) if allowed else None
        )

    kept = {}
    for times in sets:
        took = [ours(times, str(repeat)) for repeat in range(min(bench.repeats, 2))]
        row = Row(f"cellvision, {times}×: {base * times} images", [t.anonymous_mib for t in took])
        row.note = f"{max(t.resident_mib for t in took):,.0f} MiB with mapped pages"
        kept[times] = row
    least = next((mib for mib in range(1536, 8192, 512) if _finishes(ours, 1, str(mib), mib)), 0)
    theirs = {}
    for times in sets:
        row = Row(f"the page's script, {times}×")
        try:
            row.values.append(script(times).anonymous_mib)
        except process.Failed as failure:
            row.note = f"failed: {str(failure).splitlines()[-1][:80]}"
        theirs[times] = row
    result.rows = [*kept.values(), *theirs.values()]
    if least:
        end = {True: "finishes", False: "**fails**"}
        result.about += (
            f" Limited to {least:,} MiB, cellvision {end[_finishes(ours, 16, 'limit', least)]} on "
            f"16× the images, and the page's script {end[_finishes(script, 16, least)]}."
        )
    pairs = zip(kept[16].values, kept[1].values, strict=True)
    result.ratios = [
        Ratio("cellvision, 16× : 1× the images", [a / b for a, b in pairs], "≤ 1.1"),
        compare("the page's script, 16× : 1× the images", theirs[16], theirs[1]),
    ]
    return result


def _limit(mib: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (mib * 2**20, mib * 2**20))


def _finishes(work: Callable[..., Took], *arguments: Any) -> bool:
    try:
        work(*arguments)
    except process.Failed:
        return False
    return True
