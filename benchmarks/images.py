"""Images for all peers: synthetic ones, or Fashion-MNIST from a folder."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = tuple("abcdefghij")
"""Class names, in order."""


def spots(count: int, side: int, channels: int, classes: int, seed: int) -> np.ndarray:
    """Draw bright spots on noise; the size of the spots depends on the class.

    Returns
    -------
    numpy.ndarray
        Shape (count, side, side, channels), uint8; image k has class ``k % classes``.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    stack = np.empty((count, side, side, channels), np.uint8)
    for number in range(count):
        image = rng.normal(60, 12, (side, side, channels))
        radius = side / 40 * (1 + 2 * (number % classes))
        for y, x in rng.uniform(0, side, (6, 2)):
            inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
            image[inside] += 100
        stack[number] = np.clip(image, 0, 255)
    return stack


def fashion_mnist(folder: Path, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the first images of Fashion-MNIST and their labels from its four files."""
    stem = {"train": "train", "test": "t10k"}[split]
    with gzip.open(folder / f"{stem}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    with gzip.open(folder / f"{stem}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return pixels[:count], labels[:count].astype(np.int64)


def write_folder(
    root: Path, pixels: np.ndarray, labels: np.ndarray, suffix: str = ".png", split: str = "train"
) -> Path:
    """Write images as ``root/split/class/number.suffix``; 16-bit images need ``.tif``."""
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        file = root / split / NAMES[label] / f"{number:06d}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        plane = image[..., 0] if image.shape[-1] == 1 else image
        if suffix == ".tif":
            import tifffile

            tifffile.imwrite(file, plane)
        else:
            Image.fromarray(plane).save(file, quality=90)
    return root


def write_set(
    root: Path,
    splits: dict[str, tuple[np.ndarray, np.ndarray]],
    classes: int,
    suffix: str = ".png",
) -> dict[str, str | int]:
    """Write images twice: as a folder of files, and as arrays in one file.

    Returns
    -------
    dict
        The keys ``folder``, ``arrays`` and ``classes`` of a peer's task.
    """
    root.mkdir(parents=True, exist_ok=True)
    for split, (pixels, labels) in splits.items():
        write_folder(root / "folder", pixels, labels, suffix, split)
    arrays = {f"x_{split}": pixels for split, (pixels, _) in splits.items()}
    arrays |= {f"y_{split}": labels for split, (_, labels) in splits.items()}
    np.savez(root / "arrays.npz", **arrays)  # type: ignore[arg-type]
    return {
        "folder": str(root / "folder"),
        "arrays": str(root / "arrays.npz"),
        "classes": classes,
    }


def synthetic_set(
    root: Path,
    side: int,
    channels: int,
    classes: int,
    train: int,
    test: int,
    suffix: str = ".png",
) -> dict[str, str | int]:
    """Draw `spots` for training and test and write them; see `write_set`."""
    splits = {}
    for seed, (split, count) in enumerate({"train": train, "test": test}.items()):
        pixels = spots(count, side, channels, classes, seed)
        splits[split] = (pixels, np.arange(count) % classes)
    return write_set(root, splits, classes, suffix)
