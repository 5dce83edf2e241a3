"""Write an untrained network of cellvision to a file that plain Keras reads."""

from __future__ import annotations

from benchmarks import process


def main() -> None:
    """Build the network and save it."""
    task = process.read_task()
    import cellvision as cv

    model = cv.architectures.create(task["network"]).build(tuple(task["shape"]), task["classes"])
    model.save(task["model"])
    process.print_output(model=task["model"])


if __name__ == "__main__":
    main()
