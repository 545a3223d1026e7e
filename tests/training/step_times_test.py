"""Seconds of training are those of steps, and not of what compiles them."""

import pytest

from keras_pss.training import run_callbacks
from keras_pss.training.run_callbacks import StepTimes

STEPS, EPOCH = 3, 5  # an epoch's last batch is the 2nd of the 2nd round


@pytest.mark.parametrize(
    ("first_round", "expected"),
    [(0, [3, 6, 9, 12]), (1, [3, 6, 9])],
)
def test_two_steps_of_a_process_compile(first_round, expected, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(
        run_callbacks.time, "perf_counter", lambda: float(clock[0])
    )
    times = StepTimes(STEPS, EPOCH)
    for round in range(first_round, 4):
        times.on_epoch_begin(round)
        for batch in range(STEPS):
            times.on_train_batch_begin(batch)
            step = round * STEPS + batch
            compiles = step in (first_round * STEPS, EPOCH - 1)
            clock[0] += 61 if compiles else 1
            times.on_train_batch_end(batch)
        times.on_epoch_end(round)
        clock[0] += 100  # an evaluation
    assert times.seconds == expected
    assert times.medians == [1.0] * len(expected)
