"""Several tables of rows by popularity, read by one lookup."""

from collections.abc import Sequence
from typing import Any

from keras_pss.layers.fused.popular.popular_rows import PopularRows
from keras_pss.layers.fused.table_group import TableGroup

Tensor = Any


class PopularityGroup(PopularRows, TableGroup):
    """The rows of the most frequent ids of several tables, in one table.

    They are those of one `PopularityEmbedding` for each table, except that
    all tables share the matrix P, the hashed rows and the memory.

    Args:
        input_dims: Rows of each table.
        output_dim: Integer d, the columns of all tables.
        num_rows: For each table a sequence of the number of rows in each
            band; at least 1 in the first band.
        table_numbers: Numbers of the tables, which the hash depends on.
        inner_dim, tail, buckets, memory_size, block_size, hash, seed,
            storage: As in `PopularityEmbedding`.
        ids: As in `PopularityEmbedding`, one entry for each table. Defaults to
            None, for tables whose ids are sorted by frequency.
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
        memory_size: int = 0,
        block_size: int | None = None,
        hash: str = "pss1",
        seed: int = 0,
        storage: str = "float32",
        ids: Sequence[Any] | None = None,
        columns: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dims, output_dim, columns, **kwargs)
        self._set_bands(
            self.input_dims,
            num_rows,
            table_numbers,
            self.columns,
            inner_dim=inner_dim,
            tail=tail,
            buckets=buckets,
            memory_size=memory_size,
            block_size=block_size,
            hash=hash,
            seed=seed,
            storage=storage,
            ids=[None] * len(self.input_dims) if ids is None else ids,
        )

    def kept_ids(self) -> list[Any]:
        """For each table the ids that have a row; None where they are sorted.

        Their order within a band says nothing.
        """
        return self._index.held(self._index_weight())

    def unwritten_ids(self) -> list[Any] | None:
        """The same as lists before the layer is built; None afterwards."""
        return self._index.unwritten(self._index_weight())

    def keep_ids(self, ids: Sequence[Any]) -> None:
        """Sets the ids of tables that are not sorted, before it is built.

        Args:
            ids: As in the constructor.
        """
        self._index.hold(ids)

    def keep_most_frequent(self, ranked: Sequence[Any]) -> None:
        """The same, given all ids of each table of the collection.

        Args:
            ranked: For each table of the collection its ids without id 0, the
                most frequent ones first, or None where they are sorted.
        """
        pairs = zip(self._bands.numbers, self._bands.limits[-1], strict=True)
        self.keep_ids(
            [
                None if ranked[number] is None else ranked[number][: limit - 1]
                for number, limit in pairs
            ]
        )

    def lookup_numbers(self) -> int:
        return len(self.columns) * super().lookup_numbers()

    def call(self, ids: Tensor) -> Tensor:
        return self.project(self.latent(ids))
