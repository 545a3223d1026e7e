"""Counting ids: exactly, or with a count-min sketch in bounded memory.

Counters are 32-bit words of a table with one column. Training steps add to
them in place; the host reads them as unsigned integers and halves them before
they can overflow.

A count-min sketch has `DEPTH` rows of `width` counters. An id increments one
counter of each row, and its estimate is the smallest of them:

    c(i) <= estimate(i),    estimate(i) <= c(i) + e N / width

The first bound always holds, the second with probability at least
1 - e^-DEPTH for each id, where N is the total number of ids counted.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from keras import backend, ops

from keras_pss.ops import hashing
from keras_pss.ops.hash_families import pss1

Tensor = Any
Ids = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint32]

DEPTH = 4
# Seed of the sketch's hash functions: part of the format of saved layers.
SEED = 0x407B0B5
# Number of ids estimated at a time, so that their hashes fit into the cache.
BLOCK = 1 << 16


def add_at(table: Any, index: Tensor, amount: Tensor) -> None:
    """Adds to counters in place: `table[index] += amount`.

    Args:
        table: Integer variable of shape `(size, 1)`.
        index: int32 `(n,)`, in range; amounts of duplicates add up.
        amount: Integers of shape `(n,)`.
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
        # On a flat view this is a hundred times faster than on one column.
        flat = value.detach().view(-1)
        flat.index_add_(0, index, amount.to(flat.dtype))


def signed(table: Any) -> Tensor:
    """The words of a table as int32, with the same bits, in a step."""
    value = ops.convert_to_tensor(table)
    if backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.bitcast(value, tf.int32)
    return value


def replace(table: Any, words: Tensor) -> None:
    """Replaces the words of a table by int32 ones, in a step."""
    if backend.backend() == "tensorflow":
        import tensorflow as tf

        words = tf.bitcast(words, table.dtype)
    table.assign(words)


def cells(ids: Tensor, width: int) -> Tensor:
    """Counter indices of ids in a sketch: int32 `(n,)` to `(n * DEPTH,)`."""
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


def joined(low: Words, high: Words | None = None) -> npt.NDArray[np.int64]:
    """Ids of one or two words, as int64."""
    if high is None:
        return low.view(np.int32).astype(np.int64)
    return (high.view(np.int32).astype(np.int64) << 32) | low


def divided(ids: np.ndarray, wide: bool) -> list[Words]:
    """The inverse of `joined`: the words of ids, lower ones first."""
    ids = np.asarray(ids, np.int64)
    words = [ids, ids >> 32] if wide else [ids]
    return [(word & 0xFFFFFFFF).astype(np.uint32) for word in words]


def estimates(counts: Words, ids: Ids, width: int | None) -> Words:
    """Counts of ids: exact, or estimated from a sketch if `width` is set."""
    return _at_least(counts, ids, width, 0)[1]


def _at_least(
    counts: Words, ids: Ids, width: int | None, least: int
) -> tuple[Ids, Words]:
    """The ids whose estimate is at least `least`, and their estimates."""
    if width is None:
        found = counts[ids]
        keep = found >= least
        return ids[keep], found[keep]
    found = np.full(len(ids), 2**32 - 1, np.uint32)
    for row in range(DEPTH):
        offset = pss1.starts(ids, width, SEED, chunks=(row,))[:, 0]
        found = np.minimum(found, counts[row * width + offset])
        # Most ids are rare: the first row already rules them out.
        keep = found >= least
        ids, found = ids[keep], found[keep]
    return ids, found


def most_counted(
    counts: Words, rows: int, capacity: int, held: Ids, width: int | None
) -> Ids:
    """The most frequent ids of a table, found in bounded memory.

    Args:
        counts: Counts `(rows,)`, or the `(DEPTH * width,)` counters of a
            sketch.
        rows: Number of ids.
        capacity: Maximum number of ids to return.
        held: At most `capacity` ids that win ties; among other ids, the
            smaller id wins. An id that is not in `held` is returned only if
            its count is positive.
        width: Width of the sketch; None for exact counts.

    Returns:
        At most `capacity` ids, increasing.
    """
    best, score = _at_least(counts, held, width, 0)
    for begin in range(0, rows, BLOCK):
        # A stable sort lets earlier ids win ties, so that once the list is
        # full, only ids with a larger count than its smallest can enter it.
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
    """Carries bit 31 of each lower word into its upper word.

    Args:
        words: `(2 k,)`: k lower words, then k upper words in units of 2^31.
    """
    low, high = words[: len(words) // 2], words[len(words) // 2 :]
    return np.concatenate([low & np.uint32(2**31 - 1), high + (low >> 31)])


def total(words: Words) -> list[int]:
    """The exact integers that the pairs of words represent."""
    low, high = words[: len(words) // 2], words[len(words) // 2 :]
    return [int(a) + (int(b) << 31) for a, b in zip(low, high, strict=True)]
