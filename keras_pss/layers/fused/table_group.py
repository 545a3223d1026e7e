"""What tables that are read together share."""

from collections.abc import Sequence
from typing import Any

from keras_pss.layers.base.tables import TableLayer


class TableGroup(TableLayer):
    """Base of tables of one width that are one weight, read by one lookup.

    A part of `EmbeddingCollection`, which checks the ids.

    Args:
        input_dims: Rows of each table, None for an open vocabulary.
        output_dim: d, columns of all of them.
        **kwargs: Of `TableLayer`.

    Input shape: `(..., F)`, valid ids. Output shape: `(..., F, d)`.
    """

    def __init__(
        self, input_dims: Sequence[Any], output_dim: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.input_dims = tuple(input_dims)
        self.output_dim = output_dim

    def lookup_numbers(self) -> int:
        return len(self.input_dims) * self.output_dim

    def budget_size(self) -> int:
        """What the budget counts, in parameters."""
        return sum(table.size for table in self.tables().values())
