"""Rounding to a low-precision grid, packing and unpacking.

There are three grids, each a set of float32 numbers:

    float16: every finite float16 number;
    int8: q s with q in [-127, 127] and one scale s per row;
    int4: q s with q in [-7, 7] and one scale s per row.

A row's scale is its largest magnitude over 127 (or 7), in 16 significant bits.
The product of such a scale and a code is exact in float32, so a row on the
grid reproduces its scale and codes: rounding it again changes no bit, on any
backend, even if backends differ in the last bit of a division.

Stochastic rounding chooses the upper or lower neighbor at random, so that the
expected result is the number itself and updates smaller than a grid step are
not lost. Its noise is a hash of the number's bits, its position and the sum of
the bits of all numbers. So a compiled step carries no random state, and the
noise of a number that returns to an earlier value differs once any other
number has changed.
"""

from typing import Any

import numpy as np
from keras import ops

from keras_pss.ops import hashing
from keras_pss.ops.gather import take

Tensor = Any
STORAGES = ("float16", "int8", "int4")  # widest first

LARGEST_CODE = {"int8": 127, "int4": 7}
_LARGEST_HALF = 65504.0
# The smallest scale of a row, far above denormals.
_SMALLEST_SCALE = 2.0**-100
_DROPPED_BITS = 8
_NOISE_BITS = 24


def nearest(x: Tensor, storage: str) -> Tensor:
    """Rounds each number to the nearest one on the grid.

    Args:
        x: float32 tensor of shape `(rows, width)`.
        storage: `"float16"`, `"int8"` or `"int4"`.
    """
    x = ops.convert_to_tensor(x)
    if storage == "float16":
        scaled, step = _half_grid(x)
        return ops.round(scaled) * step
    scale = _scales(_peaks(x), storage, None)
    return ops.round(x * (1 / scale)) * scale


def stochastic(x: Tensor, storage: str, seed: int = 0) -> Tensor:
    """Rounds each number up or down at random, without bias.

    Args:
        x: float32 tensor of shape `(rows, width)`.
        storage: `"float16"`, `"int8"` or `"int4"`.
        seed: Seed of the noise. Equal inputs and seeds give equal results.
            Default: 0.
    """
    x = ops.convert_to_tensor(x)
    bits = ops.view(x, "int32")
    rows, width = x.shape
    # One hash function per column, of a 64-bit id: the number's bits in the
    # lower half, the row and the sum of all bits in the upper half.
    above = ops.expand_dims(ops.arange(rows, dtype="int32"), -1)
    above = above + ops.cast(ops.sum(bits), "int32")
    noise = hashing.starts(
        bits, 1 << _NOISE_BITS, seed=seed, table=range(width), high=above
    )
    noise = ops.cast(noise[..., 0], "float32") * 2.0**-_NOISE_BITS
    if storage == "float16":
        scaled, step = _half_grid(x)
        return _up_or_down(scaled, noise) * step
    peak = _peaks(x)
    scale_noise = hashing.starts(
        ops.view(peak, "int32"),
        1 << _DROPPED_BITS,
        seed=seed,
        table=(width,),
        high=above,
    )
    scale = _scales(peak, storage, scale_noise[..., 0])
    scaled = x * (1 / scale)
    whole = ops.round(scaled)
    codes = ops.where(
        ops.equal(whole * scale, x), whole, _up_or_down(scaled, noise)
    )
    largest = LARGEST_CODE[storage]
    # By the definition of the scale, the largest magnitude has the largest
    # code; its randomness is that of the scale.
    at_peak = ops.logical_and(
        ops.equal(ops.abs(x), peak), ops.greater(scale, _SMALLEST_SCALE)
    )
    codes = ops.where(at_peak, largest * ops.sign(x), codes)
    return ops.clip(codes, -largest, largest) * scale


def _up_or_down(x: Tensor, noise: Tensor) -> Tensor:
    """Rounds each x up where noise < fraction, and down elsewhere."""
    below = ops.floor(x)
    return below + ops.cast(ops.less(noise, x - below), x.dtype)


