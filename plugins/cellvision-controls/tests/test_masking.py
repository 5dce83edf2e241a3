"""Masks of cells: what counts as a cell, and what is left of an image."""

from __future__ import annotations

import numpy as np
import pytest
from cellvision_controls.masking import cell_regions, otsu, without_cells


def cells_on(background: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs on noise, uint16, two channels, and where they are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64]
    discs = sum((y - cy) ** 2 + (x - cx) ** 2 < 36 for cy, cx in ((15, 20), (44, 40))) > 0
    image = rng.normal(background, 8, (64, 64, 2))
    image[..., 1] += 900 * discs
    return image.clip(0).astype(np.uint16), discs


def test_cells_are_masked_with_a_margin() -> None:
    image, discs = cells_on(200)
    mask = cell_regions(image)
    assert mask[discs].all()
    assert discs.sum() < mask.sum() < 5 * discs.sum()
    left = without_cells(image)
    assert (left.dtype, left.shape) == (image.dtype, image.shape)
    np.testing.assert_array_equal(left[~mask], image[~mask])
    # Nothing of a cell is left: neither its light nor its outline.
    assert left[mask].max() < 260
    assert abs(left[mask].mean() - 200) < 5
    assert left[mask].std() == pytest.approx(left[~mask].std(), rel=0.2)
    np.testing.assert_array_equal(without_cells(image), left)


def test_images_without_cells_or_without_background() -> None:
    flat = np.full((20, 20, 1), 7, np.uint8)
    np.testing.assert_array_equal(without_cells(flat), flat)
    noise = np.random.default_rng(0).normal(0, 1, (20, 20, 1)).astype(np.float32)
    full = without_cells(np.concatenate([noise, -noise], axis=-1))
    assert full.dtype == np.float32
    assert np.isfinite(full).all()


def test_otsu_separates_two_kinds_of_pixels() -> None:
    rng = np.random.default_rng(0)
    dark, light = rng.normal(10, 1, 900), rng.normal(50, 3, 100)
    assert dark.max() <= otsu(np.concatenate([dark, light])) < light.min()
    assert otsu(np.full(5, 3.0)) == 3.0
