"""Two thousand damaged files, always the same: each is read cleanly or refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cellvision import DecodedImage
from cellvision.io import read_image
from fuzz.campaign import Report, run
from fuzz.mutants import Mutant
from fuzz.seeds import seeds
from fuzz.worker import check, mutant


@pytest.mark.skipif(os.name == "nt", reason="limits of memory need POSIX")
def test_two_thousand_mutants() -> None:
    report = run(2000, seed=0)
    assert report.faults == []
    assert report.counts["read"] + report.counts["refused"] == 2000
    assert min(report.counts["read"], report.counts["refused"]) > 300
    assert report.slowest < 10


def test_the_valid_files_are_valid(tmp_path: Path) -> None:
    for name, content in seeds().items():
        (tmp_path / name).write_bytes(content)
        assert read_image(tmp_path / name).pixels.size > 0


def test_mutants_are_the_same_for_the_same_seed() -> None:
    files = seeds()
    first, again = (mutant(3, 14, files) for _ in range(2))
    assert first == again
    assert len({mutant(3, index, files).content for index in range(40)}) > 30
    assert {mutant(0, index, files).seed for index in range(900)} == files.keys()


def test_what_counts_as_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from fuzz import worker

    content = seeds()["grey.pgm"]
    path = tmp_path / "a.pgm"
    path.write_bytes(content)
    originals = {"grey.pgm": read_image(path)}
    assert check(Mutant("grey.pgm", "cut", content), path, originals) == ("read", "")
    assert check(Mutant("grey.pgm", "cut", content[:-1]), path, originals)[0] == "refused"
    other = DecodedImage(np.zeros((13, 11, 1), np.uint8), 8, ())
    monkeypatch.setattr(worker, "read_image", lambda _: other)
    outcome, reason = check(Mutant("grey.pgm", "cut", content), path, originals)
    assert (outcome, reason) == ("fault", "a file that is cut off was read with other pixels")

    def crash(_: Path) -> DecodedImage:
        raise KeyError("tag")

    monkeypatch.setattr(worker, "read_image", crash)
    assert check(Mutant("grey.pgm", "bits", content), path, originals)[0] == "fault"


def test_reports_add_up() -> None:
    report, other = Report(), Report()
    report.add({"index": 1, "outcome": "read", "seconds": 0.5})
    other.add({"index": 2, "outcome": "fault", "reason": "the process died or hung"})
    report.merge(other)
    assert dict(report.counts) == {"read": 1, "fault": 1}
    assert [row["index"] for row in report.faults] == [2]
    assert report.slowest == 0.5