def _half_grid(x: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers in units of their float16 grid, which is exact, and the units."""
    x = ops.clip(x, -_LARGEST_HALF, _LARGEST_HALF)
    exponent = ops.bitwise_and(
        ops.right_shift(ops.view(x, "int32"), 23), np.int32(255)
    )
    # float16's smallest normal number is 2^-14; below it, the grid has equal
    # steps. The fraction has 10 bits.
    exponent = ops.maximum(exponent, 127 - 14)
    step = ops.view((exponent - 10) * (1 << 23), "float32")
    inverse = ops.view((2 * 127 + 10 - exponent) * (1 << 23), "float32")
    return x * inverse, step


def _peaks(x: Tensor) -> Tensor:
    return ops.max(ops.abs(x), axis=-1, keepdims=True)


def _scales(peak: Tensor, storage: str, noise: Tensor | None) -> Tensor:
    """Scales of 16 significant bits for rows with these largest magnitudes.

    They are rounded to nearest, or stochastically with `noise`, integers in
    [0, 256).
    """
    largest = LARGEST_CODE[storage]
    # A product, not a quotient: it has the same bits on every backend.
    bits = ops.view(peak * float(np.float32(1 / largest)), "int32")
    scale = _truncated(bits + (1 << _DROPPED_BITS - 1))
    if noise is not None:
        on_grid = ops.equal(scale * largest, peak)
        scale = ops.where(on_grid, scale, _truncated(bits + noise))
    return ops.maximum(scale, _SMALLEST_SCALE)


def _truncated(bits: Tensor) -> Tensor:
    """The floats of these bits with the lowest 8 bits set to zero."""
    kept = ops.right_shift(bits, _DROPPED_BITS) * (1 << _DROPPED_BITS)
    return ops.view(kept, "float32")


def shortened(x: Tensor) -> Tensor:
    """Positive float32 numbers, rounded to 8 significant bits."""
    bits = ops.view(x, "int32") + (1 << 15)
    return ops.view(ops.right_shift(bits, 16) * (1 << 16), "float32")


def packed_form(
    rows: int, width: int, storage: str
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shapes and dtypes of the arrays that `pack` returns, by name."""
    if storage == "float16":
        return {"table": ((rows, width), "float16")}
    columns = width if storage == "int8" else paired_width(width)
    return {"table": ((rows, columns), "int8"), "scale": ((rows,), "float32")}


def packed_bytes(rows: int, width: int, storage: str) -> int:
    """Bytes of the arrays that `pack` returns."""
    row_bytes = {
        "float16": 2 * width,
        "int8": width + 4,
        "int4": 4 + paired_width(width),
    }
    return rows * row_bytes[storage]


def pack(x: np.ndarray, storage: str) -> dict[str, np.ndarray]:
    """Packs rows: exactly if they are on the grid, else rounded to nearest.

    int4 has two codes per byte: those of a row's first half in the lower four
    bits, those of its second half in the upper four bits.

    Args:
        x: float32 array of shape `(rows, width)`.
        storage: `"float16"`, `"int8"` or `"int4"`.
    """
    rows, width = x.shape
    form = packed_form(rows, width, storage)
    packed = {name: np.empty(*each) for name, each in form.items()}
    step = max(1, (1 << 20) // width)
    for begin in range(0, rows, step):
        part = x[begin : begin + step]
        to = slice(begin, begin + step)
        if storage == "float16":
            packed["table"][to] = np.clip(part, -_LARGEST_HALF, _LARGEST_HALF)
            continue
        largest = LARGEST_CODE[storage]
        bits = np.abs(part).max(axis=1) * np.float32(1 / largest)
        bits = (bits.view(np.int32) + (1 << _DROPPED_BITS - 1)).astype("int32")
        bits = bits >> _DROPPED_BITS << _DROPPED_BITS
        scale = np.maximum(bits.view(np.float32), np.float32(_SMALLEST_SCALE))
        codes = np.rint(part / scale[:, None]).astype(np.int8)
        packed["scale"][to] = scale
        packed["table"][to] = codes if storage == "int8" else paired(codes)
    return packed


def paired_width(width: int) -> int:
    """Bytes per row of four-bit codes."""
    return -(-width // 2)


def paired(codes: np.ndarray) -> np.ndarray:
    """Packs two four-bit codes per byte: `(rows, width)` to half as wide."""
    half = paired_width(codes.shape[1])
    upper = np.zeros((len(codes), half), np.int8)
    upper[:, : codes.shape[1] - half] = codes[:, half:]
    return upper * np.int8(16) + (codes[:, :half] & 15)


def unpaired(packed: Tensor, width: int) -> Tensor:
    """Unpacks int32 codes of paired rows: `(..., bytes)` to `(..., width)`."""
    both = ops.cast(packed, "int32")
    codes = ops.concatenate([_lower(both), ops.right_shift(both, 4)], axis=-1)
    return codes[..., :width]


def half_byte(packed: Tensor, upper: Tensor) -> Tensor:
    """The int32 code in the upper or lower half of each byte."""
    both = ops.cast(packed, "int32")
    return ops.where(upper, ops.right_shift(both, 4), _lower(both))


def _lower(both: Tensor) -> Tensor:
    return ops.right_shift(both * (1 << 28), 28)


def unpack_rows(
    table: Any, scale: Any, index: Tensor, storage: str, width: int
) -> Tensor:
    """Unpacks the indexed rows of a packed table to float32.

    Args:
        table, scale: Variables with the arrays of `pack`; `scale` is unused
            for float16.
        index: Integers of any shape, in range.
        storage: `"float16"`, `"int8"` or `"int4"`.
        width: Number of columns of the table.

    Returns:
        Tensor of shape `index.shape + (width,)`.
    """
    # `.value`, or TensorFlow would read the whole variable.
    packed = take(table.value, index)
    if storage == "float16":
        return ops.cast(packed, "float32")
    if storage == "int4":
        packed = unpaired(packed, width)
    scale = ops.expand_dims(take(scale.value, index), -1)
    return ops.cast(packed, "float32") * scale
