"""AutoGluon's MultiModalPredictor with its defaults, for ten minutes at most."""

from __future__ import annotations

import tempfile

import pandas as pd

from benchmarks import process


def main() -> None:
    """Train once and print the answers for the test images."""
    task = process.read_task()
    from autogluon.multimodal import MultiModalPredictor

    table = pd.read_csv(task["table"])[["image", "label", "split"]]
    parts = {name: rows.drop(columns="split") for name, rows in table.groupby("split")}
    with tempfile.TemporaryDirectory() as folder:
        predictor = MultiModalPredictor(label="label", path=folder)
        predictor.fit(
            parts["train"],
            tuning_data=parts["validation"],
            time_limit=30 if task["quick"] else 600,
            seed=task["seed"],
        )
        answers = predictor.predict(parts["test"].drop(columns="label"))
    process.print_output(predicted=list(answers))


if __name__ == "__main__":
    main()
