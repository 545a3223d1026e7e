"""Differences of AUCs against brute force, resampling and simulation."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from keras_pss.metrics.holm import holm
from keras_pss.metrics.significance import Components, compare_auc


def rows(count, seeds, seed=0, ties=True):
    """Labels and the scores of two correlated methods, some of them tied."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, 2, count)
    labels[:4] = 0, 1, 0, 1
    common = labels + random.normal(size=count)
    methods = [common + random.normal(size=(seeds, count)) for _ in range(2)]
    return labels, *(m.round(1) if ties else m for m in methods)


def brute_force(labels, first, second):
    """DeLong's variance of the mean difference, from all pairs of rows."""
    psi = 0
    for scores, sign in ((first, 1), (second, -1)):
        x, y = scores[:, labels == 1, None], scores[:, None, labels == 0]
        psi = psi + sign * ((x > y) + 0.5 * (x == y)).mean(axis=0)
    m, n = psi.shape
    by_row, by_column = psi.mean(axis=1), psi.mean(axis=0)
    return np.var(by_row, ddof=1) / m + np.var(by_column, ddof=1) / n


@pytest.mark.parametrize("seeds", [1, 3])
def test_equals_brute_force_and_scikit_learn(seeds):
    labels, first, second = rows(150, seeds)
    parts = Components.of(labels, first)
    aucs = [roc_auc_score(labels, scores) for scores in first]
    np.testing.assert_allclose(parts.aucs, aucs, rtol=1e-12)
    assert parts.clicked.mean() == pytest.approx(np.mean(aucs), rel=1e-12)
    assert parts.unclicked.mean() == pytest.approx(np.mean(aucs), rel=1e-12)
    found = compare_auc(labels, first, second)
    differences = parts.aucs - Components.of(labels, second).aucs
    of_test = brute_force(labels, first, second)
    assert found.difference == pytest.approx(differences.mean(), rel=1e-12)
    assert found.test_error**2 == pytest.approx(of_test, rel=1e-12)
    assert found.seeds == seeds
    variance = of_test
    if seeds == 1:
        assert found.seed_error is None
    else:
        of_seeds = np.var(differences, ddof=1) / seeds
        assert found.seed_error**2 == pytest.approx(of_seeds, rel=1e-12)
        variance += of_seeds
    assert found.standard_error**2 == pytest.approx(variance, rel=1e-12)


def test_the_error_is_that_of_other_test_rows():
    labels, first, second = rows(400, 2, ties=False)
    random = np.random.RandomState(3)
    drawn = []
    for _ in range(300):
        pick = random.randint(0, len(labels), len(labels))
        a, b = (
            Components.of(labels[pick], scores[:, pick])
            for scores in (first, second)
        )
        drawn.append((a.aucs - b.aucs).mean())
    found = compare_auc(labels, first, second)
    # A standard deviation of 300 draws is known to 1 / √600 = 4 %.
    assert found.test_error == pytest.approx(np.std(drawn), rel=0.15)


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (4, 0.6)])
def test_one_in_twenty_is_significant_where_nothing_is(seeds, spread):
    """Two methods that are as good, without and with spread over seeds."""
    random = np.random.RandomState(4)
    runs, count, found = 400, 100, 0
    labels = np.arange(count) % 2
    for _ in range(runs):
        common = random.normal(size=count)
        methods = [
            labels * (1 + spread * random.normal(size=(seeds, 1)))
            + common
            + random.normal(size=(seeds, count))
            for _ in range(2)
        ]
        result = compare_auc(labels, *methods)
        found += result.p_value < 0.05
        assert (result.p_value < 0.05) == (result.low * result.high > 0)
    low, high = binom.interval(1 - 1e-3, runs, 0.05)
    assert low <= found <= high


def test_a_real_difference_is_found():
    labels, first, second = rows(2000, 3)
    noise = np.random.RandomState(5).normal(size=second.shape)
    found = compare_auc(labels, first, second + 3 * noise)
    assert 0 < found.low < found.difference < found.high
    assert found.p_value < 1e-3


def test_antisymmetric():
    labels, first, second = rows(100, 3)
    there, back = (
        compare_auc(labels, first, second),
        compare_auc(labels, second, first),
    )
    assert back == dataclasses.replace(
        there, difference=-there.difference, low=-there.high, high=-there.low
    )


def test_the_mean_of_models_is_one_difference():
    labels, first, second = rows(100, 2)
    a, b, c = (
        Components.of(labels, scores)
        for scores in (first, second, first + second)
    )
    found = Components.mean([a, b]).minus(Components.mean([c, c]))
    differences = [a.minus(c).difference, b.minus(c).difference]
    assert found.difference == pytest.approx(np.mean(differences), rel=1e-12)
    assert Components.mean([a, a]).minus(c) == a.minus(c)
    with pytest.raises(ValueError, match="2 and 1 seeds"):
        Components.mean([a, Components.of(labels, first[0])])


def test_no_variance():
    labels, first, _ = rows(50, 2)
    same = compare_auc(labels, first, 2 * first)
    assert (same.difference, same.p_value, same.low, same.high) == (0, 1, 0, 0)
    sure = compare_auc(labels, labels, 1 - labels)
    assert (sure.difference, sure.p_value, sure.low, sure.high) == (1, 0, 1, 1)


def test_holm():
    # Times 4, 3, 2, 1 in their order: 0.02, 0.03, 0.06, 0.04; then ascending.
    found = holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, 0.02], rtol=1e-12)
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == []
    for wrong in ([0.5, 1.5], [np.nan]):
        with pytest.raises(ValueError, match=r"numbers in \[0, 1\]. Received"):
            holm(wrong)


LABELS = [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("labels", "first", "second", "message"),
    [
        (LABELS, [[0.1] * 3], [[0.1] * 4], r"shape \(1, 3\), 4 labels"),
        (LABELS, [[[0.1] * 4]], [[0.1] * 4], r"shape \(1, 1, 4\), 4 labels"),
        (LABELS, [[0.1] * 4] * 2, [0.1] * 4, "2 and 1 seeds"),
        ([0, 0, 0, 1], [0.1] * 4, [0.1] * 4, "1 clicks in 4 rows"),
        ([1] * 4, [0.1] * 4, [0.1] * 4, "4 clicks in 4 rows"),
        ([0, 0, 1, 2], [0.1] * 4, [0.1] * 4, "1 for a click"),
        (
            LABELS,
            [0.1, 0.2, np.nan, 1],
            [0.1] * 4,
            "1 probabilities that are NaN",
        ),
    ],
)
def test_wrong_arguments(labels, first, second, message):
    with pytest.raises(ValueError, match=message):
        compare_auc(labels, first, second)


def test_components_of_other_rows():
    first = Components.of([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])
    second = Components.of([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(ValueError, match="the same rows, in the same order"):
        first.minus(second)
