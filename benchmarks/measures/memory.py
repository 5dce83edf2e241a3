"""(g) Peak memory for 1×, 4× and 16× the images, and under a limit."""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import process
from benchmarks.bench import Bench
from benchmarks.measures.folder_to_model import train_command
from benchmarks.measures.throughput import SCRIPT
from benchmarks.process import ProcessResult
from benchmarks.result import Ratio, Result, Row, compare


def measure(bench: Bench) -> Result:
    """Measure the anonymous memory of whole processes."""
    base = 4 if bench.quick else 150
    epoch = {"network": "deep", "shape": [256, 256, 3], "batch": 20, "epochs": 1}
    result = Result(
        "(g) Peak memory while training",
        "MiB",
        "Largest anonymous memory (RssAnon) of a whole process: one epoch of `deep`; the first "
        "process also fills the cache. Pages of the cache, a mapped file, are not counted: the "
        "system reclaims them when memory is short, so a machine with little memory reads more "
        "from disk and does not fail. The resident set, which includes them, is given below the "
        "table. The limit is on private writable memory (RLIMIT_DATA), which excludes mapped "
        "files: the smallest one, in steps of 512 MiB, under which 1× can be trained.",
    )
    sets = {times: bench.cells(train=base * times, test=20) for times in (1, 4, 16)}

    def ours(times: int, name: str, limit_mib: int = 0) -> ProcessResult:
        out = bench.work / "runs" / f"g_{name}_{times}"
        command = train_command(str(sets[times]["folder"]), out, 1)
        limit = partial(_limit, limit_mib) if limit_mib else None
        return process.run(command, bench.cache("g"), watch_memory=True, before=limit)

    def script(times: int, limit_mib: int = 0) -> ProcessResult:
        task = {**sets[times], **epoch, "evaluate": False}
        return SCRIPT.run(
            task, watch_memory=True, before=partial(_limit, limit_mib) if limit_mib else None
        )

    our_rows = {}
    for times in sets:
        results = [ours(times, str(repeat)) for repeat in range(min(bench.repeats, 2))]
        row = Row(
            f"cellvision, {times}×: {base * times} images", [r.anonymous_mib for r in results]
        )
        row.note = f"{max(r.resident_mib for r in results):,.0f} MiB with mapped pages"
        our_rows[times] = row
    least = next((mib for mib in range(1536, 8192, 512) if _finishes(ours, 1, str(mib), mib)), 0)
    their_rows = {}
    for times in sets:
        row = Row(f"the page's script, {times}×")
        try:
            row.values.append(script(times).anonymous_mib)
        except process.ProcessFailed as failure:
            row.note = f"failed: {str(failure).splitlines()[-1][:80]}"
        their_rows[times] = row
    result.rows = [*our_rows.values(), *their_rows.values()]
    if least:
        outcome = {True: "finishes", False: "**fails**"}
        our_outcome = outcome[_finishes(ours, 16, "limit", least)]
        result.about += (
            f" Limited to {least:,} MiB, cellvision {our_outcome} on 16× the images, and the "
            f"page's script {outcome[_finishes(script, 16, least)]}."
        )
    pairs = zip(our_rows[16].values, our_rows[1].values, strict=True)
    result.ratios = [
        Ratio("cellvision, 16× : 1× the images", [a / b for a, b in pairs], "≤ 1.1"),
        compare("the page's script, 16× : 1× the images", their_rows[16], their_rows[1]),
    ]
    return result


def _limit(mib: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (mib * 2**20, mib * 2**20))


def _finishes(work: Callable[..., ProcessResult], *arguments: Any) -> bool:
    try:
        work(*arguments)
    except process.ProcessFailed:
        return False
    return True
