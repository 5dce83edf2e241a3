"""Estimate of the time that a training takes, from an earlier one or its own first steps."""

from __future__ import annotations

from cellvision.training.earlier_speeds import TrainingSpeed

_VALIDATION_COST = 1 / 3
"""Time for a validation image relative to a training image, until an epoch has been timed."""

_WARM_SECONDS = 1.0
"""Seconds of steady steps before the first estimate; the first step also compiles."""


class DurationEstimate:
    """Estimates the remaining seconds of a training.

    Before it begins, the estimate rests on the speed of an earlier training, if there was one.
    Within the first epoch it rests on the speed of the steps after the first one,
    later on the duration of whole epochs.

    Parameters
    ----------
    epochs
        Epochs of the training that are not done yet.
    training_images, validation_images
        Images per epoch.

    Examples
    --------
    >>> estimate = DurationEstimate(epochs=10, training_images=100, validation_images=0)
    >>> estimate.step(20, now=5.0)   # the first step, after compiling
    >>> estimate.step(60, now=7.0)   # 20 images per second
    47.0
    """

    def __init__(self, epochs: int, training_images: int, validation_images: int) -> None:
        self._epochs = epochs
        self._epoch_images = training_images + _VALIDATION_COST * validation_images
        self._first_step: tuple[int, float] | None = None
        self._epoch_seconds: list[float] = []

    def before(self, speed: TrainingSpeed) -> float:
        """Return the seconds of a training at the speed of an earlier one.

        Examples
        --------
        >>> estimate = DurationEstimate(epochs=10, training_images=100, validation_images=0)
        >>> estimate.before(TrainingSpeed(seconds_per_image=0.05, startup_seconds=3.0))
        53.0
        """
        images = self._epochs * self._epoch_images
        return speed.startup_seconds + images * speed.seconds_per_image

    def measured(self) -> tuple[float, float] | None:
        """Return the seconds per image and the further seconds of the first epoch.

        None until two epochs are done.
        """
        first, *steady = self._epoch_seconds or [0.0]
        if not steady:
            return None
        seconds = sum(steady) / len(steady)
        return seconds / self._epoch_images, max(first - seconds, 0.0)

    def step(self, images: int, now: float) -> float | None:
        """Return the remaining seconds of the whole training, or None if it is too early.

        Parameters
        ----------
        images
            Training images that the current epoch has seen.
        now
            Time in seconds.
        """
        if self._epoch_seconds:
            return None
        if self._first_step is None:
            self._first_step = (images, now)
            return None
        first_images, first_time = self._first_step
        if images <= first_images or now - first_time < _WARM_SECONDS:
            return None
        speed = (images - first_images) / (now - first_time)
        return (self._epochs * self._epoch_images - images) / speed

    def epoch(self, seconds: float, epochs_left: int) -> float:
        """Record the duration of an epoch; return the remaining seconds of the training."""
        self._epoch_seconds.append(seconds)
        # The first epoch also compiles.
        steady = self._epoch_seconds[1:] or self._epoch_seconds
        return epochs_left * sum(steady) / len(steady)
