"""Active labelling: rank images by a run's predictions, never those it was tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.data.batch_reads import scan
from cellvision.data.names import quote_list
from cellvision.labelling.plan import ImageToLabel
from cellvision.results.moved_images import IF_MOVED
from cellvision.results.run_images import recorded_digests

if TYPE_CHECKING:
    from cellvision import Dataset, Run
    from cellvision.data.threaded_map import Progress


def raise_if_tested(
    run: Run, images: Sequence[ImageToLabel], progress: Progress | None = None
) -> None:
    """Refuse images of the run's test sets, whatever their names: pixels are compared.

    They are the pixels that the run recorded, even if other files have taken their place since.
    Labels chosen by a network's uncertainty on its own test images would bias the test.

    Raises
    ------
    errors.LeakError
        The run was tested on one of the images.
    errors.InvalidInput
        The run did not record its test images and they cannot be read, so they cannot be compared.
    """
    table = run.predictions
    tested = list(table.loc[table["split"].isin(run.test_splits), "image"])
    recorded = recorded_digests(run)
    unrecorded = [image for image in tested if image not in recorded]
    stats = scan(run.dataset, unrecorded, progress) if unrecorded else []
    missing = [entry.image for entry in stats if not entry.digest]
    if missing:
        raise errors.InvalidInput(
            f"{run.folder}: its test images cannot be compared with those to label, because "
            f"some cannot be read: {quote_list(missing)}",
            f"{IF_MOVED}; or label without --run",
        )
    digests = {entry.digest for entry in stats} | {recorded.get(image) for image in tested}
    shared = [image.image for image in images if image.digest in digests]
    if shared:
        raise errors.LeakError(
            f"{run.folder} was tested on {len(shared)} of these images: {quote_list(shared)}",
            "Remove them or choose another split; or label without --run",
        )


def rank_by_own_label(
    run: Run, dataset: Dataset, images: Sequence[ImageToLabel]
) -> list[ImageToLabel]:
    """Sort labelled images, those whose label the run finds least probable first.

    Raises
    ------
    errors.InvalidInput
        The run has no prediction of an image, because it was trained on another data set.
    """
    table = run.predictions
    probability: dict[tuple[str, str | None], float] = {
        (image, name): value
        for name in run.class_names
        for image, value in zip(table["image"], table[f"p_{name}"], strict=True)
    }
    unknown = [i.image for i in images if (i.image, i.label) not in probability]
    if unknown or run.experiment.dataset != dataset:
        raise errors.InvalidInput(
            f"{run.folder}: this run was trained on another data set, so it does not rank these "
            "images",
            "Name a run of this experiment, or omit --run",
        )
    return sorted(images, key=lambda image: probability[image.image, image.label])


def rank_unlabelled(run: Run, root: Path, images: Sequence[ImageToLabel]) -> list[ImageToLabel]:
    """Sort unlabelled images, those whose most probable class is least probable first."""
    from cellvision import predict

    table = predict(run, [root / image.image for image in images], progress=False)
    highest = table[[f"p_{name}" for name in run.class_names]].max(axis=1)
    certainty: Mapping[str, float] = dict(zip(table["image"], highest, strict=True))

    def key(image: ImageToLabel) -> float:
        # Images without a prediction (preprocessing skips unreadable ones) come last.
        return certainty.get((root / image.image).as_posix(), 1.0)

    return sorted(images, key=key)
