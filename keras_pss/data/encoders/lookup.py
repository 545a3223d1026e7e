"""A frozen map from 32-bit values to ids, column by column, vectorised."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from keras_pss.data.readers.block import Int32Array, UInt32Array

# Odd, so that multiplying permutes the 32-bit values; 2^32 / golden ratio
# spreads runs and multiples evenly over the buckets.
_SPREAD = np.uint32(0x9E3779B1)
_HALF = np.uint64(32)


class Lookup:
    """Ids of values by column, 0 for values that are not there.

    The values of a column are permuted, sorted and cut by their leading bits
    into one to two buckets a value. A look-up reads its bucket and the
    bucket's first entry, which is the right one for most; the others search
    their bucket by halves. All columns go through the same few array
    operations, because many small ones make threads wait for each other.

    Memory: 8 bytes a value, 4 to 8 for its buckets.

    Args:
        keys: For each column distinct values, uint32 (m,); the value at
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
        """Ids int32 of uint32 values (n, columns)."""
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
        """Ids of permuted values in the sorted entries low..high, all (m,)."""
        while (low < high).any():
            middle = low + (high - low) // np.uint32(2)
            # A search that has ended stays where it is: its entry is not less.
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
    """Permuted keys above ids, sorted, and one last entry with the id 0.

    The last entry is what look-ups behind all others find.
    """
    high = (keys * _SPREAD).astype(np.uint64) << _HALF
    entries = high | np.arange(1, len(keys) + 1, dtype=np.uint64)
    entries.sort()
    return np.append(entries, np.uint64(0xFFFFFFFF << 32))


def _offsets(
    entries: npt.NDArray[np.uint64], bits: int
) -> npt.NDArray[np.int64]:
    """Where each bucket begins, and where the last one ends."""
    buckets = (entries >> np.uint64(64 - bits)).astype(np.int64)
    sizes = np.bincount(buckets, minlength=1 << bits)
    return np.concatenate([[0], np.cumsum(sizes)])
