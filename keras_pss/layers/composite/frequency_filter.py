"""Rare ids as one: the baseline that every compressed embedding must beat."""

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    positive_int,
    positive_ints,
    shown,
)
from keras_pss.layers.base.memory import MemoryReport
from keras_pss.layers.base.tables import Table, cast_rows
from keras_pss.ops import ids as ids_ops
from keras_pss.optimizers.slots import Optimizer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class FrequencyFilter(keras.layers.Layer):
    """Tables of frequent ids alone, where all rare ones share id 0.

        E_f[i] = embeddings_f[i]   if i < limits_f,   else embeddings_f[0]

    for column f, with `limits = embeddings.input_dims`. A vocabulary whose
    ids are sorted by frequency, with 0 for unknown values, keeps the ids that
    were seen often enough, and the tables behind this layer end with them:
    what a smaller vocabulary would give, from data that is prepared once.

    Args:
        embeddings: A collection for the ids that are kept, such as
            `keras_pss.EmbeddingCollection(limits, ...)`, built or not.
        input_dims: Ids of each column before the filter, at least as many as
            the collection has rows.
        **kwargs: `name`, `trainable`, and `dtype`, by default the
            collection's.

    Call arguments:
        inputs: Integer ids in [0, input_dims); column f belongs to table f.

    Input shape: `(..., F)`. Output shape: `(..., F, output_dim)`.

    Memory: the collection's parameters and none of its own.

    Raises:
        ValueError: For sizes that do not fit each other; and for ids that
            are not in [0, input_dims), as every layer here: they are wrong,
            not rare.

    Example:

    ```python
    counts = [[7, 900, 20, 3, 1], [5, 700, 300]]
    limits = keras_pss.FrequencyFilter.limits(counts, min_count=10)
    limits  # (3, 3)
    tables = keras_pss.EmbeddingCollection(limits, 16, "full")
    layer = keras_pss.FrequencyFilter(tables, input_dims=[5, 3])
    layer(np.array([[4, 2]])).shape  # (1, 2, 16)
    ```

    References: Song et al., "AutoInt: automatic feature interaction learning
    via self-attentive neural networks" (2019), section 5.1; Zhu et al., "Open
    benchmarking for click-through rate prediction" (2021).
    """

    def __init__(
        self, embeddings: Any, input_dims: Sequence[int], **kwargs: Any
    ) -> None:
        for attribute in ("input_dims", "output_dim", "parts"):
            if not hasattr(embeddings, attribute):
                raise ValueError(
                    "`embeddings` must be a collection of keras_pss, such as "
                    "keras_pss.EmbeddingCollection(limits, ...). "
                    f"Received: embeddings={shown(embeddings)}"
                )
        super().__init__(**{"dtype": embeddings.dtype_policy, **kwargs})
        self.embeddings = embeddings
        self.input_dims = _checked_dims(input_dims, embeddings.input_dims)
        self.output_dim = embeddings.output_dim
        self.autocast = False

    @staticmethod
    def limits(
        counts: Sequence[npt.ArrayLike], min_count: int
    ) -> tuple[int, ...]:
        """Rows of each table if ids seen too rarely share id 0.

        Args:
            counts: For each column how often each id was seen, descending
                from id 1 on, such as `prepared.counts(column)`. Id 0 always
                stays.
            min_count: Ids seen fewer times do not stay.

        Returns:
            1 + the number of ids from 1 on that were seen `min_count` times.

        Raises:
            ValueError: If the ids of a column are not sorted by frequency.
        """
        positive_int("min_count", min_count)
        rows = []
        for column, given in enumerate(counts):
            seen = np.asarray(given)
            if seen.ndim != 1 or not len(seen):
                raise ValueError(
                    "`counts` must have a number for each id of a column. "
                    f"Received: counts[{column}] of shape {seen.shape}"
                )
            rising = np.flatnonzero(seen[2:] > seen[1:-1])
            if len(rising):
                after = rising[0] + 2
                raise ValueError(
                    "`counts` must descend from id 1 on. Sort the ids by "
                    f"frequency. Received: counts[{column}][{after}]="
                    f"{seen[after]} after {seen[after - 1]}"
                )
            rows.append(1 + int((seen[1:] >= min_count).sum()))
        return tuple(rows)

    def parts(self) -> list[Any]:
        """The sub-layers that hold weights."""
        return [self.embeddings]

    def tables(self) -> dict[str, Table]:
        return {}

    def lookup_bytes(self) -> int:
        return 0  # the collection's own

    def lookup_flops(self) -> int:
        return 0

    def build(self, input_shape: Any = None) -> None:
        if not self.embeddings.built:
            self.embeddings.build(input_shape)
        self.built = True

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        ids_ops.check_not_cut(inputs, self.name)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Tensor) -> Tensor:
        self._check(inputs)
        return ids_ops.map_flat(self._rows, inputs, suffix=1)

    def _rows(self, ids: Tensor) -> Tensor:
        """(n, F) ids to (n, F, d) rows."""
        # Before the filter, which would turn wrong ids into rare ones.
        ids, valid = ids_ops.checked(ids, self.input_dims, self.name)
        limits = np.asarray(self.embeddings.input_dims, np.int32)
        kept = ids < ops.cast(ops.convert_to_tensor(limits), ids.dtype)
        rows = self.embeddings(ops.where(kept, ids, ops.zeros_like(ids)))
        return cast_rows(rows, valid, self.compute_dtype)

    def _check(self, inputs: Any) -> None:
        ids_ops.check_dtype(inputs.dtype, max(self.input_dims), self.name)
        shape = tuple(inputs.shape)
        if not shape or shape[-1] != len(self.input_dims):
            raise ValueError(
                f"Layer '{self.name}' has {len(self.input_dims)} tables, so "
                "the last axis of its ids must have as many columns. "
                f"Received: ids of shape {shape}"
            )

    def compute_output_shape(
        self, input_shape: Sequence[int | None]
    ) -> tuple[int | None, ...]:
        return (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        self._check(inputs)
        return keras.KerasTensor(
            self.compute_output_shape(inputs.shape),
            dtype=self.compute_dtype,
            ragged=getattr(inputs, "ragged", False),
        )

    def budget_size(self) -> int:
        """What the collection's budget counts, in parameters."""
        return self.embeddings.budget_size()

    def memory_report(self, optimizer: Optimizer = "adam") -> MemoryReport:
        """The collection's sizes beside those of the unfiltered tables."""
        full = sum(self.input_dims) * self.output_dim
        return MemoryReport.of(self, full, optimizer)

    def quantize(
        self, mode: Any = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Packs the collection to int8; see the layers."""
        self.embeddings.quantize(mode)

    def _int8_call(self, inputs: Tensor) -> Tensor:
        # Keras calls this in place of `call` under an int8 policy.
        return self.call(inputs)

    def get_config(self) -> dict[str, Any]:
        embeddings = keras.saving.serialize_keras_object(self.embeddings)
        return {
            **super().get_config(),
            # Marked so that layers which share it do so again once loaded.
            "embeddings": {
                **embeddings,
                "shared_object_id": id(self.embeddings),
            },
            "input_dims": self.input_dims,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        inner = keras.saving.deserialize_keras_object(config["embeddings"])
        return cls(**{**config, "embeddings": inner})


def _checked_dims(
    input_dims: Sequence[int], limits: Sequence[int | None]
) -> tuple[int, ...]:
    dims = positive_ints("input_dims", input_dims, LARGEST_DIM)
    if len(dims) != len(limits) or any(
        kept is None or kept > rows
        for rows, kept in zip(dims, limits, strict=True)
    ):
        raise ValueError(
            "`input_dims` must have a number for each table of `embeddings`, "
            "none below the rows of that table, which must not be open. "
            f"Received: input_dims={dims} over tables of {tuple(limits)} rows"
        )
    return dims
