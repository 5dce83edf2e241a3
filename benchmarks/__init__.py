"""cellvision and other ways to do the same work, side by side: ``python -m benchmarks``."""
