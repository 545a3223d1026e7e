"""Sizes of rows by popularity, and rows within a size without counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_pss.layers.fused.popular.popular_strings import checked_storage
from keras_pss.layers.fused.popular.popular_widths import checked_widths

# Without counts, one id of this many is taken to be frequent enough for a row.
# (Click logs: those seen ten times or more are a tenth to a thirtieth.)
_IDS_PER_ROW = 16
# Share of the memory of each band except the last, in what is left.
BAND_SHARE = 0.3
# Share of the memory of what rare ids share, unless one row is enough.
TAIL_SHARE = 0.5
# Bits of a parameter as a budget counts them, and of a scale or an index.
WORD = 32
_BITS = {"float32": 32, "int8": 8, "int4": 4}


@dataclass(frozen=True)
class Sizes:
    """Bits of the tables that `PopularityEmbedding` serves.

    Attributes:
        output_dim: Integer d.
        storage, tail: As in `PopularityEmbedding`.
    """

    output_dim: int
    storage: str = "float32"
    tail: str = "oov"

    @property
    def number(self) -> int:
        """Bits of a number of a row."""
        return _BITS[self.storage]

    def numbers(self, count: int) -> int:
        """Bits of a table of so many numbers, in whole bytes."""
        return -(-count * self.number // 8) * 8

    def fixed(self, widths: Sequence[int]) -> int:
        """Bits of the matrices and scales of all bands and of the tail."""
        matrices = sum(k * self.output_dim for k in widths if self.projects(k))
        scales = 0
        if self.storage != "float32":
            scales = len(widths) + (self.tail == "robe")
        return WORD * (matrices + scales)

    def projects(self, width: int) -> bool:
        """Whether rows of this width have a matrix."""
        return width < self.output_dim

    def least_tail(self, width: int) -> int:
        """Numbers that the rare ids need at least, besides rows of id 0.

        Args:
            width: Integer, the width of the last band.
        """
        return {"oov": 0, "hash": width, "robe": self.output_dim}[self.tail]

    def smallest(
        self, tables: int, widths: Sequence[int], shared: int = 0
    ) -> int:
        """Size of the smallest layer of some tables, in parameters.

        Args:
            tables: Number of tables.
            widths: Widths of the bands.
            shared: Numbers that the rare ids share, if they are given.
        """
        # The first band has the row of id 0 of each table.
        rows = [tables, *[1] * (len(widths) - 1)]
        numbers = [n * k for n, k in zip(rows, widths, strict=True)]
        tail = shared or self.least_tail(widths[-1])
        if self.tail == "hash":
            numbers[-1] += tail
        else:
            numbers.append(tail)
        bits = self.fixed(widths) + sum(map(self.numbers, numbers))
        return -(-bits // WORD)

    def given(self, options: Mapping[str, Any], width: int) -> int:
        """Numbers that options say the rare ids share; 0 if they do not.

        Args:
            options: Arguments of `PopularityEmbedding`.
            width: Integer, the width of the last band.
        """
        if self.tail == "hash":
            return (options.get("buckets") or 0) * width
        return options.get("memory_size") or 0


def rows_within(
    size: int,
    input_dims: Sequence[int],
    output_dim: int,
    inner_dim: Any = None,
    tail: str = "oov",
    buckets: int | None = None,
    storage: str = "float32",
    memory_size: int | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Arguments of the largest layer of some tables, without their counts.

    All tables keep the same number of ids, as far as they have so many. Hashed
    rows or a ROBE memory whose size is not given take half of the memory.

    Args:
        size: Integer, the size of all tables together, in parameters of four
            bytes.
        input_dims: Rows of each table.
        output_dim: Integer d, the columns of all tables.
        inner_dim: Integer or the numbers of all bands. Defaults to the
            largest one that leaves a row for one of sixteen ids.
        tail, buckets, storage, memory_size: As in `PopularityEmbedding`.
        **kwargs: Ignored.
    """
    sizes = Sizes(output_dim, checked_storage(storage), tail)
    total, tables = sum(input_dims), len(input_dims)
    bits = size * WORD
    given = {"buckets": buckets, "memory_size": memory_size}
    if inner_dim is None:
        wanted = _IDS_PER_ROW * bits // (total * sizes.number)
        inner_dim = max(1, min(output_dim, wanted))
        while inner_dim > 1 and size < sizes.smallest(
            tables, [inner_dim], sizes.given(given, inner_dim)
        ):
            inner_dim -= 1
    widths = checked_widths(inner_dim, output_dim)
    left = bits - sizes.fixed(widths)
    shared = sizes.given(given, widths[-1])
    if not shared:
        least = sizes.numbers(tables * widths[0])
        least += _least_after(sizes, widths, 0)
        shared = _shared(sizes, left, widths[-1], left - least)
    left -= sizes.numbers(shared)
    room = list(input_dims)
    bands = []
    for band, width in enumerate(widths):
        free = left - _least_after(sizes, widths, band)
        if band < len(widths) - 1:
            free = int(BAND_SHARE * free)
        # Whole bytes, so that no table is rounded up beyond what is left.
        count = free // 8 * 8 // (width * sizes.number)
        count = max(tables if band == 0 else 1, count)
        rows = _alike(min(count, sum(room)), room)
        room = [has - row for has, row in zip(room, rows, strict=True)]
        left -= sizes.numbers(sum(rows) * width)
        bands.append(rows)
    last = len(widths) - 1  # which hashed rows belong to
    kept = [
        band
        for band, rows in enumerate(bands)
        if sum(rows) or (tail == "hash" and band == last)
    ]
    return {
        "num_rows": tuple(zip(*[bands[band] for band in kept], strict=True)),
        "inner_dim": tuple(widths[band] for band in kept),
        **tail_options(tail, shared, widths[-1]),
    }


def _shared(sizes: Sizes, left: int, width: int, room: int) -> int:
    """Numbers that the rare ids share where their number is not given.

    Args:
        sizes: What a number takes.
        left: Bits for rows and the tail together.
        width: Integer, the width of the last band.
        room: Bits that a row of each table and band leaves to the tail.
    """
    if sizes.tail == "oov":
        return 0
    bits = min(int(TAIL_SHARE * left), room // 8 * 8)
    numbers = bits // sizes.number
    if sizes.tail == "hash":
        numbers -= numbers % width
    return max(sizes.least_tail(width), numbers)


def _least_after(sizes: Sizes, widths: Sequence[int], band: int) -> int:
    """Bits that the bands after one of them need at least."""
    return sum(sizes.numbers(width) for width in widths[band + 1 :])


def tail_options(tail: str, numbers: int, width: int) -> dict[str, int]:
    """The argument that sets the size of what the rare ids share."""
    return {
        "buckets": numbers // width if tail == "hash" else 0,
        "memory_size": numbers if tail == "robe" else 0,
    }


def _alike(total: int, room: Sequence[int]) -> list[int]:
    """Divides a total into nearly equal parts, none above its room."""
    parts = [0] * len(room)
    smallest_first = sorted(range(len(room)), key=lambda k: room[k])
    for place, k in enumerate(smallest_first):
        share = total // (len(room) - place)
        parts[k] = min(room[k], share)
        total -= parts[k]
    return parts
