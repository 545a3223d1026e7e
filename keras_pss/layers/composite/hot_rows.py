"""Uncompressed rows for the most frequent ids of a compressed embedding.

The hot rows are in hot/hot_table.py and the counters in hot/id_counter.py; what
one table and a collection have in common is in hot/hot_cache.py, and what a
budget buys in hot/hot_budgets.py. This file combines them. It is long because
of its documentation.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_pss.layers.base.budget import Budget
from keras_pss.layers.base.checks import shown
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.sharing import Holder
from keras_pss.layers.base.tables import Table, cast_rows
from keras_pss.layers.composite.hot.hot_budgets import HotBudgets
from keras_pss.layers.composite.hot.hot_options import INNER
from keras_pss.layers.composite.hot.hot_table import (
    HotRowsChange,
    checked_capacity,
    checked_ids,
)
from keras_pss.ops import hashing
from keras_pss.ops import ids as ids_ops
from keras_pss.ops.fitting.trained_table import TrainedTable

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class HotRows(Holder, HotBudgets):
    """A compressed embedding with uncompressed rows for the most frequent ids.

        E[i] = hot[slot(i)]      for at most `capacity` hot ids,
        E[i] = embedding[i]      for all other ids.

    In click logs a few ids account for most lookups. These hot ids get
    uncompressed rows, and only the other ids share the compressed parameters:
    hits train only `hot`, misses train only the embedding.

    The layer counts ids during training. No id is hot before the first
    `refresh()`, which makes the most frequent ids hot and initializes their
    rows with the compressed ones. The callback
    `keras_pss.callbacks.RefreshHotRows` calls it after a warm-up and then
    periodically. An id that stays hot keeps its learned row; the learned row
    of an evicted id is discarded.

    With `counts="slots"` this is an adaptive embedding as CAFE: a sketch of
    bounded memory holds candidates for hot rows, so that neither memory nor
    the time of a refresh grows with the number of ids, and the vocabulary may
    be open. In an `EmbeddingCollection`, the tables then share one sketch and
    one table of hot rows, and a budget counts all of it. With the option
    `row_dim` of the collection, all rows in memory are narrow, and one matrix
    of `row_dim * output_dim` parameters maps them to `output_dim`: a small
    budget then buys more of them.

    Importance is the number of occurrences. CAFE's other choice, the norm of
    the gradient, is not offered: a layer has no gradient when it counts, and
    on JAX a backward pass cannot change what the layer stores.

    Args:
        embedding: A layer of keras_pss, built or not. It needs an `input_dim`
            unless `counts="slots"`.
        capacity: Integer, the number of hot rows, at most `input_dim`. For
            ids that follow a power law, a thousandth of the rows serves half
            of the lookups.
        counts: How ids are counted. `"exact"`: one counter for each id.
            `"sketch"`: a count-min sketch, whose memory does not grow with
            `input_dim`; it may overestimate a count but never underestimates
            one. `"slots"`: Space-Saving in buckets of four slots, for the ids
            that may become hot alone. `"auto"` (the default): exact for up to
            2^20 ids and where a sketch would not be smaller, else a sketch.
        sketch_width: Integer power of two, the number of counters in each of
            the four rows of the sketch. Defaults to the first power of two
            from `16 * capacity` on, at most 2^28. With `counts="slots"`, any
            positive integer, the number of buckets; defaults to `capacity`.
        embeddings_regularizer: Regularizer of the hot rows; the embedding
            keeps its own.
        embeddings_constraint: Constraint of the hot rows; the embedding
            keeps its own.
        decay: Boolean, whether refreshes halve the counts, so that the hot
            rows follow traffic that drifts; see `refresh`. Defaults to None:
            True with `counts="slots"`, otherwise False.
        **kwargs: `name`, `trainable`, `gradient` (of the hot rows) and
            `dtype`. The dtype defaults to the embedding's.

    Call arguments:
        inputs: Integer ids, as in `CompressedEmbedding`.
        training: Boolean, whether ids are counted. Out-of-range ids are not
            counted, nor is id 0 if the embedding has `mask_zero=True`.

    Input shape: `(...)`. Output shape: `(..., output_dim)`.

    Memory: `capacity * output_dim` parameters in addition to the embedding's.
        Index tables take `8 * capacity` bytes for lookups. In training,
        counters take another `4 * input_dim` bytes, `16 * sketch_width` with
        a sketch, or `32 * sketch_width` with slots. An open vocabulary takes
        half as much again for index tables and slots.

    Raises:
        ValueError: If `embedding` is not a compressed embedding of keras_pss,
            is itself a `HotRows` or has an open vocabulary without
            `counts="slots"`, and if `capacity` is not in `[1, input_dim]`.

    Example:

    ```python
    embedding = keras_pss.TTEmbedding(10_000_000, 16, rank=8)
    layer = keras_pss.HotRows(embedding, capacity=1_000)
    rows = layer(np.array([[3, 9_999_999], [3, 5]]), training=True)
    change = layer.refresh()
    len(change.added)  # 3
    rows = layer(np.array([3, 3, 7]), training=True)
    layer.count_hits()  # (2, 7)
    ```

    References:
        Yin et al., "TT-Rec: Tensor train compression for deep learning
        recommendation models" (MLSys 2021), section 4.2; Cormode and
        Muthukrishnan, "An improved data stream summary: the count-min sketch
        and its applications" (Journal of Algorithms 55, 2005), theorem 1;
        Zhang et al., "CAFE: Towards compact, adaptive, and fast embedding for
        large-scale recommendation models" (SIGMOD 2024), section 3; Metwally
        et al., "Efficient computation of frequent and top-k elements in data
        streams" (ICDT 2005).
    """

    nested = ("embedding",)
    budget_advice = (
        "Give a larger budget, a smaller `capacity`, or choose another method."
    )

    def __init__(
        self,
        embedding: CompressedEmbedding,
        capacity: int,
        counts: str = "auto",
        sketch_width: int | None = None,
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        decay: bool | None = None,
        **kwargs: Any,
    ) -> None:
        _check_embedding(embedding, counts)
        super().__init__(
            embedding.input_dim,
            embedding.output_dim,
            embeddings_initializer="zeros",
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
            mask_zero=embedding.mask_zero,
            **{"dtype": embedding.dtype_policy, **kwargs},
        )
        self.embedding = embedding
        self._set_cache(
            self.input_dim,
            checked_capacity(capacity, self.input_dim),
            counts,
            sketch_width,
            decay,
            wide=self.input_dim is None,
        )
        self.hold_nested()

    @classmethod
    def check_shape(cls, input_dim: Any, output_dim: Any) -> None:
        # Whether None is valid depends on the other arguments.
        super().check_shape(1 if input_dim is None else input_dim, output_dim)

    @classmethod
    def from_budget(
        cls,
        input_dim: int | None,
        output_dim: int,
        budget: Budget | str | int,
        method: str = INNER,
        capacity: int | None = None,
        **kwargs: Any,
    ) -> Self:
        """Creates hot rows and the largest embedding within a budget.

        Args:
            input_dim, output_dim: Shape of the table that the layer replaces.
            budget: Upper bound on everything that the served layer stores: a
                ratio such as `"1000x"`, an int (parameters, four bytes each)
                or a string such as `"10MB"`. Counters are only needed in
                training and do not count, except slots.
            method: Method string of the embedding, as in
                `keras_pss.embedding`. `inner` is an alias of this argument,
                for callers whose own `method` is `"hot_rows"`. Defaults to
                `"tt"`.
            capacity: Integer, the number of hot rows. Defaults to a thousandth
                of all rows, limited to a quarter of the budget; with slots,
                what three quarters of the budget hold.
            **kwargs: `counts`, `sketch_width`, `decay`, `name` and `trainable`
                of this layer, and further arguments of the embedding.

        Raises:
            InfeasibleBudget: A ValueError, if the budget is below the size of
                the hot rows and the method's smallest layer.
        """
        return super().from_budget(
            input_dim,
            output_dim,
            budget,
            **{"inner": method, "capacity": capacity, **kwargs},
        )

    def parts(self) -> list[Any]:
        """The sub-layers that hold parameters, and the counters."""
        return [self.embedding, self.hot, self.counter]

    def tables(self) -> dict[str, Table]:
        return {}

    def build(self, input_shape: Any = None) -> None:
        for part in self.parts():
            if not part.built:
                part.build()
        super().build(input_shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if not training or not self.trainable:
            return super().call(inputs)
        # The same as `observe` and the base class's `call`, but with a single
        # check of the ids and a single search.
        ids_ops.check_dtype(inputs.dtype, self.input_dim, self.name)
        return ids_ops.map_flat(self._counted_rows, inputs)

    def compute_output_spec(
        self, inputs: Any, training: bool | None = None
    ) -> keras.KerasTensor:
        return super().compute_output_spec(inputs)

    def lookup(self, ids: Tensor) -> Tensor:
        return self._rows(ids, *self.hot.find(*self._keys(ids)))

    def _keys(self, ids: Tensor) -> tuple[Tensor, ...]:
        """Words of the keys of `(n,)` ids; an id is its own key."""
        if not self.hot.wide:
            return (ids,)
        low, high = hashing.words_of(ids)
        return low, ops.zeros_like(low) if high is None else high

    def _cold_rows(self, keys: np.ndarray) -> np.ndarray:
        return self.embedding.materialize(keys)

    def _rows(self, ids: Tensor, slot: Tensor, hit: Tensor) -> Tensor:
        # Look up both for all ids, since shapes must not depend on values.
        # `where` passes no gradient to the row that is not selected.
        hot = self.hot.lookup(slot)
        cold = ops.cast(self.embedding.rows(ids), hot.dtype)
        return ops.where(ops.expand_dims(hit, -1), hot, cold)

    def _counted_rows(self, ids: Tensor) -> Tensor:
        ids, valid = ids_ops.checked(ids, self.input_dim, self.name)
        keys = self._keys(ids)
        slot, hit = self.hot.find(*keys)
        self._count(keys, self._amount(ids, valid), hit)
        rows = self._rows(ids, slot, hit)
        return cast_rows(rows, valid, self.compute_dtype)

    def observe(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        """Counts the ids of a training step, and the lookups of hot ids."""
        if not self.trainable:
            return
        if ids_ops.is_ragged(inputs):
            inputs = inputs.flat_values
        inputs = ids_ops.densified(inputs)
        inputs = ops.reshape(inputs, (-1,))
        ids, valid = ids_ops.checked(inputs, self.input_dim, self.name)
        if mask is not None:
            mask = ops.reshape(mask, (-1,))
        keys = self._keys(ids)
        amount = self._amount(ids, valid, mask)
        self._count(keys, amount, self.hot.find(*keys)[1])

    def _amount(self, ids: Tensor, *masks: Tensor | None) -> Tensor:
        """1 for each id that counts, 0 for another, int32."""
        counted = ids >= int(self.mask_zero)
        for mask in masks:
            if mask is not None:
                counted = ops.logical_and(counted, mask)
        return ops.cast(counted, "int32")

    def ids(self) -> np.ndarray:
        """The hot ids, in ascending order."""
        self._ensure_built()
        return self.hot.ids()

    def refresh(
        self, ids: Any = None, decay: bool | None = None
    ) -> HotRowsChange:
        """Makes the most frequent ids hot.

        The method runs on the host, between two steps. A hot id stays hot
        until an id with a higher count needs its row; with slots, with a count
        higher by half.

        Args:
            ids: At most `capacity` distinct ids to make hot, if frequencies
                are known in advance. Defaults to the most frequent ids
                according to the counts.
            decay: Boolean, whether to halve all counts afterwards. An
                occurrence k refreshes ago then has weight 2^-k, so that the
                hot rows follow traffic that drifts. Defaults to None, the
                layer's `decay`.

        Returns:
            A `HotRowsChange`: the kept, added and evicted ids, and the
            replaced rows.

        Raises:
            ValueError: If the layer is quantized, and if `ids` are not
                distinct ids in [0, input_dim), at most `capacity` of them.
        """
        wanted = None
        if ids is not None:
            wanted = checked_ids(ids, self.capacity, self.input_dim)
        return self._refresh(wanted, decay)

    def check_fits(self) -> None:
        super().check_fits()
        self.embedding.check_fits()

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        (table,) = tables
        if self.mask_zero and table.counts is not None:
            # Id 0 is padding, which is never counted.
            counts = np.array(table.counts)
            counts[0] = 0
            table = replace(table, counts=counts)
        self.embedding.fit_to(self._fit_hot([table], [0], table.take))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in "input_dim", "output_dim", "mask_zero":
            del config[name]
        del config["embeddings_initializer"]
        return {
            **config,
            # `model.quantize` packs the sub-layers one by one.
            "dtype": keras.dtype_policies.serialize(self.hot.dtype_policy),
            "capacity": self.capacity,
            "counts": self.counts,
            "sketch_width": self.sketch_width,
            "decay": self.decay,
        }


def _check_embedding(embedding: Any, counts: Any) -> None:
    if isinstance(embedding, HotRows) or not isinstance(
        embedding, CompressedEmbedding
    ):
        raise ValueError(
            "`embedding` must be a compressed embedding of keras_pss, such as "
            "keras_pss.TTEmbedding(...), and must not be a HotRows: give that "
            "layer a larger `capacity` instead. "
            f"Received: embedding={shown(embedding)}"
        )
    if embedding.input_dim is None and counts != "slots":
        raise ValueError(
            "`embedding` must not have an open vocabulary, since its ids are "
            "counted. Use counts='slots', which counts candidates alone, or "
            "give the embedding an `input_dim`. Received: "
            f"embedding={embedding!r} with input_dim=None, counts={counts!r}"
        )
