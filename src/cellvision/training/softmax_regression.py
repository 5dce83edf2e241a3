"""Softmax regression with an L2 penalty, solved to its only optimum.

If the only layer that learns is a softmax layer with an L2 penalty on its kernel, the training
loss is convex: there is one best answer, whatever the seed, the order of images or the learning
rate. L-BFGS finds it in a fraction of a second on cached features, where mini-batches would only
come near it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellvision import errors
from cellvision.blas_threads import one_blas_thread, one_thread_in_scipy

if TYPE_CHECKING:
    import keras

    from cellvision.training.frozen import FrozenSplit

_TOLERANCE = 1e-7
"""The solution is found when no component of the gradient along the principal axes exceeds this."""

_WORST_GRADIENT = 1e-4
"""A component of the gradient of the mean loss above this means that no solution was found."""

_MOST_ROTATED = 2048
"""Principal axes of up to this many features are computed, which takes seconds, not minutes."""

_MOST_ITERATIONS = 5000

_BLOCK_VALUES = 2**17
"""Values of the inputs in a block of rows (1 MiB), which stays in the cache of a processor while
the loss and its gradient are computed. Beside other programs, whole arrays take up to five times as
long."""

_FEW_VALUES = 2**24
"""Up to here, one thread is as fast as two, and faster beside other programs: two wait for each
other in every product."""


@dataclass(frozen=True)
class Solution:
    """How the optimum was found.

    Attributes
    ----------
    loss : float
        Mean cross-entropy of the training images, without the penalty.
    penalty : float
        What the L2 penalty adds to it.
    iterations : int
        Iterations of L-BFGS.
    gradient : float
        Largest component of the gradient at the end.
    """

    loss: float
    penalty: float
    iterations: int
    gradient: float


def softmax_layer(split: FrozenSplit) -> keras.layers.Dense | None:
    """Return the layer to solve for, or None if the rest is no such regression.

    It is the last layer of the rest and the only one that learns; a dense softmax layer with a
    kernel that carries an L2 penalty, without penalties on anything else. The layers before it
    in the rest do not change in training.
    """
    import keras

    from cellvision.training.frozen import is_adaptable, is_frozen

    last = split.rest.layers[-1]
    if not isinstance(last, keras.layers.Dense) or not last.use_bias or len(last.input.shape) != 2:
        return None
    others = [operation for operation in split.rest.operations if operation is not last]
    if not all(is_frozen(other) or is_adaptable(other) for other in others):
        return None
    penalty = last.kernel_regularizer
    plain = (
        last.trainable
        and last.activation is keras.activations.softmax
        and isinstance(penalty, keras.regularizers.L2)
        and float(penalty.l2) > 0
        and last.bias_regularizer is None
        and last.activity_regularizer is None
        and last.kernel_constraint is None
        and last.bias_constraint is None
    )
    return last if plain else None


def solve_softmax_layer(
    split: FrozenSplit,
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None = None,
) -> Solution:
    """Set the last layer's weights to those that minimize the training loss.

    The loss is the mean cross-entropy plus the layer's penalty, as Keras computes it. Adapt the
    split first (`FrozenSplit.adapt`).

    Parameters
    ----------
    split
        A model for which `softmax_layer` returns a layer.
    features
        Features of the training images, shape (n, ...).
    targets
        One-hot or smoothed labels, shape (n, classes).
    weights
        Weight of each image, such as those that balance classes; None for equal weights.

    Returns
    -------
    Solution
        Loss and convergence. The layer of the split, and so its whole model, has the new weights.

    Raises
    ------
    errors.CellvisionError
        The features are not finite, or L-BFGS did not converge.
    """
    layer = softmax_layer(split)
    if layer is None:
        raise ValueError("the rest of this model is no softmax regression with an L2 penalty")
    inputs = np.concatenate(list(split.rest_inputs(layer, features))).astype(np.float64)
    if not np.isfinite(inputs).all():
        raise errors.CellvisionError(
            "features of the frozen layers are infinite or not a number",
            "Check the images for extreme intensities (cellvision audit)",
        )
    if weights is None:
        weights = np.ones(len(inputs))
    kernel, bias, solution = minimize(
        inputs, np.asarray(targets, np.float64), weights, float(layer.kernel_regularizer.l2)
    )
    layer.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return solution


def minimize(
    inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray, l2: float
) -> tuple[np.ndarray, np.ndarray, Solution]:
    """Minimize the weighted mean cross-entropy plus ``l2`` times the sum of squared weights.

    Parameters
    ----------
    inputs
        Shape (n, features), float64.
    targets
        Shape (n, classes); rows sum to 1.
    weights
        Shape (n,); the weighted losses are divided by n, as Keras does.
    l2
        Strength of the penalty, above 0. The bias is not penalized.

    Returns
    -------
    kernel, bias : numpy.ndarray
        Shapes (features, classes) and (classes,).
    solution : Solution
        Loss and convergence.

    Raises
    ------
    errors.CellvisionError
        L-BFGS did not converge.
    """
    threads = one_blas_thread if inputs.size <= _FEW_VALUES else one_thread_in_scipy
    with threads():
        return _minimize(inputs, targets, weights, l2)


def _minimize(
    inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray, l2: float
) -> tuple[np.ndarray, np.ndarray, Solution]:
    import scipy.optimize

    count, width = inputs.shape
    classes = targets.shape[1]
    share = (weights / count)[:, None]
    axes = _principal_axes(inputs, share, l2, classes)
    rotated = axes.project(inputs)
    penalties = (l2 * np.square(axes.scale))[:, None]
    shares = share * targets

    def parts(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return flat[classes:].reshape(width, classes), flat[:classes]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        loss, slope = _loss(rotated, *parts(flat), shares, penalties)
        return loss, np.concatenate([slope.bias, slope.kernel.ravel()])

    # Start at zero: L-BFGS does not move in flat directions (a constant added to all biases).
    result: Any = scipy.optimize.minimize(
        objective,
        np.zeros(classes * (width + 1)),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": _MOST_ITERATIONS,
            "maxfun": 2 * _MOST_ITERATIONS,
            "maxcor": 20,
            "gtol": _TOLERANCE,
            "ftol": 0.0,
        },
    )
    rotated_kernel, bias = parts(result.x)
    kernel = axes.restore(rotated_kernel)
    slope = _loss(inputs, kernel, bias, shares, np.full((width, 1), l2))[1]
    gradient = float(max(np.abs(slope.kernel).max(), np.abs(slope.bias).max()))
    # The line search may end at the limit of float64, with nothing left to gain.
    if gradient > _WORST_GRADIENT:
        raise errors.CellvisionError(
            f"softmax regression did not converge: {result.message} (gradient {gradient:.2g})",
            "Increase the L2 penalty (architecture.l2)",
        )
    penalty = l2 * float(np.square(kernel).sum())
    return kernel, bias, Solution(float(result.fun) - penalty, penalty, int(result.nit), gradient)


@dataclass(frozen=True)
class _Axes:
    """Directions in which the loss is about equally curved.

    Features such as those of `scattering` are strongly correlated: along the features
    themselves, L-BFGS takes up to twenty times as many iterations.

    Attributes
    ----------
    scale : numpy.ndarray
        Length of a step along each axis, shape (features,).
    rotation : numpy.ndarray or None
        One axis in each column; None: the features themselves.
    """

    scale: np.ndarray
    rotation: np.ndarray | None

    def project(self, inputs: np.ndarray) -> np.ndarray:
        """Return inputs (n, features) along the axes."""
        projected: np.ndarray = inputs if self.rotation is None else inputs @ self.rotation
        return np.asarray(projected * self.scale)

    def restore(self, kernel: np.ndarray) -> np.ndarray:
        """Convert a kernel for the axes to one for the features."""
        scaled: np.ndarray = kernel * self.scale[:, None]
        return scaled if self.rotation is None else np.asarray(self.rotation @ scaled)


def _principal_axes(inputs: np.ndarray, share: np.ndarray, l2: float, classes: int) -> _Axes:
    """Return the axes of the Hessian where all classes are equally probable."""
    rotation = None
    if inputs.shape[1] <= _MOST_ROTATED:
        squares, rotation = np.linalg.eigh((inputs * share).T @ inputs)
    else:
        squares = (share * np.square(inputs)).sum(axis=0)
    curvature = (1 - 1 / classes) / classes
    return _Axes(1 / np.sqrt(curvature * np.maximum(squares, 0) + 2 * l2), rotation)


class _Slope(NamedTuple):
    """The gradient of the loss with respect to the kernel and to the bias."""

    kernel: np.ndarray
    bias: np.ndarray


def _loss(
    inputs: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray,
    shares: np.ndarray,
    penalties: np.ndarray,
) -> tuple[float, _Slope]:
    """Return the loss with its penalty, and its gradient.

    `shares` are the targets times the weight of each image, `penalties` the strength of the
    penalty for each feature, shape (features, 1).
    """
    loss = float((penalties * np.square(kernel)).sum())
    kernel_slope, bias_slope = 2 * penalties * kernel, np.zeros_like(bias)
    rows = max(1, _BLOCK_VALUES // inputs.shape[1])
    for start in range(0, len(inputs), rows):
        block, share = inputs[start : start + rows], shares[start : start + rows]
        logits = block @ kernel + bias
        logits -= logits.max(axis=1, keepdims=True)
        log_probability = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        difference = share.sum(axis=1, keepdims=True) * np.exp(log_probability) - share
        kernel_slope += block.T @ difference
        bias_slope += difference.sum(axis=0)
        loss -= float((share * log_probability).sum())
    return loss, _Slope(kernel_slope, bias_slope)
