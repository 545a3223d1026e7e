"""Synthetic likes of items by users, in the form of MovieLens' ratings."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from keras_pss.data.movielens.interactions import (
    Int64Array,
    Interactions,
    RowMask,
)
from keras_pss.data.synthetic import teacher
from keras_pss.data.synthetic.bayes import Floats, expected_auc, sigmoid

# Fewest interactions of a user: some remain when others are held out.
FEWEST = 5
# Length of the users' and items' latent vectors.
FACTORS = 4
# Standard deviation of the logarithm of the users' activity.
ACTIVITY = 1.0
# A standard deviation of affinity multiplies the odds to meet by exp(TASTE).
TASTE = 1.5
# Fractions of the logit's variance due to affinity, to items and to users.
SHARES = (0.7, 0.2, 0.1)
_PAIRS = 1 << 22  # pairs of a user and an item that are in memory at a time


@dataclass(frozen=True, kw_only=True)
class SyntheticLikes(Interactions):
    """Interactions whose true probabilities are known.

    Args:
        logits: float64 (n,), the true log odds of a like.

    The other arguments are those of `keras_pss.data.movielens.Interactions`.
    """

    logits: Floats

    @property
    def bayes_auc(self) -> float:
        """Expected AUC of the true probabilities, which no model exceeds."""
        return expected_auc(self.logits)

    def _part(self, rows: RowMask) -> Self:
        return replace(super()._part(rows), logits=self.logits[rows])


def generate_likes(
    *,
    rows: int = 1_000_000,
    num_users: int = 6_000,
    num_items: int = 3_700,
    seed: int = 0,
    zipf_exponent: float = 0.8,
    like_rate: float = 0.5,
    bayes_auc: float = 0.8,
) -> SyntheticLikes:
    """Draws interactions of users with items, and which of them are likes.

    A user has a latent vector p of 4 normal numbers, an item a unit vector q.
    User u meets n_u different items, drawn one after the other with

        P(i | u) ∝ (k_i)^-z exp(1.5 <p_u, q_i>),

    where k_i is the rank of the item's popularity and z the Zipf exponent, and
    likes each with a probability whose log odds are a sum of the same affinity
    and of effects of the item and of the user. The number n_u is log-normal,
    and at least 5. The same arguments give the same rows.

    Args:
        rows: Number of interactions, at least 5 for each user and on average
            at most half of the items. Default: 1,000,000.
        num_users: Number of users. Default: 6,000.
        num_items: Number of items. The rarest may occur in no row. Their
            numbers do not follow popularity. Default: 3,700.
        seed: Seed of everything, at least 0. Default: 0.
        zipf_exponent: Exponent z of the items' popularity, at least 0.
            Default: 0.8.
        like_rate: Expected fraction of likes, in (0, 1). Default: 0.5.
        bayes_auc: Expected AUC of the true probabilities, in [0.5, 0.99].
            Default: 0.8.

    Returns:
        `SyntheticLikes`, which is what `movielens.load` returns, with the true
        log odds.

    Raises:
        ValueError: An argument is out of range.

    Example:

    >>> likes = generate_likes(rows=100_000, num_users=1_000, num_items=500)
    >>> train, validation, test = likes.split(last=0.1)
    >>> round(likes.bayes_auc, 2)
    0.8
    """
    _check_sizes(rows, num_users, num_items)
    for name, value, good, rule in (
        ("seed", seed, seed >= 0, "be at least 0"),
        ("zipf_exponent", zipf_exponent, zipf_exponent >= 0, "be at least 0"),
        ("like_rate", like_rate, 0 < like_rate < 1, "lie in (0, 1)"),
        (
            "bayes_auc",
            bayes_auc,
            0.5 <= bayes_auc <= 0.99,
            "lie in [0.5, 0.99]",
        ),
    ):
        if not good:
            raise ValueError(f"`{name}` must {rule}. Received: {name}={value}")
    random = np.random.default_rng(seed)
    tastes = random.standard_normal((num_users, FACTORS), np.float32)
    kinds = random.standard_normal((num_items, FACTORS), np.float32)
    # Of one length, or those of long vectors would be met more often.
    kinds /= np.linalg.norm(kinds, axis=1, keepdims=True)
    ranks = random.permutation(num_items)
    popularity = -zipf_exponent * np.log1p(ranks)  # log of (k_i)^-z
    counts = _activity(random, rows, num_users, num_items)
    items, affinity = [], []
    step = max(1, _PAIRS // num_items)
    for start in range(0, num_users, step):
        some = slice(start, start + step)
        affinities = tastes[some] @ kinds.T
        met = _met(random, popularity + TASTE * affinities, counts[some])
        items.append(met)
        owners = np.repeat(np.arange(len(affinities)), counts[some])
        affinity.append(affinities[owners, met])
    users = np.repeat(np.arange(num_users), counts)
    item = np.concatenate(items)
    parts = (
        np.concatenate(affinity).astype(np.float64),
        random.standard_normal(num_items)[item],
        random.standard_normal(num_users)[users],
    )
    score = sum(
        np.sqrt(share) * (part - part.mean()) / max(part.std(), 1e-9)
        for share, part in zip(SHARES, parts, strict=True)
    )
    scale, bias = teacher.calibrate(score, like_rate, bayes_auc)
    logits = scale * score + bias
    return SyntheticLikes(
        users=users.astype(np.int32),
        items=item.astype(np.int32),
        labels=(random.random(rows) < sigmoid(logits)).astype(np.int32),
        user_ids=np.arange(1, num_users + 1),
        item_ids=np.arange(1, num_items + 1),
        logits=logits,
    )


def _met(
    random: np.random.Generator, logs: Floats, counts: Int64Array
) -> Int64Array:
    """Different items for each user, drawn by unnormalized log probabilities.

    The largest of log p + Gumbel noise are draws without replacement.

    Args:
        random: The generator.
        logs: Log probabilities, (users, items).
        counts: Number of items of each user, (users,).
    """
    keys = logs - np.log(random.standard_exponential(logs.shape))
    last = logs.shape[1] - counts[:, None]
    least = np.take_along_axis(np.sort(keys, axis=1), last, axis=1)
    users, items = np.nonzero(keys >= least)
    # In random order: they are sorted by their numbers.
    return items[np.lexsort((random.random(len(items)), users))]


def _activity(
    random: np.random.Generator, rows: int, num_users: int, num_items: int
) -> Int64Array:
    """Number of interactions of each user, (num_users,), `rows` in all."""
    weights = np.exp(ACTIVITY * random.standard_normal(num_users))
    counts = np.full(num_users, FEWEST)
    while (left := rows - counts.sum()) > 0:
        # Whoever has met all items is passed over.
        open_ = weights * (counts < num_items)
        counts += random.multinomial(left, open_ / open_.sum())
        counts = np.minimum(counts, num_items)
    return counts


def _check_sizes(rows: int, num_users: int, num_items: int) -> None:
    for name, value, least in (
        ("num_users", num_users, 1),
        ("num_items", num_items, 2 * FEWEST),
        ("rows", rows, FEWEST * num_users),
    ):
        if value < least:
            raise ValueError(
                f"`{name}` must be at least {least:,}"
                f"{f', {FEWEST} for each user' if name == 'rows' else ''}. "
                f"Received: {name}={value}"
            )
    if rows > num_users * num_items // 2:
        raise ValueError(
            "`rows` must be at most half of all pairs of a user and an item, "
            f"{num_users * num_items // 2:,}. Lower it, or raise `num_users` "
            f"or `num_items`. Received: rows={rows}"
        )
