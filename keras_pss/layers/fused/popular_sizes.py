"""Rows of tables by popularity within a size, where no counts are known."""

from collections.abc import Sequence
from typing import Any

from keras_pss.layers.fused.popular_rows import checked_widths

# Without counts, one id of this many is taken to be frequent enough for a row.
# (Click logs: those seen ten times or more are a tenth to a thirtieth.)
_IDS_PER_ROW = 16
# Share of the numbers of each band except the last, in those that are left.
_BAND_SHARE = 0.3


def rows_within(
    size: int,
    input_dims: Sequence[int],
    output_dim: int,
    inner_dim: Any = None,
    tail: str = "oov",
    buckets: int | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Arguments of the largest layer of some tables, without their counts.

    All tables keep the same number of ids, as far as they have so many. With
    hashed rows whose number is not given, these are half of the numbers.

    Args:
        size: Integer, the parameters of all tables together.
        input_dims: Rows of each table.
        output_dim: Integer d, the columns of all tables.
        inner_dim: Integer or the numbers of all bands. Defaults to the
            largest one that leaves a row for one of sixteen ids.
        tail, buckets: As in `PopularityEmbedding`.
        **kwargs: Ignored.
    """
    total, tables = sum(input_dims), len(input_dims)
    hashed = tail == "hash"
    if inner_dim is None:
        inner_dim = max(1, min(output_dim, _IDS_PER_ROW * size // total))
        fewest = tables + (buckets or int(hashed))
        while inner_dim > 1 and (
            matrix_size([inner_dim], output_dim) + fewest * inner_dim > size
        ):
            inner_dim -= 1
    widths = checked_widths(inner_dim, output_dim)
    left = size - matrix_size(widths, output_dim)
    if hashed and not buckets:
        buckets = max(1, left // (2 * widths[-1]))
    # What the bands after each one need at least.
    least = [0] * (len(widths) - 1) + [(buckets or 0) * widths[-1]]
    for band in range(len(widths) - 2, -1, -1):
        least[band] = least[band + 1] + widths[band + 1]
    room = list(input_dims)
    bands = []
    for band, width in enumerate(widths):
        free = left - least[band]
        if band < len(widths) - 1:
            free = int(_BAND_SHARE * free)
        count = max(tables if band == 0 else 1, free // width)
        rows = _alike(min(count, sum(room)), room)
        room = [has - row for has, row in zip(room, rows, strict=True)]
        left -= sum(rows) * width
        bands.append(rows)
    kept = [band for band, rows in enumerate(bands) if sum(rows)]
    return {
        "num_rows": tuple(zip(*[bands[band] for band in kept], strict=True)),
        "inner_dim": tuple(widths[band] for band in kept),
        "buckets": buckets or 0,
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


def matrix_size(widths: Sequence[int], output_dim: int) -> int:
    """Parameters of the matrices of all bands."""
    return sum(k * output_dim for k in widths if k < output_dim)


def row_size(rows: Sequence[int], widths: Sequence[int]) -> int:
    """Parameters of the rows of all bands."""
    return sum(n * k for n, k in zip(rows, widths, strict=True))
