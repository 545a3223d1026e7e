"""The gain of own rows against clicks that are drawn."""

import numpy as np
import pytest

from keras_pss.planning import theory

MEAN = -1.0  # of the logits
SPREAD = 0.02  # τ²


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


RATE = float(sigmoid(MEAN))


def ids_drawn(count, rng):
    """True click probabilities of ids."""
    return sigmoid(rng.normal(MEAN, SPREAD**0.5, size=count))


def loss(true, predicted):
    """Expected log loss above that of the true probabilities, nats."""
    return true * np.log(true / predicted) + (1 - true) * np.log(
        (1 - true) / (1 - predicted)
    )


def agrees(losses, expected):
    error = losses.std() / np.sqrt(len(losses))
    # 4.5 standard errors, and 5 % for what is not quadratic.
    return abs(losses.mean() - expected) < 4.5 * error + 0.05 * expected


@pytest.mark.parametrize("count", [60, 300, 2000])
def test_losses_of_own_rows(count):
    rng = np.random.default_rng(0)
    true = ids_drawn(20_000, rng)
    clicks = rng.binomial(count, true)
    own = loss(true, clicks / count)
    assert agrees(own, theory.own_row_loss(count, RATE, SPREAD))
    # The posterior mean of the logit, linearised at the mean.
    strength = count * RATE * (1 - RATE) * SPREAD
    logit = (clicks / count - RATE) / (RATE * (1 - RATE))
    shrunk = sigmoid(MEAN + logit * strength / (1 + strength))
    expected = theory.own_row_loss(count, RATE, SPREAD, shrunk=True)
    assert agrees(loss(true, shrunk), expected)
    assert expected < theory.oov_row_loss(RATE, SPREAD)


def test_loss_of_the_oov_row():
    true = ids_drawn(40_000, np.random.default_rng(0))
    assert agrees(
        loss(true, np.full_like(true, RATE)), theory.oov_row_loss(RATE, SPREAD)
    )


@pytest.mark.parametrize("members", [1, 2, 10])
def test_loss_of_a_bucket(members):
    rng = np.random.default_rng(0)
    true = ids_drawn(40_000, rng).reshape(-1, members)
    clicks = rng.binomial(200, true).sum(axis=1, keepdims=True)
    losses = loss(true, clicks / (200 * members))
    # Buckets, not their ids, are independent.
    expected = theory.bucket_loss(members, 200, RATE, SPREAD)
    assert agrees(losses.mean(axis=1), expected)


def test_rows_pay_from_the_threshold_on():
    threshold = theory.own_row_count(RATE, SPREAD)
    assert threshold == pytest.approx(1 / (RATE * (1 - RATE) * SPREAD))
    shared = theory.oov_row_loss(RATE, SPREAD)
    for factor in (0.5, 0.99, 1.01, 4.0):
        own = theory.own_row_loss(factor * threshold, RATE, SPREAD)
        assert (own < shared) == (factor > 1)
        for members in (2, 100):
            bucket = theory.bucket_loss(
                members, factor * threshold, RATE, SPREAD
            )
            assert (bucket < shared) == (factor > 1)


def test_gain_of_own_rows():
    counts = np.array([4000, 900, 300, 100])
    rows = 10_000
    strength = counts * RATE * (1 - RATE) * SPREAD
    expected = (strength - 1).sum() / (2 * rows)
    found = theory.own_rows_gain(counts, RATE, SPREAD, rows)
    assert found == pytest.approx(expected)
    assert theory.own_rows_gain([100], RATE, SPREAD, rows) < 0
    # Later rows have the ids as often as those that were counted.
    rng = np.random.default_rng(0)
    true = sigmoid(rng.normal(MEAN, SPREAD**0.5, size=(20_000, 4)))
    own = loss(true, rng.binomial(counts, true) / counts)
    gains = (counts * (loss(true, RATE) - own)).sum(axis=1) / rows
    assert agrees(gains, expected)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_loss_of_rounding(bits):
    rng = np.random.default_rng(0)
    spread = SPREAD**0.5
    logits = rng.normal(MEAN, spread, size=40_000)
    step = 8 * spread / 2**bits
    rounded = np.round((logits - MEAN) / step) * step + MEAN
    losses = loss(sigmoid(logits), sigmoid(rounded))
    expected = theory.rounding_loss(bits, RATE, SPREAD)
    # With 2 bits the error is not even within a step of two deviations.
    assert losses.mean() == pytest.approx(
        expected, rel=0.3 if bits < 4 else 0.1
    )


@pytest.mark.parametrize("spread", [0.02, 0.2])
def test_the_variance_is_found_in_counts_and_clicks(spread):
    estimates = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        counts = rng.zipf(1.5, size=2000).clip(1, 2000)
        true = sigmoid(rng.normal(MEAN, spread**0.5, size=2000))
        clicks = rng.binomial(counts, true)
        estimates.append(theory.estimated_logit_variance(counts, clicks))
    error = np.std(estimates) / np.sqrt(30)
    # The spread of rates is that of logits times v² to first order.
    tolerance = 4.5 * error + 0.1 * spread
    assert abs(np.mean(estimates) - spread) < tolerance
    assert tolerance < 0.5 * spread


def test_ids_without_meaning_have_no_variance():
    rng = np.random.default_rng(1)
    counts = np.full(3000, 50)
    clicks = rng.binomial(counts, 0.3)
    assert theory.estimated_logit_variance(counts, clicks) < 0.01
    assert theory.estimated_logit_variance([4, 4], [2, 2]) == 0
    assert theory.estimated_logit_variance([4, 4, 1], [0, 0, 1]) == 0


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("own_row_count", (0.0, 0.1), "`base_rate`.*=0.0"),
        ("own_row_count", (0.3, 0.0), "`logit_variance`.*=0.0"),
        ("oov_row_loss", (1.0, 0.1), "`base_rate`.*=1.0"),
        ("own_row_loss", ([3, 0], 0.3, 0.1), "`counts`.*positive"),
        ("bucket_loss", (0, 3.0, 0.3, 0.1), "`ids`.*=0"),
        ("bucket_loss", (2, float("inf"), 0.3, 0.1), "`mean_count`.*inf"),
        ("own_rows_gain", ([3], 0.3, 0.1, 0), "`rows`.*=0"),
        ("rounding_loss", (0, 0.3, 0.1), "`bits`.*=0"),
        ("estimated_logit_variance", ([3, 3], [1]), r"\(2,\).*\(1,\)"),
        ("estimated_logit_variance", ([3, 3], [1, 4]), "from 0 to"),
        ("estimated_logit_variance", ([3, 1], [1, 1]), "1 of 2 ids"),
    ],
)
def test_errors_name_the_argument(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(theory, function)(*arguments)
