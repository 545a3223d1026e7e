"""The uncompressed table: the baseline and the oracle of every method."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_pss.layers.base import initial_scale
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.full_group import FullGroup

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class FullEmbedding(CompressedEmbedding):
    """One row for each id: `E[i] = W[i]`.

    It differs from `keras.layers.Embedding` in what an id out of range does
    (an error, never another row) and in its gradient, dense or sparse: Adam,
    Adagrad and RMSprop see the sum over the ids that occur several times in a
    batch.

    Args:
        input_dim, output_dim, embeddings_initializer, embeddings_regularizer,
            embeddings_constraint, mask_zero, **kwargs: As in
            `keras.layers.Embedding`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `input_dim * output_dim` parameters.

    Example:

    ```python
    layer = keras_pss.FullEmbedding(1000, 16)
    layer(np.array([[3, 999]])).shape  # (1, 2, 16)
    ```
    """

    compresses = False

    @classmethod
    def smallest_size(
        cls, input_dim: int, output_dim: int, **kwargs: Any
    ) -> int:
        return input_dim * output_dim

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        return {}

    @classmethod
    def fuse(
        cls,
        input_dims: Sequence[Any],
        output_dim: int,
        numbers: Sequence[int],
        size: int | None = None,
        **kwargs: Any,
    ) -> FullGroup:
        return FullGroup(input_dims, output_dim, **kwargs)

    def tables(self) -> dict[str, Table]:
        shape = self.input_dim, self.output_dim
        fill = initial_scale.shared(self.embeddings_initializer, *shape)
        return {"embeddings": Table(*shape, fill)}

    def address(self, ids: Tensor) -> dict[str, Tensor]:
        return {"embeddings": ids}

    def combine(self, rows: dict[str, Tensor]) -> Tensor:
        return rows["embeddings"]
