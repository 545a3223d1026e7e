"""The most frequent keys of a stream: Space-Saving in buckets of four slots.

A hash assigns each key to one of w buckets. A slot of a bucket holds a key and
its score. A key that is held adds to its score. One that is not replaces the
key with the smallest score of the bucket, and adds to that score. Keys that
have a row, which the lowest bit of their scores says, are not replaced: in a
bucket of four frequent keys, one of them would go at each step, and a rare key
would inherit its score and then its row. (On a week of Criteo's log, 5 times as
many rows would change hands.)

A training step adds many keys at once. All occurrences of held keys count.
Then one newcomer enters each bucket, with all its occurrences in the step: the
key of the last occurrence that found no slot. Other newcomers of the bucket are
dropped. So the slots are exactly those of Space-Saving on a thinned stream, and
its invariants hold for that stream:

    count(i) <= score(i)   for a held key i,    min_j score(j) <= N / 4

where N is the number of occurrences that a bucket without hot keys has
counted. The order in
which the operations run does not matter, since each write has one writer: the
slots are equal bit by bit on all backends. (If the dropped occurrences counted
for the newcomer, as in a plain batch form of Space-Saving, each step would
raise the smallest score of each bucket by all that is rare in the step: on a
week of Criteo's log, 100 buckets would hold 92 % of the best hits, not 99 %.)

With one key in a step, a key that has the share g of all occurrences is held
with probability above 1 - (1 - g) / (3 g w): see `probability_held`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from keras_pss.ops import hashing
from keras_pss.ops.hash_families import pss1

Tensor = Any
Keys = npt.NDArray[np.int64]
Scores = npt.NDArray[np.int64]

# Slots of a bucket.
SLOTS = 4
# Score of one occurrence, a fixed-point number: rare keys survive a few
# halvings.
UNIT = 16
# Bit of a score that tells whether the key has a row. Scores are even.
HOT = 1
# Seed of the hash that chooses a bucket: part of the format of saved layers.
SEED = 0x51075
# A key that has no row must have a score larger by this ratio than a key that
# has one, so that rows do not change hands by chance. With 6 / 5, three times
# as many would where counts decay, for no more hits.
MARGIN = (3, 2)
# Scores stop here between two refreshes, which halve them, so that no step
# overflows an int32. It is even.
LARGEST_SCORE = 1 << 30
# The last word of the key of an empty slot. Words of keys are ids, numbers of
# tables or upper halves of ids there, which are not negative.
EMPTY = -1


def buckets(keys: Sequence[Tensor], width: int) -> Tensor:
    """Buckets of keys in [0, width), int32 `(n,)`.

    Args:
        keys: The words of the keys, int32 `(n,)`: the lower word and, if keys
            have two words, the upper one.
        width: Integer, the number of buckets.
    """
    high = keys[1] if len(keys) > 1 else None
    return hashing.starts(keys[0], width, seed=SEED, high=high)[:, 0]


def added(
    held: Sequence[Tensor],
    scores: Tensor,
    keys: Sequence[Tensor],
    amount: Tensor,
) -> tuple[list[Tensor], Tensor]:
    """Adds the keys of a step.

    Args:
        held: Words of the keys in the slots, each int32 `(w, SLOTS)`.
        scores: int32 `(w, SLOTS)`.
        keys: Words of the keys to add, each int32 `(n,)`.
        amount: int32 `(n,)`, what each key adds to its score, an even number;
            0 for a key that does not count.

    Returns:
        The new `held` and `scores`.
    """
    width = scores.shape[0]
    # One key that does not count, so that there is always a last one.
    keys = [ops.pad(word, [[0, 1]]) for word in keys]
    amount = ops.pad(amount, [[0, 1]])
    bucket = buckets(keys, width)
    match = _equal(
        [ops.take(word, bucket, axis=0) for word in held],
        [ops.expand_dims(word, -1) for word in keys],
    )  # (n, SLOTS)
    hit = ops.any(match, axis=-1)
    place = ops.cast(ops.argmax(ops.cast(match, "int32"), axis=-1), "int32")
    gained = ops.segment_sum(
        ops.where(hit, amount, 0), bucket * SLOTS + place, width * SLOTS
    )
    scores = _limited(scores)
    scores = scores + ops.reshape(ops.cast(gained, "int32"), (width, SLOTS))
    new = ops.logical_and(ops.logical_not(hit), amount > 0)
    last = ops.shape(amount)[0] - 1
    index = ops.arange(last + 1, dtype="int32")
    winner = ops.segment_max(ops.where(new, index, -1), bucket, width)
    winner = ops.cast(winner, "int32")  # (w,)
    is_hot = ops.equal(ops.bitwise_and(scores, HOT), HOT)
    open_scores = ops.where(is_hot, 2**31 - 1, scores)
    enters = ops.logical_and(
        winner >= 0, ops.any(ops.logical_not(is_hot), axis=-1)
    )
    winner = ops.where(enters, winner, last)
    newcomer = [ops.take(word, winner, axis=0) for word in keys]  # (w,)
    mine = _equal([ops.take(word, bucket, axis=0) for word in newcomer], keys)
    own = ops.segment_sum(
        ops.where(ops.logical_and(new, mine), amount, 0), bucket, width
    )
    own = ops.expand_dims(ops.cast(own, "int32"), -1)
    least = ops.cast(ops.argmin(open_scores, axis=-1), "int32")
    chosen = ops.logical_and(
        ops.expand_dims(enters, -1),
        ops.equal(ops.expand_dims(least, -1), np.arange(SLOTS, dtype=np.int32)),
    )
    replaced = [
        ops.where(chosen, ops.expand_dims(word, -1), old)
        for word, old in zip(newcomer, held, strict=True)
    ]
    return replaced, scores + ops.where(chosen, own, 0)


def _limited(scores: Tensor) -> Tensor:
    """Scores of at most `LARGEST_SCORE`, with their bit of hot keys."""
    most = LARGEST_SCORE + ops.bitwise_and(scores, HOT)
    return ops.minimum(scores, most)


def _equal(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """Where all words of two keys are equal."""
    found = ops.equal(one[-1], other[-1])
    for a, b in zip(one[:-1], other[:-1], strict=True):
        found = ops.logical_and(found, ops.equal(a, b))
    return found


def marked(keys: Keys, scores: Scores, hot: Keys) -> Scores:
    """Scores with the bit that tells which keys have a row.

    Args:
        keys: Keys in the slots.
        scores: Their scores, with or without the bit.
        hot: The keys that have a row.
    """
    return (scores & ~HOT) | (np.isin(keys, hot) * HOT)


def found(
    held: Keys, scores: Scores, wanted: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Scores of keys on the host; 0 for those that no slot holds.

    Args:
        held: Keys in the slots `(w * SLOTS,)`.
        scores: Their scores, without the bit of hot keys.
        wanted: Keys `(n,)`.
    """
    width = len(held) // SLOTS
    bucket = pss1.starts(wanted, width, SEED)[:, 0]
    match = held.reshape(width, SLOTS)[bucket] == wanted[:, None]
    return (match * scores.reshape(width, SLOTS)[bucket]).sum(axis=1)


