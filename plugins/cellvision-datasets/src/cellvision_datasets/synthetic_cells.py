"""Made cells with a phenotype of known strength: the truth about them is known."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cellvision import Dataset, SkippedFile, errors, io

from .folder import Folder

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision import DecodedImage

CLASS_NAMES = ("control", "treated")

_VERSION = 1
"""Counted up whenever the same settings would give other images."""

_RECORD = "settings.json"
_A_DAY = 24 * 3600  # seconds


class SyntheticCells(Dataset):
    """Wide-field fluorescence images of made cells, cut into tiles; the truth is known.

    In `treated` cells the protein (channel 1) forms bright aggregates, in `control` it is
    diffuse; its sum in a cell is the same, so mean intensity does not tell the classes, texture
    does. DNA (channel 0) is alike in both. Every field has a brightness and a focus of its own,
    drawn without regard to the class: with ``strength=0`` they are all there is to remember.

    The images are files: ``fields/<class>/field_000.tif`` (16-bit TIFF, two pages, values
    within 12 bits, Poisson and read noise, uneven illumination), and ``tiles/`` that
    `cellvision.prepare.slice_images` cut from them, with their `manifest.csv`. The tiles are
    read back as by the data set `folder`; the unit (``group``) is the field. Images depend on
    the settings and on nothing else.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> cells = SyntheticCells(
    ...     path=Path(tempfile.mkdtemp()) / "cells", fields=2, field_size=128, tiles=4
    ... )
    >>> table = cells.catalog()
    >>> len(table), sorted(set(table["group"]))[0]
    (16, 'control/field_000')
    >>> cells.read(table["image"][0]).shape
    (64, 64, 2)
    """

    path: Path | None = None
    """The folder to write to. None: in cellvision's cache folder, by the settings."""

    strength: float = Field(default=1.0, ge=0.0, le=1.0)
    """How strong the phenotype is: 0 is none at all, 1 puts about half of the protein of each
    treated cell into aggregates."""

    phenotype: Literal["aggregates", "location"] = "aggregates"
    """What differs. ``"aggregates"``: as above. ``"location"``: both classes have as many
    aggregates, in `treated` around the nucleus and in `control` in it, so that intensity tells
    little; with ``strength=0`` half of them are here and half there in both."""

    fields: int = Field(default=20, ge=1)
    """Wide-field images of each class."""

    field_size: int = Field(default=384, ge=32)
    """Height and width of a wide-field image, in pixels."""

    tiles: int = Field(default=9, ge=1)
    """Tiles that each wide-field image is cut into."""

    density: float = Field(default=4.5, gt=0.0, le=50.0)
    """Cells in 100 x 100 pixels; cells are larger where there are fewer."""

    nuisance: float = Field(default=1.0, ge=0.0, le=2.0)
    """How much brightness and focus differ from field to field, in both classes alike."""

    shortcut: float = Field(default=0.0, ge=0.0, le=4.0)
    """Raises the background of `treated` by this part of it: a way to tell the classes that is
    not the cells."""

    seed: int = Field(default=0, ge=0)
    """Another seed gives other cells."""

    def catalog(self) -> pd.DataFrame:
        """List all tiles; they are made first where they are not there yet.

        Raises
        ------
        errors.FolderError
            `path` holds something else.
        """
        self._make()
        return self._tiles.catalog()

    def decode(self, image: str) -> DecodedImage:
        """Read one tile: (height, width, 2), uint16."""
        return self._tiles.decode(image)

    def decode_file(self, file: Path) -> DecodedImage:
        """Read a file that is not in the catalog."""
        from cellvision.io import read_image

        return read_image(file)

    def read(self, image: str) -> np.ndarray:
        """Read one tile: (height, width, 2), uint16."""
        return self._tiles.read(image)

    def fingerprint(self, image: str) -> str:
        """Identify a tile by its file's bytes."""
        return self._tiles.fingerprint(image)

    def skipped_files(self) -> Sequence[SkippedFile]:
        """List what else is in the folder of tiles."""
        self._make()
        return self._tiles.skipped_files()

    def write_fields(self, out: str | os.PathLike[str]) -> list[Path]:
        """Write the wide-field images alone: ``out/<class>/field_000.tif``, ...

        Files that are there already are kept.

        Parameters
        ----------
        out
            A folder; made where missing.

        Returns
        -------
        list of pathlib.Path
            The files: 16-bit TIFF, two pages (DNA, protein).

        Examples
        --------
        >>> import tempfile
        >>> cells = SyntheticCells(fields=1, field_size=64)
        >>> [file.name for file in cells.write_fields(tempfile.mkdtemp())]
        ['field_000.tif', 'field_000.tif']
        """
        import tifffile

        from .cell_images import Scene, draw

        digits = max(3, len(str(self.fields - 1)))

        def write(number: int, field: int) -> Path:
            name = CLASS_NAMES[number]
            file = Path(out) / name / f"field_{field:0{digits}}.tif"
            if file.exists():
                return file
            treated = name == "treated"
            located = self.phenotype == "location"
            scene = Scene(
                size=self.field_size,
                density=self.density,
                aggregation=1.0 if located else self.strength if treated else 0.0,
                nuclear=0.5 + (-0.5 if treated else 0.5) * self.strength if located else None,
                background=1.0 + (self.shortcut if treated else 0.0),
                nuisance=self.nuisance,
            )
            planes = draw(scene, (self.seed, number, field))
            with io.atomic_path(file) as temporary:
                tifffile.imwrite(temporary, planes, photometric="minisblack", metadata=None)
            return file

        # Every field has its own random streams, so the order of drawing does not matter.
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
            numbers = range(len(CLASS_NAMES))
            drawn = [pool.submit(write, n, f) for n in numbers for f in range(self.fields)]
            return [one.result() for one in drawn]

    @property
    def _settings(self) -> dict[str, object]:
        """What the images depend on."""
        names = sorted(set(SyntheticCells.model_fields) - set(Dataset.model_fields) - {"path"})
        return {"version": _VERSION, **{name: getattr(self, name) for name in names}}

    @property
    def _home(self) -> Path:
        if self.path is not None:
            return self.path.expanduser()
        text = json.dumps(self._settings, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        return _cache_folder() / "synthetic_cells" / name

    @property
    def _tiles(self) -> Folder:
        tiles = self._home / "tiles"
        return Folder(path=tiles, group=self.group, batch=self.batch, classes=self.classes)

    def _make(self) -> None:
        """Generate all images in a temporary folder and rename it when it is complete."""
        from cellvision import prepare

        home = self._home
        if self._is_made(home):
            return
        home.parent.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        try:
            with io.atomic_folder(home) as folder:
                self.write_fields(folder / "fields")
                with warnings.catch_warnings():
                    # Two pages are two channels: here that needs no warning.
                    warnings.simplefilter("ignore", prepare.PrepareWarning)
                    prepare.slice_images(folder / "fields", folder / "tiles", tiles=self.tiles)
                io.write_text(folder / _RECORD, json.dumps(self._settings, indent=2) + "\n")
        except OSError:
            # Another process may have finished the same images first: use those.
            if not self._is_made(home):
                raise

    def _is_made(self, home: Path) -> bool:
        record = home / _RECORD
        try:
            made = json.loads(record.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if home.is_dir() and not any(home.iterdir()):
                return False
            if home.exists():
                raise errors.FolderError(
                    f"{home} holds something else than synthetic cells",
                    "Name a new folder with dataset.path, or leave it out",
                ) from None
            return False
        except ValueError:
            made = None
        if made != self._settings:
            raise errors.FolderError(
                f"{home} holds synthetic cells made with other settings ({record.name})",
                "Name a new folder with dataset.path, leave it out, or remove this one",
            )
        return True


def _cache_folder() -> Path:
    named = os.environ.get("CELLVISION_CACHE")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("cellvision"))


def _sweep(home: Path) -> None:
    """Remove what killed processes left beside, long enough ago that none still works on it."""
    for left in home.parent.glob(f".{home.name}.{'[0-9a-f]' * 12}"):
        if time.time() - left.stat().st_mtime > _A_DAY:
            shutil.rmtree(left, ignore_errors=True)
