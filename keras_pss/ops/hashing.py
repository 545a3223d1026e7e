"""The hash families inside a graph, in 32-bit integer arithmetic.

The values equal those of `pss1` and `universal`, which define the hashes on
the host. Only wrapping int32 multiplication and addition and arithmetic shifts
are used, because JAX truncates int64 and uint32 is not 32 bits wide on
PyTorch.

Shapes: ids are `(...,)` with one `table` number, or `(..., F)` with a sequence
of F table numbers, one per column. Results have one more axis, of chunks: the
independent hashes of an id.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import backend, ops

from keras_pss.native import tracing
from keras_pss.native.dispatch import compiled_by_xla
from keras_pss.ops.gather import take
from keras_pss.ops.hash_families import pss1, universal

Tensor = Any
FAMILIES = ("pss1", "universal")


def starts(
    ids: Tensor,
    size: int | Sequence[int],
    *,
    seed: int,
    table: int | Sequence[int] = 0,
    chunks: int = 1,
    family: str = "pss1",
    high: Tensor | None = None,
) -> Tensor:
    """Offsets in [0, size), int32, shape `ids.shape + (chunks,)`.

    Args:
        ids: Non-negative int32 or int64 ids.
        size: Number of offsets, positive and below 2^31, or a sequence of
            them, one for each index of the last axis of the ids.
        seed: Seed of the hash function, which also depends on the table and
            the chunk.
        table: The table number, or a sequence of them, one for each index of
            the last axis of the ids.
        chunks: Number of independent hashes per id.
        family: `"pss1"` or `"universal"`.
        high: For `"pss1"`: int32 upper words that broadcast with the ids. The
            hash is that of the 64-bit id `high * 2^32 + ids`, on backends
            without int64 as well, and the ids may be any int32 words.
            Defaults to the upper words of the ids.
    """
    if family == "universal":
        mixed = _universal_mod_prime(ids, seed, table, range(chunks), 0)
        if not isinstance(size, int):
            size = _constant(size)[:, None]
        return ops.mod(mixed, size)
    words = _pss1_words(ids, seed, table, range(chunks), 0, high)
    if isinstance(size, int):
        return _reduce(words, size)
    return _reduced(words, np.array(size, np.int64)[:, None])


def signs(
    ids: Tensor,
    count: int,
    *,
    seed: int,
    table: int | Sequence[int] = 0,
    family: str = "pss1",
) -> Tensor:
    """+1.0 or -1.0, float32, shape `ids.shape + (count,)`."""
    if family == "universal":
        mixed = _universal_mod_prime(ids, seed, table, range(count), 1)
        return ops.cast(2 * ops.mod(mixed, 2) - 1, "float32")
    parts = []
    for word in range(-(-count // 32)):
        x = _pss1_words(ids, seed, table, (0,), 1 + word)
        bits = np.arange(min(32, count - 32 * word), dtype=np.uint32)
        # Multiplying by 2^i moves bit 31 - i to the sign bit.
        parts.append(x * _constant(_as_int32(np.uint32(1) << bits)))
    x = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)
    return ops.where(x < 0, -1.0, 1.0)


def _as_int32(values: Any) -> np.ndarray:
    return np.asarray(values, np.uint32).view(np.int32)


def _constant(values: Any) -> Tensor:
    return ops.convert_to_tensor(np.asarray(values, np.int32), dtype="int32")


def _shifted(x: Tensor, bits: int) -> Tensor:
    return ops.right_shift(x, bits)


def words_of(ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """(low, high) int32 words of ids; None if the upper ones are zero."""
    if backend.standardize_dtype(ids.dtype) == "int64":
        high = ops.cast(ops.right_shift(ids, 32), "int32")
        return ops.cast(ids, "int32"), high
    return ops.cast(ids, "int32"), None


C1, C2 = (int(v) for v in _as_int32([pss1.C1, pss1.C2]))


def _mix(x: Tensor) -> Tensor:
    x = x + _shifted(x, pss1.SHIFT1)
    x = x * (x + x + C1)
    x = x + _shifted(x, pss1.SHIFT2)
    x = x * (x + x + C2)
    return x + _shifted(x, pss1.SHIFT3)


def _mix_high(high: Tensor) -> Tensor:
    y = high * (high + high + C1)
    y = y + _shifted(y, pss1.SHIFT1)
    return y * (y + y + C2)


def _pss1_words(
    ids: Tensor,
    seed: int,
    table: int | Sequence[int],
    chunks: Sequence[int],
    purpose: int,
    upper: Tensor | None = None,
) -> Tensor:
    """int32 words, shape `ids.shape + (len(chunks),)`."""
    tables = [table] if isinstance(table, int) else table
    keys = _as_int32(
        [[pss1.key(seed, t, c, purpose) for c in chunks] for t in tables]
    )  # (F, chunks, 3)
    low_key, high_key, add = np.moveaxis(keys, -1, 0)
    low, high = words_of(ids)
    high = high if upper is None else upper
    x = ops.expand_dims(low, -1) * _constant(low_key) + _constant(add)
    if high is not None:
        mixed = ops.expand_dims(_mix_high(high), -1)
        x = x + mixed * _constant(high_key)
    x = _mix(x)
    return x if ops.ndim(x) == ops.ndim(ids) + 1 else x[0]


def _reduce(x: Tensor, size: int) -> Tensor:
    """floor((x + 2^31 mod 2^32) size / 2^32) without a 64-bit product.

    The word and the size are split into 16-bit halves; sums of their products
    stay within 32 bits or wrap harmlessly. The constants include the offset of
    2^31 and the centering of the lower halves.
    """
    if size & (size - 1) == 0:  # a power of two: the word's top bits
        if size == 1:
            return x * 0
        return _shifted(x, 33 - size.bit_length()) + size // 2
    return _reduced(x, np.array(size, np.int64))


def _reduced(x: Tensor, size: npt.NDArray[np.int64]) -> Tensor:
    """`_reduce` for sizes that broadcast with the words."""
    if not compiled_by_xla() and not tracing.converting():
        return _reduced_wide(x, size)
    size1 = (size + 32768) >> 16
    size0 = size - (size1 << 16)
    # The products by 2^31 have up to 62 bits.
    center = size * 65537 << 15
    k0 = center & 0xFFFF
    k1 = (center >> 16) & 0xFFFF
    k1 = np.where(k1 >= 32768, k1 - 65536, k1)
    k2 = (center - k0 - (k1 << 16)) >> 32
    # A Python integer needs no tensor of its own in eager execution.
    made: Any = _constant if np.ndim(size) else int
    size0, size1, k0, k1, k2 = map(made, (size0, size1, k0, k1, k2))
    high = _shifted(x, 16)
    low = x - high * 65536 - 32768
    carry = _shifted(low * size0 + k0, 16) + high * size0 + low * size1 + k1
    return high * size1 + _shifted(carry, 16) + k2


def _reduced_wide(x: Tensor, size: npt.NDArray[np.int64]) -> Tensor:
    """`_reduced` by products of 64 bits: a third of the operations.

    XLA computes all operations of a hash in one pass, and JAX and PyTorch may
    have no such integers or are slower with them.
    """
    import tensorflow as tf

    wide = (tf.cast(x, tf.int64) + 2**31) * size
    return tf.cast(tf.bitwise.right_shift(wide, 32), tf.int32)


def _universal_mod_prime(
    ids: Tensor,
    seed: int,
    table: int | Sequence[int],
    chunks: Sequence[int],
    purpose: int,
) -> Tensor:
    """`(A e + B x + C c + D) mod P`, int32, `ids.shape + (len(chunks),)`."""
    tables = [table] if isinstance(table, int) else table
    constant = [
        [universal.offset(seed, t, c, purpose) for c in chunks] for t in tables
    ]
    low, high = words_of(ids)
    words = [low] if high is None else [low, high]
    products = universal.byte_products(seed, 4 * len(words), purpose)
    total = None
    for k in range(len(products)):
        byte = _shifted(words[k // 4], 8 * (k % 4))
        byte = byte - _shifted(byte, 8) * 256
        term = take(_constant(products[k]), byte)
        total = term if total is None else _add_mod_prime(total, term)
    total = ops.expand_dims(total, -1)
    result = _add_mod_prime(total, _constant(constant))
    return result if ops.ndim(result) == ops.ndim(ids) + 1 else result[0]


def _add_mod_prime(a: Tensor, b: Tensor) -> Tensor:
    """(a + b) mod P for a, b in [0, P), without overflowing int32."""
    difference = a - (universal.PRIME - b)
    return ops.where(difference < 0, difference + universal.PRIME, difference)
