"""The formats, how they are recognised, and which bioio reader reads each."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cellvision import errors


@dataclass(frozen=True)
class Format:
    """A format of microscope files.

    Attributes
    ----------
    title
        Common name.
    module
        Package of its bioio reader.
    extra
        Extra of this distribution that installs the package.
    options
        Arguments of the reader. By default some readers load a whole stack for one plane.
    """

    title: str
    module: str
    extra: str
    options: dict[str, Any] = field(default_factory=dict)

    def reader(self) -> Any:
        """Import the class of the reader.

        Raises
        ------
        errors.InvalidInput
            It is not installed; the message names the extra that brings it.
        """
        try:
            return importlib.import_module(self.module).Reader
        except ImportError as fault:
            package = self.module.replace("_", "-")
            raise errors.InvalidInput(
                f"{self.title} files need {package}, which cannot be imported: {fault}",
                f'python -m pip install "cellvision-bioio[{self.extra}]"',
            ) from fault


def _by_plane() -> dict[str, Any]:
    return {"chunk_dims": ["Y", "X", "S"]}


_OME_TIFF = Format("OME-TIFF", "bioio_ome_tiff", "tiff", _by_plane())
_OME_ZARR = Format("OME-Zarr", "bioio_ome_zarr", "zarr")

_FORMATS = {
    ".tif": _OME_TIFF,
    ".tiff": _OME_TIFF,
    ".zarr": _OME_ZARR,
    ".ozx": _OME_ZARR,
    ".czi": Format("Zeiss CZI", "bioio_czi", "czi", _by_plane()),
    ".nd2": Format("Nikon ND2", "bioio_nd2", "nd2"),
    ".lif": Format("Leica LIF", "bioio_lif", "lif", _by_plane()),
}

_OF_A_ZARR = (".zattrs", ".zgroup", "zarr.json")


def format_of(path: Path) -> Format | None:
    """Recognise the format by the suffix, and OME-Zarr also by the content of the folder."""
    known = _FORMATS.get(path.suffix.lower())
    if path.is_dir():
        inside = known is _OME_ZARR or any((path / name).is_file() for name in _OF_A_ZARR)
        return _OME_ZARR if inside else None
    return known if path.suffix.lower() != ".zarr" else None
