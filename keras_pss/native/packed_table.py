"""Packed tables as kernels read them."""

from dataclasses import dataclass
from typing import Any, NamedTuple

Tensor = Any


class PackedLayout(NamedTuple):
    """How the codes and scales of a packed table are stored.

    Number c of row r is its code times
    `scale[r // group * ceil(width / block) + c // block]`, with the scales
    flattened. Codes of eight bits follow each other; those of four bits are in
    pairs, as `ops.rounding.paired` packs each row.

    Attributes:
        rows: Number of rows.
        width: Numbers of a row.
        bits: 8 or 4.
        group: Rows that share a scale.
        block: Numbers of a row that share a scale.
    """

    rows: int
    width: int
    bits: int
    group: int
    block: int


@dataclass(frozen=True)
class PackedTable:
    """The arrays of a packed table and their layout.

    Attributes:
        codes: int8 tensor or variable of any shape.
        scale: Float tensor or variable of any shape, whose dtype is that of
            the unpacked numbers.
        layout: The layout of both.
    """

    codes: Any
    scale: Any
    layout: PackedLayout

    @property
    def dtype(self) -> Any:
        return self.scale.dtype
