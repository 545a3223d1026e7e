"""Rows of several widths, of one table or of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.checks import LARGEST_DIM, positive_ints, shown
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import draws, table_scale

Tensor = Any


@dataclass(frozen=True)
class Block:
    """A range of ids of a table, with rows of one width.

    Attributes:
        table: Index of the table.
        first: The first id of the block.
        rows: Number of its ids.
        width: Length of its rows.
    """

    table: int
    first: int
    rows: int
    width: int


class MixedRows:
    """What a layer of one table and a layer of several have in common.

    A class beside a `TableLayer`, whose constructor calls `_set_blocks`. The
    blocks of one width are stacked in the table `narrow_{width}`, and their
    matrices in `projection_{width}`.
    """

    embeddings_initializer: Any
    output_dim: int
    name: str
    gather_rows: Any
    whole_table: Any

    def _set_blocks(
        self,
        input_dims: Sequence[int],
        num_rows: Sequence[Sequence[int]],
        inner_dim: Sequence[Sequence[int]],
        columns: Sequence[int],
    ) -> None:
        """Checks and sets the blocks.

        Args:
            input_dims: Rows of each table.
            num_rows: Rows of each block, for each table.
            inner_dim: Widths of these rows.
            columns: Index of the table of each column of the ids.
        """
        blocks: list[Block] = []
        for table, (dim, rows, widths) in enumerate(
            zip(input_dims, num_rows, inner_dim, strict=True)
        ):
            _check_blocks(dim, rows, widths, self.output_dim)
            firsts = np.cumsum([0, *rows])
            blocks += [
                Block(table, int(first), n, k)
                for first, n, k in zip(firsts[:-1], rows, widths, strict=True)
            ]
        widths = sorted({block.width for block in blocks}, reverse=True)
        # A tuple, since Keras would track a list.
        self._blocks = tuple(
            tuple(b for b in blocks if b.width == width) for width in widths
        )
        self._scaled = tuple(input_dims)
        self._limits = np.array([sum(rows) for rows in num_rows], np.int64)
        self._column_tables = np.array(columns, np.int64)

    def tables(self) -> dict[str, Table]:
        found = {}
        for blocks in self._blocks:
            width = blocks[0].width
            rows = sum(block.rows for block in blocks)
            fill = partial(self._rows, blocks)
            found[f"narrow_{width}"] = Table(rows, width, fill)
            if width < self.output_dim:
                found[f"projection_{width}"] = Table(
                    len(blocks) * width,
                    self.output_dim,
                    partial(self._matrices, blocks),
                    whole=True,
                )
        return found

    def _rows(
        self, blocks: Sequence[Block], shape: Sequence[int], dtype: Any = None
    ) -> Tensor:
        """Initial rows of blocks of one width, in the scale of each table."""
        given, width = self.embeddings_initializer, shape[1]
        if width == self.output_dim:
            parts = [
                table_scale.shared_rows(
                    table_scale.with_seed_offset(
                        given, 100 * block.table + _place(block)
                    ),
                    self._scaled[block.table],
                    width,
                    self.name,
                )((block.rows, width), dtype)
                for block in blocks
            ]
            return ops.concatenate(parts) if parts[1:] else parts[0]
        scales = table_scale.TableScale.several(
            given, self._scaled, self.output_dim, self.name
        )
        stds = np.repeat(
            [scales[block.table].product_std for block in blocks],
            [block.rows for block in blocks],
        )
        drawn = draws.scaled(given, 1.0, 2 * width)(shape, dtype="float32")
        return ops.cast(
            drawn * ops.cast(stds[:, None], "float32"), dtype or "float32"
        )

    def _matrices(
        self, blocks: Sequence[Block], shape: Sequence[int], dtype: Any = None
    ) -> Tensor:
        """Initial matrices of blocks of one width."""
        width = blocks[0].width
        parts = [
            draws.projection(
                self.embeddings_initializer,
                width,
                self.output_dim,
                100 * block.table + _place(block),
            )((width, self.output_dim), dtype)
            for block in blocks
        ]
        return ops.concatenate(parts) if parts[1:] else parts[0]

    def rows_of(self, ids: Tensor) -> Tensor:
        """Rows of valid ids: `(..., F)` to `(..., F, output_dim)`."""
        limits = self._constant(self._limits[self._column_tables], ids)
        ids = ops.where(ids < limits, ids, ops.zeros_like(ids))
        found, slots = [], []
        for blocks in self._blocks:
            # A slot is a column and a block of its table: (..., F) -> (..., S)
            own = [
                (column, place)
                for column, table in enumerate(self._column_tables)
                for place, block in enumerate(blocks)
                if block.table == table
            ]
            if own:
                columns, places = np.array(own).T
                found.append(self._projected(blocks, places, columns, ids))
                slots += [(c, blocks[k].first) for c, k in own]
        rows = found[0] if len(found) == 1 else ops.concatenate(found, axis=-2)
        return self._chosen(rows, slots, ids)

    def _projected(
        self,
        blocks: Sequence[Block],
        places: np.ndarray,
        columns: np.ndarray,
        ids: Tensor,
    ) -> Tensor:
        """Rows in the slots of one width: `(..., F)` to `(..., S, d)`.

        An id outside the block of a slot has any row there.
        """
        width = blocks[0].width
        rows = np.array([block.rows for block in blocks])
        firsts = np.array([block.first for block in blocks])
        starts = np.cumsum(rows) - rows
        local = _taken(ids, columns) - self._constant(firsts[places], ids)
        inside = (local >= 0) & (local < self._constant(rows[places], ids))
        index = ops.where(inside, local, ops.zeros_like(local))
        index = index + self._constant(starts[places], ids)
        narrow = self.gather_rows(f"narrow_{width}", index)
        if width == self.output_dim:
            return narrow
        matrices = ops.reshape(
            ops.cast(self.whole_table(f"projection_{width}"), narrow.dtype),
            (len(blocks), width, self.output_dim),
        )
        if not np.array_equal(places, np.arange(len(blocks))):
            matrices = ops.take(matrices, places, axis=0)
        return ops.einsum("...sk,skd->...sd", narrow, matrices)

    def _chosen(
        self, rows: Tensor, slots: Sequence[tuple[int, int]], ids: Tensor
    ) -> Tensor:
        """The row of each id out of those in all slots of its column."""
        count = len(self._column_tables)
        # The slots of each column in the order of their blocks.
        order = sorted(range(len(slots)), key=lambda slot: slots[slot])
        if len(slots) == count:
            if order == list(range(count)):
                return rows
            return ops.take(rows, np.array(order), axis=-2)
        first = np.searchsorted([slots[s][0] for s in order], np.arange(count))
        most = max(np.diff([*first, len(slots)]))
        # The first ids of all blocks of a column but the first one.
        begins = np.full((count, most - 1), LARGEST_DIM, np.int64)
        for place, slot in enumerate(order):
            column, begin = slots[slot]
            if begin:
                begins[column, place - first[column] - 1] = begin
        after = ops.expand_dims(ids, -1) >= self._constant(begins, ids)
        block = ops.sum(ops.cast(after, "int32"), axis=-1)
        slot = ops.take(
            ops.convert_to_tensor(np.array(order, np.int32)),
            block + ops.convert_to_tensor(first.astype(np.int32)),
            axis=0,
        )
        return ops.take_along_axis(rows, ops.expand_dims(slot, -1), axis=-2)

    @staticmethod
    def _constant(values: np.ndarray, ids: Tensor) -> Tensor:
        numbers = ops.convert_to_tensor(values.astype(np.int32))
        return ops.cast(numbers, ids.dtype)

    def _slot_widths(self) -> list[int]:
        """The widths of the rows that one lookup of all columns reads."""
        return [
            block.width
            for blocks in self._blocks
            for block in blocks
            for column in self._column_tables
            if column == block.table
        ]

    def lookup_numbers(self) -> int:
        return sum(self._slot_widths())

    def lookup_flops(self) -> int:
        narrow = [k for k in self._slot_widths() if k < self.output_dim]
        return 2 * sum(narrow) * self.output_dim


def _place(block: Block) -> int:
    """A number that differs between the blocks of a table."""
    return block.first


def _taken(ids: Tensor, columns: np.ndarray) -> Tensor:
    """Some columns of ids, any of them several times."""
    if len(columns) == ids.shape[-1] and np.array_equal(
        columns, np.arange(len(columns))
    ):
        return ids
    return ops.take(ids, columns, axis=-1)


def _check_blocks(
    input_dim: int,
    num_rows: Sequence[int],
    inner_dim: Sequence[int],
    output_dim: int,
) -> None:
    widths = positive_ints("inner_dim", inner_dim, output_dim)
    rows = positive_ints("num_rows", num_rows, LARGEST_DIM)
    if len(rows) != len(widths) or not rows:
        raise ValueError(
            "`num_rows` and `inner_dim` must have one number for each block. "
            f"Received: num_rows={shown(rows)}, inner_dim={shown(widths)}"
        )
    if any(wide < narrow for wide, narrow in pairwise(widths)):
        raise ValueError(
            "`inner_dim` must not rise from a block to the next, since the "
            "first ones have the most frequent ids. "
            f"Received: inner_dim={shown(widths)}"
        )
    if sum(rows) > input_dim:
        raise ValueError(
            "`num_rows` must be at most `input_dim`, the number of ids, over "
            f"all blocks. Received: num_rows={shown(rows)}, "
            f"input_dim={input_dim}"
        )
