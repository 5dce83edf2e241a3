"""Images in folders: one folder a class, if you like in one folder a split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import SkippedFile, errors, remote

from .image_files import ImageFiles
from .layout import MANIFEST, Layout, look_through
from .provenance import Provenance, manifest_above, read_provenance

if TYPE_CHECKING:
    import pandas as pd


class Folder(ImageFiles):
    """Images in FOLDER/<class>/* or FOLDER/<split>/<class>/*, with provenance from tables.

    An image's id is its path relative to the folder. `groups.csv` (a column ``file``, then
    provenance) and the `manifest.csv` that ``cellvision prepare`` writes are used where they
    lie beside the classes, or in a split's or a class's folder: a column ``group`` is the
    independent unit, else the ``field`` of a manifest is. A split or a class of a prepared
    folder, used by itself, goes by the manifest above it. Columns that are called like the
    catalog's own (``image``, ``label``, ``split``) become ``image_in_table`` and so on: class
    and split are what the folders say.

    Examples
    --------
    >>> import tempfile, numpy, tifffile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("control/s0.tif", "treated/s0.tif"):
    ...     (folder / name).parent.mkdir()
    ...     tifffile.imwrite(folder / name, numpy.zeros((8, 8), "uint16"))
    >>> Folder(path=folder).catalog()
                image    label
    0  control/s0.tif  control
    1  treated/s0.tif  treated
    """

    path: remote.Location
    """The folder, or its address on remote storage, such as ``s3://bucket/images``."""

    def catalog(self) -> pd.DataFrame:
        """List all images, in natural order, with the columns of the provenance tables.

        Raises
        ------
        errors.FolderError
            The folder is missing, has another layout, or is still being prepared.
        errors.CatalogError
            A provenance table cannot be read or contradicts another.
        """
        with remote.folder(self.path) as root:
            return self._catalog(root)

    def _catalog(self, root: Path) -> pd.DataFrame:
        import pandas as pd

        layout = look_through(root)
        images = [found.name for found in layout.images]
        provenance = _provenance(root, layout)
        columns: dict[str, list[str | None]] = {
            "image": list(images),
            "label": [found.label for found in layout.images],
        }
        if layout.images[0].split is not None:
            columns["split"] = [found.split for found in layout.images]
        names = list(provenance.columns)
        if "group" not in names and provenance.has_fields:
            columns["group"] = _values(provenance, images, "field")
            self._refuse_gaps(images, columns["group"])
        for name in sorted(names, key=lambda name: name != "group"):
            columns[name] = _values(provenance, images, name)
        return pd.DataFrame(columns)

    def locate(self, image: str) -> Path:
        """Give the file of one image."""
        return remote.locate(self.path, image)

    def skipped_files(self) -> Sequence[SkippedFile]:
        """List every file that is not in the catalog: no image, misplaced, or a table."""
        with remote.folder(self.path) as root:
            layout = look_through(root)
            absent = _provenance(root, layout).absent
        tables = [
            SkippedFile(
                table,
                "provenance table"
                + (f" ({absent[table]} of its rows name no image here)" if absent[table] else ""),
                expected=not absent[table],
            )
            for table in layout.tables
        ]
        return [*layout.skipped_files, *tables]

    def _refuse_gaps(self, images: Sequence[str], units: Sequence[str | None]) -> None:
        """Refuse to guess the field of an image that the manifest leaves out."""
        gaps = [image for image, unit in zip(images, units, strict=True) if unit is None]
        if gaps and self.group is None:
            raise errors.CatalogError(
                f"{self.path}: {len(gaps)} image(s) have no field in a {MANIFEST}, "
                f"first: {gaps[0]}",
                "Prepare them in the same way, or name every image's unit in groups.csv "
                "(a column 'group')",
            )


def _provenance(root: Path, layout: Layout) -> Provenance:
    images = [found.name for found in layout.images]
    if not layout.tables:
        return manifest_above(root, images)
    return read_provenance(root, layout.tables, images)


def _values(provenance: Provenance, images: Sequence[str], column: str) -> list[str | None]:
    return [provenance.rows[i].get(column) if i in provenance.rows else None for i in images]
