"""Metrics against their definitions, and however their rows are cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from keras_pss.metrics.click_metrics import Metrics, MetricsAccumulator


def test_against_the_definitions():
    random = np.random.RandomState(0)
    labels = random.randint(0, 2, 300)
    # Rounded, so that there are ties.
    scores = np.round(np.clip(0.3 * labels + random.rand(300), 0.01, 0.99), 2)
    found = Metrics.of(labels.astype("float32"), scores[:, None])
    positive, negative = scores[labels == 1], scores[labels == 0]
    above = (positive[:, None] > negative).mean()
    ties = (positive[:, None] == negative).mean()
    assert found.auc == pytest.approx(above + ties / 2, abs=1e-12)
    loss = -np.where(labels == 1, np.log(scores), np.log(1 - scores)).mean()
    assert found.logloss == pytest.approx(loss, rel=1e-12)
    rate = labels.mean()
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    assert found.normalized_entropy == pytest.approx(loss / entropy)
    assert found.calibration == pytest.approx(scores.sum() / labels.sum())
    assert (found.rows, found.clicks) == (300, labels.sum())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_against_scikit_learn(dtype):
    random = np.random.RandomState(1)
    labels = random.rand(5000) < 0.3
    # Beyond both ends of what is clipped.
    logits = 12 * random.normal(size=5000) + 5 * labels
    scores = (1 / (1 + np.exp(-logits))).astype(dtype)
    scores[:4] = 0, 1, 0, 1
    found = Metrics.of(labels, scores)
    wide = scores.astype("float64")
    assert found.auc == pytest.approx(roc_auc_score(labels, wide), rel=1e-14)
    assert found.logloss == pytest.approx(log_loss(labels, wide), rel=1e-14)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.booleans(), st.integers(0, 9), st.booleans()),
        min_size=2,
        max_size=60,
    )
)
def test_any_chunks_give_the_same_bits(rows):
    labels, scores, cuts = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    labels[:2] = True, False
    scores = (scores / 9).astype("float32")
    whole = Metrics.of(labels, scores)
    accumulator = MetricsAccumulator()
    begin = 0
    for end in [*np.flatnonzero(cuts), len(rows)]:
        accumulator.update(labels[begin:end], scores[begin:end])
        begin = end
        if 0 < labels[:end].sum() < end:  # which must not disturb
            assert accumulator.result().rows == end
    assert accumulator.result() == whole


def test_runs_are_few_and_short():
    scores = np.random.RandomState(2).permutation(1 << 10) / 1024
    accumulator = MetricsAccumulator()
    for score in scores:
        accumulator.update([score > 0.5], [score])
    lengths = [len(run) for run, _ in accumulator._runs]
    assert len(lengths) <= 10
    assert sum(lengths) == 1024
    for _ in range(3):
        accumulator.update(scores > 0.5, scores)
    assert sum(len(run) for run, _ in accumulator._runs) <= 2 * 1024
    assert accumulator.result().auc == 1


def test_more_rows_than_products_of_64_bits():
    accumulator = MetricsAccumulator()
    counts = np.array([[3, 1], [1, 4]]) * 10**10
    accumulator._runs = [(np.array([0.2, 0.5]), counts)]
    wins = 1 * 3 + 4 * (2 * 3 + 1)
    found = accumulator.result()
    assert found.auc == wins / (2 * 4 * 5)
    assert found.rows == 9 * 10**10


def test_the_constant_rate_has_entropy_one_and_no_auc():
    labels = np.array([0, 0, 0, 1])
    found = Metrics.of(labels, np.full(4, 0.25))
    assert found.normalized_entropy == pytest.approx(1)
    assert found.auc == 0.5
    assert found.calibration == pytest.approx(1)


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_one_class_has_no_metrics(labels):
    with pytest.raises(ValueError, match="with and without a click"):
        Metrics.of(labels, np.full(len(labels), 0.5))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.5, np.nan], r"diverged.*1 of 2 probabilities"),
        ([0, 2, -1], [0.5] * 3, r"1 for a click.*2 of 3.*first 2"),
        ([0, np.nan], [0.5] * 2, r"1 for a click.*first nan"),
        ([0, 1, 1], [0.5] * 2, "3 labels, 2 probabilities"),
        ([0, 1], [-0.5, 1.5], r"sigmoid.*from -0.5 to 1.5"),
    ],
)
def test_wrong_rows_are_errors_and_are_not_counted(labels, scores, message):
    accumulator = MetricsAccumulator()
    accumulator.update([0, 1], [0.4, 0.6])
    before = accumulator.result()
    with pytest.raises(ValueError, match=message):
        accumulator.update(labels, scores)
    assert accumulator.result() == before
