"""Hashed rows of several tables in one weight, read by one gather."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import accumulate, chain
from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    non_negative_int,
    one_of,
    positive_int,
    positive_ints,
)
from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.table_group import TableGroup
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops import hashing
from keras_pss.ops.fitting import least_squares, single_reads
from keras_pss.ops.fitting.trained_table import TrainedTable

Tensor = Any


class HashedGroup(TableGroup):
    """The buckets of several hashed tables, below each other.

    The rows are those of one `HashedEmbedding` for each table. A table with a
    single bucket has one row for all of its ids. If there are fewer rows than
    tables, each table has a single bucket, and some tables share it.

    Args:
        input_dims: Rows of each table; None for an open vocabulary.
        output_dim: Integer d, the columns of all tables.
        num_buckets: Number of buckets of each table, or an integer, the number
            of buckets of all tables together, which are divided in proportion
            to the rows of the tables.
        table_numbers: Numbers of the tables, which the hash depends on.
        num_hashes: Integer K, the number of buckets of an id, whose rows are
            summed. Defaults to 1.
        hash, seed: As in `HashedEmbedding`.
        columns: As in `TableGroup`.
        **kwargs: Further arguments of `TableLayer`.

    Input shape: `(..., F)`, valid ids. Output shape: `(..., F, d)`.

    Memory: `sum(num_buckets) * output_dim` parameters.
    """

    def __init__(
        self,
        input_dims: Sequence[int | None],
        output_dim: int,
        num_buckets: int | Sequence[int],
        table_numbers: Sequence[int],
        num_hashes: int = 1,
        hash: str = "pss1",
        seed: int = 0,
        columns: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dims, output_dim, columns, **kwargs)
        self.table_numbers = tuple(table_numbers)
        self.num_hashes = positive_int("num_hashes", num_hashes)
        if isinstance(num_buckets, int):
            rows = positive_int("num_buckets", num_buckets)
            each = divided_buckets(rows, self.input_dims, num_hashes)
        else:
            each = list(num_buckets)
            rows = sum(each)
        self.num_buckets = positive_ints("num_buckets", each)
        self.num_rows = min(rows, sum(each))
        self.hash = one_of("hash", hash, hashing.FAMILIES)
        self.seed = non_negative_int("seed", seed)

    def tables(self) -> dict[str, Table]:
        return {"buckets": Table(self.num_rows, self.output_dim, self._rows)}

    def _rows(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Initial rows, with the scale of each table."""
        parts = []
        for place, (rows, size) in enumerate(
            zip(self.input_dims, self.num_buckets, strict=True)
        ):
            given = table_scale.with_seed_offset(
                self.embeddings_initializer, 100 * place
            )
            fill = table_scale.shared_rows(
                given, rows, self.output_dim, self.name
            )
            if self.num_hashes > 1:
                fill = draws.spread(given, self._moments(given, rows))
            parts.append(fill((size, shape[1]), dtype))
        rows = ops.concatenate(parts) if parts[1:] else parts[0]
        return rows[: shape[0]]

    def _moments(self, given: Any, rows: int | None) -> Any:
        """Mean and standard deviation of a row, K of which are summed."""

        def found() -> tuple[float, float]:
            scale = table_scale.TableScale(
                given, rows, self.output_dim, self.name
            )
            root = math.sqrt(self.num_hashes)
            return scale.mean / self.num_hashes, scale.std / root

        return found

    def lookup_numbers(self) -> int:
        return super().lookup_numbers() * self.num_hashes

    def lookup_flops(self) -> int:
        return super().lookup_numbers() * (self.num_hashes - 1)

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        shared = sum(self.num_buckets) > self.num_rows
        if self.num_hashes == 1 or shared:
            reads = chain.from_iterable(
                (
                    (
                        self._rows_of(k, block.ids)[:, 0],
                        block.rows,
                        block.weights,
                    )
                    for block in table.blocks()
                )
                for k, table in enumerate(tables)
            )
            size = self.num_rows, self.output_dim
            means = single_reads.bucket_means(reads, *size)
            # A single bucket is read by all hashes of its ids.
            self.buckets_table.assign(means / self.num_hashes)
            return
        parts = [
            least_squares.solved(table, partial(self._design, k), buckets)
            for k, (table, buckets) in enumerate(
                zip(tables, self.num_buckets, strict=True)
            )
        ]
        self.buckets_table.assign(np.concatenate(parts))

    def _rows_of(self, table: int, ids: np.ndarray) -> np.ndarray:
        """Rows of ids of a table, on the host, `(n, K)`."""
        bucket, _ = self._design(table, ids)
        first = sum(self.num_buckets[:table]) % self.num_rows
        return bucket + first

    def _design(self, table: int, ids: np.ndarray) -> tuple[np.ndarray, None]:
        """Buckets of ids among those of a table."""
        found = hashing.starts(
            ops.convert_to_tensor(ids.astype(np.int32)),
            self.num_buckets[table],
            seed=self.seed,
            table=self.table_numbers[table],
            chunks=self.num_hashes,
            family=self.hash,
        )
        return ops.convert_to_numpy(found), None

    def call(self, ids: Tensor) -> Tensor:
        bucket = hashing.starts(
            ids,
            [self.num_buckets[c] for c in self.columns],
            seed=self.seed,
            table=[self.table_numbers[c] for c in self.columns],
            chunks=self.num_hashes,
            family=self.hash,
        )  # (..., F, K)
        firsts = np.array([0, *accumulate(self.num_buckets)][:-1], np.int32)
        firsts = (firsts % self.num_rows)[list(self.columns)][:, None]
        rows = self.gather_rows(
            "buckets", bucket + ops.convert_to_tensor(firsts)
        )
        if self.num_hashes == 1:
            return ops.squeeze(rows, -2)
        return ops.sum(rows, axis=-2)


def divided_buckets(
    total: int, input_dims: Sequence[int | None], num_hashes: int = 1
) -> list[int]:
    """Divides buckets in proportion to the rows of tables, at least one each.

    Args:
        total: Integer, the number of buckets. Below the number of tables, the
            result has one for each nevertheless.
        input_dims: Rows of each table; an open vocabulary counts as the
            largest table.
        num_hashes: Integer; with a single hash a table has at most as many
            buckets as rows.
    """
    rows = [LARGEST_DIM if n is None else n for n in input_dims]
    found = [1] * len(rows)
    left = max(0, total - len(rows))
    order = sorted(range(len(rows)), key=rows.__getitem__)
    whole = sum(rows)
    # The smallest tables first, so that what they do not need is for others.
    for table in order:
        more = left * rows[table] // whole if whole else 0
        if num_hashes == 1:
            more = min(more, rows[table] - 1)
        found[table] += more
        left -= more
        whole -= rows[table]
    return found
