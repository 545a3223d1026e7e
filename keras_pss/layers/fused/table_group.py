"""The base class of layers that read several tables by one lookup."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.fitting.fits_tables import FitsSeveralTables
from keras_pss.layers.base.tables import TableLayer


class TableGroup(FitsSeveralTables, TableLayer):
    """Base of layers that store tables of one width in one weight.

    It is a sub-layer of `EmbeddingCollection`, which checks the ids.

    Args:
        input_dims: Rows of each table; None for an open vocabulary.
        output_dim: Integer d, the columns of all tables.
        columns: Index of the table of each of the F columns of the ids.
            Defaults to None, one column for each table.
        **kwargs: Further arguments of `TableLayer`.

    Input shape: `(..., F)`, valid ids. Output shape: `(..., F, d)`.
    """

    # Whether the layer needs the ids of training steps.
    observes = False

    def __init__(
        self,
        input_dims: Sequence[Any],
        output_dim: int,
        columns: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_dims = tuple(input_dims)
        self.output_dim = output_dim
        if columns is None:
            columns = range(len(self.input_dims))
        self.columns = tuple(columns)

    def observe(self, ids: Any, mask: Any | None = None) -> None:
        """Receives the ids of each training step, if it `observes`.

        Args:
            ids: Valid ids `(n, F)`.
            mask: Booleans `(n, F)`, False for ids that do not count.
        """

    def fitted_shapes(self) -> dict[Any, tuple[int | None, int]]:
        return {
            place: (rows, self.output_dim)
            for place, rows in enumerate(self.input_dims)
        }

    def rows_at(self, ids: Sequence[np.ndarray]) -> list[np.ndarray]:
        each = np.stack([ids[table] for table in self.columns], axis=1)
        found = self(ops.convert_to_tensor(each))
        rows = ops.convert_to_numpy(ops.cast(found, "float32"))
        return [
            rows[:, self.columns.index(table)]
            for table in range(len(self.input_dims))
        ]

    def lookup_numbers(self) -> int:
        return len(self.columns) * self.output_dim

    def budget_size(self) -> int:
        """Size as a budget counts it, in parameters."""
        return sum(table.size for table in self.tables().values())
