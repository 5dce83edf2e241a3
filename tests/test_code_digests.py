"""Digests of source code: what an author edits is noticed by caches."""

from __future__ import annotations

import importlib
import json
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from cellvision.data.code_digests import module_digest
from cellvision.inference.engines.saved_layers import saved_layers_digest


def install(folder: Path, *modules: str) -> None:
    """Install a distribution with a data set in the first of several modules."""
    for module in modules:
        (folder / f"{module}.py").write_text("LEVEL = 1\n")
    metadata = folder / "beside_images-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: beside-images\nVersion: 1.0\n")
    entry = f"[cellvision.datasets]\nbeside = {modules[0]}:Beside\n"
    (metadata / "entry_points.txt").write_text(entry)
    (metadata / "top_level.txt").write_text("\n".join(modules))


def test_an_edit_of_another_module_of_the_distribution_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "beside_images", "beside_decoding")
    (tmp_path / "beside_others.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    first = module_digest("beside_images")
    (tmp_path / "beside_others.py").write_text("of another distribution")
    assert module_digest("beside_images") == first
    (tmp_path / "beside_decoding.py").write_text("LEVEL = 20\n")
    assert module_digest("beside_images") != first
    (tmp_path / "beside_decoding.py").write_text("LEVEL = 1\n")
    assert module_digest("beside_images") == first


def edits_that_count(module: str, files: dict[str, Path]) -> set[str]:
    """Append a line to each of some files, and return those whose edit changes the digest."""
    count = set()
    for name, path in files.items():
        before = module_digest(module)
        path.write_text(f"{path.read_text()}EDITED = 1\n")
        if module_digest(module) != before:
            count.add(name)
    return count


def test_what_an_editable_installation_does_not_list_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hatchling and others record only a file that adds the folder of the sources to the path."""
    site, sources = tmp_path / "site", tmp_path / "project"
    for package in ("edited_images", "edited_decoding", "tests"):
        (sources / package).mkdir(parents=True)
        (sources / package / "__init__.py").write_text("")
    files = {
        "the module": sources / "edited_images" / "plate.py",
        "a package beside": sources / "edited_decoding" / "planes.py",
        "a module beside": sources / "edited_offsets.py",
        "a compiled module": sources / "edited_decoding" / f"fast{EXTENSION_SUFFIXES[0]}",
        "tests": sources / "tests" / "test_plate.py",
        "data": sources / "edited_decoding" / "table.csv",
    }
    for path in files.values():
        path.write_text("")
    metadata = site / "edited_images-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: edited-images\nVersion: 1.0\n")
    entry = "[cellvision.datasets]\nplate = edited_images.plate:Plate\n"
    (metadata / "entry_points.txt").write_text(entry)
    (metadata / "RECORD").write_text("_edited.pth,,\nedited_images-1.0.dist-info/METADATA,,\n")
    (site / "_edited.pth").write_text(f"import sys\n{sources}\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(sources)
    importlib.invalidate_caches()
    code = {"the module", "a package beside", "a module beside", "a compiled module"}
    assert edits_that_count("edited_images.plate", files) == code
    # A network's own layers may be in a package without plugins.
    assert edits_that_count("edited_decoding.planes", files) == code


def test_the_other_modules_of_a_namespace_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab_namespace").mkdir()
    files = {name: tmp_path / "lab_namespace" / f"{name}.py" for name in ("reader", "decoding")}
    for path in files.values():
        path.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert edits_that_count("lab_namespace.reader", files) == {"reader", "decoding"}


def save(path: Path, *layers: str) -> Path:
    """Write the configuration of a network with layers of these modules."""
    with zipfile.ZipFile(path, "w") as archive:
        entries = [{"module": module, "class_name": "Layer", "config": {}} for module in layers]
        archive.writestr("config.json", json.dumps({"module": "keras", "config": entries}))
    return path


def test_the_code_of_a_networks_own_layers_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "own_layers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "blocks.py").write_text("WIDTH = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    model = save(tmp_path / "model.keras", "keras.layers", "own_layers.blocks")
    first = saved_layers_digest(model, {})
    assert first
    assert saved_layers_digest(model, {}) == first
    (package / "blocks.py").write_text("WIDTH = 20\n")
    assert saved_layers_digest(model, {}) != first
    assert saved_layers_digest(save(tmp_path / "stock.keras", "keras.layers"), {}) == ""


def test_layers_of_a_local_file_that_is_not_loaded_count_as_recorded(tmp_path: Path) -> None:
    model = save(tmp_path / "model.keras", "cellvision_local_my_net")
    digests = [saved_layers_digest(model, {"my_net.py": digest}) for digest in ("a", "b", "a")]
    assert digests[0] == digests[2] != digests[1]
