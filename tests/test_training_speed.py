"""The speed of a training, with a clock that the test sets."""

from __future__ import annotations

import pytest

from cellvision.training import speed as module
from cellvision.training.speed import TrainingSpeed


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def train(speed: TrainingSpeed, clock: Clock, batches: list[tuple[float, float]]) -> None:
    """Train an epoch of batches of 20 images: seconds of each, and how late its data were."""
    speed.start_epoch()
    for number, (seconds, late) in enumerate(batches, start=1):
        clock.now += seconds
        speed.end_batch(20 * number, late)
    speed.end_epoch()


def test_compiling_counts_neither_as_training_nor_as_waiting(clock: Clock) -> None:
    speed = TrainingSpeed(60)
    # The data of the first batch are asked for when the network is compiled.
    train(speed, clock, [(5, 4.5), (1, 0), (1, 0.5)])
    assert speed.images_per_second() == pytest.approx(40 / 2)
    assert speed.waiting() == pytest.approx(0.5 / 2)


def test_the_first_epoch_counts_until_there_are_others(clock: Clock) -> None:
    speed = TrainingSpeed(40)
    train(speed, clock, [(5, 4.5), (2, 0)])
    assert speed.images_per_second() == pytest.approx(10)
    train(speed, clock, [(1, 0.25), (1, 0.25)])
    train(speed, clock, [(1, 0.5), (1, 0.5)])
    assert speed.images_per_second() == pytest.approx(80 / 4)
    assert speed.waiting() == pytest.approx(1.5 / 4)


def test_an_epoch_of_one_batch_is_measured_whole(clock: Clock) -> None:
    speed = TrainingSpeed(20)
    train(speed, clock, [(5, 4)])
    clock.now += 60  # validation
    speed.end_epoch()
    assert speed.images_per_second() == pytest.approx(20 / 5)
    assert speed.waiting() == pytest.approx(4 / 5)


def test_nothing_is_measured_before_the_end_of_an_epoch(clock: Clock) -> None:
    speed = TrainingSpeed(40)
    speed.start_epoch()
    clock.now += 3
    speed.end_batch(20, 1)
    assert speed.images_per_second() == speed.waiting() == 0
