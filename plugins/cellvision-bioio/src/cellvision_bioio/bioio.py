"""Images in microscope files: scenes and time points, by class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from cellvision import Dataset, SkippedFile, errors

from .layout import GROUPS, find_files

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision import DecodedImage

    from .containers import Container, Scene

Number = Annotated[int, Field(ge=0, strict=True)]
Numbers = Annotated[tuple[Number, ...], Field(min_length=1)]

_ID = re.compile(r"(?P<file>.+)#scene=(?P<scene>[0-9]+),t=(?P<time>[0-9]+)", re.DOTALL)
_OWN = ("image", "label", "split", "scene", "time", "channels")


class Bioio(Dataset):
    """Microscope files (OME-TIFF, OME-Zarr, CZI, ND2, LIF) in a folder for each class.

    The files are in FOLDER/<class>/* or FOLDER/<split>/<class>/*. Every time point of every scene
    is one image: ``control/a.czi#scene=0,t=0``. The catalog lists ``file``, ``scene`` (its name),
    ``time`` and ``channels``, and the columns of a ``groups.csv`` beside the classes (a column
    ``file``, then provenance). The ``group`` is the file, unless that table has a column
    ``group``, so that no file is divided between splits. Channels have the order of the file;
    choose with ``preprocessing.channels``. Only the selected plane is read.

    The readers are those of bioio (https://github.com/bioio-devs/bioio). Extras such as
    ``cellvision-bioio[czi]`` install them; the reader of OME-TIFF is always installed.

    Examples
    --------
    >>> import tempfile, numpy, tifffile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("control", "treated"):
    ...     (folder / name).mkdir()
    ...     pixels = numpy.zeros((2, 8, 8), "uint16")
    ...     tifffile.imwrite(folder / name / "a.ome.tif", pixels, metadata={"axes": "TYX"})
    >>> list(Bioio(path=folder, t=(1,)).catalog()["image"])
    ['control/a.ome.tif#scene=0,t=1', 'treated/a.ome.tif#scene=0,t=1']
    """

    path: Path
    """Folder that contains the class folders."""

    scenes: Numbers | None = None
    """Numbers of the scenes (positions, series) to use, from 0. None: all."""

    z: Number | Literal["middle", "max"] = "middle"
    """Plane of a stack: its number from 0, the middle plane, or the maximum of all planes."""

    t: Numbers | None = None
    """Numbers of the time points to use, from 0. None: all."""

    def catalog(self) -> pd.DataFrame:
        """List the images of all files; reads the metadata of every file.

        A file that cannot be opened is listed by its name alone, and refused when it is read.

        Raises
        ------
        errors.FolderError
            The folder is missing, or has another layout.
        errors.CatalogError
            A file has not a scene or a time point that the settings name, or ``groups.csv``
            cannot be used.
        errors.InvalidInput
            The reader for a format is not installed.
        """
        import pandas as pd

        layout = find_files(self._root)
        rows = []
        for microscope_file in layout.containers:
            first: dict[str, object] = {
                "image": microscope_file.name,
                "label": microscope_file.label,
            }
            if microscope_file.split is not None:
                first["split"] = microscope_file.split
            first |= {"group": microscope_file.name, "file": microscope_file.name}
            rows += [{**first, **image} for image in self._images(microscope_file.name)]
        table = pd.DataFrame(rows)
        if layout.table:
            from .provenance import read_groups

            columns = read_groups(self._root / GROUPS, set(table["file"]))
            for column, values in columns.items():
                name = f"{column}_in_table" if column in _OWN else column
                table[name] = table["file"].map(values)
        return table

    def decode(self, image: str) -> DecodedImage:
        """Read one image with the bit depth that the file declares; nothing is scaled.

        Raises
        ------
        errors.UnreadableImage
            It cannot be read, or lacks the plane that `z` names.
        """
        from cellvision import DecodedImage

        from .containers import depth_of, one_line, open_container

        parts = _ID.fullmatch(image)
        file = parts["file"] if parts else image
        container = open_container(self._root / file, image)
        if parts is None:
            raise errors.UnreadableImage(image, "the id names no scene and time point")
        number, time = int(parts["scene"]), int(parts["time"])
        try:
            scene = container.scene(number)
            if time >= scene.times:
                raise IndexError(f"the number of time points is {scene.times}")
            pixels, note = self._planes(container, number, scene, time)
        except Exception as fault:  # a damaged file can raise anything
            reason = one_line(fault, self._root / file)
            raise errors.UnreadableImage(image, reason) from fault
        names = f"channels: {', '.join(scene.channels)}" if scene.channels else ""
        notes = tuple(text for text in (note, names) if text)
        return DecodedImage(pixels, depth_of(pixels, scene.significant_bits), notes)

    def decode_file(self, file: Path) -> DecodedImage:
        """Read a file that is not in the catalog, with the settings of this data set.

        Raises
        ------
        errors.UnreadableImage
            It cannot be read, or the settings select several images in it.
        """
        beside = self.model_copy(update={"path": file.parent})
        images = [str(image.get("image", file.name)) for image in beside._images(file.name)]
        if len(images) != 1:
            raise errors.UnreadableImage(
                str(file),
                f"it contains {len(images)} images (scenes or time points)",
                "Predict its folder as a data set: --dataset bioio",
            )
        return beside.decode(images[0])

    def read(self, image: str) -> np.ndarray:
        """Read one image: (height, width, channels) in its native dtype."""
        return self.decode(image).pixels

    def skipped_files(self) -> Sequence[SkippedFile]:
        """List every file that is not a microscope file, or misplaced."""
        layout = find_files(self._root)
        table = [SkippedFile(GROUPS, "provenance table", expected=True)] if layout.table else []
        return [*layout.skipped_files, *table]

    @property
    def _root(self) -> Path:
        return self.path.expanduser()

    def _images(self, file: str) -> Iterator[dict[str, object]]:
        from .containers import one_line, open_container

        try:
            container = open_container(self._root / file, file)
        except errors.UnreadableImage:
            yield {"scene": None, "time": None, "channels": None}  # reading it gives the reason
            return
        for number in self._chosen(self.scenes, len(container.scenes), file, "scene"):
            try:
                scene = container.scene(number)
            except Exception as fault:
                raise errors.CatalogError(
                    f"{self._root / file}: cannot list scene {number}: "
                    f"{one_line(fault, self._root / file)}",
                    "Choose others with dataset.scenes, or move the file away",
                ) from fault
            for time in self._chosen(self.t, scene.times, file, "time point"):
                yield {
                    "image": f"{file}#scene={number},t={time}",
                    "scene": scene.name,
                    "time": time,
                    "channels": ", ".join(scene.channels) or None,
                }

    def _chosen(
        self, selection: Sequence[int] | None, count: int, file: str, what: str
    ) -> Sequence[int]:
        if selection is None:
            return range(count)
        missing = [number for number in selection if number >= count]
        if missing:
            setting = "scenes" if what == "scene" else "t"
            raise errors.CatalogError(
                f"{self._root / file} has no {what} beyond {count - 1}, so no {what} {missing[0]}",
                f"Numbers begin with 0; correct dataset.{setting}.",
            )
        return sorted(set(selection))

    def _planes(
        self, container: Container, number: int, scene: Scene, time: int
    ) -> tuple[np.ndarray, str]:
        """Return the pixels that `z` selects, and a note if there was a choice."""
        import numpy as np

        if self.z == "max":
            pixels = container.plane(number, time, 0)
            for z in range(1, scene.planes):  # one by one, to save memory
                pixels = np.maximum(pixels, container.plane(number, time, z))
            return pixels, f"maximum of {scene.planes} planes" if scene.planes > 1 else ""
        z = scene.planes // 2 if self.z == "middle" else self.z
        if z >= scene.planes:
            raise IndexError(f"the number of planes is {scene.planes}, so no plane {z} (dataset.z)")
        note = f"plane {z} of 0 to {scene.planes - 1}" if scene.planes > 1 else ""
        return container.plane(number, time, z), note
