"""Pooled lookups: one vector for each bag of ids."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.checks import one_of, shown
from keras_pss.layers.base.composite import Composite
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.fitting.fit_report import FitReport
from keras_pss.layers.base.memory import MemoryReport
from keras_pss.ops import bags as bags_ops
from keras_pss.ops import ids as ids_ops
from keras_pss.ops import pooling, wide_ids
from keras_pss.optimizers.slots import Optimizer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class EmbeddingBag(Composite):
    """Pools the rows of a compressed embedding over bags of ids.

        "sum"    B = Σ_i w_i E[x_i]
        "mean"   B = Σ_i w_i E[x_i] / Σ_i w_i
        "sqrtn"  B = Σ_i w_i E[x_i] / sqrt(Σ_i w_i²)

    over the ids `x_i` of a bag, with weights of 1 by default. The result is
    zero for an empty bag and for a bag whose divisor is 0. If a method ends
    with a linear map, the map is applied once per bag, after pooling.

    Args:
        embedding: The layer whose rows are pooled, such as
            `keras_pss.TTEmbedding`. Other layers may share it; see "Shared
            layers and memories" in docs/methods.md.
        combiner: `"sum"` (the default), `"mean"` or `"sqrtn"`.
        **kwargs: `name`, `trainable` and `dtype`. The dtype defaults to the
            embedding's.

    Call arguments:
        inputs: Integer ids in one of four forms: a dense tensor of bags padded
            to the same length; a `tf.RaggedTensor` or a sparse tensor of shape
            `(batch, None)`; or a 1-D tensor of all ids, with `row_splits`.
            A missing entry of a sparse tensor is not an id.
        weights: Numbers in the same form and of the same shape as the ids.
        row_splits: Integers of shape `(batch + 1,)` that split a 1-D tensor of
            ids: bag b is `inputs[row_splits[b]:row_splits[b + 1]]`.
        mask: Booleans in the same form and of the same shape as the ids, False
            for padding. A padding id may have any value and is ignored.
            Defaults to the mask that Keras attached to the ids. If the
            embedding has `mask_zero=True`, id 0 is padding as well.
        training: Boolean, whether the embedding counts the ids.

    Input shape: `(..., L)`, `(batch, None)` ragged or sparse, or `(nnz,)`.
    Output shape: `(..., output_dim)` or `(batch, output_dim)`.

    Memory: only the parameters of the embedding.

    Raises:
        ValueError: If the arguments do not match each other, if row splits
            decrease or do not cover all ids, and for an out-of-range id that
            is not masked. As in every layer here, a TensorFlow graph raises
            `InvalidArgumentError`, and code compiled by XLA returns NaN for
            the affected bags.

    Example:

    ```python
    genres = keras_pss.QREmbedding(10_000, 16, num_buckets=100)
    bag = keras_pss.EmbeddingBag(genres, combiner="mean")
    padded = np.array([[7, 9_999, 3], [5, -1, -1]])
    bag(padded, mask=padded >= 0).shape  # (2, 16)
    ids, row_splits = np.array([7, 9_999, 3, 5]), np.array([0, 3, 4])
    bag(ids, row_splits=row_splits).shape  # (2, 16)
    ```

    References:
        Yin et al., "TT-Rec: Tensor train compression for deep learning
        recommendation models" (MLSys 2021), whose bags are lists with
        offsets; the combiners are those of `tf.nn.embedding_lookup_sparse`.
    """

    nested = ("embedding",)

    def __init__(
        self,
        embedding: CompressedEmbedding,
        combiner: str = "sum",
        **kwargs: Any,
    ) -> None:
        if not isinstance(embedding, CompressedEmbedding):
            raise ValueError(
                "`embedding` must be a compressed embedding of keras_pss, "
                "such as keras_pss.TTEmbedding(...). "
                f"Received: embedding={shown(embedding)}"
            )
        super().__init__(**{"dtype": embedding.dtype_policy, **kwargs})
        self.embedding = embedding
        self.combiner = one_of("combiner", combiner, pooling.COMBINERS)
        self.autocast = False
        # Keras passes the mask in; pooling then removes the axis it applies to.
        self.supports_masking = True
        self.hold_nested()

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = wide_ids.untruncated(inputs, self.embedding.name)
        return super().__call__(inputs, *args, **kwargs)

    def call(
        self,
        inputs: Tensor,
        weights: Tensor | None = None,
        row_splits: Tensor | None = None,
        mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        # If there are weights too, Keras passes the mask of the ids under the
        # name `inputs_mask`.
        mask = inputs_mask if mask is None else mask
        bags = bags_ops.arranged(inputs, weights, row_splits, mask, self.name)
        ids, weights = self._without_padding(bags)
        if training:
            self.embedding.observe(ids, bags.mask)
        # In half precision a sum over a long bag would lose small terms.
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        if weights is not None:
            weights = ops.cast(weights, dtype)
        sums = self._sums(bags, ids, weights)
        if sums is None:
            rows = self.embedding.mapped(self.embedding.latent, ids, dtype)
            pooled = bags.pool(rows, weights, self.combiner)
        else:
            sums = ops.cast(sums, dtype)
            pooled = bags.pool_sums(sums, weights, self.combiner)
        return ops.cast(self.embedding.project(pooled), self.compute_dtype)

    def _sums(
        self, bags: bags_ops.Bags, ids: Tensor, weights: Tensor | None
    ) -> Tensor | None:
        """Sums over bags, if the embedding has a kernel for them; else None."""
        flat = None if weights is None else ops.reshape(weights, (-1,))
        return self.embedding.latent_sums(
            ops.reshape(ids, (-1,)), bags.splits, flat
        )

    def _without_padding(
        self, bags: bags_ops.Bags
    ) -> tuple[Tensor, Tensor | None]:
        """Ids with 0 in place of padding, and weights that are 0 for it."""
        ids, weights, mask = bags.ids, bags.weights, bags.mask
        if mask is not None:
            ids = ops.where(mask, ids, ops.zeros_like(ids))
        if self.embedding.mask_zero:
            mask = ops.not_equal(ids, 0)
        if mask is None:
            return ids, weights
        if weights is None:
            return ids, mask
        # A product would not do: the weight of padding may be NaN.
        return ids, ops.where(mask, weights, ops.zeros_like(weights))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        return None

    def compute_output_shape(
        self,
        input_shape: Sequence[int | None],
        weights_shape: Sequence[int | None] | None = None,
        row_splits_shape: Sequence[int | None] | None = None,
    ) -> tuple[int | None, ...]:
        bags = tuple(input_shape)[:-1]
        if row_splits_shape is not None:
            splits = row_splits_shape[0]
            bags = (None if splits is None else splits - 1,)
        return (*bags, self.embedding.output_dim)

    def compute_output_spec(
        self,
        inputs: Any,
        weights: Any = None,
        row_splits: Any = None,
        mask: Any = None,
        inputs_mask: Any = None,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        own = self.embedding
        ids_ops.check_dtype(inputs.dtype, own.input_dim, own.name)
        mask = inputs_mask if mask is None else mask
        bags_ops.check(inputs, weights, row_splits, mask, self.name)
        splits = None if row_splits is None else row_splits.shape
        shape = self.compute_output_shape(inputs.shape, None, splits)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def fit_table(
        self, table: Any, counts: Any = None, progress: Any = False
    ) -> FitReport:
        """Fits the embedding; see `CompressedEmbedding.fit_table`."""
        return self.embedding.fit_table(table, counts, progress)

    def memory_report(self, optimizer: Optimizer = "adam") -> MemoryReport:
        """Report of the embedding, whose lookup costs are those of one id."""
        return self.embedding.memory_report(optimizer)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "combiner": self.combiner}
