"""Several uncompressed tables as one weight."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base import initial_scale
from keras_pss.layers.base.tables import Table, TableLayer

Tensor = Any


class FullGroup(TableLayer):
    """Tables of one width, stacked, so that one gather serves all of them.

    A part of `EmbeddingCollection`, which checks the ids.

    Args:
        input_dims: Rows of each table.
        output_dim: d, columns of all of them.
        **kwargs: Of `TableLayer`.

    Input shape: `(..., F)`, valid ids. Output shape: `(..., F, d)`.

    Memory: `sum(input_dims) * output_dim` parameters.
    """

    def __init__(
        self, input_dims: Sequence[int], output_dim: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.input_dims = tuple(input_dims)
        self.output_dim = output_dim

    def tables(self) -> dict[str, Table]:
        fill = initial_scale.stacked(
            self.embeddings_initializer, self.input_dims, self.output_dim
        )
        rows = sum(self.input_dims)
        return {"embeddings": Table(rows, self.output_dim, fill)}

    def lookup_numbers(self) -> int:
        return len(self.input_dims) * self.output_dim

    def call(self, ids: Tensor) -> Tensor:
        firsts = [0, *accumulate(self.input_dims)][:-1]
        index = ids + ops.cast(np.array(firsts, np.int32), ids.dtype)
        return self.gather_rows("embeddings", index)
