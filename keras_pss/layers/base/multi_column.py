"""Base class of layers in which each column of the ids has its own table."""

from functools import partial
from typing import Any

import keras

from keras_pss.layers.base.checks import LARGEST_DIM
from keras_pss.layers.base.composite import Composite
from keras_pss.layers.base.tables import cast_rows
from keras_pss.ops import ids as ids_ops
from keras_pss.ops import wide_ids

Tensor = Any


class MultiColumn(Composite):
    """Base of layers that map `(..., F)` ids to `(..., F, d)` rows.

    A subclass sets `input_dims` and `output_dim`, and defines `column_rows`.
    """

    input_dims: Any
    output_dim: int

    def column_rows(
        self, ids: Tensor, valid: Tensor | None, training: bool | None
    ) -> Tensor:
        """Maps `(n, F)` valid ids to `(n, F, d)` rows.

        Args:
            ids: Integers; an out-of-range id has been replaced by 0.
            valid: Booleans `(n, F)`, False for ids that have been replaced;
                None if all ids are known to be valid.
            training: Boolean, whether sub-layers may count the ids.
        """
        raise NotImplementedError

    def bounds(self) -> list[int]:
        """Upper bound of the ids of each table, also for open vocabularies."""
        return [LARGEST_DIM if n is None else n for n in self.input_dims]

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = wide_ids.untruncated(inputs, self.name)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        self._check(inputs)
        rows = partial(self._checked_rows, training=training)
        return ids_ops.map_flat(rows, inputs, suffix=1)

    def _checked_rows(self, ids: Tensor, training: bool | None) -> Tensor:
        ids, valid = ids_ops.checked(ids, self.bounds(), self.name)
        rows = self.column_rows(ids, valid, training)
        return cast_rows(rows, valid, self.compute_dtype)

    def _check(self, inputs: Any) -> None:
        ids_ops.check_dtype(inputs.dtype, max(self.bounds()), self.name)
        shape = tuple(inputs.shape)
        if not shape or shape[-1] != len(self.input_dims):
            raise ValueError(
                f"Layer '{self.name}' has {len(self.input_dims)} tables, so "
                "the last axis of its ids must have that many columns. "
                f"Received: ids of shape {shape}"
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape, self.output_dim)

    def compute_output_spec(
        self, inputs: Any, training: bool | None = None
    ) -> keras.KerasTensor:
        self._check(inputs)
        return keras.KerasTensor(
            self.compute_output_shape(inputs.shape),
            dtype=self.compute_dtype,
            ragged=getattr(inputs, "ragged", False),
        )

    def full_parameters(self) -> int | None:
        if None in self.input_dims:
            return None
        return sum(self.input_dims) * self.output_dim
