"""Rows by popularity, of one table or of several."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.checks import non_negative_int, one_of
from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.popular import popular_fit
from keras_pss.layers.fused.popular.popular_index import PopularIndex
from keras_pss.layers.fused.popular.popular_storage import StoredRows
from keras_pss.layers.fused.popular.popular_strings import check_tail
from keras_pss.layers.fused.popular.popular_tail import RobeTail
from keras_pss.layers.fused.popular.popular_widths import (
    checked_limits,
    checked_widths,
)
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops import hashing
from keras_pss.ops.bands import Bands
from keras_pss.ops.fitting.trained_table import TrainedTable

Tensor = Any


class PopularRows(StoredRows):
    """What a layer of one table and a layer of several have in common.

    A class beside a `TableLayer`, whose constructor calls `_set_bands`.
    """

    kernel_table: Any
    embeddings_initializer: Any
    gather_index: Any
    output_dim: int
    name: str
    whole_table: Any

    def _set_bands(
        self,
        input_dims: Sequence[int],
        num_rows: Sequence[Sequence[int]],
        numbers: Sequence[int],
        columns: Sequence[int] | None,
        *,
        inner_dim: Any,
        tail: str,
        buckets: int,
        memory_size: int,
        block_size: int | None,
        hash: str,
        seed: int,
        storage: str,
        ids: Sequence[Any],
    ) -> None:
        """Checks the arguments of the layer.

        Args:
            input_dims: Rows of each table.
            num_rows: Rows of each band, for each table.
            numbers, columns: As in `Bands`.
            inner_dim, tail, buckets, memory_size, block_size, hash, seed,
                storage: As in `PopularityEmbedding`.
            ids: As in `PopularityEmbedding`, one entry for each table.
        """
        self.inner_dim = checked_widths(inner_dim, self.output_dim)
        self._projects = self.inner_dim[-1] < self.output_dim
        check_tail(tail, buckets, memory_size)
        self.tail, self.buckets = tail, buckets
        self.memory_size, self.block_size = memory_size, block_size
        self.hash = one_of("hash", hash, hashing.FAMILIES)
        self.seed = non_negative_int("seed", seed)
        self._set_storage(storage)
        limits = tuple(
            zip(
                *[
                    checked_limits(rows, dim, len(self.inner_dim))
                    for rows, dim in zip(num_rows, input_dims, strict=True)
                ],
                strict=True,
            )
        )
        places = None if columns is None else tuple(columns)
        robe_tail = tail == "robe"
        self._bands = Bands(
            limits, tuple(numbers), places, buckets, seed, hash, robe_tail
        )
        self._index = PopularIndex(ids, limits, places, input_dims)
        self._tail = None
        if robe_tail:
            self._tail = RobeTail.of(self, input_dims, numbers, places)
        self._scaled = tuple(input_dims)

    def tables(self) -> dict[str, Table]:
        found = {}
        if self._index.kept.size:
            found["index"] = self._index.table()
        for band, width in enumerate(self.inner_dim):
            ending = f"_{band}" if band else ""
            fill = partial(self._rows, band)
            found[f"rows{ending}"] = Table(self._bands.rows(band), width, fill)
            if width < self.output_dim:
                found[f"projection{ending}"] = Table(
                    width,
                    self.output_dim,
                    draws.projection(
                        self.embeddings_initializer,
                        width,
                        self.output_dim,
                        2 * band + 1,
                    ),
                    whole=True,
                )
        if self._tail is not None:
            found["memory"] = self._tail.memory
        return found

    def _rows(
        self, band: int, shape: Sequence[int], dtype: Any = None
    ) -> Tensor:
        """Initial rows of a band, with the scale of each table."""
        given, width = self.embeddings_initializer, self.inner_dim[band]
        sizes = [int(size) for size in self._bands.sizes[band]]
        sizes[-1] += shape[0] - sum(sizes)  # the hashed rows
        if width == self.output_dim:
            parts = [
                table_scale.shared_rows(
                    table_scale.with_seed_offset(given, 100 * place + band),
                    rows,
                    width,
                    self.name,
                )((size, width), dtype)
                for place, (rows, size) in enumerate(
                    zip(self._scaled, sizes, strict=True)
                )
                if size
            ]
            return ops.concatenate(parts) if parts[1:] else parts[0]
        scales = table_scale.TableScale.several(
            given, self._scaled, self.output_dim, self.name
        )
        stds = np.repeat([s.product_std for s in scales], sizes)
        drawn = draws.scaled(given, 1.0, 2 * band)(shape, dtype="float32")
        return ops.cast(
            drawn * ops.cast(stds[:, None], "float32"), dtype or "float32"
        )

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        popular_fit.fit(self, tables)

    def latent(self, ids: Tensor) -> Tensor:
        """Narrow rows, those of all bands beside each other, then the tail."""
        ranks = ids
        if self._index.kept.size:
            ranks = self._index.kept.ranks(ids, self._read_index)
        parts = []
        for band, (index, inside) in enumerate(self._bands.address(ranks, ids)):
            rows = self.stored_rows(f"rows_{band}" if band else "rows", index)
            parts.append(_where(inside, rows))
        if self._tail is not None:
            memory = None
            if self.storage == "float32" or self.quantization_mode is not None:
                memory = self.kernel_table("memory")
            rows = self._tail.rows(
                ids, memory, partial(self.stored_elements, "memory")
            )
            parts.append(_where(self._bands.beyond(ranks), rows))
        return ops.concatenate(parts, axis=-1) if parts[1:] else parts[0]

    def _index_weight(self) -> Any:
        """The weight with the index; None before the layer is built."""
        return getattr(self, "index_table", None)

    def _read_index(self, place: Tensor) -> Tensor:
        return ops.squeeze(self.gather_index("index", place), -1)

    def project(self, latent: Tensor) -> Tensor:
        """Rows of the common width out of narrow ones."""
        tail = [] if self._tail is None else [self.output_dim]
        ends = np.cumsum((0, *self.inner_dim, *tail))
        total = None
        for band, (begin, end) in enumerate(pairwise(ends)):
            part = latent[..., begin:end] if len(ends) > 2 else latent
            if end - begin < self.output_dim:
                name = f"projection_{band}" if band else "projection"
                matrix = ops.cast(self.whole_table(name), part.dtype)
                part = ops.matmul(part, matrix)
            total = part if total is None else total + part
        return total

    def lookup_numbers(self) -> int:
        """Numbers that the lookup of one id gathers."""
        tail = 0 if self._tail is None else self.output_dim
        return sum(self.inner_dim) + tail

    def lookup_flops(self) -> int:
        """Operations that project the bands' rows of one id."""
        narrow = [k for k in self.inner_dim if k < self.output_dim]
        parts = len(self.inner_dim) + (self._tail is not None)
        return 2 * sum(narrow) * self.output_dim + (parts - 1) * self.output_dim


def _where(inside: Tensor | None, rows: Tensor) -> Tensor:
    """Rows with zeros for the ids that are not inside."""
    if inside is None:
        return rows
    return ops.where(ops.expand_dims(inside, -1), rows, ops.zeros_like(rows))
