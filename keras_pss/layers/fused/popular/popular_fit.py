"""Rows by popularity that are nearest to trained tables.

The frequent ids have their own rows, so that counts decide only which these
are and what the others share: the matrices are those of an unweighted singular
value decomposition of the kept rows.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_pss.ops import hashing
from keras_pss.ops.fitting import low_rank, robe_memory, single_reads
from keras_pss.ops.fitting.trained_table import TrainedTable, shared_row
from keras_pss.ops.fitting.variables import filling

Tensor = Any


def fit(layer: Any, tables: Sequence[TrainedTable]) -> None:
    """Sets the weights of a built `PopularRows`.

    Args:
        layer: The layer.
        tables: One trained table for each of its tables.
    """
    kept = _kept_ids(layer, tables)
    rare = [t.hiding(ids) for t, ids in zip(tables, kept, strict=True)]
    firsts: list[np.ndarray | None] = [None] * len(tables)
    if layer.tail == "oov":
        # Id 0 is read by all rare ids.
        firsts = [
            shared_row(table.hiding(ids[1:]))
            for table, ids in zip(tables, kept, strict=True)
        ]
    before = np.zeros(len(tables), np.int64)
    for band, limits in enumerate(layer._bands.limits):
        more = np.zeros((0, layer.output_dim))
        if band == len(layer.inner_dim) - 1 and layer.buckets:
            more = _bucket_means(layer, rare)
        parts = [
            _Part(table, ids[low:high], None if low else first)
            for table, ids, first, low, high in zip(
                tables, kept, firsts, before, limits, strict=True
            )
        ]
        _fit_band(layer, band, parts, more)
        before = np.array(limits)
    if layer._tail is not None:
        places = layer._bands.columns or (0,)
        pairs = [
            (robe_memory.one_table(layer._tail.tables, places.index(k)), table)
            for k, table in enumerate(rare)
        ]
        found = robe_memory.memory(layer.memory_size, pairs)
        layer.memory_table.assign(found)


class _Part(NamedTuple):
    """The rows of a band that are those of one table.

    Attributes:
        table: The trained table.
        ids: The ids, in the order of their rows.
        first: What replaces the row of the first id; None to keep it.
    """

    table: TrainedTable
    ids: np.ndarray
    first: np.ndarray | None

    def blocks(self) -> Iterator[np.ndarray]:
        """The rows, a block at a time."""
        step = self.table.step
        for begin in range(0, len(self.ids), step):
            rows = self.table.take(self.ids[begin : begin + step])
            if begin == 0 and self.first is not None:
                rows[0] = self.first
            yield rows


def _kept_ids(layer: Any, tables: Sequence[TrainedTable]) -> list[np.ndarray]:
    """For each table the ids with a row, in the order of their rows.

    Where an index was not given its ids, the most frequent ids fill it.
    """
    index, limits = layer._index, layer._bands.limits
    held: list[Any] = [None] * len(tables)
    if index.kept.size:
        held = index.held(layer.index_table)
        unknown = index.unknown()
        chosen = [
            _most_frequent(table.counts, last)
            if of_counts and table.counts is not None
            else own
            for table, last, of_counts, own in zip(
                tables, limits[-1], unknown, held, strict=True
            )
        ]
        if any(unknown):
            found = index.kept.index(chosen).reshape(-1, 1)
            weight = layer.index_table
            weight.assign(ops.cast(ops.convert_to_tensor(found), weight.dtype))
            held = index.held(weight)
    return [
        np.arange(last) if ids is None else np.append(0, ids)
        for ids, last in zip(held, limits[-1], strict=True)
    ]


def _most_frequent(counts: np.ndarray, limit: int) -> np.ndarray:
    """The most frequent ids without id 0, one less than `limit`."""
    order = np.argsort(-counts[1:].astype(np.float64), kind="stable")
    return order[: limit - 1] + 1


def _bucket_means(layer: Any, rare: Sequence[TrainedTable]) -> np.ndarray:
    """Means of the rare ids of each bucket, float64 `(buckets, d)`."""

    def reads() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for table, number in zip(rare, layer._bands.numbers, strict=True):
            for block in table.blocks():
                bucket = hashing.starts(
                    ops.convert_to_tensor(block.ids.astype(np.int32)),
                    layer.buckets,
                    seed=layer.seed,
                    table=number,
                    family=layer.hash,
                )[..., 0]
                places = ops.convert_to_numpy(bucket)
                yield places, block.rows, block.weights

    return single_reads.bucket_means(reads(), layer.buckets, layer.output_dim)


def _fit_band(
    layer: Any, band: int, parts: Sequence[_Part], more: np.ndarray
) -> None:
    """Sets the rows of a band and its matrix.

    Args:
        layer: The layer.
        band: Index of the band.
        parts: Its rows of each table.
        more: Further rows `(n, d)` below them.
    """

    def blocks() -> Iterator[np.ndarray]:
        for part in parts:
            yield from part.blocks()
        if len(more):
            yield more

    ending, width = f"_{band}" if band else "", layer.inner_dim[band]
    into = None
    if width < layer.output_dim:
        found = low_rank.gram(blocks(), layer.output_dim)
        grid = layer.storage != "float32"
        into, matrix = low_rank.factors(found, width, grid)
        getattr(layer, f"projection{ending}_table").assign(matrix)
    first = 0
    with filling(getattr(layer, f"rows{ending}_table")) as write:
        for rows in blocks():
            write(first, rows if into is None else rows @ into)
            first += len(rows)
