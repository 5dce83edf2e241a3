"""Simulation of wide-field fluorescence images: cells, illumination, optics, camera.

Every step is a simple model of a known cause, so the ground truth is known. No step is fitted to a
real microscope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

Plane: TypeAlias = NDArray[np.float32]

FULL_SCALE = 4095
"""Largest value of the 12-bit camera; images are stored in 16 bits."""

OFFSET = 100.0
"""Dark level of the camera, in counts."""

_COUNTS_PER_ELECTRON = 2.0
_READ_NOISE = 5.0  # counts, standard deviation
_VIGNETTING = 0.35  # fraction of the light lost in the corners
_BACKGROUND = 60.0  # counts of fluorescence outside cells
_DNA = 750.0  # counts at the middle of a nucleus with one set of chromosomes, in focus
_SPOTS = 12.0  # mean number of aggregates per cell
_PROTEIN = 600.0  # counts at the middle of a cell of median expression, in focus


@dataclass(frozen=True)
class Scene:
    """Content of one field.

    Attributes
    ----------
    size
        Height and width, in pixels.
    density
        Cells per 100 x 100 pixels.
    aggregation
        0: the protein is diffuse; 1: about half of it is in aggregates. The total per cell does
        not change.
    background
        Factor on the fluorescence outside cells.
    nuisance
        Variation of brightness and focus between fields; 0: none.
    nuclear
        Fraction of the aggregates in the nucleus; the others are in a ring of equal area around
        it, so density is equal. None: anywhere in the cytoplasm.
    """

    size: int
    density: float
    aggregation: float
    background: float
    nuisance: float
    nuclear: float | None = None


def draw(scene: Scene, entropy: Sequence[int]) -> NDArray[np.uint16]:
    """Draw one field.

    Cells, nuisance, aggregates and noise have separate random streams: the same `entropy` with
    another `aggregation` shows the same cells in the same light.

    Parameters
    ----------
    scene
        Content of the field.
    entropy
        Integers that identify the field.

    Returns
    -------
    numpy.ndarray
        (2, size, size), uint16 within 0..4095: DNA, then protein.
    """
    streams = np.random.SeedSequence(list(entropy)).spawn(4)
    for_cells, for_nuisance, for_aggregates, for_noise = map(np.random.default_rng, streams)
    dna, protein, owner, nucleus, cytoplasm = _cells(scene, for_cells)
    if scene.aggregation > 0:
        protein = _aggregated(protein, owner, nucleus, cytoplasm, scene, for_aggregates)
    focus = 0.9 + scene.nuisance * for_nuisance.uniform(0.0, 1.1)
    brightness = np.exp(scene.nuisance * for_nuisance.normal(0.0, 0.25, 2))
    light = _illumination(scene.size, for_nuisance)
    planes = []
    for plane, factor in zip((dna, protein), brightness, strict=True):
        sharp = _blur(plane, focus) + _BACKGROUND * scene.background
        planes.append(_camera(light * sharp * factor, for_noise))
    return np.stack(planes)


def _cells(
    scene: Scene, rng: np.random.Generator
) -> tuple[Plane, Plane, NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return DNA, protein, the cell of each pixel, and masks of nuclei and cytoplasm."""
    size = scene.size
    spacing = 100.0 / np.sqrt(scene.density)
    centres = _centres(size, spacing, rng)
    n = len(centres)
    # Distorted coordinates give irregular outlines.
    bend = np.stack([_noise(size, 9.0, rng), _noise(size, 9.0, rng)]) * 0.05 * spacing
    y, x = np.mgrid[:size, :size].astype(np.float32) + bend
    owner: NDArray[np.intp] = spatial.cKDTree(centres).query(np.stack([y, x], -1))[1]
    middle = centres.astype(np.float32)
    dy, dx = y - middle[:, 0][owner], x - middle[:, 1][owner]

    radius = _f32(spacing * rng.normal(0.53, 0.05, n).clip(0.4, 0.66))
    body = _ellipse(dy, dx, owner, radius, rng)
    body = np.clip(1.0 - body, 0.0, None) ** np.float32(0.7)
    shift = _f32(rng.normal(0.0, 0.08, (2, n)) * radius)
    nucleus_radius = _f32(radius * rng.normal(0.48, 0.04, n).clip(0.38, 0.58))
    inside = _ellipse(dy - shift[0][owner], dx - shift[1][owner], owner, nucleus_radius, rng)
    nucleus = 1.0 / (1.0 + np.exp(((inside - 1.0) * 9.0).clip(-30, 30)))

    chromatin = 1.0 + 0.28 * _noise(size, 1.6, rng)
    copies = _f32(rng.uniform(1.0, 2.0, n))  # between G1 and G2
    dna = _DNA * nucleus * chromatin.clip(0.2, None) * copies[owner]
    mesh = 1.0 + 0.22 * _noise(size, 1.3, rng) + 0.15 * _noise(size, 4.0, rng)
    expression = _f32(rng.lognormal(0.0, 0.3, n).clip(0.4, 2.2))
    protein = _PROTEIN * body * (1.0 - 0.75 * nucleus) * mesh.clip(0.1, None) * expression[owner]
    if scene.nuclear is None:
        cytoplasm = (body > 0.25) & (nucleus < 0.3)
    else:
        cytoplasm = (body > 0.1) & (inside > 1.4) & (inside < 2.2)
    return dna, protein, owner, inside < 0.8, cytoplasm


