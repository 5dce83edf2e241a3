"""The speed of a training, with a clock that the test sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellvision.training import speed as module
from cellvision.training.speed import TrainingSpeed, waited


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


def test_compiling_does_not_count_in_an_epoch_of_one_batch(clock: Clock) -> None:
    speed = TrainingSpeed(20)
    train(speed, clock, [(5, 4)])
    clock.now += 60  # validation
    speed.end_epoch()
    assert speed.images_per_second() == pytest.approx(20 / 1)
    assert speed.waiting() == 0
    train(speed, clock, [(2, 1.5)])
    assert speed.images_per_second() == pytest.approx(20 / 2)
    assert speed.waiting() == pytest.approx(1.5 / 2)


def test_nothing_is_measured_before_the_end_of_an_epoch(clock: Clock) -> None:
    speed = TrainingSpeed(40)
    speed.start_epoch()
    clock.now += 3
    speed.end_batch(20, 1)
    assert speed.images_per_second() == speed.waiting() == 0


@given(
    step=st.floats(0.01, 2),
    delays=st.lists(st.floats(-3, 3), min_size=1, max_size=30),
)
def test_batches_trained_together_wait_for_those_that_come_late(
    step: float, delays: list[float]
) -> None:
    due = now = 50.0
    ready, idle = [], 0.0
    for delay in delays:
        ready.append(now + delay)
        idle += max(0.0, delay)
        now = max(now, ready[-1]) + step
    assert waited(due, now, ready) == pytest.approx(idle, abs=1e-6)


def test_batches_made_long_before_or_during_others_do_not_wait() -> None:
    assert waited(10.0, 20.0, [3.0] * 10) == 0
    # Read two batches ahead, as a training that is faster in reading than in computing.
    assert waited(10.0, 20.0, [9.0, 9.0, *(10.0 + k for k in range(8))]) == 0


def test_a_batch_that_ends_before_it_was_recorded_as_ready_takes_no_time() -> None:
    assert waited(10.0, 12.0, [12.5]) == 2.0
