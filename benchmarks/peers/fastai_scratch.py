"""fastai with its defaults and without pretrained weights: ResNet-18, ``fit_one_cycle``."""

from __future__ import annotations

import pandas as pd

from benchmarks import process


def main() -> None:
    """Train once and print the answers for the test images."""
    task = process.read_task()
    from fastai.vision.all import (
        CategoryBlock,
        ColReader,
        ColSplitter,
        DataBlock,
        ImageBlock,
        Resize,
        accuracy,
        aug_transforms,
        resnet18,
        set_seed,
        vision_learner,
    )

    set_seed(task["seed"])
    table = pd.read_csv(task["table"])
    learned = table[table["split"] != "test"].assign(is_valid=lambda rows: rows["split"] != "train")
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_x=ColReader("image"),
        get_y=ColReader("label"),
        splitter=ColSplitter("is_valid"),
        item_tfms=Resize(128),
        batch_tfms=aug_transforms(),
    )
    loaders = block.dataloaders(learned, bs=20, num_workers=0)
    learner = vision_learner(loaders, resnet18, pretrained=False, metrics=accuracy)
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(1 if task["quick"] else 20, 3e-3)
        test = loaders.test_dl(table[table["split"] == "test"])
        probabilities, _ = learner.get_preds(dl=test)
    names = list(loaders.vocab)
    process.print_output(predicted=[names[int(k)] for k in probabilities.argmax(dim=1)])


if __name__ == "__main__":
    main()
