"""A frozen, vectorized map from 32-bit values to ids for each column."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from keras_pss.data.readers.block import Int32Array, UInt32Array

# An odd factor permutes the 32-bit values; 2^32 / golden ratio also spreads
# runs and multiples evenly over the buckets.
_SPREAD = np.uint32(0x9E3779B1)
_HALF = np.uint64(32)


class Lookup:
    """Maps values of each column to ids; unknown values have id 0.

    The values of a column are permuted, sorted and grouped by their leading
    bits into one to two buckets per value. A lookup reads its bucket and the
    bucket's first entry, which is usually the right one; otherwise it does a
    binary search in the bucket. All columns share the same few array
    operations, because many small operations make threads wait for each
    other.

    Memory: 8 bytes per value, and 4 to 8 bytes for its buckets.

    Args:
        keys: Distinct values of each column, uint32 (m,). The value at
            position i has the id i + 1.
    """

    def __init__(self, keys: Sequence[UInt32Array]):
        bits = [max(1, len(values).bit_length()) for values in keys]
        sizes = np.array([(1 << b) + 1 for b in bits])
        self._shifts = np.array([32 - b for b in bits], np.uint32)
        self._bases = (np.cumsum(sizes) - sizes).astype(np.uint32)
        parts = [_entries(values) for values in keys]
        firsts = np.cumsum([0, *map(len, parts)])
        self._entries = np.concatenate(parts)
        self._offsets = np.concatenate(
            [
                first + _offsets(part[:-1], b)
                for part, b, first in zip(parts, bits, firsts, strict=False)
            ]
        ).astype(np.uint32)

    def __call__(self, values: UInt32Array) -> Int32Array:
        """Ids, int32 (n, columns), of values, uint32 (n, columns)."""
        spread = values * _SPREAD
        bucket = (spread >> self._shifts) + self._bases
        at = self._offsets[bucket]
        keys, ids = self._read(at)
        ids *= keys == spread
        behind = np.flatnonzero(keys < spread)
        if behind.size:
            ids.reshape(-1)[behind] = self._search(
                spread.reshape(-1)[behind],
                at.reshape(-1)[behind] + np.uint32(1),
                self._offsets[bucket.reshape(-1)[behind] + np.uint32(1)],
            )
        return ids

    def _search(
        self, spread: UInt32Array, low: UInt32Array, high: UInt32Array
    ) -> Int32Array:
        """Binary search for permuted values in entries low..high, all (m,)."""
        while (low < high).any():
            middle = low + (high - low) // np.uint32(2)
            # A finished search keeps its position: its entry is not less.
            less = (self._read(middle)[0] < spread) & (low < high)
            low = np.where(less, middle + np.uint32(1), low)
            high = np.where(less, high, middle)
        keys, ids = self._read(low)
        return ids * (keys == spread)

    def _read(self, at: UInt32Array) -> tuple[UInt32Array, Int32Array]:
        found = self._entries[at]
        ids = found.astype(np.uint32).view(np.int32)
        return (found >> _HALF).astype(np.uint32), ids


def _entries(keys: UInt32Array) -> npt.NDArray[np.uint64]:
    """Sorted entries with a permuted key in the upper half and its id below.

    A last entry with id 0 is found by lookups beyond all others.
    """
    high = (keys * _SPREAD).astype(np.uint64) << _HALF
    entries = high | np.arange(1, len(keys) + 1, dtype=np.uint64)
    entries.sort()
    return np.append(entries, np.uint64(0xFFFFFFFF << 32))


def _offsets(
    entries: npt.NDArray[np.uint64], bits: int
) -> npt.NDArray[np.int64]:
    """Start of each bucket, and the end of the last one."""
    buckets = (entries >> np.uint64(64 - bits)).astype(np.int64)
    sizes = np.bincount(buckets, minlength=1 << bits)
    return np.concatenate([[0], np.cumsum(sizes)])
