"""The pixels of one image as its file stores them: what a data set returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellvision.integers import as_int

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Note(str):
    """One line about a change that reading made to an image.

    A note is a string with two attributes, so a plain string is a valid note as well: its text
    counts as its kind.

    Parameters
    ----------
    text
        What was applied or left out, for this image ("EXIF orientation 6 applied").
    kind
        Name shared by all notes of one sort ("orientation_applied"). An audit counts by it.
    warning
        Whether information may have been lost, so that a person should look.

    Examples
    --------
    >>> note = Note("alpha channel dropped", "alpha_dropped")
    >>> note, note.kind, note.warning
    ('alpha channel dropped', 'alpha_dropped', False)
    """

    kind: str
    warning: bool

    def __new__(cls, text: str, kind: str = "", *, warning: bool = False) -> Note:
        """Create a note; its text is its kind if none is given."""
        note = super().__new__(cls, text)
        note.kind = kind or text
        note.warning = warning
        return note


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """The pixels of one file and what is known about them.

    Attributes
    ----------
    pixels : numpy.ndarray
        (H, W, C) in the dtype of the file and native byte order; possibly read-only.
    bit_depth : int
        Bits per sample as the file's header declares: 1, 8, 10, 12, 14, 16, 32 or 64. It may be
        less than the dtype holds: 12-bit cameras are stored as uint16.
    notes : tuple of str
        One line for each change that reading made; a `Note` also carries its kind.
    compression : str
        How the file is compressed, such as ``LZW`` or ``JPEG, quality 90``; empty if unknown.
    """

    pixels: NDArray[np.generic]
    bit_depth: int
    notes: tuple[str, ...] = ()
    compression: str = ""

    def __post_init__(self) -> None:
        depth = as_int(self.bit_depth)
        if depth is not None:  # a NumPy integer could not be written to the audit's JSON
            object.__setattr__(self, "bit_depth", depth)

    @property
    def fault(self) -> str:
        """Why the bit depth or the notes cannot be used, in one line; empty if they can."""
        depth: object = self.bit_depth
        most = 8 * self.pixels.dtype.itemsize
        if as_int(depth) is None or not 1 <= self.bit_depth <= most:
            return f"a bit depth of {depth!r} for {self.pixels.dtype}, not from 1 to {most}"
        notes: object = self.notes
        if not isinstance(notes, tuple | list) or not all(isinstance(n, str) for n in notes):
            return f"the notes {notes!r:.80}, not a tuple of texts"
        return ""

    @classmethod
    def of_pixels(cls, pixels: NDArray[np.generic]) -> DecodedImage:
        """Return an image whose bit depth is that of its dtype."""
        import numpy as np

        pixels = np.asarray(pixels)
        return cls(pixels, 1 if pixels.dtype == bool else pixels.dtype.itemsize * 8, ())
