"""Measure, compare and print: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.bench import Bench
from benchmarks.goals import processor_kind
from benchmarks.result import Result, format_number

MEASURES = (
    *("training", "folder_to_model", "time_to_accuracy", "study", "prediction", "reading"),
    *("memory", "start", "small_images", "resnet", "frozen", "demo"),
)
"""In the order of their letters."""

ONLY_IF_NAMED = ("accuracy", "answers", "gpu")
"""Measures that take long, or need a GPU."""


def main() -> None:
    """Run the selected measures."""
    options = _parse_options()
    if options.list:
        print(*MEASURES, *ONLY_IF_NAMED, sep="\n")
        return
    names = options.only.split(",") if options.only else MEASURES
    known = (*MEASURES, *ONLY_IF_NAMED)
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"error: no measure {', '.join(unknown)}\n  Choose from {', '.join(known)}")
    about = machine.describe()
    results: dict[str, list[Result]] = {}
    with tempfile.TemporaryDirectory(prefix="cellvision-benchmarks-") as folder:
        bench = Bench(
            Path(folder),
            1 if options.quick else options.repeats,
            options.quick,
            options.data,
            set(options.peers.split(",")) if options.peers else None,
        )
        if not options.quick and set(names) - {"start", "gpu"}:
            about["limits"] = bench.limits
        if options.markdown:
            print(_heading(about))
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            start = time.perf_counter()
            outcome = importlib.import_module(f"benchmarks.measures.{name}").measure(bench)
            results[name] = outcome if isinstance(outcome, list) else [outcome]
            seconds = time.perf_counter() - start
            for result in results[name]:
                result.seconds = seconds / len(results[name])
                print(result.markdown() if options.markdown else _plain(result), flush=True)
            if options.json:
                _write(options.json, about, results)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--list", action="store_true", help="print the names of the measures")
    add("--only", metavar="NAME,...", help="measures to run; default: all but accuracy and answers")
    add("--peers", metavar="NAME,...", help="files of benchmarks/peers to run; default: all")
    add("--json", metavar="FILE", type=Path, help="write all results, after each measure")
    add("--markdown", action="store_true", help="print Markdown tables")
    add(
        "--data",
        metavar="DIR",
        type=Path,
        help="folder with Fashion-MNIST, or with the images of answers",
    )
    add("--repeats", metavar="N", type=int, default=3, help="interleaved repeats (3)")
    add("--quick", action="store_true", help="check that it works; the numbers mean nothing")
    return parser.parse_args()


def _write(path: Path, about: dict[str, Any], results: dict[str, list[Result]]) -> None:
    content = {
        "machine": about,
        "results": {name: [r.to_json() for r in group] for name, group in results.items()},
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _heading(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        f"Measured on {about['date']}: {about['processor']} ({processor_kind()}), "
        f"{about['processors']} processors, "
        f"load {about['load']:.1f} at the start; Python {about['python']}; {versions}.",
    ]
    if "limits" in about:
        products, costs = about["limits"]["gflops"], about["limits"]["gflop_per_image"]
        speeds = ", ".join(
            f"{format_number(value)} GFLOP/s in {name}" for name, value in products.items()
        )
        lines.append(f"The machine's limit, a product of two matrices of 2048×2048: {speeds}.")
        for name, (predict, train) in costs.items():
            lines.append(
                f"An image of `{name}` costs {predict:.3f} GFLOP to predict and {train:.3f} to "
                "train on."
            )
    return "\n".join([*lines, ""])


def _plain(result: Result) -> str:
    lines = [result.title]
    for row in result.rows:
        numbers = ", ".join(format_number(value) for value in row.values) or "–"
        share = f"  ({row.share:.0%} of the machine's limit)" if row.share is not None else ""
        note = f"  {row.note}" if row.note else ""
        lines.append(f"  {row.label}: {numbers} {result.unit}{share}{note}")
    for ratio in result.ratios:
        numbers = ", ".join(f"{value:.2f}" for value in ratio.values) or "–"
        outcome = {True: "reached", False: "NOT REACHED", None: ""}[ratio.reached]
        lines.append(f"  {ratio.label} = {numbers}  {ratio.goal} {outcome}")
    return "\n".join([*lines, f"  measured in {result.seconds:.0f} s", ""])


if __name__ == "__main__":
    main()
