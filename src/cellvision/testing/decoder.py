"""The checks that every decoder of a file format must pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors, interface_versions
from cellvision.data.decoder_plugins import find_decoder
from cellvision.data.files import read_image
from cellvision.digests import file_digest, pixel_digest
from cellvision.testing.component import loaded_alone
from cellvision.testing.conformance import Checks, conformance_check
from cellvision.testing.process import open_files
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    from cellvision.interfaces.decoded_image import DecodedImage
    from cellvision.plugin_candidates import PluginCandidate

_READS = 50


class DecoderChecks(Checks):
    """Checks of a decoder; its `name` is the suffix without the dot.

    Examples
    --------
    >>> class TestRaw(DecoderChecks):
    ...     name = "raw"
    ...
    ...     def write_example(self, folder):
    ...         path = folder / "frame.raw"
    ...         path.write_bytes(bytes(2 * 512 * 512))
    ...         return path
    """

    def write_example(self, folder: Path) -> Path:
        """Write a small file of the format, and return its path. Override it.

        Parameters
        ----------
        folder
            An empty folder.
        """
        raise CheckFailed(
            f"{type(self).__name__} writes no example in {folder}",
            "Override write_example(folder): write a small file and return its path.",
        )

    @property
    def _candidate(self) -> PluginCandidate:
        candidate, _ = self.once("loading", "test_loads", lambda: find_decoder(self.name))
        return candidate

    @property
    def _written(self) -> tuple[Path, dict[str, str]]:
        """The example, and the digests of all files that were written with it."""

        def write() -> tuple[Path, dict[str, str]]:
            folder = self.folder / "example"
            folder.mkdir()
            path = Path(self.write_example(folder))
            if path.suffix.lower() != f".{self.name.lower()}":
                raise CheckFailed(
                    f"the example ends in {path.suffix or 'no suffix'}, not in .{self.name}",
                    "Name the example as files of the format are named.",
                )
            return path, _digests(folder)

        return self.once("writing the example", "test_reads_its_example", write)

    @property
    def _path(self) -> Path:
        return self._written[0]

    @property
    def _image(self) -> DecodedImage:
        assert self._candidate is not None
        path = self._path
        return self.once("decoding", "test_reads_its_example", lambda: read_image(path))

    @conformance_check
    def test_loads(self) -> None:
        """Its suffix leads to one function that can be imported."""
        self.require(self._candidate, "there is no decoder", "")

    @conformance_check
    def test_fits_this_cellvision(self) -> None:
        """Its distribution declares which versions of cellvision it needs."""
        candidate = self._candidate
        self.require(
            interface_versions.required_cellvision(candidate.requires) is not None,
            f"{candidate.distribution} does not declare that it needs cellvision",
            'In its pyproject.toml: dependencies = ["cellvision>=0.1,<0.2"]',
        )

    @conformance_check
    def test_loads_without_keras(self) -> None:
        """In a new process, importing it imports no keras."""
        module = self._candidate.module
        heavy, _ = loaded_alone({"reference": module, "settings": None})
        self.require(
            not heavy,
            f"importing {module} imports {', '.join(heavy)}",
            "Import them inside the function, if it needs them.",
        )

    @conformance_check
    def test_reads_its_example(self) -> None:
        """The example becomes pixels, twice the same."""
        image, path = self._image, self._path
        again = read_image(path)
        self.require(
            pixel_digest(again.pixels) == pixel_digest(image.pixels),
            "decoding the example twice gives different pixels",
            "Depend on the content of the file alone.",
        )

    @conformance_check
    def test_reads_from_threads(self) -> None:
        """Reading from eight threads at once gives the same pixels."""
        expected, path = pixel_digest(self._image.pixels), self._path
        with ThreadPoolExecutor(8) as pool:
            digests = set(pool.map(lambda _: pixel_digest(read_image(path).pixels), range(32)))
        self.require(
            digests == {expected},
            "pixels differ when several threads read",
            "Share no open file between calls, or use a threading.Lock.",
        )

    @conformance_check
    def test_leaves_the_file_as_it_is(self) -> None:
        """Reading changes no file and leaves none open."""
        assert self._image is not None
        opened = open_files()
        for _ in range(_READS):
            read_image(self._path)
        left = open_files() - opened
        self.require(
            left < _READS // 5,
            f"after {_READS} reads {left} files are still open",
            "Open them by `with`.",
        )
        self.require(
            _digests(self.folder / "example") == self._written[1],
            "reading changes the folder of the file",
            "Write nothing beside images: their folder may be shared or read-only.",
        )

    @conformance_check
    def test_refuses_damaged_files(self) -> None:
        """A file that is cut off, empty or something else gives an error, not pixels."""
        assert self._image is not None
        content = self._path.read_bytes()
        damaged = {f"the first {share} % of the file": share for share in (0, 25, 50, 99)}
        kinds = {what: content[: len(content) * share // 100] for what, share in damaged.items()}
        kinds["a text"] = b"no image, but some words\n" * 10
        for what, part in kinds.items():
            path = self.folder / f"damaged{self._path.suffix}"
            path.write_bytes(part)
            self._refuses(what, path)

    def _refuses(self, what: str, path: Path) -> None:
        try:
            read: Any = read_image(path)
        except errors.UnreadableImage as error:
            self.require(True, "", "")
            if "failed: " in error.reason:
                self.note(f"{what}: {error.reason}; an UnreadableImage would say what is wrong")
            return
        self.require(
            False,
            f"{what} gives pixels of shape {read.pixels.shape}",
            "Compare the length of the file with its header; raise errors.UnreadableImage.",
        )


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in folder.iterdir()}
