"""Uncompressed rows for the most frequent ids of a compressed embedding.

The hot rows are in hot_table.py and the counters in id_counter.py; what one
table and a collection have in common is in hot_cache.py, and the sizes within
a budget in hot_sizes.py. This file combines them. It is long because of its
documentation and because it supports budgets.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_pss.layers.base.budget import Budget
from keras_pss.layers.base.checks import LARGEST_ROW, positive_int, shown
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.sharing import Holder
from keras_pss.layers.base.tables import Table, cast_rows
from keras_pss.layers.composite.hot.hot_cache import HotCache
from keras_pss.layers.composite.hot.hot_group import HotGroup
from keras_pss.layers.composite.hot.hot_sizes import HotSizes, all_rows
from keras_pss.layers.composite.hot.hot_table import (
    HotRowsChange,
    checked_capacity,
    checked_ids,
    default_capacity,
)
from keras_pss.ops import hashing
from keras_pss.ops import ids as ids_ops

Tensor = Any

# Default method of the embedding.
INNER = "tt"
# Arguments of this layer in a method's options; the others are the embedding's.
OWN_OPTIONS = ("counts", "sketch_width", "decay")


@keras.saving.register_keras_serializable("keras_pss")
class HotRows(Holder, HotCache, CompressedEmbedding):
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
    def shares_memory(cls, options: Mapping[str, Any]) -> bool:
        own, inner, rest = _divided(options)
        # The tables of other collections have always been separate.
        return own.get("counts") == "slots" and inner.fuses_cold(rest)

    @classmethod
    def takes_open_vocabulary(cls, options: Mapping[str, Any]) -> bool:
        own, inner, rest = _divided(options)
        slots = own.get("counts") == "slots"
        return slots and inner.takes_open_vocabulary(rest)

    @classmethod
    def option_names(cls, options: Mapping[str, Any]) -> list[str]:
        _, inner, rest = _divided(options)
        own = ["inner", "method", "capacity", *OWN_OPTIONS]
        own += ["row_dim"] if cls.shares_memory(options) else []
        return [*own, *inner.option_names(rest)]

    @classmethod
    def size_name(cls, options: Mapping[str, Any]) -> str:
        _, inner, rest = _divided(options)
        return inner.size_name(rest)

    @classmethod
    def sized(
        cls,
        input_dim: Any,
        output_dim: int,
        *,
        capacity: int | None = None,
        **kwargs: Any,
    ) -> Self:
        own, inner, options = _divided(kwargs)
        cls._check_rows(input_dim, kwargs)
        capacity = default_capacity(capacity, input_dim, input_dim or 1)
        return cls(
            inner.sized(input_dim, output_dim, **options), capacity, **own
        )

    @classmethod
    def _check_rows(cls, input_dim: Any, arguments: Mapping[str, Any]) -> None:
        """Raises an error for what a table alone cannot have."""
        if arguments.get("row_dim") is not None:
            raise ValueError(
                "`row_dim` belongs to tables that share hot rows: give it in "
                "the `options` of an EmbeddingCollection, or leave it out. "
                f"Received: row_dim={shown(arguments['row_dim'])}"
            )
        if input_dim is None and not cls.takes_open_vocabulary(arguments):
            raise ValueError(
                "`input_dim` must be a positive integer, unless ids are "
                "counted with counts='slots' over a method for open "
                "vocabularies, such as inner='hash'. Received: input_dim=None"
            )

    @classmethod
    def smallest_size(
        cls, input_dim: Any, output_dim: int, **kwargs: Any
    ) -> int:
        _, inner, options = _divided(kwargs)
        cls._check_rows(input_dim, kwargs)
        inner.check_unsized(options)
        least = inner.smallest_size(input_dim, output_dim, **options)
        return least + _smallest_hot([input_dim], output_dim, kwargs)

    @classmethod
    def smallest_together(
        cls, input_dims: Sequence[Any], output_dim: int, **kwargs: Any
    ) -> int:
        if not cls.shares_memory(kwargs):
            return super().smallest_together(input_dims, output_dim, **kwargs)
        own, inner, options = _divided(kwargs)
        inner.check_unsized(options)
        least = inner.smallest_cold(
            input_dims, _row_dim(own, output_dim), **options
        )
        return least + _smallest_hot(input_dims, output_dim, kwargs)

    @classmethod
    def index_size(cls, input_dim: Any, output_dim: int, **kwargs: Any) -> int:
        """Size of what hot rows store besides their numbers."""
        _, inner, options = _divided(kwargs)
        capacity = kwargs.get("capacity") or 1
        index = inner.index_size(input_dim, output_dim, **options)
        hot = _smallest_hot([input_dim], output_dim, kwargs)
        return index + hot - capacity * output_dim

    @classmethod
    def of_size(
        cls,
        size: int,
        input_dim: Any,
        output_dim: int,
        *,
        capacity: int | None = None,
        **kwargs: Any,
    ) -> Self:
        own, inner, options = _divided(kwargs)
        sizes = HotSizes.of(own, [input_dim], output_dim)
        least = inner.smallest_size(input_dim, output_dim, **options)
        capacity = sizes.capacity(capacity, [input_dim], size, least)
        embedding = inner.of_size(
            size - sizes.total(capacity), input_dim, output_dim, **options
        )
        return cls(embedding, capacity, **own)

    @classmethod
    def fuse(
        cls,
        input_dims: Sequence[Any],
        output_dim: int,
        numbers: Sequence[int],
        size: int | None = None,
        capacity: int | None = None,
        **kwargs: Any,
    ) -> HotGroup | None:
        """Creates one table of hot rows for several tables.

        Without `counts="slots"`, the tables of a collection have separate
        hot rows.
        """
        if not cls.shares_memory(kwargs):
            return None
        own, inner, options = _divided(kwargs)
        row_dim = _row_dim(own, output_dim)
        cold_size = None
        if size is None:
            rows = all_rows(input_dims)
            capacity = default_capacity(capacity, rows, rows or 1)
        else:
            own["row_dim"] = row_dim
            sizes = HotSizes.of(own, input_dims, output_dim)
            least = inner.smallest_cold(input_dims, row_dim, **options)
            capacity = sizes.capacity(capacity, input_dims, size, least)
            cold_size = size - sizes.total(capacity)
        cold: Any = inner.fuse_cold(
            input_dims, row_dim, numbers, cold_size, **options, name="cold"
        )
        common = (
            "embeddings_initializer",
            "embeddings_regularizer",
            "embeddings_constraint",
            "gradient",
            "dtype",
            "columns",
        )
        given = {key: options[key] for key in common if key in options}
        return HotGroup(input_dims, output_dim, cold, capacity, **own, **given)

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

    def budget_size(self) -> int:
        own = {"counts": self.counts, "sketch_width": self.sketch_width}
        sizes = HotSizes.of(own, [self.input_dim], self.output_dim)
        return self.embedding.budget_size() + sizes.total(self.capacity)

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
        cold = ops.cast(self.embedding.lookup(ids), hot.dtype)
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


def _row_dim(own: Mapping[str, Any], output_dim: int) -> int:
    """The length of the rows in memory that tables share."""
    given = own.get("row_dim")
    if given is None:
        return output_dim
    # First-order tables of the same method have one column.
    return min(positive_int("row_dim", given, LARGEST_ROW), output_dim)


def _smallest_hot(
    input_dims: Sequence[Any], output_dim: int, arguments: Mapping[str, Any]
) -> int:
    """Size of the fewest hot rows of several tables."""
    own, _, _ = _divided(arguments)
    capacity = arguments.get("capacity")
    capacity = default_capacity(capacity, all_rows(input_dims), 1)
    own["row_dim"] = _row_dim(own, output_dim)
    return HotSizes.of(own, input_dims, output_dim).total(capacity)


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
    names: tuple[str, ...] = (*OWN_OPTIONS, "name", "trainable")
    if rest.get("counts") == "slots" and inner.fuses_cold(rest):
        names += ("row_dim",)  # of tables that share the rows
    own = {name: rest.pop(name) for name in names if name in rest}
    return own, inner, rest
