"""What is measured: one file a measure, each with a function ``measure(bench)``."""
