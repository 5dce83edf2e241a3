"""Recognise the predicted images that the networks were trained on, and near-duplicates of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.data.near_duplicates import find_copies
from cellvision.data.split_names import is_test
from cellvision.merged_settings import table_of
from cellvision.plurals import agreed, counted
from cellvision.results.image_sketches import recorded_sketches

if TYPE_CHECKING:
    from cellvision.data.audit import FileRecord
    from cellvision.results.run import Run

_MOST_COMPARISONS = 5 * 10**8
"""Pairs of images that are compared within 20 s."""

_BLOCK = 2**14
"""Images that are compared at a time, so that memory does not grow with their number."""

_SHOWN = 3
"""Pairs of near-duplicates that a warning names."""


class TrainingImages:
    """The images of the training and the validation split, known by their pixels and sketches.

    Parameters
    ----------
    runs
        The runs whose networks predict. All images of a cross-validated study count, since each
        was trained on in some fold.
    predicted
        Number of images to predict.
    """

    def __init__(self, runs: Sequence[Run], predicted: int) -> None:
        run = runs[0]
        used = _used_images(run)
        self._digests = {file.digest for file in used if file.digest}
        self._names: list[str] = []
        self._sketches: list[bytes] = []
        self._not_compared = ""
        try:
            sketches = recorded_sketches(run)
        except errors.FolderError as error:
            sketches, self._not_compared = {}, f"{error.what}"
        if sketches is None:
            self._not_compared = f"{run.folder} recorded no sketches of its images"
        elif predicted * len(used) > _MOST_COMPARISONS:
            pairs = f"{predicted:,} × {len(used):,}"
            self._not_compared = f"{pairs} pairs of images would take too long to compare"
        else:
            names = [file.file for file in used if file.file in sketches]
            self._names, self._sketches = names, [sketches[name] for name in names]
        self._found: list[str] = []
        self._near: dict[str, str] = {}
        self._waiting: list[tuple[str, bytes]] = []
        self._count = 0

    @property
    def compares_sketches(self) -> bool:
        """Whether near-duplicates are searched."""
        return bool(self._sketches)

    @property
    def found(self) -> tuple[str, ...]:
        """Names of the predicted images that were trained on."""
        return tuple(self._found)

    @property
    def near_duplicates(self) -> dict[str, str]:
        """Predicted images that are near-duplicates, with the image that was trained on."""
        self._compare()
        return dict(self._near)

    def add(self, name: str, digest: str | None, sketch: bytes = b"") -> None:
        """Count a predicted image.

        Parameters
        ----------
        name
            Its name.
        digest
            Of its decoded pixels; None never matches.
        sketch
            Of its decoded pixels; an empty one is not compared.
        """
        self._count += 1
        if digest in self._digests:
            self._found.append(name)
        elif sketch:
            self._waiting.append((name, sketch))
            if len(self._waiting) == _BLOCK:
                self._compare()

    def _compare(self) -> None:
        """Search the images that wait for near-duplicates."""
        copies = find_copies(self._sketches, [sketch for _, sketch in self._waiting])
        for row, (known, _) in sorted(copies.items()):
            self._near[self._waiting[row][0]] = self._names[known]
        self._waiting.clear()

    def warnings(self) -> list[str]:
        """Say how many images were trained on, and what could not be found out."""
        return [*self._identical(), *self._alike(), *self._unknown()]

    def _identical(self) -> list[str]:
        found = len(self._found)
        if not found:
            return []
        return [
            f"{found} of {counted(self._count, 'image')} {agreed(found, 'is')} of the training or "
            f"validation split, such as {self._found[0]}: that the network is right on them says "
            "nothing about new images."
        ]

    def _alike(self) -> list[str]:
        near = self.near_duplicates
        if not near:
            return []
        pairs = [f"{name!r} and {known!r}" for name, known in near.items()]
        more = f"; and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
        alike = "a near-duplicate of a training or validation image"
        if len(near) > 1:
            alike = "near-duplicates of training or validation images"
        return [
            f"{len(near)} of {counted(self._count, 'image')} {agreed(len(near), 'looks')} like "
            f"{alike}: {'; '.join(pairs[:_SHOWN])}{more}. Check them by eye: that the network is "
            "right on copies says nothing about new images."
        ]

    def _unknown(self) -> list[str]:
        if not self._not_compared:
            return []
        return [
            f"Near-duplicates of training images were not searched: {self._not_compared}. Only "
            "identical pixels were compared."
        ]


def _used_images(run: Run) -> list[FileRecord]:
    """Return the files whose images the networks were trained on or validated with."""
    files = [] if run.audit is None else [file for file in run.audit.files if file.digest]
    if table_of(run.metadata.experiment, "split").get("splitter"):
        return files
    table = run.predictions
    used = set(table["image"][[not is_test(split) for split in table["split"]]])
    return [file for file in files if file.file in used]
