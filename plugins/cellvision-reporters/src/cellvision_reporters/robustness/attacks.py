"""Changes too small to see that are made against a network: fast and projected gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision_reporters.robustness.perturbations import Scale

if TYPE_CHECKING:
    import numpy as np

    from cellvision import Probe


def fast_gradient(
    probe: Probe, images: np.ndarray, classes: np.ndarray, reach: float, scale: Scale
) -> np.ndarray:
    """Move every intensity by `reach`, to the side that makes the true class less likely.

    I. J. Goodfellow, J. Shlens and C. Szegedy (2015), arXiv:1412.6572.

    Parameters
    ----------
    probe
        The network.
    images
        Shape (n, height, width, channels), as the network sees them.
    classes
        The number of the true class of each.
    reach
        How far an intensity moves.
    scale
        Which intensities there can be.
    """
    import numpy as np

    signs = np.sign(probe.gradients(images, classes))
    return scale.kept(images - np.float32(reach) * signs)


def projected_gradient(
    probe: Probe,
    images: np.ndarray,
    classes: np.ndarray,
    reach: float,
    scale: Scale,
    steps: int,
    seed: int,
) -> np.ndarray:
    """Walk against the true class in small steps, never further than `reach` from the image.

    A. Madry et al. (2018), arXiv:1706.06083: from a random place within reach, steps of 2.5
    times reach over their number.

    Parameters
    ----------
    probe, images, classes, reach, scale
        As for `fast_gradient`.
    steps
        How many.
    seed
        Of the places to start from.
    """
    import numpy as np

    chance = np.random.default_rng(seed)
    moved = scale.kept(images + chance.uniform(-reach, reach, images.shape))
    step = np.float32(2.5 * reach / steps)
    for _ in range(steps):
        moved = moved - step * np.sign(probe.gradients(moved, classes))
        moved = scale.kept(np.clip(moved, images - np.float32(reach), images + np.float32(reach)))
    return moved
