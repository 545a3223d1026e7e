"""Rows of several widths, of one table or of several.

The file is long because one class has the checks, the initial values and the
lookup of blocks, all of which depend on their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.checks import LARGEST_DIM, positive_ints, shown
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops import gather
from keras_pss.ops.fitting import low_rank
from keras_pss.ops.fitting.trained_table import TrainedTable, shared_row
from keras_pss.ops.fitting.variables import copy_rows

Tensor = Any


@dataclass(frozen=True)
class Block:
    """A range of ids of a table, with rows of one width.

    Attributes:
        table: Index of the table.
        first: The first id of the block.
        rows: Number of its ids.
        width: Length of its rows.
        number: Index among the blocks of all tables.
    """

    table: int
    first: int
    rows: int
    width: int
    number: int


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
                Block(table, int(first), n, k, len(blocks) + place)
                for place, (first, n, k) in enumerate(
                    zip(firsts[:-1], rows, widths, strict=True)
                )
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
                    table_scale.with_seed_offset(given, block.number),
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
        seed = sum(map(len, self._blocks)) + width
        drawn = draws.scaled(given, 1.0, seed)(shape, dtype="float32")
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
                block.number,
            )((width, self.output_dim), dtype)
            for block in blocks
        ]
        return ops.concatenate(parts) if parts[1:] else parts[0]

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        kept = []
        for table, limit in zip(tables, self._limits, strict=True):
            row = shared_row(table, int(limit))
            kept.append(table.first_rows(int(limit), row))
        for blocks in self._blocks:
            width = blocks[0].width
            parts, matrices = [], []
            for block in blocks:
                end = block.first + block.rows
                part = kept[block.table].between(block.first, end)
                if width < self.output_dim:
                    part, matrix = low_rank.narrow(part, width)
                    matrices.append(matrix)
                parts.append(part)
            copy_rows(getattr(self, f"narrow_{width}_table"), parts)
            if matrices:
                weight = getattr(self, f"projection_{width}_table")
                weight.assign(np.concatenate(matrices))

    def rows_of(self, ids: Tensor) -> Tensor:
        """Rows of valid ids: `(..., F)` to `(..., F, output_dim)`.

        The narrow rows of an id in all blocks of its table, zeros except in
        its own block, stand beside each other: F products with the matrices
        of all blocks project them.
        """
        shape = ops.shape(ids)
        flat = ops.reshape(ids, (-1, len(self._column_tables)))
        limits = self._constant(self._limits[self._column_tables], flat)
        flat = ops.where(flat < limits, flat, ops.zeros_like(flat))
        index, inside = self._address(flat)
        found, begin = [], 0
        for blocks in self._blocks:
            end = begin + len(self._slots(blocks)[0])
            name = f"narrow_{blocks[0].width}"
            narrow = self.gather_rows(name, index[:, begin:end])  # (n, S, k)
            own = ops.expand_dims(inside[:, begin:end], -1)
            narrow = ops.where(own, narrow, ops.zeros_like(narrow))
            # (S * k, n), so that the numbers of a place are contiguous.
            size = (end - begin) * blocks[0].width
            by_place = ops.transpose(narrow, (1, 2, 0))
            found.append(ops.reshape(by_place, (size, -1)))
            begin = end
        parts = ops.concatenate(found) if found[1:] else found[0]
        of_columns, of_matrices = self._places
        parts = ops.reshape(
            gather.take(parts, of_columns.reshape(-1)),
            (*of_columns.shape, -1),
        )  # (F, K, n)
        matrices = gather.rows(
            self._all_matrices(parts.dtype), ops.convert_to_tensor(of_matrices)
        )  # (F, K, d)
        rows = ops.matmul(ops.transpose(parts, (0, 2, 1)), matrices)
        rows = ops.transpose(rows, (1, 0, 2))  # (F, n, d) to (n, F, d)
        return ops.reshape(rows, (*shape, self.output_dim))

    def _address(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of ids in all slots: `(n, F)` to `(n, S)`, width by width.

        Returns:
            Places in the table of each width, and booleans that are true in
            the slot of the block that an id is in.
        """
        columns, firsts, rows, starts = [], [], [], []
        for blocks in self._blocks:
            size = np.array([block.rows for block in blocks])
            first = np.array([block.first for block in blocks])
            column, place = self._slots(blocks)
            columns.append(column)
            firsts.append(first[place])
            rows.append(size[place])
            starts.append((np.cumsum(size) - size)[place])
        local = ops.take(ids, np.concatenate(columns), axis=-1)
        local = local - self._constant(np.concatenate(firsts), ids)
        below = local < self._constant(np.concatenate(rows), ids)
        inside = (local >= 0) & below
        index = ops.where(inside, local, ops.zeros_like(local))
        return index + self._constant(np.concatenate(starts), ids), inside

    def _slots(self, blocks: Sequence[Block]) -> tuple[np.ndarray, np.ndarray]:
        """Each column with each block of its table: `(S,)` indices of both."""
        slots = [
            (column, place)
            for column, table in enumerate(self._column_tables)
            for place, block in enumerate(blocks)
            if block.table == table
        ]
        found = np.array(slots, np.int32).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the parts of each column and their matrices are.

        Returns:
            Two arrays `(F, K)`, K the largest width of all blocks of a table
            together: places among all parts, and among the rows of all
            matrices. Columns with fewer parts have any, and a row of zeros.
        """
        found: list[list[tuple[int, int]]] = [[] for _ in self._column_tables]
        part, row = 0, 0
        for blocks in self._blocks:
            width = blocks[0].width
            full = width == self.output_dim
            for column, place in zip(*self._slots(blocks), strict=True):
                first = row if full else row + place * width
                found[column] += [(part + k, first + k) for k in range(width)]
                part += width
            row += width if full else len(blocks) * width
        most = max(map(len, found))
        padded = [each + [(0, row)] * (most - len(each)) for each in found]
        places = np.array(padded, np.int32)
        return places[..., 0], places[..., 1]

    def _all_matrices(self, dtype: Any) -> Tensor:
        """The rows of all matrices; the identity for rows of the width d."""
        found = []
        for blocks in self._blocks:
            width = blocks[0].width
            if width == self.output_dim:
                found.append(ops.eye(width, dtype=dtype))
            else:
                matrix = self.whole_table(f"projection_{width}")
                found.append(ops.cast(matrix, dtype))
        found.append(ops.zeros((1, self.output_dim), dtype=dtype))
        return ops.concatenate(found)

    @staticmethod
    def _constant(values: np.ndarray, ids: Tensor) -> Tensor:
        """Numbers of the dtype of some ids."""
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
