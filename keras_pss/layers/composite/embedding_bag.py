"""Pooled lookups: one vector for a bag of ids."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.checks import one_of, shown
from keras_pss.layers.base.composite import Composite
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.memory import MemoryReport
from keras_pss.ops import bags as bags_ops
from keras_pss.ops import ids as ids_ops
from keras_pss.ops import pooling
from keras_pss.optimizers.slots import Optimizer

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class EmbeddingBag(Composite):
    """A vector for each bag of ids, of the rows of any compressed embedding.

        "sum"    B = Σ_i w_i E[x_i]
        "mean"   B = Σ_i w_i E[x_i] / Σ_i w_i
        "sqrtn"  B = Σ_i w_i E[x_i] / sqrt(Σ_i w_i²)

    over the ids `x_i` of a bag, with weights of 1 where none are given. A bag
    without ids, or whose norm (the divisor) is 0, is a vector of zeros. A
    method that ends in a linear map applies it once a bag, after pooling.

    Args:
        embedding: The layer whose rows are pooled, such as
            `keras_pss.TTEmbedding`. It may serve other layers as well, and
            still does in a model that was saved and loaded.
        combiner: `"sum"`, `"mean"` or `"sqrtn"`.
        **kwargs: `name`, `trainable`, and `dtype`, by default the
            embedding's.

    Call arguments:
        inputs: Integer ids, in one of four forms. Dense, of bags padded to
            one length; a `tf.RaggedTensor` or sparse tensor of shape
            `(batch, None)`; or the list of all ids, with `row_splits`. An
            entry that a sparse tensor leaves out is no id.
        weights: Numbers in the form and of the shape of the ids.
        row_splits: Integers `(batch + 1,)` that cut a list of ids: bag b is
            `inputs[row_splits[b]:row_splits[b + 1]]`.
        mask: Booleans in the form and of the shape of the ids, False for
            padding, where an id may have any value and counts for nothing.
            By default the mask that Keras attached to the ids. Where the
            embedding has `mask_zero=True`, id 0 is padding as well.
        training: Whether the embedding observes the ids.

    Input shape: `(..., L)`, `(batch, None)` ragged or sparse, or `(nnz,)`.
    Output shape: `(..., output_dim)` or `(batch, output_dim)`.

    Memory: the embedding's parameters and none of its own.

    Raises:
        ValueError: For arguments that do not fit each other, for row splits
            that decrease or do not span the ids, and for an id without a row
            that is not masked. As with every layer here, a TensorFlow graph
            raises `InvalidArgumentError`, and code compiled by XLA returns
            NaN for the bags in question.

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
                "`embedding` must be a layer of keras_pss that looks up one "
                "id, such as keras_pss.TTEmbedding(...). "
                f"Received: embedding={shown(embedding)}"
            )
        super().__init__(**{"dtype": embedding.dtype_policy, **kwargs})
        self.embedding = embedding
        self.combiner = one_of("combiner", combiner, pooling.COMBINERS)
        self.autocast = False
        # A mask is used up: there are no entries left that it could be of.
        self.supports_masking = True
        self.hold_nested()

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = ids_ops.uncut(inputs, self.embedding.name)
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
        # Keras hands on the mask of the ids under the second name as soon as
        # there are weights too.
        mask = inputs_mask if mask is None else mask
        bags = bags_ops.arranged(inputs, weights, row_splits, mask, self.name)
        ids, weights = self._without_padding(bags)
        if training:
            self.embedding.observe(ids, bags.mask)
        # Half precision would lose a long bag's small terms.
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
        """The bags' sums by one kernel, where the embedding has one."""
        flat = None if weights is None else ops.reshape(weights, (-1,))
        return self.embedding.latent_sums(
            ops.reshape(ids, (-1,)), bags.splits, flat
        )

    def _without_padding(
        self, bags: bags_ops.Bags
    ) -> tuple[Tensor, Tensor | None]:
        """Ids that have a row each, and weights that are 0 for padding."""
        ids, weights, mask = bags.ids, bags.weights, bags.mask
        if mask is not None:
            ids = ops.where(mask, ids, ops.zeros_like(ids))
        if self.embedding.mask_zero:
            mask = ops.not_equal(ids, 0)
        if mask is None:
            return ids, weights
        if weights is None:
            return ids, mask
        # Not a product: padding may carry a weight that is NaN.
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

    def memory_report(self, optimizer: Optimizer = "adam") -> MemoryReport:
        """The embedding's; a lookup is that of one id."""
        return self.embedding.memory_report(optimizer)

    def quantize(
        self, mode: Any = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Packs the embedding to int8, once for all bags; see the layer."""
        if self.embedding.quantization_mode is None:
            self.embedding.quantize(mode)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "combiner": self.combiner}
