"""What tensor trains and rings share: cores in, rows out."""

import math
from typing import Any

from keras_pss.layers import core_shapes
from keras_pss.layers.base import CompressedEmbedding
from keras_pss.ops import tensor_train

Tensor = Any

# A whole table of so many rows for each id is built faster, by a few large
# matrix products, than the rows of the ids by as many small ones.
ROWS_OF_AN_ID = 4


class CoreEmbedding(CompressedEmbedding):
    """Base of the layers whose row is a product of slices of cores.

    A method sets `row_shape` and `_cores`, and has a table `core0`, `core1`,
    ... for each of them.
    """

    row_shape: tuple[int, ...]
    _cores: list[core_shapes.Core]

    def lookup_flops(self) -> int:
        return tensor_train.flops(self._cores)

    def lookup(self, ids: Tensor) -> Tensor:
        names = [f"core{k}" for k in range(len(self._cores))]
        if self._is_small_for(ids.shape[0]):
            cores = [self.whole_table(name) for name in names]
            return tensor_train.take_rows(cores, self._cores, ids)
        digits = tensor_train.digits(ids, self.row_shape)
        slices = [
            self.gather_rows(name, digit)
            for name, digit in zip(names, digits, strict=True)
        ]
        return tensor_train.contract(slices, self._cores)

    def _is_small_for(self, count: int | None) -> bool:
        """Whether to build the whole table for a known number of ids."""
        if self.quantization_mode is not None or self.gradient == "sparse":
            return False  # reads the rows that are asked for, and no others
        rows = math.prod(self.row_shape)
        return count is not None and rows <= ROWS_OF_AN_ID * count