def most_counted(
    keys: Keys, scores: Scores, capacity: int, hot: npt.NDArray[np.int64]
) -> Keys:
    """The keys with the largest scores.

    Args:
        keys: Keys `(m,)` that slots hold, without duplicates.
        scores: Their scores; keys whose score is 0 are left out, unless they
            are hot.
        capacity: Maximum number of keys to return.
        hot: The keys that have a row. Another key takes a row from one of
            them only if its score is larger by `MARGIN`.

    Returns:
        At most `capacity` keys, increasing. Ties go to hot keys, then to
        smaller ones.
    """
    counted = scores > 0
    keys, scores = keys[counted], scores[counted].astype(np.int64)
    # Hot keys whose slots went to others keep rows that nobody needs.
    lost = np.setdiff1d(hot, keys)
    keys = np.append(keys, lost)
    scores = np.append(scores, np.zeros(len(lost), np.int64))
    is_hot = np.isin(keys, hot)
    rank = scores * np.where(is_hot, *MARGIN)
    order = np.lexsort((keys, ~is_hot, -rank))[:capacity]
    return np.sort(keys[order])


def probability_held(share: float, width: int, slots: int = SLOTS) -> float:
    """A lower bound on the probability that a frequent key is held.

    Args:
        share: Fraction of all occurrences that are of the key, in (0, 1].
        width: Integer, the number of buckets.
        slots: Integer, the number of slots in a bucket. Defaults to `SLOTS`.

    References: Zhang et al., "CAFE: Towards compact, adaptive, and fast
    embedding for large-scale recommendation models" (SIGMOD 2024), theorem on
    HotSketch.
    """
    return max(0.0, 1 - (1 - share) / ((slots - 1) * share * width))
