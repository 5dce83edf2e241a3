"""Synthetic cells with a phenotype of known strength."""

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
"""Increases whenever the same settings give other images."""

_RECORD = "settings.json"
_A_DAY = 24 * 3600  # seconds


class SyntheticCells(Dataset):
    """Synthetic wide-field fluorescence images of cells, cut into tiles, with known truth.

    In `treated` cells the protein (channel 1) forms bright aggregates; in `control` cells it is
    diffuse. The total per cell is the same, so texture distinguishes the classes and mean
    intensity does not. DNA (channel 0) does not differ. Brightness and focus vary between fields,
    independent of the class: with ``strength=0`` only they can be memorised.

    The images are files: ``fields/<class>/field_000.tif`` (16-bit TIFF, two pages, values
    within 12 bits, Poisson and read noise, uneven illumination), and ``tiles/`` that
    `cellvision.prepare.slice_images` cuts from them, with their `manifest.csv`. The tiles are
    read as by the data set `folder`; the ``group`` is the field. Images depend on the settings
    alone.

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
    """Folder to write to. None: a folder for these settings in cellvision's cache."""

    strength: float = Field(default=1.0, ge=0.0, le=1.0)
    """Strength of the phenotype: 0 is none, 1 puts about half of the protein of each treated cell
    into aggregates."""

    phenotype: Literal["aggregates", "location"] = "aggregates"
    """Difference between the classes. ``"aggregates"``: as above. ``"location"``: both classes have
    equally many aggregates, around the nucleus in `treated` and inside it in `control`, so
    intensity says little; with ``strength=0`` both have half of them in each place."""

    fields: int = Field(default=20, ge=1)
    """Number of wide-field images of each class."""

    field_size: int = Field(default=384, ge=32)
    """Height and width of a wide-field image, in pixels."""

    tiles: int = Field(default=9, ge=1)
    """Number of tiles per wide-field image."""

    density: float = Field(default=4.5, gt=0.0, le=50.0)
    """Cells per 100 x 100 pixels; fewer cells are larger."""

    nuisance: float = Field(default=1.0, ge=0.0, le=2.0)
    """Variation of brightness and focus between fields, equal in both classes."""

    shortcut: float = Field(default=0.0, ge=0.0, le=4.0)
    """Raises the background of `treated` by this fraction: a shortcut that is not the cells."""

    seed: int = Field(default=0, ge=0)
    """Seed of the cells."""

    def catalog(self) -> pd.DataFrame:
        """List all tiles; they are generated first if needed.

        Raises
        ------
        errors.FolderError
            `path` contains something else.
        """
        self._generate()
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
        """Identify a tile by the bytes of its file."""
        return self._tiles.fingerprint(image)

    def skipped_files(self) -> Sequence[SkippedFile]:
        """List the other files in the folder of tiles."""
        self._generate()
        return self._tiles.skipped_files()

    def write_fields(self, out: str | os.PathLike[str]) -> list[Path]:
        """Write the wide-field images only: ``out/<class>/field_000.tif``, ...

        Existing files are kept.

        Parameters
        ----------
        out
            Folder; created if needed.

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

        from .cell_simulation import Scene, draw

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
        with ThreadPoolExecutor(min(_processors(), 8)) as pool:
            numbers = range(len(CLASS_NAMES))
            files = [pool.submit(write, n, f) for n in numbers for f in range(self.fields)]
            return [file.result() for file in files]

    @property
    def _settings(self) -> dict[str, object]:
        """Everything that the images depend on."""
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

    def _generate(self) -> None:
        """Generate all images in a temporary folder and rename it when it is complete."""
        from cellvision import prepare

        home = self._home
        if self._is_complete(home):
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
            if not self._is_complete(home):
                raise

    def _is_complete(self, home: Path) -> bool:
        record = home / _RECORD
        try:
            settings = json.loads(record.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if home.is_dir() and not any(home.iterdir()):
                return False
            if home.exists():
                raise errors.FolderError(
                    f"{home} contains something else than synthetic cells",
                    "Set dataset.path to a new folder, or leave it out.",
                ) from None
            return False
        except ValueError:
            settings = None
        if settings != self._settings:
            raise errors.FolderError(
                f"{home} contains synthetic cells of other settings ({record.name})",
                "Set dataset.path to a new folder, leave it out, or remove this folder.",
            )
        return True


def _processors() -> int:
    """Return the number of processors allotted to this process, not those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cache_folder() -> Path:
    configured = os.environ.get("CELLVISION_CACHE")
    if configured:
        return Path(configured)
    import platformdirs

    return Path(platformdirs.user_cache_dir("cellvision"))


def _sweep(home: Path) -> None:
    """Remove temporary folders of killed processes, if too old to be in use."""
    for folder in home.parent.glob(f".{home.name}.{'[0-9a-f]' * 12}"):
        if time.time() - folder.stat().st_mtime > _A_DAY:
            shutil.rmtree(folder, ignore_errors=True)
