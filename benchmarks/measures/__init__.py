"""Measures: one file each, with a function ``measure(bench)``."""
