"""Generated likes: their law, their true probabilities, and their errors."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from keras_pss.data import synthetic
from keras_pss.data.synthetic import synthetic_likes
from keras_pss.data.synthetic.bayes import sigmoid


@pytest.fixture(scope="module")
def likes():
    return synthetic.generate_likes(
        rows=60_000, num_users=1_000, num_items=400, seed=3, bayes_auc=0.85
    )


def test_rows_are_those_of_a_log_that_was_read(likes):
    assert len(likes) == 60_000
    assert (likes.num_users, likes.num_items) == (1_000, 400)
    assert likes.users.dtype == likes.items.dtype == np.int32
    assert likes.labels.dtype == np.int32
    assert (np.diff(likes.users) >= 0).all()
    assert likes.user_counts.min() >= synthetic_likes.FEWEST
    # Nobody meets an item twice.
    pairs = likes.users.astype(np.int64) * 400 + likes.items
    assert len(np.unique(pairs)) == len(likes)


def test_labels_follow_the_true_probabilities(likes):
    assert likes.bayes_auc == pytest.approx(0.85, abs=1e-3)
    found = roc_auc_score(likes.labels, likes.logits)
    assert found == pytest.approx(0.85, abs=0.006)
    assert likes.like_rate == pytest.approx(0.5, abs=0.01)
    # Calibrated in each tenth of the rows by probability.
    p = sigmoid(likes.logits)
    for tenth in np.array_split(np.argsort(p), 10):
        assert likes.labels[tenth].mean() == pytest.approx(
            p[tenth].mean(), abs=0.02
        )


def test_splits_keep_the_probabilities_of_their_rows(likes):
    parts = likes.split(last=0.1)
    assert sum(map(len, parts)) == len(likes)
    known = dict(
        zip(
            zip(likes.users.tolist(), likes.items.tolist(), strict=True),
            likes.logits.tolist(),
            strict=True,
        )
    )
    for part in parts:
        assert part.bayes_auc == pytest.approx(0.85, abs=0.01)
        keys = zip(part.users.tolist(), part.items.tolist(), strict=True)
        assert [known[key] for key in keys] == part.logits.tolist()


def test_the_popularity_of_items_follows_zipfs_law():
    """Where few of the items are met, its slope is the exponent."""
    flat, steep = (
        synthetic.generate_likes(
            rows=40_000,
            num_users=4_000,
            num_items=500,
            zipf_exponent=exponent,
        ).item_counts
        for exponent in (0.0, 1.0)
    )
    assert flat.max() < 2.5 * np.median(flat)
    counts = np.sort(steep)[::-1]
    slope = np.polyfit(np.log(np.arange(4, 200)), np.log(counts[4:200]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.15)
    # An item's number says nothing about its popularity.
    assert abs(spearmanr(steep, np.arange(500)).statistic) < 0.15


def test_rows_are_drawn_in_random_order():
    """Popular items come neither first nor last."""
    drawn = synthetic.generate_likes(
        rows=30_000, num_users=300, num_items=300, zipf_exponent=1.0
    )
    popular = drawn.item_counts[drawn.items]
    first = np.concatenate(
        [np.arange(n) < n // 2 for n in drawn.user_counts.tolist()]
    )
    assert popular[first].mean() == pytest.approx(
        popular[~first].mean(), rel=0.02
    )


def test_the_law_of_draws_without_replacement():
    """The first two draws of three items, against the product of both."""
    random = np.random.default_rng(0)
    logs = np.log(np.tile([0.6, 0.3, 0.1], (60_000, 1)))
    met = synthetic_likes._met(random, logs, np.full(60_000, 2))
    pairs = np.sort(met.reshape(-1, 2), axis=1)
    p = np.exp(logs[0])
    for one, two in ((0, 1), (0, 2), (1, 2)):
        found = (pairs == (one, two)).all(1).mean()
        expected = p[one] * p[two] * (1 / (1 - p[one]) + 1 / (1 - p[two]))
        assert found == pytest.approx(expected, abs=0.01)


def test_chunks_of_users_change_no_number_of_rows(monkeypatch):
    sizes = {"rows": 2_000, "num_users": 100, "num_items": 50}
    monkeypatch.setattr(synthetic_likes, "_PAIRS", 7 * 50)
    some = synthetic.generate_likes(**sizes)
    assert len(some) == 2_000
    assert some.users.max() == 99


def test_the_same_arguments_give_the_same_rows():
    sizes = {"rows": 2_000, "num_users": 100, "num_items": 50}
    one, same, other = (
        synthetic.generate_likes(**sizes, seed=seed) for seed in (1, 1, 2)
    )
    for name in ("users", "items", "labels", "logits"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert (one.items != other.items).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rows": 499}, "`rows` must be at least 500, 5 for each user."),
        ({"rows": 2_501}, "`rows` must be at most half of all pairs"),
        ({"num_users": 0}, "`num_users` must be at least 1. Received"),
        ({"num_items": 9}, "`num_items` must be at least 10. Received"),
        ({"seed": -1}, "`seed` must be at least 0. Received: seed=-1"),
        ({"zipf_exponent": -0.5}, "`zipf_exponent` must be at least 0"),
        ({"like_rate": 1.0}, r"`like_rate` must lie in \(0, 1\)"),
        ({"bayes_auc": 0.4}, r"`bayes_auc` must lie in \[0.5, 0.99\]"),
    ],
)
def test_wrong_arguments(wrong, message):
    sizes = {"rows": 1_000, "num_users": 100, "num_items": 50}
    with pytest.raises(ValueError, match=message):
        synthetic.generate_likes(**{**sizes, **wrong})
