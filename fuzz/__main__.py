"""Fuzz the image decoders by hand: ``python -m fuzz --mutants 20000 --seed 1``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fuzz.campaign import run, save


def main() -> int:
    """Read mutants and print what became of them; 1 if there is any fault."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--mutants", type=int, default=2000, help="number of mutants")
    parser.add_argument("--seed", type=int, default=0, help="seed of the mutations")
    parser.add_argument("--workers", type=int, default=2, help="subprocesses at a time")
    parser.add_argument("--save", type=Path, help="folder to write the mutants at fault to")
    options = parser.parse_args()
    report = run(options.mutants, options.seed, options.workers)
    for fault in report.faults:
        print(f"{fault['index']}: {fault.get('seed')} {fault.get('how')}: {fault['reason']}")
        if options.save is not None:
            print(f"  {save(options.seed, fault['index'], options.save)}")
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.counts.items()))
    print(f"{options.mutants} mutants: {counts}; slowest {report.slowest:.1f} s")
    return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main())
