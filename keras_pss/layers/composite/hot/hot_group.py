"""Hot rows that several tables share, for the most frequent ids of all."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.checks import LARGEST_DIM, shown
from keras_pss.layers.base.tables import Table, TableLayer
from keras_pss.layers.composite.hot.hot_cache import HotCache
from keras_pss.layers.composite.hot.hot_sizes import all_rows, has_two_words
from keras_pss.layers.composite.hot.hot_table import (
    HotRowsChange,
    checked_capacity,
    checked_ids,
)
from keras_pss.layers.fused.table_group import TableGroup
from keras_pss.layers.initial_values import draws
from keras_pss.ops.fitting import low_rank
from keras_pss.ops.fitting.trained_table import TrainedTable

Tensor = Any

# Number of keys whose cold rows are computed at once: a power of two, since
# the numbers of keys are.
BLOCK = 1 << 12


class HotGroup(HotCache, TableGroup):
    """One table of hot rows over the compressed tables of a collection.

        E_t[i] = hot[slot(t, i)]   for at most `capacity` pairs of a table and
                                   an id,
        E_t[i] = cold_t[i]         for all others.

    See `HotRows`, whose rows and counters a collection would otherwise have
    for each table: together they follow the traffic of all tables. With
    `row_dim` below `output_dim`, hot and cold rows are narrow, and one matrix
    maps them to `output_dim`.

    Args:
        input_dims: Rows of each table; None for an open vocabulary.
        output_dim: Integer d, the columns of all tables.
        cold: A `TableGroup` of the same tables and columns, with rows of
            `row_dim` numbers.
        capacity, counts, sketch_width, decay: As in `HotRows`.
        row_dim: Integer, the length of the rows in memory. Defaults to
            `output_dim`.
        columns: As in `TableGroup`.
        **kwargs: Further arguments of `TableLayer`.

    Input shape: `(..., F)`, valid ids. Output shape: `(..., F, d)`.
    """

    observes = True

    def __init__(
        self,
        input_dims: Sequence[int | None],
        output_dim: int,
        cold: TableLayer,
        capacity: int,
        counts: str,
        sketch_width: int | None = None,
        decay: bool | None = None,
        row_dim: int | None = None,
        columns: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dims, output_dim, columns, **kwargs)
        rows = all_rows(self.input_dims)
        self.row_dim = row_dim or output_dim
        self.cold = cold
        self._set_cache(
            rows,
            checked_capacity(capacity, rows),
            counts,
            sketch_width,
            decay,
            has_two_words(self.input_dims),
            len(self.columns),
            self.row_dim,
        )

    def parts(self) -> list[Any]:
        return [self.cold, self.hot, self.counter]

    def tables(self) -> dict[str, Table]:
        shape = self.row_dim, self.output_dim
        if self.row_dim == self.output_dim:
            return {}
        fill = draws.projection(self.embeddings_initializer, *shape, 1)
        return {"projection": Table(*shape, fill, whole=True)}

    def lookup_flops(self) -> int:
        matrix = sum(table.size for table in self.tables().values())
        return 2 * len(self.columns) * matrix

    def lookup_numbers(self) -> int:
        return 0  # each part reports its own

    def budget_size(self) -> int:
        index = [t for t in self.hot.tables().values() if t.dtype is not None]
        index += self.counter.tables().values()
        index += self.tables().values()
        hot = self.capacity * self.row_dim + sum(t.size for t in index)
        return int(self.cold.budget_size()) + hot

    def build(self, input_shape: Any = None) -> None:
        for part in self.parts():
            if not part.built:
                part.build()
        super().build(input_shape)

    def call(self, ids: Tensor) -> Tensor:
        slot, hit = self.hot.find(*self._keys(ids))
        shape = ops.shape(ids)
        hot = ops.reshape(self.hot.lookup(slot), (*shape, self.row_dim))
        # Both are looked up for all ids, since shapes must not depend on
        # values. `where` passes no gradient to the row that is not selected.
        cold = ops.cast(self.cold(ids), hot.dtype)
        rows = ops.where(ops.reshape(hit, (*shape, 1)), hot, cold)
        if self.row_dim == self.output_dim:
            return rows
        matrix = ops.cast(self.whole_table("projection"), rows.dtype)
        return ops.matmul(rows, matrix)

    def check_fits(self) -> None:
        super().check_fits()
        self.cold.check_fits()

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        if self.hot.wide:
            firsts = [table << 32 for table in range(len(tables))]
        else:
            firsts = [int(first) for first in self._firsts()]
        whole = tables
        if self.row_dim < self.output_dim:
            blocks = (b.rows for table in tables for b in table.blocks())
            found = low_rank.gram(blocks, self.output_dim)
            into, matrix = low_rank.factors(found, self.row_dim)
            self.projection_table.assign(matrix)
            whole = [table.mapped(into) for table in tables]

        def rows(keys: np.ndarray) -> np.ndarray:
            table, ids = self.pairs(keys).T
            out = np.empty((len(keys), self.row_dim), np.float32)
            for place, each in enumerate(whole):
                out[table == place] = each.take(ids[table == place])
            return out

        self.cold.fit_to(self._fit_hot(whole, firsts, rows))

    def observe(self, ids: Tensor, mask: Tensor | None = None) -> None:
        """Counts the ids of a training step, and the lookups of hot ids."""
        if not self.trainable:
            return
        keys = self._keys(ids)
        if mask is None:
            amount = ops.ones_like(keys[0])
        else:
            amount = ops.cast(ops.reshape(mask, (-1,)), "int32")
        self._count(keys, amount, self.hot.find(*keys)[1])

    def _keys(self, ids: Tensor) -> tuple[Tensor, ...]:
        """Words of the keys of `(..., F)` ids, int32 `(n F,)`."""
        ids = ops.cast(ids, "int32")
        if not self.hot.wide:
            firsts = self._firsts()[list(self.columns)].astype(np.int32)
            first = ops.convert_to_tensor(firsts)
            return (ops.reshape(ids + first, (-1,)),)
        columns = ops.convert_to_tensor(np.array(self.columns, np.int32))
        table = ops.zeros_like(ids) + columns
        return ops.reshape(ids, (-1,)), ops.reshape(table, (-1,))

    def _firsts(self) -> np.ndarray:
        """The key of id 0 of each table, if keys have one word."""
        return np.array([0, *accumulate(self.input_dims)][:-1])

    def pairs(self, keys: np.ndarray) -> np.ndarray:
        """Tables and ids of keys: `(n,)` to `(n, 2)`.

        Tables are numbered as in `input_dims`.
        """
        keys = np.asarray(keys, np.int64)
        if self.hot.wide:
            return np.stack([keys >> 32, keys & (2**32 - 1)], axis=-1)
        firsts = self._firsts()
        table = np.searchsorted(firsts, keys, side="right") - 1
        return np.stack([table, keys - firsts[table]], axis=-1)

    def _cold_rows(self, keys: np.ndarray) -> np.ndarray:
        table, ids = self.pairs(keys).T
        # A column that reads each table.
        column = np.array(
            [self.columns.index(t) for t in range(len(self.input_dims))]
        )[table]
        out = np.empty((len(keys), self.row_dim), np.float32)
        for begin in range(0, len(keys), BLOCK):
            block = slice(begin, begin + BLOCK)
            place = np.arange(len(ids[block])), column[block]
            each = np.zeros((len(ids[block]), len(self.columns)), np.int32)
            each[place] = ids[block]
            rows = self.cold(ops.convert_to_tensor(each))
            rows = ops.convert_to_numpy(ops.cast(rows, "float32"))
            out[block] = rows[place]
        return out

    def ids(self) -> np.ndarray:
        """Tables and ids of the hot rows, `(n, 2)` in ascending order."""
        self._ensure_built()
        return self.pairs(self.hot.ids())

    def refresh(
        self, ids: Any = None, decay: bool | None = None
    ) -> HotRowsChange:
        """Makes the most frequent ids of all tables hot.

        Args:
            ids: At most `capacity` distinct pairs of a table and an id to
                make hot, `(n, 2)`. Defaults to the most frequent ones.
            decay: As in `HotRows.refresh`.

        Returns:
            A `HotRowsChange`, whose ids are keys; `pairs` gives their tables
            and ids.

        Raises:
            ValueError: If `ids` are not distinct pairs of a table and an id
                of it, at most `capacity` of them.
        """
        if ids is None:
            return self._refresh(None, decay)
        table, own = self._checked_pairs(ids).T
        first = table << 32 if self.hot.wide else self._firsts()[table]
        rows = None if self.hot.wide else all_rows(self.input_dims)
        wanted = checked_ids(first + own, self.capacity, rows)
        return self._refresh(wanted, decay)

    def _checked_pairs(self, ids: Any) -> np.ndarray:
        """Pairs of a table and one of its ids, `(n, 2)`."""
        pairs = np.asarray(ids)
        if not pairs.size:
            return np.zeros((0, 2), np.int64)
        ok = pairs.ndim == 2 and pairs.shape[1] == 2
        ok = ok and pairs.dtype.kind in "iu"
        if ok:
            table, own = pairs.T
            ok = bool(((table >= 0) & (table < len(self.input_dims))).all())
        if ok:
            # Beyond its table, an id would be one of the next table.
            rows = [LARGEST_DIM if n is None else n for n in self.input_dims]
            ok = bool(((own >= 0) & (own < np.array(rows)[table])).all())
        if not ok:
            raise ValueError(
                "`ids` must be pairs of the number of a table and one of its "
                f"ids, for tables of {shown(self.input_dims)} rows. "
                f"Received: ids={shown(ids)}"
            )
        return pairs.astype(np.int64)
