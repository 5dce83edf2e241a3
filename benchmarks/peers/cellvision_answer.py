"""cellvision on a folder of images, by a recipe or by the architecture ``scattering``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import process


def main() -> None:
    """Train once and print the answers for the test images."""
    task = process.read_task()
    import cellvision as cv

    settings: dict[str, Any] = {"training": {"seed": task["seed"]}, "reporters": []}
    recipe = task["recipe"]
    if recipe == "scattering":
        recipe = "standard"
        settings |= {"architecture": {"type": "scattering"}, "augmenters": []}
    if task["quick"]:
        settings["training"]["epochs"] = 1
    dataset = cv.datasets.create(
        "folder", path=task["folder"], group=task["group"], classes=task["classes"]
    )
    experiment = cv.experiment_from_recipe(dataset, recipe, settings)
    out = Path(tempfile.mkdtemp(prefix="cellvision-benchmark-"))
    run = cv.train(experiment, out / "run", progress=False)
    table = run.predictions
    process.print_output(predicted=list(table.loc[table["split"] == "test", "predicted"]))
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
