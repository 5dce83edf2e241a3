"""Simulations behind the statistics and the verdict: ``python -m benchmarks.evidence``."""
