"""Peers: one file each, run in a separate process; see `benchmarks.process`."""
