"""Several uncompressed tables in one weight."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from keras import ops

from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.table_group import TableGroup
from keras_pss.layers.initial_values import table_scale
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.fitting.variables import copy_rows

Tensor = Any


class FullGroup(TableGroup):
    """Uncompressed tables of one width, stacked and read by one gather.

    Arguments, input and output shape: see `TableGroup`.

    Memory: `sum(input_dims) * output_dim` parameters.
    """

    def tables(self) -> dict[str, Table]:
        fill = table_scale.stacked(
            self.embeddings_initializer, self.input_dims, self.output_dim
        )
        rows = sum(self.input_dims)
        return {"embeddings": Table(rows, self.output_dim, fill)}

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        copy_rows(self.embeddings_table, tables)

    def call(self, ids: Tensor) -> Tensor:
        firsts = np.array([0, *accumulate(self.input_dims)][:-1], np.int32)
        index = ids + ops.cast(firsts[list(self.columns)], ids.dtype)
        return self.gather_rows("embeddings", index)
