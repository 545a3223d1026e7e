"""Uncompressed rows for the most frequent ids of a compressed embedding.

The hot rows are in hot_table.py and the counters in id_counter.py. This file
combines them. It is long because of its documentation and because it supports
budgets.
"""

from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_pss.layers.base.budget import Budget, units
from keras_pss.layers.base.checks import shown
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.sharing import Holder
from keras_pss.layers.base.tables import Table, cast_rows
from keras_pss.layers.base.updates import Replaced
from keras_pss.layers.composite.hot_table import (
    HotRowsChange,
    HotTable,
    checked_capacity,
    checked_ids,
    default_capacity,
)
from keras_pss.layers.composite.id_counter import IdCounter
from keras_pss.ops import ids as ids_ops

Tensor = Any

# Default method of the embedding.
INNER = "tt"
# Arguments of this layer in a method's options; the others are the embedding's.
OWN_OPTIONS = ("counts", "sketch_width")
# By default, hot rows take at most one of this many equal parts of a budget.
BUDGET_PARTS = 4
# Number of refreshes in an epoch. The first comes after a tenth of the epoch,
# as TT-Rec's warm-up; TT-Rec's refreshes are hundreds to thousands of steps
# apart.
REFRESHES = 10


@keras.saving.register_keras_serializable("keras_pss")
class HotRows(Holder, CompressedEmbedding):
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

    Args:
        embedding: A layer of keras_pss with an `input_dim`, built or not.
        capacity: Integer, the number of hot rows, at most `input_dim`. For
            ids that follow a power law, a thousandth of the rows serves half
            of the lookups.
        counts: How ids are counted. `"exact"`: one counter for each id.
            `"sketch"`: a count-min sketch, whose memory does not grow with
            `input_dim`; it may overestimate a count but never underestimates
            one. `"auto"` (the default): exact for up to 2^20 ids and where a
            sketch would not be smaller, else a sketch.
        sketch_width: Integer power of two, the number of counters in each of
            the four rows of the sketch. Defaults to the first power of two
            from `16 * capacity` on, at most 2^28.
        embeddings_regularizer: Regularizer of the hot rows; the embedding
            keeps its own.
        embeddings_constraint: Constraint of the hot rows; the embedding
            keeps its own.
        **kwargs: `name`, `trainable`, `gradient` (of the hot rows) and
            `dtype`. The dtype defaults to the embedding's.

    Call arguments:
        inputs: Integer ids, as in `CompressedEmbedding`.
        training: Boolean, whether ids are counted. Out-of-range ids are not
            counted, nor is id 0 if the embedding has `mask_zero=True`.

    Input shape: `(...)`. Output shape: `(..., output_dim)`.

    Memory: `capacity * output_dim` parameters in addition to the embedding's.
        Index tables take `8 * capacity` bytes for lookups. In training,
        counters take another `4 * input_dim` bytes, or `16 * sketch_width`
        with a sketch.

    Raises:
        ValueError: If `embedding` is not a compressed embedding of keras_pss,
            is itself a `HotRows` or has an open vocabulary, and if `capacity`
            is not in `[1, input_dim]`.

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
        and its applications" (Journal of Algorithms 55, 2005), theorem 1.
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
        **kwargs: Any,
    ) -> None:
        _check_embedding(embedding)
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
        self.capacity = checked_capacity(capacity, self.input_dim)
        # These are separate layers, so that Keras quantizes each of them.
        self.hot = HotTable(
            capacity,
            self.output_dim,
            embeddings_regularizer=self.embeddings_regularizer,
            embeddings_constraint=self.embeddings_constraint,
            gradient=self.gradient,
            dtype=self.dtype_policy,
            name="hot",
        )
        self.counter = IdCounter(
            self.input_dim,
            capacity,
            counts,
            sketch_width,
            dtype=self.dtype_policy,
            name="counter",
        )
        self.counts = self.counter.counts
        self.sketch_width = self.counter.sketch_width
        self.hold_nested()

    @classmethod
    def option_names(cls, options: Mapping[str, Any]) -> list[str]:
        _, inner, rest = _divided(options)
        own = ["inner", "method", "capacity", *OWN_OPTIONS]
        return [*own, *inner.option_names(rest)]

    @classmethod
    def size_name(cls, options: Mapping[str, Any]) -> str:
        _, inner, rest = _divided(options)
        return inner.size_name(rest)

    @classmethod
    def sized(
        cls,
        input_dim: int,
        output_dim: int,
        *,
        capacity: int | None = None,
        **kwargs: Any,
    ) -> Self:
        own, inner, options = _divided(kwargs)
        capacity = default_capacity(capacity, input_dim, input_dim)
        return cls(
            inner.sized(input_dim, output_dim, **options), capacity, **own
        )

    @classmethod
    def smallest_size(
        cls,
        input_dim: int,
        output_dim: int,
        *,
        capacity: int | None = None,
        **kwargs: Any,
    ) -> int:
        _, inner, options = _divided(kwargs)
        inner.check_unsized(options)
        capacity = default_capacity(capacity, input_dim, 1)
        least = inner.smallest_size(input_dim, output_dim, **options)
        return least + capacity * _hot_row_size(output_dim)

    @classmethod
    def index_size(
        cls,
        input_dim: int,
        output_dim: int,
        *,
        capacity: int | None = None,
        **kwargs: Any,
    ) -> int:
        """Size of the index tables that lookups read, without the counters."""
        _, inner, options = _divided(kwargs)
        capacity = default_capacity(capacity, input_dim, 1)
        index = inner.index_size(input_dim, output_dim, **options)
        return index + capacity * (_hot_row_size(output_dim) - output_dim)

    @classmethod
    def of_size(
        cls,
        size: int,
        input_dim: int,
        output_dim: int,
        *,
        capacity: int | None = None,
        **kwargs: Any,
    ) -> Self:
        own, inner, options = _divided(kwargs)
        least = inner.smallest_size(input_dim, output_dim, **options)
        row = _hot_row_size(output_dim)
        largest = min(size // BUDGET_PARTS, size - least) // row
        capacity = default_capacity(capacity, input_dim, largest)
        embedding = inner.of_size(
            size - capacity * row, input_dim, output_dim, **options
        )
        return cls(embedding, capacity, **own)

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
                training and do not count.
            method: Method string of the embedding, as in
                `keras_pss.embedding`. `inner` is an alias of this argument,
                for callers whose own `method` is `"hot_rows"`. Defaults to
                `"tt"`.
            capacity: Integer, the number of hot rows. Defaults to a thousandth
                of all rows, limited to a quarter of the budget.
            **kwargs: `counts`, `sketch_width`, `name` and `trainable` of this
                layer, and further arguments of the embedding.

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

    def budget_size(self) -> int:
        hot = self.capacity * _hot_row_size(self.output_dim)
        return self.embedding.budget_size() + hot

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
        return self._rows(ids, *self.hot.find(ids))

    def _rows(self, ids: Tensor, slot: Tensor, hit: Tensor) -> Tensor:
        # Look up both for all ids, since shapes must not depend on values.
        # `where` passes no gradient to the row that is not selected.
        hot = self.hot.lookup(slot)
        cold = ops.cast(self.embedding.lookup(ids), hot.dtype)
        return ops.where(ops.expand_dims(hit, -1), hot, cold)

    def _counted_rows(self, ids: Tensor) -> Tensor:
        ids, valid = ids_ops.checked(ids, self.input_dim, self.name)
        slot, hit = self.hot.find(ids)
        self._count(ids, hit, valid)
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
        self._count(ids, self.hot.find(ids)[1], valid, mask)

    def _count(self, ids: Tensor, hit: Tensor, *masks: Tensor | None) -> None:
        counted = ids >= int(self.mask_zero)
        for mask in masks:
            if mask is not None:
                counted = ops.logical_and(counted, mask)
        amount = ops.cast(counted, "int32")
        self.counter.add(ops.cast(ids, "int32"), amount, hit)

    def count_hits(self) -> tuple[int, int]:
        """Numbers of lookups of hot ids and of all lookups in training.

        They are exact if there is a refresh at least every 2^31 lookups.
        """
        self._ensure_built()
        return self.counter.count_hits()

    def ids(self) -> np.ndarray:
        """The hot ids, in ascending order."""
        self._ensure_built()
        return self.hot.ids()

    def refresh(self, ids: Any = None, decay: bool = False) -> HotRowsChange:
        """Makes the most frequent ids hot.

        The method runs on the host, between two steps. A hot id stays hot
        until an id with a higher count needs its row.

        Args:
            ids: At most `capacity` distinct ids to make hot, if frequencies
                are known in advance. Defaults to the most frequent ids
                according to the counts.
            decay: Boolean, whether to halve all counts afterwards. An
                occurrence k refreshes ago then has weight 2^-k, so that the
                hot rows follow traffic that drifts. Defaults to False.

        Returns:
            A `HotRowsChange`: the kept, added and evicted ids, and the
            replaced rows.

        Raises:
            ValueError: If the layer is quantized, and if `ids` are not
                distinct ids in [0, input_dim), at most `capacity` of them.
        """
        self._ensure_built()
        if self.hot.quantization_mode is not None:
            raise ValueError(
                f"Layer '{self.name}' is quantized, so its hot rows cannot "
                "change. Refresh them before `quantize`. "
                f"Received: dtype={self.hot.dtype_policy.name}"
            )
        if ids is None:
            wanted = self.counter.most_counted(self.ids())
        else:
            wanted = checked_ids(ids, self.capacity, self.input_dim)
        change = self.hot.reassign(wanted, self.embedding.materialize)
        self.counter.prevent_overflow(decay)
        return change

    def _ensure_built(self) -> None:
        if not self.built:
            self.build()

    def after_step(self, step: int, steps_per_epoch: int) -> list[Replaced]:
        """Refreshes ten times an epoch, if the hot rows are trainable."""
        learns = self.trainable and self.hot.trainable
        if not learns or step % max(1, steps_per_epoch // REFRESHES):
            return []
        change = self.refresh()
        return [Replaced(self.hot.hot_table, change.slots)]

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
        }


def _check_embedding(embedding: Any) -> None:
    if isinstance(embedding, HotRows) or not isinstance(
        embedding, CompressedEmbedding
    ):
        raise ValueError(
            "`embedding` must be a compressed embedding of keras_pss, such as "
            "keras_pss.TTEmbedding(...), and must not be a HotRows: give that "
            "layer a larger `capacity` instead. "
            f"Received: embedding={shown(embedding)}"
        )
    if embedding.input_dim is None:
        raise ValueError(
            "`embedding` must not have an open vocabulary, since its ids are "
            "counted. Give it an `input_dim`, and hash the ids into [0, "
            "input_dim) in the input pipeline. Received: "
            f"embedding={embedding!r} with input_dim=None"
        )


def _hot_row_size(output_dim: int) -> int:
    """Size of a hot row in a budget: its parameters, its id and its slot."""
    tables = HotTable(1, output_dim).tables().values()
    return output_dim + units(sum(t.bytes for t in tables if t.dtype))


def _divided(
    arguments: Mapping[str, Any],
) -> tuple[dict[str, Any], type[CompressedEmbedding], dict[str, Any]]:
    """Separates the arguments of `HotRows` from those of its embedding.

    Returns:
        Arguments of `HotRows`, the class of the embedding, and the arguments
        of the embedding.
    """
    # Imported here because methods.py imports this file.
    from keras_pss.layers.embedding.methods import method_class

    rest = dict(arguments)
    method = rest.pop("method", INNER)
    method = rest.pop("inner", method)
    rest.pop("capacity", None)
    inner = method_class(method)
    if issubclass(inner, HotRows):
        raise ValueError(
            "The `method` of the embedding within HotRows must not be "
            "'hot_rows'; use another one, such as 'tt'. "
            f"Received: method={method!r}"
        )
    names = (*OWN_OPTIONS, "name", "trainable")
    own = {name: rest.pop(name) for name in names if name in rest}
    return own, inner, rest
