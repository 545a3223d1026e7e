"""Several tables of rows by popularity, read by one lookup."""

from collections.abc import Sequence
from typing import Any

from keras_pss.layers.fused.popular_rows import PopularRows
from keras_pss.layers.fused.table_group import TableGroup

Tensor = Any


class PopularityGroup(PopularRows, TableGroup):
    """The rows of the most frequent ids of several tables, in one table.

    They are those of one `PopularityEmbedding` for each table, except that
    all tables share the matrix P and the hashed rows.

    Args:
        input_dims: Rows of each table.
        output_dim: Integer d, the columns of all tables.
        num_rows: For each table a sequence of the number of rows in each
            band; at least 1 in the first band.
        table_numbers: Numbers of the tables, which the hash depends on.
        inner_dim, tail, buckets, hash, seed: As in `PopularityEmbedding`.
        columns: As in `TableGroup`.
        **kwargs: Further arguments of `TableLayer`.

    Input shape: `(..., F)`, valid ids. Output shape: `(..., F, d)`.
    """

    def __init__(
        self,
        input_dims: Sequence[int],
        output_dim: int,
        num_rows: Sequence[Sequence[int]],
        table_numbers: Sequence[int],
        inner_dim: Any = 1,
        tail: str = "oov",
        buckets: int = 0,
        hash: str = "pss1",
        seed: int = 0,
        columns: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dims, output_dim, columns, **kwargs)
        self._set_bands(
            self.input_dims,
            num_rows,
            inner_dim,
            tail,
            buckets,
            table_numbers,
            self.columns,
            hash,
            seed,
        )

    def lookup_numbers(self) -> int:
        return len(self.columns) * sum(self.inner_dim)

    def call(self, ids: Tensor) -> Tensor:
        return self.project(self.latent(ids))
