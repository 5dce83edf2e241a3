"""The data set `synthetic_cells`: real files, a known phenotype, and nothing else to tell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cellvision_datasets import synthetic_cells
from cellvision_datasets.cell_simulation import Scene, draw
from cellvision_datasets.synthetic_cells import SyntheticCells

from cellvision import errors
from cellvision.data.catalog import Catalog

SMALL = {"fields": 3, "field_size": 128, "tiles": 4}


def scene(aggregation: float = 1.0, nuisance: float = 0.0, size: int = 160) -> Scene:
    return Scene(size, 4.5, aggregation, 1.0, nuisance)


@pytest.fixture
def cells(tmp_path: Path) -> SyntheticCells:
    return SyntheticCells(path=tmp_path / "cells", **SMALL)


def test_generated_files_are_cataloged_and_decoded(cells: SyntheticCells) -> None:
    catalog = Catalog.of(cells)
    assert catalog.class_names == ("control", "treated")
    assert catalog.group_column == "group"
    assert dict(catalog.table["group"].value_counts()) == {
        f"{name}/field_00{number}": 4 for name in ("control", "treated") for number in range(3)
    }
    image = catalog.table["image"][0]
    assert image == "control/field_000_r00_c00.tif"
    decoded = cells.decode(image)
    assert decoded.pixels.shape == (64, 64, 2)
    assert decoded.pixels.dtype == np.uint16
    assert decoded.pixels.max() <= 4095
    assert cells.path is not None
    wide = tifffile.imread(cells.path / "fields/control/field_000.tif")
    assert wide.shape == (2, 128, 128)
    assert np.array_equal(np.moveaxis(wide, 0, 2)[:64, :64], cells.read(image))
    assert len({cells.fingerprint(image) for image in catalog.table["image"]}) == len(catalog)


def test_files_are_made_once(cells: SyntheticCells) -> None:
    cells.catalog()
    assert cells.path is not None
    tile = cells.path / "tiles/control/field_000_r00_c00.tif"
    before = tile.stat().st_mtime_ns
    assert len(cells.catalog()) == 24
    assert tile.stat().st_mtime_ns == before
    expected = {skipped.file: skipped.expected for skipped in cells.skipped_files()}
    assert expected == {"manifest.csv": True, ".prepare.jsonl": True}


def test_the_same_settings_give_the_same_pixels(tmp_path: Path) -> None:
    first = SyntheticCells(path=tmp_path / "a", **SMALL)
    second = SyntheticCells(path=tmp_path / "b", **SMALL)
    other = SyntheticCells(path=tmp_path / "c", seed=1, **SMALL)
    image = first.catalog()["image"][5]
    second.catalog()
    other.catalog()
    assert np.array_equal(first.read(image), second.read(image))
    assert not np.array_equal(first.read(image), other.read(image))
    # A field does not depend on how many there are.
    alone = SyntheticCells(fields=1, field_size=128).write_fields(tmp_path / "alone")
    assert np.array_equal(
        tifffile.imread(alone[0]), tifffile.imread(tmp_path / "a/fields/control/field_000.tif")
    )


def test_the_cache_folder_is_keyed_by_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path))
    tiny = {"fields": 1, "field_size": 64, "tiles": 1}
    for strength in (0.0, 1.0):
        assert len(SyntheticCells(strength=strength, **tiny).catalog()) == 2
    SyntheticCells(strength=1, group="field", **tiny).catalog()
    assert len(list((tmp_path / "synthetic_cells").iterdir())) == 2


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, cells: SyntheticCells) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(errors.FolderError, match="something else"):
        SyntheticCells(path=tmp_path, **SMALL).catalog()
    cells.catalog()
    with pytest.raises(errors.FolderError, match="other settings"):
        SyntheticCells(path=cells.path, strength=0, **SMALL).catalog()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells", "mine.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_a_killed_generation_is_made_again(tmp_path: Path) -> None:
    home = tmp_path / "cells"
    code = (
        "from cellvision_datasets.synthetic_cells import SyntheticCells as S; "
        f"S(path={str(home)!r}, fields=200, field_size=128, tiles=4).catalog()"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".cells.*/fields/*/*.tif")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = list(tmp_path.glob(".cells.*"))
    assert left
    assert not home.exists()
    assert len(SyntheticCells(path=home, **SMALL).catalog()) == 24
    # What was left is removed once nobody can still be at work there.
    os.utime(left[0], (0, 0))
    SyntheticCells(path=tmp_path / "cells", **SMALL).catalog()
    SyntheticCells(path=tmp_path / "other" / ".." / "cells", **SMALL).catalog()
    assert len(list(home.rglob("*.tif"))) == 6 + 24


def test_old_leftovers_are_swept(tmp_path: Path) -> None:
    left, mine = tmp_path / ".cells.0123456789ab", tmp_path / ".cells.notes"
    for folder in (left, mine):
        folder.mkdir()
        os.utime(folder, (0, 0))
    SyntheticCells(path=tmp_path / "cells", **SMALL).catalog()
    assert not left.exists()
    assert mine.exists()


def test_the_quicker_of_two_processes_wins(
    cells: SyntheticCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one makes the images, another finishes the same ones."""
    write_fields = SyntheticCells.write_fields

    def and_be_overtaken(self: SyntheticCells, out: Path) -> list[Path]:
        monkeypatch.setattr(SyntheticCells, "write_fields", write_fields)
        self.catalog()
        return write_fields(self, out)

    monkeypatch.setattr(SyntheticCells, "write_fields", and_be_overtaken)
    assert len(cells.catalog()) == 24
    assert cells.path is not None
    assert [path.name for path in cells.path.parent.iterdir()] == ["cells"]


