"""The hash `pss1` on the host, in Python integers and NumPy.

This file is its definition. `ops/hashing.py` computes the same values with
`keras.ops` inside a graph, and `tests/golden/pss1.json` holds test vectors for
both. The config of saved layers names `pss1`: the arithmetic below is a file
format and never changes.

All 32-bit arithmetic is modulo 2^32. A hash word of an id is

    x = low * A + f(high) * B + K                      (A, B odd)
    x += x >> 15;  x *= 2 x + C1
    x += x >> 15;  x *= 2 x + C2
    x += x >> 17                                       (arithmetic shifts)

where `f` consists of the same two quadratic rounds; f(0) = 0, so 32-bit ids
skip it. The key (A, B, K) is derived on the host from (seed, table, chunk,
purpose), where the chunk numbers the independent hashes of an id. Each
`x -> x (2 x + C)` with odd C is a permutation of Z/2^32 that needs no xor, so
the hash is the same on every Keras backend.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

C1 = 0xC88E6327
C2 = 0xC86B9CDB
SHIFT1, SHIFT2, SHIFT3 = 15, 15, 17

_MASK64 = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15

UInt32Array = npt.NDArray[np.uint32]


class Key(NamedTuple):
    """Constants of one hash function, three integers in [0, 2^32)."""

    low: int  # multiplier of the id's low word, odd
    high: int  # multiplier of the id's mixed high word, odd
    add: int


def _fmix64(z: int) -> int:
    """The finalizer of splitmix64."""
    z &= _MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK64
    return z ^ (z >> 31)


def key(seed: int, table: int, chunk: int = 0, purpose: int = 0) -> Key:
    """Derives the constants of a hash function.

    Args:
        seed, table, chunk: Integers in [0, 2^64).
        purpose: 0 for start offsets, 1 + w for the w-th word of signs.
    """
    state = 0
    for value in (seed, table, chunk, purpose):
        state = _fmix64(state + _GOLDEN + value)
    first = _fmix64(state + _GOLDEN)
    second = _fmix64(state + 2 * _GOLDEN)
    return Key((first & 0xFFFFFFFF) | 1, (first >> 32) | 1, second & 0xFFFFFFFF)


def split(ids: npt.ArrayLike) -> tuple[UInt32Array, UInt32Array]:
    """Low and high words of integer ids; 32-bit ids are zero-extended."""
    array = np.asarray(ids)
    if array.dtype.itemsize <= 4:
        low = array.astype(np.int64).astype(np.uint32)
        return low, np.zeros(low.shape, np.uint32)
    wide = array.astype(np.uint64)
    low = (wide & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return low, (wide >> np.uint64(32)).astype(np.uint32)


def _add_shifted(x: UInt32Array, shift: int) -> UInt32Array:
    return x + (x.view(np.int32) >> np.int32(shift)).view(np.uint32)


def _mix(x: UInt32Array) -> UInt32Array:
    x = _add_shifted(x, SHIFT1)
    x = x * (x + x + np.uint32(C1))
    x = _add_shifted(x, SHIFT2)
    x = x * (x + x + np.uint32(C2))
    return _add_shifted(x, SHIFT3)


def _mix_high(high: UInt32Array) -> UInt32Array:
    y = high * (high + high + np.uint32(C1))
    y = _add_shifted(y, SHIFT1)
    return y * (y + y + np.uint32(C2))


def words(
    ids: npt.ArrayLike,
    seed: int,
    table: int,
    chunks: Sequence[int] = (0,),
    purpose: int = 0,
) -> UInt32Array:
    """Hash words, shape `ids.shape + (len(chunks),)`."""
    keys = np.array([key(seed, table, c, purpose) for c in chunks], np.uint32)
    low, high = split(ids)
    x = low[..., None] * keys[:, 0] + keys[:, 2]
    if high.any():
        x = x + _mix_high(high)[..., None] * keys[:, 1]
    return _mix(x)


def reduce(x: UInt32Array, size: int) -> npt.NDArray[np.int32]:
    """Maps words evenly onto [0, size): floor((x + 2^31 mod 2^32) size / 2^32).

    Args:
        x: Hash words.
        size: Number of values, positive and below 2^31.
    """
    shifted = (x + np.uint32(0x80000000)).astype(np.uint64)
    return ((shifted * np.uint64(size)) >> np.uint64(32)).astype(np.int32)


def starts(
    ids: npt.ArrayLike,
    size: int,
    seed: int = 0,
    table: int = 0,
    chunks: Sequence[int] = (0,),
) -> npt.NDArray[np.int32]:
    """Offsets in [0, size), shape `ids.shape + (len(chunks),)`."""
    return reduce(words(ids, seed, table, chunks), size)


def signs(
    ids: npt.ArrayLike,
    count: int,
    seed: int = 0,
    table: int = 0,
    chunks: Sequence[int] = (0,),
) -> npt.NDArray[np.int8]:
    """Signs, +1 or -1, of shape `ids.shape + (len(chunks), count)`.

    One word gives 32 signs: sign i is the top bit of `word << (i mod 32)`.
    """
    parts = []
    for word in range(-(-count // 32)):
        x = words(ids, seed, table, chunks, purpose=1 + word)
        shifts = np.arange(min(32, count - 32 * word), dtype=np.uint32)
        parts.append((x[..., None] << shifts).view(np.int32) < 0)
    return np.where(np.concatenate(parts, -1), -1, 1).astype(np.int8)
