"""Who takes part: one file each, run in a process of its own; see `benchmarks.process`."""
