"""Verdicts where the truth is known: ``python -m benchmarks.worlds --help``."""
