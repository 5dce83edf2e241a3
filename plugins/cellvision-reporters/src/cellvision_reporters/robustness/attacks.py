"""Adversarial attacks: the fast gradient sign method and projected gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision_reporters.robustness.perturbations import IntensityRange

if TYPE_CHECKING:
    import numpy as np

    from cellvision import Probe


def fast_gradient(
    probe: Probe,
    images: np.ndarray,
    classes: np.ndarray,
    epsilon: float,
    limits: IntensityRange,
) -> np.ndarray:
    """Move every intensity by `epsilon` in the direction that makes the true class less likely.

    I. J. Goodfellow, J. Shlens and C. Szegedy (2015), arXiv:1412.6572.

    Parameters
    ----------
    probe
        The network.
    images
        Shape (n, height, width, channels), as the network sees them.
    classes
        Number of the true class of each image.
    epsilon
        Largest change of an intensity.
    limits
        Limits of intensities.
    """
    import numpy as np

    signs = np.sign(probe.gradients(images, classes))
    return limits.clip(images - np.float32(epsilon) * signs)


def projected_gradient(
    probe: Probe,
    images: np.ndarray,
    classes: np.ndarray,
    epsilon: float,
    limits: IntensityRange,
    steps: int,
    seed: int,
) -> np.ndarray:
    """Descend from the true class in small steps, never further than `epsilon` from the image.

    A. Madry et al. (2018), arXiv:1706.06083: from a random start within `epsilon`, with steps
    of 2.5 times `epsilon` over their number.

    Parameters
    ----------
    probe, images, classes, epsilon, limits
        See `fast_gradient`.
    steps
        Number of steps.
    seed
        Seed of the random start.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    attacked = limits.clip(images + random.uniform(-epsilon, epsilon, images.shape))
    step, bound = np.float32(2.5 * epsilon / steps), np.float32(epsilon)
    for _ in range(steps):
        attacked = attacked - step * np.sign(probe.gradients(attacked, classes))
        attacked = limits.clip(np.clip(attacked, images - bound, images + bound))
    return attacked
