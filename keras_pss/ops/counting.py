"""Counting ids: exactly, or by a count-min sketch in bounded memory.

Counters are 32-bit words of a table with one column. Steps add to them in
place; the host reads them as unsigned numbers and halves them before they
could wrap around.

A count-min sketch has `DEPTH` rows of `width` counters. An id adds to one
counter of each row, and its estimate is the smallest of them:

    c(i) <= estimate(i),    estimate(i) <= c(i) + e N / width

the first always, the second for an id with probability 1 - e^-DEPTH, where N
is the number of all ids counted.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from keras import backend, ops

from keras_pss.ops import hashing, pss1

Tensor = Any
Ids = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint32]

DEPTH = 4
# Names the sketch's hash functions: part of the format of saved layers.
SEED = 0x407B0B5
# Ids whose estimates are computed at once; their hashes fit into a cache.
BLOCK = 1 << 16


def add_at(table: Any, index: Tensor, amount: Tensor) -> None:
    """Adds to counters in place: `table[index] += amount`.

    Args:
        table: Variable of `(size, 1)` integers.
        index: int32 `(n,)`, in range; repeated ones add up.
        amount: Integers `(n,)`.
    """
    value = table.value
    if backend.backend() == "tensorflow":
        import tensorflow as tf

        amount = tf.cast(amount, value.dtype)[:, None]
        if isinstance(value, tf.Variable):
            value.scatter_add(tf.IndexedSlices(amount, index))
        else:  # in a stateless scope
            index = index[:, None]
            table.assign(tf.tensor_scatter_nd_add(value, index, amount))
    elif backend.backend() == "jax":
        table.assign(value.at[index, 0].add(amount.astype(value.dtype)))
    else:
        # As one row: a hundred times as fast as rows of one column.
        flat = value.detach().view(-1)
        flat.index_add_(0, index, amount.to(flat.dtype))


def cells(ids: Tensor, width: int) -> Tensor:
    """Counters of ids in a sketch: `(n,)` int32 to `(n * DEPTH,)` int32."""
    offset = hashing.starts(ids, width, seed=SEED, chunks=DEPTH)  # (n, DEPTH)
    row = np.arange(DEPTH, dtype=np.int32) * width
    return ops.reshape(offset + ops.convert_to_tensor(row), (-1,))


def read(table: Any) -> Words:
    """All words of a table of one column, on the host."""
    values = np.array(ops.convert_to_numpy(table)).reshape(-1)
    return values.view(np.uint32)


def write(table: Any, words: np.ndarray) -> None:
    """Replaces all words of a table of one column."""
    words = words.astype(np.uint32).view(table.dtype)
    table.assign(words.reshape(table.shape))


def estimates(counts: Words, ids: Ids, width: int | None) -> Words:
    """Counts of ids; those of a sketch if a width is given."""
    return _at_least(counts, ids, width, 0)[1]


def _at_least(
    counts: Words, ids: Ids, width: int | None, least: int
) -> tuple[Ids, Words]:
    """Ids with an estimate of at least `least`, and their estimates."""
    if width is None:
        found = counts[ids]
        keep = found >= least
        return ids[keep], found[keep]
    found = np.full(len(ids), 2**32 - 1, np.uint32)
    for row in range(DEPTH):
        offset = pss1.starts(ids, width, SEED, chunks=(row,))[:, 0]
        found = np.minimum(found, counts[row * width + offset])
        # Most ids are rare and go at the first row.
        keep = found >= least
        ids, found = ids[keep], found[keep]
    return ids, found


def most_counted(
    counts: Words, rows: int, capacity: int, held: Ids, width: int | None
) -> Ids:
    """The most counted ids of a table, in bounded memory.

    Args:
        counts: `(rows,)`, or the `(DEPTH * width,)` counters of a sketch.
        rows: Number of ids.
        capacity: How many ids to take.
        held: At most `capacity` ids that come first among equally counted
            ones; then smaller ids do. Of all others, none with a count of
            zero is taken.
        width: Of the sketch, None for exact counts.

    Returns:
        At most `capacity` ids, increasing.
    """
    best, score = _at_least(counts, held, width, 0)
    for begin in range(0, rows, BLOCK):
        # Stable sorting leaves those that were there before in front of
        # equally counted ones, which need not be looked at once it is full.
        least = int(score.min()) + 1 if len(best) == capacity else 1
        block = np.arange(begin, min(begin + BLOCK, rows), dtype=np.int32)
        block, found = _at_least(counts, block, width, least)
        other = ~np.isin(block, held)
        best = np.append(best, block[other])
        score = np.append(score, found[other])
        order = np.argsort(-score.astype(np.int64), kind="stable")[:capacity]
        best, score = best[order], score[order]
    return np.sort(best)


def carried(words: Words) -> Words:
    """Moves what is above 31 bits of each counter to a second word.

    Args:
        words: `(2 k,)`: lower words, then the upper ones of 2^31 each.
    """
    low, high = words[: len(words) // 2], words[len(words) // 2 :]
    return np.concatenate([low & np.uint32(2**31 - 1), high + (low >> 31)])


def total(words: Words) -> list[int]:
    """The numbers that pairs of words hold; exact."""
    low, high = words[: len(words) // 2], words[len(words) // 2 :]
    return [int(a) + (int(b) << 31) for a, b in zip(low, high, strict=True)]
