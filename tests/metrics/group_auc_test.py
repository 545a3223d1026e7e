"""The AUC within groups against a loop over groups and pairs."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from keras_pss.metrics.click_metrics import Metrics
from keras_pss.metrics.group_auc import GroupAUC

ROWS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 3), st.integers(-2, 3)),
    max_size=40,
)


def looped(labels, scores, groups):
    """gAUC, groups and rows by comparing all pairs of each group."""
    total, count, rows = 0.0, 0, 0
    for group in np.unique(groups):
        own = groups == group
        clicks, others = scores[own & labels], scores[own & ~labels]
        if len(clicks) and len(others):
            wins = [(a > b) + (a == b) / 2 for a in clicks for b in others]
            total += own.sum() * np.mean(wins)
            count, rows = count + 1, rows + own.sum()
    return (total / rows if rows else None), count, rows


@given(ROWS)
def test_against_all_pairs(rows):
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    labels, scores, groups = map(np.array, columns)
    labels = labels.astype(bool)
    found = GroupAUC.of(labels, scores / 4, groups)
    gauc, count, counted = looped(labels, scores, groups)
    assert (found.groups, found.rows) == (count, counted)
    assert found.gauc == (None if gauc is None else pytest.approx(gauc))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_many_groups_of_different_sizes(dtype):
    random = np.random.RandomState(0)
    groups = random.zipf(1.3, 5000).clip(max=10**6)
    labels = random.rand(5000) < 0.3
    scores = (0.3 * labels + random.rand(5000)).astype(dtype) / 2
    weights, aucs = [], []
    for group in np.unique(groups):
        own = groups == group
        if 0 < labels[own].sum() < own.sum():
            weights.append(own.sum())
            aucs.append(roc_auc_score(labels[own], scores[own]))
    found = GroupAUC.of(labels, scores[:, None], groups.astype("uint32"))
    assert found.groups == len(aucs) > 50
    assert found.rows == sum(weights) < 5000
    assert found.gauc == pytest.approx(np.average(aucs, weights=weights))


def test_rows_and_numbers_in_any_order_give_the_same_bits():
    random = np.random.RandomState(1)
    groups = random.randint(0, 97, 3000)
    labels, scores = random.randint(0, 2, 3000), random.rand(3000)
    first = GroupAUC.of(labels, scores, groups)
    for seed in range(5):
        random.seed(seed)
        order, names = random.permutation(3000), random.permutation(97) - 50
        again = GroupAUC.of(
            labels[order], scores[order], names[groups][order].astype("int32")
        )
        assert again == first


def test_one_group_has_the_auc_of_all_rows():
    random = np.random.RandomState(2)
    labels, scores = random.randint(0, 2, 300), random.rand(300).round(1)
    found = Metrics.of(labels, scores, np.full(300, -7))
    assert found.by_group.gauc == pytest.approx(found.auc, rel=1e-14)
    assert (found.by_group.groups, found.by_group.rows) == (1, 300)


def test_what_ranks_users_alone_is_worth_half():
    """AUC rewards a score of each user that gAUC does not."""
    groups = np.repeat(np.arange(50), 20)
    rates = np.linspace(0.1, 0.9, 50)[groups]
    labels = np.random.RandomState(3).rand(1000) < rates
    found = Metrics.of(labels, rates, groups)
    assert found.auc > 0.7
    assert found.by_group.gauc == 0.5


def test_a_weight_is_the_number_of_rows():
    # AUC 1 of two rows, 1/2 of three; a user without a click does not count.
    labels = [1, 0, 1, 0, 0, 0, 0]
    scores = [0.9, 0.1, 0.5, 0.9, 0.1, 0.3, 0.4]
    groups = [4, 4, 9, 9, 9, 2, 2]
    found = GroupAUC.of(labels, scores, groups)
    assert found == GroupAUC((2 * 1 + 3 * 0.5) / 5, 2, 5)


def test_values_of_a_report():
    whole = Metrics.of([0, 1, 1], [0.2, 0.7, 0.1], [1, 1, 2])
    assert whole.as_dict() == {
        **dataclasses.replace(whole, by_group=None).as_dict(),
        "gauc": 1.0,
        "gauc_groups": 1,
        "gauc_rows": 2,
    }
    plain = Metrics.of([0, 1, 1], [0.2, 0.7, 0.1])
    assert set(whole.as_dict()) - set(plain.as_dict()) == {
        "gauc",
        "gauc_groups",
        "gauc_rows",
    }
    none = Metrics.of([0, 1], [0.2, 0.7], [1, 2]).by_group
    assert none == GroupAUC(None, 0, 0)


@pytest.mark.parametrize(
    ("labels", "scores", "groups", "message"),
    [
        ([0, 1], [0.5], [1, 1], "2 labels, 1 probabilities, 2 groups"),
        ([0, 1], [0.5, 0.5], [1], "2 labels, 2 probabilities, 1 groups"),
        ([0, 2], [0.5, 0.5], [1, 1], "1 of 2 other labels, the first 2"),
        ([0, 1], [0.5, np.nan], [1, 1], "NaN for 1 of 2 rows"),
        ([0, 1], [0.5, 0.5], [1.5, 1.5], r"integers.*dtype float64"),
        ([0, 1], [0.5, 0.5], ["a", "a"], r"Number the groups.*<U1"),
    ],
)
def test_wrong_rows(labels, scores, groups, message):
    with pytest.raises(ValueError, match=message):
        GroupAUC.of(labels, scores, groups)
