"""Images in folders: one folder per class, optionally within one folder per split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from cellvision import SkippedFile, errors, remote

from .image_files import ImageFiles
from .layout import MANIFEST, Layout, find_files
from .provenance import Provenance, manifest_above, read_provenance

if TYPE_CHECKING:
    import pandas as pd


class Folder(ImageFiles):
    """Images in FOLDER/<class>/* or FOLDER/<split>/<class>/*, with provenance from tables.

    An image's id is its path relative to the folder. Provenance comes from `groups.csv` (a column
    ``file``, then provenance) and the `manifest.csv` that ``cellvision prepare`` writes, beside
    the classes or in the folder of a split or a class. The group is the column ``group``, else
    the ``field`` of a manifest. If a split or a class of a prepared folder is used alone, the
    manifest above it applies. Columns named ``image``, ``label`` or ``split`` become
    ``image_in_table`` and so on, because folders decide on class and split.

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
    """Folder, or its address on remote storage, such as ``s3://bucket/images``."""

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
            contents = _scan(root)
        _unused_scans[self] = contents
        return self._table(contents)

    def _table(self, contents: _Contents) -> pd.DataFrame:
        import pandas as pd

        layout, provenance = contents.layout, contents.provenance
        images = [image.name for image in layout.images]
        columns: dict[str, list[str | None]] = {
            "image": list(images),
            "label": [image.label for image in layout.images],
        }
        if layout.images[0].split is not None:
            columns["split"] = [image.split for image in layout.images]
        names = list(provenance.columns)
        if "group" not in names and provenance.has_fields:
            columns["group"] = _values(provenance, images, "field")
            self._refuse_gaps(images, columns["group"])
        for name in sorted(names, key=lambda name: name != "group"):
            columns[name] = _values(provenance, images, name)
        return pd.DataFrame(columns)

    def locate(self, image: str) -> Path:
        """Return the file of an image."""
        return remote.locate(self.path, image)

    def skipped_files(self) -> Sequence[SkippedFile]:
        """List every file that is not in the catalog: not an image, misplaced, or a table.

        Right after `catalog`, this uses the same scan of the folder.
        """
        contents = _unused_scans.pop(self, None)
        if contents is None:
            with remote.folder(self.path) as root:
                contents = _scan(root)
        layout, absent = contents.layout, contents.provenance.absent
        tables = [
            SkippedFile(
                table,
                "provenance table"
                + (
                    f" ({absent[table]} of its rows name no image of the folder)"
                    if absent[table]
                    else ""
                ),
                expected=not absent[table],
            )
            for table in layout.tables
        ]
        return [*layout.skipped_files, *tables]

    def _refuse_gaps(self, images: Sequence[str], fields: Sequence[str | None]) -> None:
        """Refuse to guess the field of an image that the manifest lacks."""
        gaps = [image for image, field in zip(images, fields, strict=True) if field is None]
        if gaps and self.group is None:
            raise errors.CatalogError(
                f"{self.path}: a {MANIFEST} lacks the field of {len(gaps)} of its images, "
                f"first: {gaps[0]}",
                "Prepare them in the same way, or name every image's group in groups.csv "
                "(a column 'group')",
            )


@dataclass(frozen=True, eq=False)
class _Contents:
    """One scan of the folder."""

    layout: Layout
    provenance: Provenance


# The scan of the last `catalog` of each data set, until `skipped_files` has used it: listing a
# large folder on a network drive takes minutes.
_unused_scans: WeakKeyDictionary[Folder, _Contents] = WeakKeyDictionary()


def _scan(root: Path) -> _Contents:
    layout = find_files(root)
    return _Contents(layout, _provenance(root, layout))


def _provenance(root: Path, layout: Layout) -> Provenance:
    images = [image.name for image in layout.images]
    if not layout.tables:
        return manifest_above(root, images)
    return read_provenance(root, layout.tables, images)


def _values(provenance: Provenance, images: Sequence[str], column: str) -> list[str | None]:
    return [provenance.rows[i].get(column) if i in provenance.rows else None for i in images]
