"""Packed tables: low-bit integer codes with float scales.

Each format defines the arrays of a packed table, packs it on the host, and
reads rows, single elements or the whole table. Only the numbers that are
looked up are unpacked, by kernels where there are any.

The file is long because the formats, which share their helpers, stand beside
each other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from keras import ops

from keras_pss.native.dispatch import unpack_kernels
from keras_pss.native.packed_table import PackedLayout, PackedTable
from keras_pss.ops import rounding
from keras_pss.ops.gather import take

Tensor = Any
# Variables or arrays of a packed table by suffix: "table", "scale".
Held = Mapping[str, Any]
Form = dict[str, tuple[tuple[int, ...], str]]

MODES = ("int8", "int4")  # Keras' names for them

# Numbers per scale where several short rows share one.
GROUP = 64
# The default of Keras' `Int4QuantizationConfig`.
BLOCK_SIZE = 128
# Numbers packed at a time on the host.
_PART = 1 << 20


class Packing(Protocol):
    """A storage format of tables of shape `(rows, width)`.

    Attributes:
        number_bytes: Bytes per number, without its share of a scale.
    """

    @property
    def number_bytes(self) -> float: ...

    def form(self, rows: int, width: int, scale_dtype: str) -> Form:
        """Shapes and dtypes of the packed arrays, by suffix."""

    def pack(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Packed arrays of a float table, by suffix."""

    def layout(self, held: Held, width: int) -> PackedLayout | None:
        """The layout of integer codes, for kernels; None for floats."""

    def rows(self, held: Held, width: int, index: Tensor) -> Tensor:
        """Float rows of shape `index.shape + (width,)`."""

    def elements(self, held: Held, width: int, index: Tensor) -> Tensor:
        """Float elements of the flattened table, of shape `index.shape`."""

    def whole(self, held: Held, width: int) -> Tensor:
        """The whole table, for methods whose every lookup reads all of it."""


