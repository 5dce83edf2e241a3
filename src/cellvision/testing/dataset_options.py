"""The checks of what a data set may define: the size of pixels, and paths that it recognises."""

from __future__ import annotations

import math
from numbers import Real
from pathlib import Path
from typing import Any

from cellvision.testing.component import conformance_check
from cellvision.testing.dataset_under_test import DatasetUnderTest

_PATHS = ("images.h5", "images.zarr", "notes.txt", "no suffix", "empty")


class DatasetOptionChecks(DatasetUnderTest):
    """The checks of `pixel_size` and `recognises`, a part of `DatasetChecks`."""

    @conformance_check
    def test_pixel_sizes_are_micrometres(self) -> None:
        """`pixel_size` returns a positive number, or None if it is unknown."""
        for image in self.some[:4]:
            size: Any = self.dataset.pixel_size(image)
            is_number = isinstance(size, Real) and not isinstance(size, bool)
            self.require(
                size is None or (is_number and 0 < float(size) < math.inf),
                f"pixel_size({image!r}) returned {size!r:.80}",
                "Return micrometres per pixel, or None if the size is unknown.",
            )

    @conformance_check
    def test_recognises_no_foreign_paths(self) -> None:
        """`recognises` answers True or False for any path, and not True for all."""
        folder = Path(self.folder) / "foreign"
        folder.mkdir(exist_ok=True)
        for name in _PATHS:
            path = folder / name
            path.touch()
            answer: object = self.cls.recognises(path)
            self.require(
                isinstance(answer, bool),
                f"recognises({name!r}) returned {answer!r:.80}",
                "Return True or False.",
            )
        owns = [name for name in _PATHS if self.cls.recognises(folder / name)]
        self.require(
            len(owns) < len(_PATHS),
            "recognises() says yes to every path",
            "Look at the suffix or at the first bytes of the file.",
        )
        self.require(
            not owns or "path" in self.cls.model_fields,
            f"recognises({owns[:1]}) says yes, but there is no setting 'path'",
            "Call the setting with the path `path`, or do not define recognises().",
        )
