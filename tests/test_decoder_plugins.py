"""Decoders of plugins: file formats that cellvision does not read itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from python_path import python_path

from cellvision import errors, io
from cellvision.data.decoder_plugins import plugin_suffixes
from cellvision.data.pixel_reader import reader_digest
from cellvision.plugin_versions import missing_plugins
from cellvision.results.environment import decoder_requirements
from cellvision.testing import SyntheticImages
from cellvision.testing.isolation import Isolation

SOURCE = '''
"""Raw frames of a camera."""

import numpy as np

from cellvision import errors


def decode(path):
    """Read a raw frame of 8 by 8 pixels."""
    content = path.read_bytes()
    if len(content) != 64:
        raise errors.UnreadableImage(str(path), "not 64 bytes")
    return np.frombuffer(content, "uint8").reshape(8, 8, 1)


def flat(path):
    return np.zeros(64)
'''


def install(isolation: Isolation, target: str = "decode", lab: str = "lab") -> None:
    module = f"{lab}_raw"
    isolation.install(f"{lab}-raw", {"decoder": {"raw": f"{module}:{target}"}}, {module: SOURCE})


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    path = tmp_path / "cell.RAW"
    path.write_bytes(bytes(range(64)))
    return path


def test_a_plugin_decodes_its_suffix(isolated_registries: Isolation, frame: Path) -> None:
    with pytest.raises(errors.UnreadableImage):
        io.read_image(frame)
    install(isolated_registries)
    assert plugin_suffixes() == {".raw"}
    assert "lab_raw" not in sys.modules
    image = io.read_image(frame)
    assert image.bit_depth == 8
    assert np.array_equal(image.pixels.ravel(), np.arange(64))
    frame.write_bytes(b"short")
    with pytest.raises(errors.UnreadableImage, match="not 64 bytes"):
        io.read_image(frame)


def test_the_content_decides_before_the_suffix(isolated_registries: Isolation, frame: Path) -> None:
    from PIL import Image

    install(isolated_registries)
    Image.fromarray(np.full((5, 6), 7, np.uint8)).save(frame, format="png")
    assert io.read_image(frame).pixels.shape == (5, 6, 1)


def test_faults_name_the_plugin(isolated_registries: Isolation, frame: Path) -> None:
    install(isolated_registries, "flat")
    with pytest.raises(errors.PluginContractError, match=r"raw \(lab-raw 1\.0\) returned ndarray"):
        io.read_image(frame)
    install(isolated_registries, lab="other")
    with pytest.raises(errors.PluginConflict, match=r"lab-raw 1\.0 and other-raw 1\.0"):
        io.read_image(frame)


def test_a_broken_decoder_names_itself(isolated_registries: Isolation, frame: Path) -> None:
    install(isolated_registries, "gone")
    with pytest.raises(errors.BrokenPlugin, match="decoder raw"):
        io.read_image(frame)


def test_a_record_names_the_decoders_of_its_images(isolated_registries: Isolation) -> None:
    install(isolated_registries)
    images = ["a/1.RAW", "a/2.png", "raw", "b/3.raw"]
    recorded = decoder_requirements(images)
    assert recorded == {"cellvision.decoders:raw": "lab-raw==1.0"}
    assert decoder_requirements(["1.png", "raw"]) == {}
    assert missing_plugins(recorded) == {}
    lost = {"cellvision.decoders:odd": "lab-odd==1.0"}
    assert missing_plugins({**recorded, **lost}) == lost
    assert "lab_raw" not in sys.modules


def test_pixels_that_another_version_of_a_decoder_read_are_not_used(
    isolated_registries: Isolation, frame: Path
) -> None:
    install(isolated_registries)
    dataset = SyntheticImages()
    before = reader_digest(dataset, [frame.name])
    assert reader_digest(dataset, [frame.name]) == before
    assert reader_digest(dataset, ["cell.png"]) != before
    module = isolated_registries.folder / "lab_raw.py"
    module.write_text(SOURCE.replace("frombuffer(content", "frombuffer(content[::-1]"))
    assert reader_digest(dataset, [frame.name]) != before


def test_folders_of_such_files_are_audited(tmp_path: Path) -> None:
    site = tmp_path / "site"
    information = site / "lab_raw-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-raw\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[cellvision.decoders]\nraw = lab_raw:decode\n")
    (site / "lab_raw.py").write_text(SOURCE)
    for number, name in enumerate(("a", "b")):
        for k in range(4):
            file = tmp_path / "images" / name / f"{k}.raw"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(bytes((number * 60 + k + row) % 256 for row in range(64)))
    words = ["audit", str(tmp_path / "images"), "--json", "--recipe", "page"]
    done = subprocess.run(
        [sys.executable, "-c", "from cellvision.cli import main; main()", *words],
        env={**os.environ, "PYTHONPATH": python_path(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout)["files"]
    assert [file["status"] for file in files] == ["read"] * 8
