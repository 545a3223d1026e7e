"""Formats arrays as Criteo TSV rows."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from keras_pss.data.criteo.columns import NUM_CATEGORIES, NUM_INTEGERS
from keras_pss.data.readers.block import Int32Array, UInt32Array

MAX_INTEGER = 10**8 - 1  # eight digits

_INTEGER_WIDTH = 10  # minus, eight digits, tab
_HEX_WIDTH = 9
_FIRST_HEX = 2 + NUM_INTEGERS * _INTEGER_WIDTH
_WIDTH = _FIRST_HEX + NUM_CATEGORIES * _HEX_WIDTH


@lru_cache
def _tables() -> tuple[UInt32Array, UInt32Array, UInt32Array]:
    """Four-character texts of numbers: hex, zero-padded and bare decimal.

    Bare decimals have NUL in place of leading zeros.
    """
    hexadecimal = b"".join(b"%04x" % i for i in range(1 << 16))
    padded = b"".join(b"%04d" % i for i in range(10_000))
    bare = b"".join((b"%d" % i).rjust(4, b"\0") for i in range(10_000))
    first, second, third = (
        np.frombuffer(text, np.uint32) for text in (hexadecimal, padded, bare)
    )
    return first, second, third


def format_rows(
    labels: Int32Array,
    integers: Int32Array,
    integers_missing: npt.NDArray[np.bool_],
    categories: UInt32Array,
    categories_missing: npt.NDArray[np.bool_],
) -> bytes:
    """Formats tab-separated rows.

    Args:
        labels: Labels 0 or 1, (n,).
        integers: Integers from -9 to `MAX_INTEGER`, (n, 13).
        integers_missing: Mask of the integers whose field is empty, (n, 13).
        categories: uint32 (n, 26), written as eight hexadecimal digits.
        categories_missing: Mask of the categories whose field is empty,
            (n, 26).
    """
    hexadecimal, padded, bare = _tables()
    rows = len(labels)
    # Every field has its full width; bytes that stay NUL are removed.
    text = np.zeros((rows, _WIDTH), np.uint8)
    text[:, 0] = labels + ord("0")
    text[:, 1] = ord("\t")

    field = text[:, 2:_FIRST_HEX].reshape(rows, -1, _INTEGER_WIDTH)
    size = np.abs(integers).astype(np.uint32)
    high, low = np.divmod(size, np.uint32(10_000))
    digits = np.empty((*size.shape, 2), np.uint32)
    digits[..., 0] = np.where(high, bare[high], 0)
    digits[..., 1] = np.where(high, padded[low], bare[low])
    digits[integers_missing] = 0
    field[..., 0] = np.where((integers < 0) & ~integers_missing, ord("-"), 0)
    field[..., 1:9] = digits.view(np.uint8)
    field[..., 9] = ord("\t")

    field = text[:, _FIRST_HEX:].reshape(rows, -1, _HEX_WIDTH)
    digits = np.empty((*categories.shape, 2), np.uint32)
    digits[..., 0] = hexadecimal[categories >> np.uint32(16)]
    digits[..., 1] = hexadecimal[categories & np.uint32(0xFFFF)]
    digits[categories_missing] = 0
    field[..., :8] = digits.view(np.uint8)
    field[..., 8] = ord("\t")
    text[:, -1] = ord("\n")
    return text[text != 0].tobytes()
