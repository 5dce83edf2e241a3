"""Fuzz the decoders guided by coverage: ``python -m fuzz.guided -runs=100000``.

Needs atheris (``pip install atheris``). Options are libFuzzer's; the limits of time and memory are
those of the other harness. It runs until it finds a fault, whose file it writes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cellvision.data", "tifffile"]):
    from cellvision.io import read_image

from fuzz.mutants import Mutant
from fuzz.seeds import seeds
from fuzz.worker import MAX_GROWTH, MAX_SECONDS, check

_BASE_MIB = 512
"""Memory of the process before it reads an image."""


def main() -> None:
    """Start from the valid files of the other harness, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, path = Path(folder) / "corpus", Path(folder) / "mutant"
        corpus.mkdir()
        for name, content in seeds().items():
            (corpus / name).write_bytes(content)
            path.write_bytes(content)
            read_image(path)

        def read(content: bytes) -> None:
            outcome, reason = check(Mutant("any", "guided", content), path, {})
            if outcome == "fault":
                raise AssertionError(reason)

        limits = [f"-timeout={MAX_SECONDS}", f"-rss_limit_mb={_BASE_MIB + MAX_GROWTH // 2**20}"]
        atheris.Setup([sys.argv[0], *limits, *sys.argv[1:], str(corpus)], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
