"""Metrics against their definitions."""

import numpy as np
import pytest

from keras_pss.training.metrics import Metrics


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


def test_a_diverged_model_is_named():
    with pytest.raises(ValueError, match=r"diverged.*1 of 2 probabilities"):
        Metrics.of([0, 1], [0.5, np.nan])
