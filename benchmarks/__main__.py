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
from benchmarks.result import Result, number

MEASURES = (
    *("training", "folder_to_model", "time_to_accuracy", "study", "prediction", "preprocessing"),
    *("memory", "start", "small_images", "accuracy"),
)
"""In the order of the letters; the last takes long and runs only where it is named."""


def main() -> None:
    """Run the measures that are asked for."""
    asked = _asked()
    names = asked.only.split(",") if asked.only else MEASURES[:-1]
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        sys.exit(f"error: no measure {', '.join(unknown)}\n  There are {', '.join(MEASURES)}")
    about = machine.describe()
    results: dict[str, list[Result]] = {}
    with tempfile.TemporaryDirectory(prefix="cellvision-benchmarks-") as folder:
        bench = Bench(
            Path(folder),
            1 if asked.quick else asked.repeats,
            asked.quick,
            asked.data,
            set(asked.peers.split(",")) if asked.peers else None,
        )
        if not asked.quick and set(names) - {"start"}:
            about["limits"] = bench.limits
        if asked.markdown:
            print(_heading(about))
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            start = time.perf_counter()
            found = importlib.import_module(f"benchmarks.measures.{name}").measure(bench)
            results[name] = found if isinstance(found, list) else [found]
            seconds = time.perf_counter() - start
            for result in results[name]:
                result.seconds = seconds / len(results[name])
                print(result.markdown() if asked.markdown else _plain(result), flush=True)
            if asked.json:
                _write(asked.json, about, results)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--only", metavar="NAME,...", help=f"some of {', '.join(MEASURES)}")
    add("--peers", metavar="NAME,...", help="only these files of benchmarks/peers take part")
    add("--json", metavar="FILE", type=Path, help="also write everything, after each measure")
    add("--markdown", action="store_true", help="print tables in Markdown")
    add("--data", metavar="DIR", type=Path, help="a folder with the files of Fashion-MNIST")
    add("--repeats", metavar="N", type=int, default=3, help="how often, in turns (3)")
    add("--quick", action="store_true", help="see that it works; the numbers mean nothing")
    return parser.parse_args()


def _write(path: Path, about: dict[str, Any], results: dict[str, list[Result]]) -> None:
    content = {
        "machine": about,
        "results": {name: [r.to_json() for r in found] for name, found in results.items()},
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _heading(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        f"Measured on {about['date']}: {about['processor']}, {about['processors']} processors, "
        f"load {about['load']:.1f} at the start; Python {about['python']}; {versions}.",
    ]
    if "limits" in about:
        products, costs = about["limits"]["gflops"], about["limits"]["gflop_an_image"]
        told = ", ".join(f"{number(value)} GFLOP/s in {name}" for name, value in products.items())
        lines.append(f"The machine's limit, a product of two matrices of 2048×2048: {told}.")
        for name, (predict, train) in costs.items():
            lines.append(
                f"An image of `{name}` costs {predict:.3f} GFLOP to predict and {train:.3f} to "
                "train on."
            )
    return "\n".join([*lines, ""])


def _plain(result: Result) -> str:
    lines = [result.title]
    for row in result.rows:
        numbers = ", ".join(number(value) for value in row.values) or "–"
        share = f"  ({row.share:.0%} of the machine's limit)" if row.share is not None else ""
        note = f"  {row.note}" if row.note else ""
        lines.append(f"  {row.what}: {numbers} {result.unit}{share}{note}")
    for ratio in result.ratios:
        numbers = ", ".join(f"{value:.2f}" for value in ratio.values) or "–"
        told = {True: "reached", False: "NOT REACHED", None: ""}[ratio.reached]
        lines.append(f"  {ratio.what} = {numbers}  {ratio.aim} {told}")
    return "\n".join([*lines, f"  measured in {result.seconds:.0f} s", ""])


if __name__ == "__main__":
    main()
