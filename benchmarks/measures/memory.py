"""(g) Peak memory with 1×, 4× and 16× the images, and with a memory limit."""

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
    """Measure the peak anonymous memory of whole processes."""
    base = 4 if bench.quick else 150
    epoch = {"network": "deep", "shape": [256, 256, 3], "batch": 20, "epochs": 1}
    result = Result(
        "(g) Peak memory while training",
        "MiB",
        "Peak anonymous memory (RssAnon) of the whole process while it trains `deep` for one "
        "epoch; the first process also fills the cache. Pages of the memory-mapped cache do not "
        "count: the system reclaims them when memory is short, so a machine with little memory "
        "reads more from disk and does not fail. The resident set below the table includes them. "
        "The limit applies to private writable memory (RLIMIT_DATA), which excludes mapped files; "
        "it is the smallest, in steps of 512 MiB, at which training on 1× finishes.",
    )
    sets = {times: bench.cells(train=base * times, test=20) for times in (1, 4, 16)}

    def run_cellvision(times: int, name: str, limit_mib: int = 0) -> ProcessResult:
        out = bench.work / "runs" / f"g_{name}_{times}"
        command = train_command(str(sets[times]["folder"]), out, 1)
        limit = partial(_limit, limit_mib) if limit_mib else None
        return process.run(command, bench.cache("g"), watch_memory=True, before=limit)

    def run_script(times: int, limit_mib: int = 0) -> ProcessResult:
        task = {**sets[times], **epoch, "evaluate": False}
        return SCRIPT.run(
            task, watch_memory=True, before=partial(_limit, limit_mib) if limit_mib else None
        )

    cellvision_rows = {}
    for times in sets:
        results = [run_cellvision(times, str(repeat)) for repeat in range(min(bench.repeats, 2))]
        row = Row(
            f"cellvision, {times}×: {base * times} images", [r.anonymous_mib for r in results]
        )
        row.note = f"{max(r.resident_mib for r in results):,.0f} MiB with mapped pages"
        cellvision_rows[times] = row
    limits = range(1536, 8192, 512)
    smallest = next((mib for mib in limits if _finishes(run_cellvision, 1, str(mib), mib)), 0)
    script_rows = {}
    for times in sets:
        row = Row(f"the page's script, {times}×")
        try:
            row.values.append(run_script(times).anonymous_mib)
        except process.ProcessFailed as failure:
            row.note = f"failed: {str(failure).splitlines()[-1][:80]}"
        script_rows[times] = row
    result.rows = [*cellvision_rows.values(), *script_rows.values()]
    if smallest:
        outcome = {True: "finishes", False: "**fails**"}
        cellvision_outcome = outcome[_finishes(run_cellvision, 16, "limit", smallest)]
        script_outcome = outcome[_finishes(run_script, 16, smallest)]
        result.about += (
            f" Limited to {smallest:,} MiB, cellvision {cellvision_outcome} on 16× the images, "
            f"and the page's script {script_outcome}."
        )
    pairs = zip(cellvision_rows[16].values, cellvision_rows[1].values, strict=True)
    result.ratios = [
        Ratio("cellvision, 16× : 1× the images", [a / b for a, b in pairs], "≤ 1.1"),
        compare("the page's script, 16× : 1× the images", script_rows[16], script_rows[1]),
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
