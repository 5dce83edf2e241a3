"""Compare cellvision with other ways to do the same work: ``python -m benchmarks``."""