def _centres(size: int, spacing: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a jittered hexagonal lattice with gaps that extends beyond the borders."""
    rows = int(np.ceil(size / (spacing * 0.866))) + 3
    columns = int(np.ceil(size / spacing)) + 3
    row, column = np.mgrid[:rows, :columns].astype(float)
    lattice = np.stack([row * 0.866, column + 0.5 * (row % 2)], -1).reshape(-1, 2) - 1.0
    centres = spacing * (lattice + rng.uniform(-0.5, 0.5, 2) + rng.normal(0, 0.13, lattice.shape))
    kept = centres[rng.random(len(centres)) < 0.9]
    return kept if len(kept) else centres


def _ellipse(
    dy: Plane,
    dx: Plane,
    owner: NDArray[np.intp],
    radius: NDArray[np.float32],
    rng: np.random.Generator,
) -> Plane:
    """Return the squared distance from each cell's centre, 1 on a random ellipse."""
    angle = _f32(rng.uniform(0.0, np.pi, len(radius)))
    longer = _f32(np.sqrt(rng.uniform(1.0, 1.5, len(radius))))
    along, across = np.cos(angle), np.sin(angle)
    u = (along / (radius * longer))[owner] * dx + (across / (radius * longer))[owner] * dy
    v = (along * longer / radius)[owner] * dy - (across * longer / radius)[owner] * dx
    return _f32(u * u + v * v)


def _aggregated(
    protein: Plane,
    owner: NDArray[np.intp],
    nucleus: NDArray[np.bool_],
    cytoplasm: NDArray[np.bool_],
    scene: Scene,
    rng: np.random.Generator,
) -> Plane:
    """Move a fraction of each cell's protein into bright spots of the same cell."""
    n = int(owner.max()) + 1
    total = np.bincount(owner.ravel(), protein.ravel(), n)
    room = np.bincount(owner[cytoplasm], minlength=n)
    # Proportional to its area, so that a cell cut by the border has fewer.
    whole = 0.5 * 100.0**2 / scene.density  # pixels of cytoplasm in a whole cell
    spots = np.where(room > 0, 1 + rng.poisson(_SPOTS * room / whole), 0)
    share = scene.aggregation * rng.normal(0.55, 0.08, n).clip(0.35, 0.75) * (room > 0)
    cell = np.repeat(np.arange(n), spots)
    pixel = _some_pixel(cytoplasm, owner, cell, rng)
    if scene.nuclear is not None:
        inside = _some_pixel(nucleus, owner, cell, rng)
        pixel = np.where((rng.random(len(cell)) < scene.nuclear) & (inside >= 0), inside, pixel)
    weight = rng.gamma(3.0, 1.0, len(cell))
    weight *= (share * total / np.bincount(cell, weight, n).clip(1e-9))[cell]
    small = rng.random(len(cell)) < 0.6
    moved = sum(
        _blur(
            np.bincount(pixel[chosen], weight[chosen], protein.size).reshape(protein.shape),
            sigma,
        )
        for chosen, sigma in ((small, 1.2), (~small, 1.9))
    )
    return protein * _f32(1.0 - share)[owner] + moved


def _some_pixel(
    where: NDArray[np.bool_],
    owner: NDArray[np.intp],
    cell: NDArray[np.intp],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Return a random pixel inside `where` for each cell; -1 if a cell has none."""
    # Pixels sorted by cell, so that each draw picks one of its cell.
    places = np.flatnonzero(where)
    places = places[np.argsort(owner.ravel()[places], kind="stable")]
    room = np.bincount(owner.ravel()[places], minlength=int(owner.max()) + 1)
    start = np.concatenate([[0], np.cumsum(room)[:-1]])[cell]
    drawn = start + (rng.random(len(cell)) * room[cell]).astype(np.intp)
    return np.where(room[cell] > 0, np.append(places, -1)[np.minimum(drawn, len(places))], -1)


def _illumination(size: int, rng: np.random.Generator) -> Plane:
    """Return illumination that falls off from near the middle, where it is 1, to the corners."""
    middle = (size - 1) / 2 + rng.normal(0.0, 0.04 * size, 2)
    along = (np.arange(size)[:, None] - middle) ** 2
    distance = along[:, 0][:, None] + along[:, 1][None, :]
    light = 1.0 - _VIGNETTING * distance / (size**2 / 2)
    return _f32(light.clip(0.3, 1.0))


def _camera(counts: NDArray[Any], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Simulate photon noise (Poisson), read noise (Gaussian) and clipping to 12 bits."""
    electrons = rng.poisson(counts / _COUNTS_PER_ELECTRON)
    read = OFFSET + _READ_NOISE * rng.standard_normal(counts.shape, dtype=np.float32)
    values = np.rint(electrons * _COUNTS_PER_ELECTRON + read)
    return values.clip(0, FULL_SCALE).astype(np.uint16)


def _noise(size: int, scale: float, rng: np.random.Generator) -> Plane:
    """Return smooth random values with mean 0 and standard deviation 1; `scale` in pixels."""
    smooth = _blur(rng.standard_normal((size, size), dtype=np.float32), scale)
    return _f32((smooth - smooth.mean()) / max(smooth.std(), 1e-6))


def _blur(plane: NDArray[Any], sigma: float) -> Plane:
    """Blur by a Gaussian with mirrored borders, so that no signal is lost."""
    return _f32(ndimage.gaussian_filter(_f32(plane), sigma, truncate=3.0))


def _f32(values: NDArray[Any]) -> Plane:
    """Convert to float32: half the memory and time, with rounding far below the camera noise."""
    return values.astype(np.float32, copy=False)
