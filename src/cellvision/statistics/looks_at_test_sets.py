"""The odometer: counts how often a test set has been evaluated, over all studies.

Of many settings tried on one test set, one does well there by chance. The log has
one line per look, is only ever appended to, and identifies a test set by its pixels and labels,
whatever its files are called.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cellvision.errors import FolderError, InvalidInput

WITHHELD_FROM = 5
"""Number of settings from which the plain word is withheld."""


@dataclass(frozen=True)
class Look:
    """One evaluation of a test set.

    Attributes
    ----------
    test_set : str
        Digest of the test set (`digest_of_test_set`).
    setting : str
        Digest of the settings that were evaluated.
    study : str
        Identifier of the study. The same setting and study is the same look, so that a resumed
        study counts once.
    time : str
        ISO 8601, UTC.
    """

    test_set: str
    setting: str
    study: str
    time: str


@dataclass(frozen=True)
class LookCount:
    """How often a test set has been evaluated, this look included.

    Attributes
    ----------
    looks : int
        Number of evaluations.
    settings : int
        Number of different settings among them.
    """

    looks: int
    settings: int

    @property
    def withheld(self) -> bool:
        """Whether so many settings were tried that *learned* is not said any more."""
        return self.settings >= WITHHELD_FROM

    def adjust(self, p: float) -> float:
        """Multiply p by the number of looks from the second setting on."""
        return min(p * self.looks, 1.0) if self.settings > 1 else p

    @property
    def warning(self) -> str:
        """What several looks mean for p, as a sentence; empty at the first look."""
        if self.looks == 1:
            return ""
        consequence = "p is not adjusted for them, so do not choose the best"
        if self.settings > 1:
            consequence = "p is multiplied by the looks"
        return f"{self.describe()}: {consequence}."

    def describe(self) -> str:
        """Say it in words: ``look 7 of this test set, by 4 settings``."""
        return (
            f"look {self.looks} of this test set, by {self.settings} "
            f"setting{'s' * (self.settings > 1)}"
        )


def digest_of_test_set(pixel_digests: Iterable[str], labels: Iterable[object]) -> str:
    """Identify a test set by its pixels and labels, in whatever order.

    Parameters
    ----------
    pixel_digests
        Digest of the pixels of each image.
    labels
        Its class.

    Returns
    -------
    str
        SHA-256, hexadecimal.
    """
    pairs = sorted(
        f"{digest}\t{label}" for digest, label in zip(pixel_digests, labels, strict=True)
    )
    if not pairs:
        raise InvalidInput("the test set has no image", "Give at least one.")
    return hashlib.sha256("\n".join(pairs).encode()).hexdigest()


def count_looks(looks: Sequence[Look], test_set: str) -> LookCount:
    """Count the looks of one test set."""
    own = {(look.setting, look.study) for look in looks if look.test_set == test_set}
    return LookCount(len(own), len({setting for setting, _ in own}))


class Odometer:
    """Append-only log of looks, a file with one JSON object per line.

    Several processes may use it at once.

    Parameters
    ----------
    path
        The file; None: ``odometer.jsonl`` in the user's data folder of cellvision.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = default_path() if path is None else Path(path)

    def record(self, test_set: str, setting: str, study: str) -> LookCount:
        """Append a look, unless this study has recorded it, and count up to this one.

        Parameters
        ----------
        test_set, setting, study
            See `Look`.

        Raises
        ------
        FolderError
            The file cannot be written, or a line cannot be read.
        """
        from filelock import FileLock

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock"):
                looks = self.read()
                keys = [(look.test_set, look.setting, look.study) for look in looks]
                if (test_set, setting, study) in keys:
                    looks = looks[: keys.index((test_set, setting, study)) + 1]
                else:
                    time = datetime.now(UTC).isoformat(timespec="seconds")
                    looks.append(Look(test_set, setting, study, time))
                    self._append(looks[-1])
        except FolderError:  # is an OSError too, and has its own hint
            raise
        except OSError as error:
            raise FolderError(
                f"{self.path}: {error.strerror or error}", "Make the folder writable."
            ) from error
        return count_looks(looks, test_set)

    def _append(self, look: Look) -> None:
        content = self.path.read_bytes() if self.path.exists() else b""
        # A newline first after a line that was cut off, so that it spoils no other.
        newline = "\n" if content and not content.endswith(b"\n") else ""
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(f"{newline}{json.dumps(asdict(look))}\n")

    def count(self, test_set: str) -> LookCount:
        """Count the looks of a test set without recording one."""
        return count_looks(self.read(), test_set)

    def read(self) -> list[Look]:
        """Return all looks, oldest first.

        Raises
        ------
        FolderError
            A line is not a look. One that was cut off is skipped.
        """
        if not self.path.exists():
            return []
        looks = []
        # A line that was cut off may end within a character.
        lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        for number, line in enumerate(lines, start=1):
            if not line.strip() or _is_torn(line):
                continue
            try:
                looks.append(Look(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise FolderError(
                    f"{self.path}: line {number} is not a look", "Restore or remove that line."
                ) from error
        return looks


def _is_torn(line: str) -> bool:
    """Whether a line was cut off because its process was killed: an object that does not end."""
    return line.startswith("{") and not line.rstrip().endswith("}")


def default_path() -> Path:
    """Return the log in the user's data folder."""
    from platformdirs import user_data_path

    return user_data_path("cellvision", appauthor=False) / "odometer.jsonl"
