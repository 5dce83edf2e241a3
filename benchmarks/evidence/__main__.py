"""Simulate error rates of the statistics: ``python -m benchmarks.evidence --help``."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

import numpy as np

from benchmarks.evidence.table import markdown

RULES = {
    "A": ("interval", "interval of an accuracy"),
    "B": ("permuting", "what is permuted"),
    "C": ("batch", "batches"),
    "D": ("findings", "findings of controls"),
    "E": ("cross_validation", "cross-validated studies"),
    "F": ("seeds", "networks trained anew"),
    "G": ("multiplicity", "several arms and looks"),
    "H": ("groups", "answers for groups"),
    "J": ("trust", "trust at prediction"),
    "K": ("curves", "areas under curves of rare classes"),
}


def main() -> None:
    """Run the chosen simulations and print a table for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    letters = ", ".join(f"{letter} {title}" for letter, (_, title) in RULES.items())
    parser.add_argument("--only", metavar="A,B,...", help=f"rules to simulate: {letters}")
    parser.add_argument(
        "--simulations", type=int, help="simulations per figure; default: each rule's own"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulations (0)")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(RULES)
    unknown = [letter for letter in chosen if letter not in RULES]
    if unknown:
        sys.exit(f"error: there is no rule {', '.join(unknown)}\n  Choose from {', '.join(RULES)}.")
    for letter in chosen:
        module = importlib.import_module(f"benchmarks.evidence.{RULES[letter][0]}")
        start = time.process_time()
        rng = np.random.default_rng([options.seed, ord(letter)])
        figures = module.simulate(options.simulations or module.DEFAULT, rng)
        print(f"### {letter}. {RULES[letter][1].capitalize()}\n\n{markdown(figures)}\n", flush=True)
        seconds = time.process_time() - start
        print(f"{letter}: {seconds:.0f} s of processor time", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