# --- what is in the images ---------------------------------------------------------------


def test_strength_zero_has_no_phenotype() -> None:
    """Only the random streams tell the classes' fields apart, not the model."""
    nothing = draw(scene(aggregation=0.0), (0, 1, 0))
    assert np.array_equal(nothing, draw(scene(aggregation=0.0), (0, 1, 0)))
    assert np.array_equal(draw(scene(1.0), (0, 1, 0))[0], nothing[0])


def test_aggregates_change_texture_and_not_the_sum() -> None:
    sums, peaks = [], []
    for field, size in enumerate((64, 96, 160, 160, 256, 256)):
        diffuse = draw(scene(0.0, size=size), (0, 1, field))[1].astype(float)
        bright = draw(scene(1.0, size=size), (0, 1, field))[1].astype(float)
        sums.append(bright.sum() / diffuse.sum())
        peaks.append(np.percentile(bright, 99.5) / np.percentile(diffuse, 99.5))
    assert np.mean(sums) == pytest.approx(1.0, abs=0.005)
    assert min(peaks) > 1.5


def test_aggregates_may_differ_in_place_alone() -> None:
    """Where they lie differs; how bright images are hardly does."""

    def located(nuclear: float, field: int) -> np.ndarray:
        return draw(Scene(192, 4.5, 1.0, 1.0, 0.0, nuclear), (0, 1, field)).astype(float)

    inside, sums, peaks = [], [], []
    for field in range(4):
        nucleus, ring = located(1.0, field), located(0.0, field)
        assert np.array_equal(nucleus[0], ring[0])
        where = nucleus[0] > np.percentile(nucleus[0], 85)
        inside.append(nucleus[1][where].mean() / ring[1][where].mean())
        sums.append(nucleus[1].sum() / ring[1].sum())
        peaks.append(np.percentile(nucleus[1], 99) / np.percentile(ring[1], 99))
    assert min(inside) > 1.5
    assert np.mean(sums) == pytest.approx(1.0, abs=0.01)
    assert np.mean(peaks) == pytest.approx(1.0, abs=0.2)


def test_the_effect_grows_with_strength() -> None:
    spread = [draw(scene(strength), (0, 1, 0))[1].std() for strength in (0.0, 0.3, 0.6, 1.0)]
    assert spread == sorted(spread)


def test_nuisance_is_alike_in_both_classes() -> None:
    means = np.array(
        [[draw(scene(0.0, 1.0, 64), (0, c, f)).mean() for f in range(60)] for c in (0, 1)]
    )
    steady = np.array([draw(scene(0.0, 0.0, 64), (0, 0, f)).mean() for f in range(60)])
    assert means.std(axis=1).min() > 1.3 * steady.std()
    standard_error = np.sqrt((means.var(axis=1) / 60).sum())
    assert abs(means[0].mean() - means[1].mean()) < 3 * standard_error


def test_light_falls_off_and_noise_grows_with_the_signal() -> None:
    fields = np.stack([draw(scene(0.0, 0.0, 96), (0, 0, f)) for f in range(40)]).astype(float)
    mean = fields.mean(axis=(0, 1))
    corners = np.mean([mean[:16, :16], mean[:16, -16:], mean[-16:, :16], mean[-16:, -16:]])
    assert corners < 0.95 * mean[40:56, 40:56].mean()


def test_a_shortcut_is_in_the_background_of_the_treated(tmp_path: Path) -> None:
    def floors(name: str, **settings: float) -> list[float]:
        dataset = SyntheticCells(fields=2, field_size=96, nuisance=0, strength=0, **settings)
        files = dataset.write_fields(tmp_path / name)
        return [float(np.percentile(tifffile.imread(file), 5)) for file in files]

    honest, short = floors("honest"), floors("short", shortcut=1.0)
    assert short[:2] == honest[:2]
    assert all(cut - plain > 20 for cut, plain in zip(short[2:], honest[2:], strict=True))


@pytest.mark.parametrize("settings", [{"density": 0.2}, {"density": 40}, {"field_size": 33}])
def test_unusual_sizes_can_be_drawn(tmp_path: Path, settings: dict[str, float]) -> None:
    files = SyntheticCells(**{"fields": 1, "field_size": 48, **settings}).write_fields(tmp_path)
    assert all(tifffile.imread(file).ndim == 3 for file in files)


@pytest.mark.parametrize("settings", [{"strength": 1.5}, {"fields": 0}, {"tiles": 0}, {"sed": 1}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(errors.ExperimentError, match=next(iter(settings))):
        synthetic_cells.SyntheticCells.registry.create("synthetic_cells", **settings)
