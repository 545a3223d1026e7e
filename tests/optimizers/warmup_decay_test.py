"""The learning rate against its formula, near and far, eager and compiled."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_pss.optimizers.warmup_decay import DECAYS, WarmupDecay


def formula(
    t,
    learning_rate,
    warmup_steps=0,
    decay="constant",
    decay_start=None,
    decay_steps=None,
    end_learning_rate=0.0,
    power=2.0,
):
    eta, end = learning_rate, end_learning_rate
    start = warmup_steps if decay_start is None else decay_start
    p = min(max((t - start) / (decay_steps or 1), 0), 1)
    rate = {
        "constant": eta,
        "linear": eta + p * (end - eta),
        "polynomial": end + (eta - end) * (1 - p) ** power,
        "cosine": end + (eta - end) * (1 + math.cos(math.pi * p)) / 2,
        "exponential": eta ** (1 - p) * end**p if end else None,
    }[decay]
    return rate * min(1, (t + 1) / warmup_steps) if warmup_steps else rate


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


CASES = [
    {"learning_rate": 0.1},
    {"learning_rate": 0.1, "warmup_steps": 7},
    *(
        {
            "learning_rate": 0.3,
            "decay": decay,
            "end_learning_rate": 0.004,
            **steps,
        }
        for decay, steps in itertools.product(
            DECAYS[1:],
            [
                {"decay_steps": 10},
                {"warmup_steps": 5, "decay_start": 9, "decay_steps": 11},
                {"decay_start": 3, "decay_steps": 1},
            ],
        )
    ),
    {
        "learning_rate": 24.0,
        "warmup_steps": 4,
        "decay": "polynomial",
        "decay_steps": 6,
        "power": 0.5,
    },
]


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_equals_the_formula(arguments):
    found = rates(WarmupDecay(**arguments), range(25))
    expected = [formula(t, **arguments) for t in range(25)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("decay", DECAYS[1:])
def test_billions_of_steps(decay):
    arguments = {
        "learning_rate": 0.5,
        "warmup_steps": 1_500_000_001,
        "decay": decay,
        "decay_steps": 2_500_000_001,
        "end_learning_rate": 0.01,
    }
    last = sum(v for v in arguments.values() if isinstance(v, int))
    steps = [0, 999_999_999, 3 * 10**9, last - 1000, last - 1, last, 2 * last]
    found = rates(WarmupDecay(**arguments), steps)
    expected = [formula(t, **arguments) for t in steps]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_last_of_billions_of_steps_still_differ():
    """Where float32 steps of 256 would stand still."""
    schedule = WarmupDecay(1.0, 0, "linear", decay_steps=4 * 10**9)
    steps = 4 * 10**9 - np.arange(4)
    np.testing.assert_allclose(
        rates(schedule, steps), np.arange(4) / 4e9, rtol=1e-6
    )


def test_cosine_equals_keras():
    own = WarmupDecay(
        0.2, decay="cosine", decay_steps=50, end_learning_rate=0.02
    )
    other = keras.optimizers.schedules.CosineDecay(0.2, 50, alpha=0.1)
    steps = range(0, 60, 3)
    np.testing.assert_allclose(
        rates(own, steps), rates(other, steps), rtol=1e-5
    )


def test_integer_tensors_and_variables():
    # A schedule beyond 32 bits for steps that are within.
    arguments = (0.2, 3, "linear", 10**9, 4 * 10**9)
    schedule = WarmupDecay(*arguments)
    for step in (1, 2 * 10**9):
        given = [keras.Variable(step, dtype="int", trainable=False)]
        given.append(ops.cast(step, "int32"))
        if keras.backend.backend() != "jax":  # which has no int64 by default
            given.append(ops.cast(step, "int64"))
        for count in given:
            found = schedule(count)
            assert keras.backend.standardize_dtype(found.dtype) == "float32"
            expected = formula(step, *arguments)
            assert float(found) == pytest.approx(expected, rel=1e-6)


# torch.compile takes a minute.
COMPILED = [False] if keras.backend.backend() == "torch" else [False, True]


@pytest.mark.parametrize("jit_compile", COMPILED)
def test_trains_within_compiled_steps(jit_compile):
    arguments = {
        "learning_rate": 0.5,
        "warmup_steps": 2,
        "decay": "polynomial",
        "decay_start": 3,
        "decay_steps": 4,
    }
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros"),
        ]
    )
    # The gradient of the mean of 1 x is 1: what is left is minus the rates.
    model.compile(
        keras.optimizers.SGD(WarmupDecay(**arguments)),
        loss=lambda y, x: ops.mean(x),
        jit_compile=jit_compile,
    )
    model.fit(np.ones((8, 1)), np.ones((8, 1)), batch_size=1, verbose=0)
    expected = sum(formula(t, **arguments) for t in range(8))
    weight = ops.convert_to_numpy(model.weights[0]).item()
    assert -weight == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("arguments", CASES[-2:], ids=str)
def test_config_round_trip(arguments):
    schedule = WarmupDecay(**arguments)
    config = keras.saving.serialize_keras_object(schedule)
    assert config["registered_name"] == "keras_pss>WarmupDecay"
    after = keras.saving.deserialize_keras_object(config)
    assert after.get_config() == schedule.get_config()
    assert arguments.items() <= schedule.get_config().items()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decay": "step"}, r"one of constant.*Received: decay='step'"),
        ({"learning_rate": 0}, "`learning_rate` must be positive"),
        ({"power": -1.0}, r"`power` must be positive.*power=-1.0"),
        ({"end_learning_rate": 2}, r"in \[0, learning_rate\].*=2, lea"),
        ({"warmup_steps": -1}, "integer of at least 0. .*warmup_steps=-1"),
        ({"warmup_steps": 1.5}, "integer of at least 0. .*warmup_steps=1.5"),
        ({"decay_steps": 0}, "integer of at least 1. .*decay_steps=0"),
        ({"decay_steps": 5}, "takes no `decay_start` and no `decay_steps`"),
        ({"decay": "cosine"}, "`decay_steps` must be given with decay='cos"),
        (
            {"decay": "exponential", "decay_steps": 5},
            "must be positive with decay='exponential'",
        ),
        (
            {"warmup_steps": 5, "decay_start": 4, "decay_steps": 2}
            | {"decay": "linear"},
            "decay_start=4, warmup_steps=5",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        WarmupDecay(**{"learning_rate": 0.1, **arguments})
