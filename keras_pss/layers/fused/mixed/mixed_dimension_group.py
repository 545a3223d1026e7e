"""Several tables of mixed dimensions, with one gather for each width."""

from collections.abc import Sequence
from typing import Any

from keras_pss.layers.fused.mixed.mixed_rows import MixedRows
from keras_pss.layers.fused.table_group import TableGroup

Tensor = Any


class MixedDimensionGroup(MixedRows, TableGroup):
    """The rows of several tables, those of each width in one table.

    They are those of one `MixedDimensionEmbedding` for each table.

    Args:
        input_dims: Rows of each table.
        output_dim: Integer d, the columns of all tables.
        num_rows: For each table a sequence of the rows of each block.
        inner_dim: For each table a sequence of the widths of these rows.
        columns: As in `TableGroup`.
        **kwargs: Further arguments of `TableLayer`.

    Input shape: `(..., F)`, valid ids. Output shape: `(..., F, d)`.
    """

    def __init__(
        self,
        input_dims: Sequence[int],
        output_dim: int,
        num_rows: Sequence[Sequence[int]],
        inner_dim: Sequence[Sequence[int]],
        columns: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dims, output_dim, columns, **kwargs)
        self._set_blocks(self.input_dims, num_rows, inner_dim, self.columns)

    def call(self, ids: Tensor) -> Tensor:
        return self.rows_of(ids)
