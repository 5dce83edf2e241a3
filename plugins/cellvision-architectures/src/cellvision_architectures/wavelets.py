"""Morlet wavelets and the filters used with them, as weights of stock Keras layers."""

from __future__ import annotations

from typing import Any

import numpy as np

HALF_WIDTH = 4
"""The filters reach this many pixels to each side."""

LOWPASS = (0.125, 0.375, 0.375, 0.125)
"""Binomial filter of even length: with stride 2 it treats an image and its mirror image alike."""

_WIDTH = 0.8
"""Standard deviation of the envelope along the wave, in pixels."""

_FREQUENCY = 3 * np.pi / 4
"""Central frequency, in radians per pixel: the middle of the highest octave, π/2 to π."""

Array = np.ndarray[Any, np.dtype[np.float32]]


def kernels(orientations: int) -> Array:
    """Morlet wavelets in several directions over half a turn.

    The envelope is longer across the wave by ``orientations / 4``, so that the directions
    together cover all angles. Each wavelet sums to 0 and has energy 1.

    Parameters
    ----------
    orientations
        Number of directions.

    Returns
    -------
    numpy.ndarray
        Kernel of a Conv2D, shape (9, 9, 1, 2 × orientations): all real parts, then all
        imaginary parts.
    """
    y, x = np.mgrid[-HALF_WIDTH : HALF_WIDTH + 1, -HALF_WIDTH : HALF_WIDTH + 1].astype(np.float64)
    slant = 4 / orientations
    wavelets = []
    for number in range(orientations):
        angle = np.pi * number / orientations
        along = np.cos(angle) * x + np.sin(angle) * y
        across = np.cos(angle) * y - np.sin(angle) * x
        envelope = np.exp(-(along**2 + (slant * across) ** 2) / (2 * _WIDTH**2))
        wave = np.exp(1j * _FREQUENCY * along)
        wavelet = envelope * (wave - (envelope * wave).sum() / envelope.sum())
        wavelets.append(wavelet / np.sqrt((np.abs(wavelet) ** 2).sum()))
    both = np.concatenate([np.real(wavelets), np.imag(wavelets)])
    return np.moveaxis(both, 0, -1)[:, :, None, :].astype(np.float32)


def rotation_average(orientations: int) -> Array:
    """Average pairs of directions over rotations and mirror images of the pair.

    Such a pair is described by the angle between its directions, from 0 to a quarter turn.

    Parameters
    ----------
    orientations
        Number of directions.

    Returns
    -------
    numpy.ndarray
        Kernel of a Dense layer, shape (orientations², orientations // 2 + 1); row
        ``first * orientations + second``.
    """
    first, second = np.divmod(np.arange(orientations**2), orientations)
    turn = (second - first) % orientations
    angle = np.minimum(turn, orientations - turn)
    kernel = np.eye(orientations // 2 + 1)[angle]
    average: Array = (kernel / kernel.sum(axis=0)).astype(np.float32)
    return average
