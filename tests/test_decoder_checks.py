"""The kit finds the faults of a decoder one by one."""

from __future__ import annotations

import json
import unittest
from pathlib import Path

import pytest

from cellvision import errors, schema
from cellvision.cli import main
from cellvision.testing import CheckFailed, DecoderChecks, Isolation

SOURCE = """
import numpy as np
from cellvision import errors
{top}
calls = []

def decode(path):
    content = path.read_bytes()
    {body}
    if len(content) != 64:
        raise errors.UnreadableImage(str(path), "not 64 bytes")
    return np.frombuffer(content, "uint8").reshape(8, 8, 1)
"""


def outcomes(
    isolation: Isolation,
    body: str = "pass",
    top: str = "",
    example: str = "frame.raw",
    *,
    in_new_process: bool = False,
) -> tuple[dict[str, str], list[str]]:
    """Return the failures of a decoder with one fault, and the advice."""
    isolation.install(
        "lab-raw",
        {"decoder": {"raw": "lab_raw:decode"}},
        {"lab_raw": SOURCE.format(body=body, top=top)},
    )

    class Raw(DecoderChecks):
        name = "raw"

        def write_example(self, folder: Path) -> Path:
            path = folder / example
            path.write_bytes(bytes(range(64)))
            return path

    checks, failures, notes = Raw(), {}, []
    for check in checks.checks():
        if check == "test_loads_without_keras" and not in_new_process:
            continue
        try:
            getattr(checks, check)()
            notes += list(checks.notes)
        except CheckFailed as failure:
            failures[check.removeprefix("test_")] = failure.what
        except unittest.SkipTest:
            continue
    return failures, notes


def test_a_good_decoder_passes(isolated_registries: Isolation) -> None:
    assert outcomes(isolated_registries, in_new_process=True) == ({}, [])


@pytest.mark.exhaustive
def test_importing_keras_is_a_failure(isolated_registries: Isolation) -> None:
    failures, _ = outcomes(isolated_registries, top="import keras", in_new_process=True)
    assert "keras" in failures["loads_without_keras"]


@pytest.mark.parametrize(
    ("fault", "check", "what"),
    [
        ({"body": "return"}, "reads_its_example", "returned NoneType"),
        ({"body": "1 / 0"}, "reads_its_example", "ZeroDivisionError"),
        ({"example": "frame.dat"}, "reads_its_example", "ends in .dat, not in .raw"),
        (
            {"body": "calls.append(0); content = bytes([len(calls) % 200]) + content[1:]"},
            "reads_its_example",
            "twice gives different pixels",
        ),
        (
            {"body": "content = content.ljust(64, b'0')[:64]"},
            "refuses_damaged_files",
            "the first 0 % of the file gives pixels of shape (8, 8, 1)",
        ),
        ({"body": "calls.append(path.open())"}, "leaves_the_file_as_it_is", "still open"),
        (
            {"body": "path.with_suffix('.index').write_text(str(len(calls)))"},
            "leaves_the_file_as_it_is",
            "changes the folder",
        ),
        ({"top": "import no_such_module"}, "loads", "ModuleNotFoundError"),
    ],
)
def test_each_fault_fails_its_check(
    isolated_registries: Isolation, fault: dict[str, str], check: str, what: str
) -> None:
    failures, _ = outcomes(isolated_registries, **fault)
    assert what in failures.pop(check)
    assert set(failures) <= {"reads_from_threads"}  # of the one that differs at each call


def test_errors_of_python_are_advised_against(isolated_registries: Isolation) -> None:
    body = "content = np.frombuffer(content, 'uint8').reshape(8, 8).tobytes()"
    failures, notes = outcomes(isolated_registries, body)
    assert failures == {}
    assert len(notes) == 5
    assert "failed: ValueError: cannot reshape" in notes[0]


def test_the_check_of_the_command_says_where_the_kit_is(isolated_registries: Isolation) -> None:
    outcomes(isolated_registries)
    with pytest.raises(errors.UnknownPlugin, match="'raw' is a decoder") as caught:
        schema.named("raw")
    assert "DecoderChecks" in caught.value.hint


@pytest.mark.parametrize("name", ["raw", "decoder:raw", "RAW"])
def test_the_command_checks_a_decoder_with_a_file(
    isolated_registries: Isolation, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    outcomes(isolated_registries)
    frame = tmp_path / "mine.raw"
    frame.write_bytes(bytes(range(64)))

    def status(*words: str) -> int:
        with pytest.raises(SystemExit) as end:
            main(["check", name, *words])
        return int(end.value.code or 0)

    status("--json", "--set", f"path={frame}")
    rows = json.loads(capsys.readouterr().out)
    passed = {row["check"] for row in rows if row["outcome"] == "passed"}
    assert passed >= {"reads_its_example", "reads_from_threads", "refuses_damaged_files"}
    assert {row["kind"] for row in rows} == {"decoder"}
    assert status() == 2
    assert "is checked with a file" in capsys.readouterr().err
    assert status("--set", f"path={tmp_path}/gone.raw") == 2
    assert "gone.raw: no such file" in capsys.readouterr().err
    assert status("--set", "size=3") == 2
    assert "has no setting 'size'" in capsys.readouterr().err
