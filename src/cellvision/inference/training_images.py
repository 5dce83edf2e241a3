"""Count the predicted images that the networks were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellvision.data.split_names import is_test
from cellvision.merged_settings import table_of
from cellvision.plurals import agreed, counted

if TYPE_CHECKING:
    from cellvision.results.run import Run


class TrainingImages:
    """The images of the training and the validation split, known by their pixels.

    Parameters
    ----------
    runs
        The runs whose networks predict. All images of a cross-validated study count, since each
        was trained on in some fold.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        run = runs[0]
        files = () if run.audit is None else run.audit.files
        if not table_of(run.metadata.experiment, "split").get("splitter"):
            table = run.predictions
            used = set(table["image"][[not is_test(split) for split in table["split"]]])
            files = tuple(file for file in files if file.file in used)
        self._digests = {file.digest for file in files if file.digest}
        self._found: list[str] = []
        self._count = 0

    @property
    def found(self) -> tuple[str, ...]:
        """Names of the predicted images that were trained on."""
        return tuple(self._found)

    def add(self, name: str, digest: str | None) -> None:
        """Count an image by the digest of its decoded pixels; None never matches."""
        self._count += 1
        if digest in self._digests:
            self._found.append(name)

    def warnings(self) -> list[str]:
        """Say how many images were trained on; empty if none was."""
        found = len(self._found)
        if not found:
            return []
        return [
            f"{found} of {counted(self._count, 'image')} {agreed(found, 'is')} of the training or "
            f"validation split, such as {self._found[0]}: that the network is right on them says "
            "nothing about new images."
        ]
