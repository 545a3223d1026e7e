"""Decimal and hexadecimal fields of text, parsed eight bytes at a time.

A field of up to eight characters is loaded as one 64-bit word whose most
significant byte is the last character (little endian), and every step works
on the eight characters of a word at once. The functions are pure; what they
accept is exact: `[0-9a-fA-F]{1,8}` and `-?[0-9]+`, and nothing else.
"""

import re

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64]

PADDING = 8  # bytes that must precede the first field of a text
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

# Codes that the parsers return per field.
GOOD, MALFORMED, TOO_LARGE = 0, 1, 2

_DECIMAL = re.compile(rb"-?[0-9]+\Z")


def _each(byte: int) -> np.uint64:
    """A word with `byte` in all eight places."""
    return np.uint64(int.from_bytes(bytes([byte]) * 8, "little"))


_LOW, _HIGH = _each(0x0F), _each(0xF0)
_ONE, _ZERO_DIGIT = _each(0x01), _each(0x30)
_SIX, _BIT4, _BIT5 = _each(6), _each(0x10), _each(0x20)
_PAIRS = np.uint64(0x00FF00FF00FF00FF)
_QUADS = np.uint64(0x0000FFFF0000FFFF)

# Row L keeps the last L characters of a word and puts "0" before them.
_KEEP = np.array(
    [(2**64 - 1) ^ (2 ** (8 * (8 - n)) - 1) for n in range(9)], np.uint64
)
_FILL = ~_KEEP & _ZERO_DIGIT


def _shift(bits: int) -> np.uint64:
    return np.uint64(bits)


def load(text: Bytes, ends: Positions, lengths: Positions) -> Words:
    """The last eight characters before each end, shorter fields led by "0".

    Args:
        text: The bytes, with at least `PADDING` of them before any field.
        ends: Positions after each field's last byte, any shape.
        lengths: Characters in each field, same shape; above 8 reads as 8.
    """
    # Overlapping words, one at every byte.
    windows: Words = np.ndarray(
        (text.size - 7,), np.dtype("<u8"), text.data, 0, (1,)
    )
    words = windows[ends - 8]
    short = np.flatnonzero(lengths < 8)
    if short.size:
        size = lengths.ravel()[short]
        flat = words.reshape(-1)
        flat[short] = (flat[short] & _KEEP[size]) | _FILL[size]
    return words


def parse_hex(
    words: Words,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]:
    """Values of eight hex digits a word, and which words are not that.

    Returns:
        `values` uint32 and `bad` bool, both of the words' shape. The value
        of a bad word is arbitrary.
    """
    letters = words >> _shift(6)  # bit 6 tells "a" from "0"
    letters &= _ONE
    # A letter without its case bit starts with 4, a digit with 3.
    bad = words & ~(letters << _shift(5))
    bad &= _HIGH
    bad ^= _ZERO_DIGIT + (letters << _shift(4))
    # Digits end with 0..9, letters with 1..6: `rest` counts from 16 so that
    # a borrow clears bit 4 and an excess carries into bit 5.
    nibbles = words & _LOW
    rest = nibbles + _BIT4
    rest -= letters
    bad |= ~rest & _BIT4
    nines = letters << _shift(3)
    rest += _SIX
    rest += nines >> _shift(1)
    rest &= _BIT5
    bad |= rest
    nines += letters
    nibbles += nines
    pairs = nibbles << _shift(4)
    pairs |= nibbles >> _shift(8)
    pairs &= _PAIRS
    quads = pairs << _shift(8)
    quads |= pairs >> _shift(16)
    quads &= _QUADS
    values = quads << _shift(16)
    values |= quads >> _shift(32)
    return values.astype(np.uint32), bad != 0


def parse_decimal(
    words: Words,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Values of eight decimal digits a word, and which words are not that."""
    low = words & _LOW
    bad = (words & _HIGH) ^ _ZERO_DIGIT
    bad |= (low + _SIX) & _BIT4
    # Neighbours join: tens and units, hundreds of those, ten thousands.
    pairs = (low * np.uint64(10) + (low >> _shift(8))) & _PAIRS
    quads = (pairs * np.uint64(100) + (pairs >> _shift(16))) & _QUADS
    values = quads * np.uint64(10_000) + (quads >> _shift(32))
    return (values & np.uint64(0xFFFFFFFF)).astype(np.int32), bad != 0


def hex_fields(
    text: Bytes, starts: Positions, ends: Positions
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
    """Parses hexadecimal fields; an empty one is 0.

    Args:
        text: See `load`.
        starts, ends: First byte and the byte after the last, any shape.

    Returns:
        `values` uint32 and `codes` uint8 (`GOOD` or `MALFORMED`), same shape.
    """
    lengths = ends - starts
    values, bad = parse_hex(load(text, ends, lengths))
    bad |= lengths > 8
    return values, bad.astype(np.uint8)


def integer_fields(
    text: Bytes, starts: Positions, ends: Positions
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Parses signed decimal fields; empty and negative ones are 0.

    Args:
        text, starts, ends: As in `hex_fields`.

    Returns:
        `values` int32 and `codes` uint8 (`GOOD`, `MALFORMED`, or
        `TOO_LARGE` for numbers outside int32), same shape.
    """
    lengths = ends - starts
    minus = (text[starts] == ord("-")) & (lengths > 1)
    digits = lengths - minus
    values, bad = parse_decimal(load(text, ends, digits))
    values[minus] = 0
    codes = bad.astype(np.uint8)
    # Nine digits and more are rare, and Python's integers are exact.
    for at in zip(*np.nonzero(digits > 8), strict=True):
        field = text[starts[at] : ends[at]].tobytes()
        values[at], codes[at] = _long_integer(field)
    return values, codes


def _long_integer(field: bytes) -> tuple[int, int]:
    if not _DECIMAL.match(field):
        return 0, MALFORMED
    # Only the leading zeros may exceed what Python converts (4,300 digits).
    digits = field.lstrip(b"-").lstrip(b"0")
    if len(digits) > 10:
        return 0, TOO_LARGE
    value = int(digits or b"0") * (-1 if field[:1] == b"-" else 1)
    if not INT32_MIN <= value <= INT32_MAX:
        return 0, TOO_LARGE
    return max(value, 0), GOOD