def rows_of_a_scale(width: int, numbers: int = GROUP) -> int:
    """Rows that share a scale: as many as have up to `numbers` numbers."""
    return max(1, numbers // width)


@dataclass(frozen=True)
class Int8:
    """One byte per number; one scale per row, or per 64 numbers of short rows.

    `table ≈ codes * scale[row // group]` within half a scale, with codes in
    [-127, 127].
    """

    number_bytes = 1.0

    def form(self, rows: int, width: int, scale_dtype: str) -> Form:
        groups = -(-rows // rows_of_a_scale(width))
        return {
            "table": ((rows, width), "int8"),
            "scale": ((groups,), scale_dtype),
        }

    def pack(self, values: np.ndarray) -> dict[str, np.ndarray]:
        group = rows_of_a_scale(values.shape[1])
        codes = np.empty(values.shape, np.int8)
        scales = np.ones(-(-len(values) // group), np.float32)
        for begin, part in _parts(values, group):
            starts = np.arange(0, len(part), group)
            peak = np.maximum.reduceat(np.abs(part).max(axis=1), starts)
            scale = _scale(peak, 127)
            scales[begin // group :][: len(scale)] = scale
            repeated = np.repeat(scale, group)[: len(part), None]
            codes[begin : begin + len(part)] = np.rint(part / repeated)
        return {"table": codes, "scale": scales}

    def layout(self, held: Held, width: int) -> PackedLayout:
        rows = held["table"].shape[0]
        return PackedLayout(rows, width, 8, rows_of_a_scale(width), width)

    def rows(self, held: Held, width: int, index: Tensor) -> Tensor:
        index = ops.convert_to_tensor(index)
        group = rows_of_a_scale(width)
        scale = take(held["scale"], _over(index, group))
        packed = take(held["table"], index)
        return ops.cast(packed, scale.dtype) * ops.expand_dims(scale, -1)

    def elements(self, held: Held, width: int, index: Tensor) -> Tensor:
        index = ops.convert_to_tensor(index)
        numbers = rows_of_a_scale(width) * width
        scale = take(held["scale"], _over(index, numbers))
        packed = take(ops.reshape(held["table"], (-1,)), index)
        return ops.cast(packed, scale.dtype) * scale

    def whole(self, held: Held, width: int) -> Tensor:
        group, count = rows_of_a_scale(width), held["table"].shape[0]
        scale = ops.repeat(held["scale"], group)[:count]
        codes = ops.cast(held["table"], scale.dtype)
        return codes * ops.expand_dims(scale, -1)


@dataclass(frozen=True)
class Int4:
    """Two numbers per byte; one scale per block.

    A block is `block_size` numbers of a long row, one short row, or several
    short rows with up to `min(64, block_size)` numbers. A byte holds a
    number of a row's first half in its lower four bits and one of the second
    half in its upper four bits. A table of one column is packed as rows of
    one such block each.

    Attributes:
        block_size: Maximum number of numbers that share a scale, or -1 for
            one scale per row of any length. With -1, 64 numbers of a table
            of one column share a scale, since a scale is larger than a
            number. Default: 128.
    """

    block_size: int = BLOCK_SIZE
    number_bytes = 0.5

    def _row_width(self, width: int) -> int:
        """Numbers that are packed as one row, for tables of this width."""
        return self._joined() if width == 1 else width

    def _joined(self) -> int:
        """Numbers of short rows that share a scale."""
        if self.block_size == -1:
            return GROUP
        return min(GROUP, self.block_size)

    def _group(self, width: int) -> int:
        """Rows that share a scale, for tables of this packed width."""
        if self.block_size == -1:
            return 1
        return rows_of_a_scale(width, self._joined())

    def _block(self, width: int) -> int:
        """Numbers of a row that share a scale."""
        return width if self.block_size == -1 else min(width, self.block_size)

    def _packed(self, rows: int, width: int) -> tuple[int, int]:
        """Rows and columns of the table before pairs share a byte."""
        wide = self._row_width(width)
        return (rows, width) if wide == width else (-(-rows // wide), wide)

    def form(self, rows: int, width: int, scale_dtype: str) -> Form:
        rows, width = self._packed(rows, width)
        groups = -(-rows // self._group(width))
        blocks = -(-width // self._block(width))
        return {
            "table": ((rows, rounding.paired_width(width)), "int8"),
            "scale": ((groups, blocks), scale_dtype),
        }

    def pack(self, values: np.ndarray) -> dict[str, np.ndarray]:
        shape = self._packed(*values.shape)
        if shape != values.shape:
            flat = np.zeros(shape[0] * shape[1], values.dtype)
            flat[: len(values)] = values[:, 0]
            values = flat.reshape(shape)
        width = shape[1]
        group, block = self._group(width), self._block(width)
        form = self.form(*shape, "float32")
        codes = np.empty(form["table"][0], np.int8)
        scales = np.ones(form["scale"][0], np.float32)
        for begin, part in _parts(values, group):
            starts = np.arange(0, len(part), group)
            peak = np.maximum.reduceat(np.abs(part), starts, axis=0)
            columns = np.arange(0, width, block)
            peak = np.maximum.reduceat(peak, columns, axis=1)
            scale = _scale(peak, rounding.LARGEST_CODE["int4"])
            scales[begin // group :][: len(scale)] = scale
            repeated = np.repeat(scale, group, axis=0)[: len(part)]
            repeated = np.repeat(repeated, block, axis=1)[:, :width]
            found = np.rint(part / repeated).astype(np.int8)
            codes[begin : begin + len(part)] = rounding.paired(found)
        return {"table": codes, "scale": scales}

    def layout(self, held: Held, width: int) -> PackedLayout:
        rows, width = held["table"].shape[0], self._row_width(width)
        return PackedLayout(
            rows, width, 4, self._group(width), self._block(width)
        )

    def rows(self, held: Held, width: int, index: Tensor) -> Tensor:
        if self._row_width(width) != width:
            return ops.expand_dims(self.elements(held, width, index), -1)
        index = ops.convert_to_tensor(index)
        group, block = self._group(width), self._block(width)
        scale = take(_value(held["scale"]), _over(index, group))
        packed = take(_value(held["table"]), index)
        codes = ops.cast(rounding.unpaired(packed, width), scale.dtype)
        return codes * _of_numbers(scale, block, width)

    def elements(self, held: Held, width: int, index: Tensor) -> Tensor:
        index = ops.convert_to_tensor(index)
        width = self._row_width(width)
        group, block = self._group(width), self._block(width)
        row = _over(index, width)
        column = index - row * width
        blocks, half = -(-width // block), rounding.paired_width(width)
        place = _over(row, group) * blocks + _over(column, block)
        scale = take(ops.reshape(held["scale"], (-1,)), place)
        upper = column >= half
        place = row * half + ops.where(upper, column - half, column)
        both = take(ops.reshape(held["table"], (-1,)), place)
        codes = rounding.half_byte(both, upper)
        return ops.cast(codes, scale.dtype) * scale

    def whole(self, held: Held, width: int) -> Tensor:
        raise NotImplementedError  # matrices are packed as int8


@dataclass(frozen=True)
class OwnGrid:
    """The storage of a `QuantizedEmbedding`, with one scale per row.

    Attributes:
        storage: `"float16"`, `"int8"` or `"int4"`.
    """

    storage: str

    @property
    def number_bytes(self) -> float:
        return {"float16": 2, "int8": 1, "int4": 0.5}[self.storage]

    def form(self, rows: int, width: int, scale_dtype: str) -> Form:
        return rounding.packed_form(rows, width, self.storage)

    def pack(self, values: np.ndarray) -> dict[str, np.ndarray]:
        return rounding.pack(values, self.storage)

    def layout(self, held: Held, width: int) -> PackedLayout | None:
        bits = {"float16": 0, "int8": 8, "int4": 4}[self.storage]
        rows = held["table"].shape[0]
        return PackedLayout(rows, width, bits, 1, width) if bits else None

    def rows(self, held: Held, width: int, index: Tensor) -> Tensor:
        return rounding.unpack_rows(
            held["table"], held.get("scale"), index, self.storage, width
        )

    def elements(self, held: Held, width: int, index: Tensor) -> Tensor:
        raise NotImplementedError  # only whole rows are read

    def whole(self, held: Held, width: int) -> Tensor:
        raise NotImplementedError


def table_of(how: Packing, held: Held, width: int) -> PackedTable | None:
    """A packed table of integers as kernels read it; None for floats.

    Args:
        how: Its format.
        held: Its variables or arrays by suffix.
        width: Columns of the table before it was packed.
    """
    layout = how.layout(held, width)
    if layout is None:
        return None
    return PackedTable(held["table"], held["scale"], layout)


def rows(how: Packing, held: Held, width: int, index: Tensor) -> Tensor:
    """Float rows of a packed table, of shape `index.shape + (width,)`.

    Args:
        how, held, width: See `table_of`.
        index: Integers of any shape, in range.
    """
    found = _unpacked(table_of(how, held, width), width, index)
    return how.rows(held, width, index) if found is None else found


def elements(how: Packing, held: Held, width: int, index: Tensor) -> Tensor:
    """Float elements of the flattened packed table, of shape `index.shape`.

    Args: See `rows`.
    """
    found = _unpacked(table_of(how, held, width), 1, index)
    if found is None:
        return how.elements(held, width, index)
    return ops.squeeze(found, -1)


def _unpacked(
    table: PackedTable | None, width: int, index: Tensor
) -> Tensor | None:
    """Rows of `width` numbers by a kernel, or None if there is none."""
    if table is None:
        return None
    index = ops.convert_to_tensor(index)
    found = unpack_kernels(table, index)
    if found is None:
        return None
    flat = found.unpack_rows(table, ops.reshape(index, (-1,)), width)
    return ops.reshape(flat, (*ops.shape(index), width))


def _value(variable: Any) -> Any:
    """A variable's value, or TensorFlow would read the whole variable."""
    return getattr(variable, "value", variable)


def _over(index: Tensor, count: int) -> Tensor:
    """`index // count`, by a shift if `count` is a power of two.

    TensorFlow divides integers on the host even if there is a GPU.
    """
    if count & (count - 1):
        return index // count
    return ops.right_shift(index, count.bit_length() - 1)


def _of_numbers(scale: Tensor, block: int, width: int) -> Tensor:
    """Scales `(..., blocks)` repeated to the shape `(..., width)` of codes."""
    if scale.shape[-1] == 1:
        return scale
    return ops.repeat(scale, block, axis=-1)[..., :width]


def _parts(values: np.ndarray, group: int) -> Iterator[tuple[int, np.ndarray]]:
    """Parts of a table, with a whole number of groups except in the last."""
    step = group * max(1, _PART // (group * values.shape[1]))
    for begin in range(0, len(values), step):
        yield begin, values[begin : begin + step]


def _scale(peak: np.ndarray, largest: int) -> np.ndarray:
    return np.where(peak > 0, peak / largest, 1).astype(np.float32)
