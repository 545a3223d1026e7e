"""The hashing trick."""

from typing import Any

import keras

from keras_pss.layers import initial_scale
from keras_pss.layers.base import CompressedEmbedding, positive_int
from keras_pss.layers.tables import Table
from keras_pss.ops import hashing

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class HashedEmbedding(CompressedEmbedding):
    """Whole rows shared by the ids of a hash bucket: `E[i] = W[h(i)]`.

    `h` mixes all bits of the id. (`i mod buckets` is not a hash: where ids are
    sorted by frequency, its collisions follow a pattern.)

    Args:
        input_dim: n, the number of ids; None for an open vocabulary, where
            any non-negative id of 63 bits has a row.
        output_dim: d, the length of a row.
        embeddings_initializer: Of the `(n, d)` table.
        embeddings_regularizer, embeddings_constraint: Of the buckets' table.
        mask_zero: As in `keras.layers.Embedding`.
        num_buckets: Rows of W.
        hash: `"pss1"`, or `"universal"`, the papers' family.
        seed: Of the hash, not of the initial values.
        **kwargs: `name`, `dtype`, `trainable`, ...

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `num_buckets * output_dim` parameters.

    Example:

    ```python
    layer = keras_pss.HashedEmbedding(10_000_000, 16, num_buckets=10_000)
    layer(np.array([[3, 9_999_999]])).shape  # (1, 2, 16)
    ```

    References: Weinberger et al., "Feature hashing for large scale multitask
    learning" (ICML 2009).
    """

    open_vocabulary = True
    sized_by = "num_buckets"

    def __init__(
        self,
        input_dim: int | None,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        *,
        num_buckets: int,
        hash: str = "pss1",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **kwargs,
        )
        self.num_buckets = positive_int("num_buckets", num_buckets, 2**31 - 1)
        self.hash = hashing.check_family(hash)
        self.seed = hashing.check_seed(seed)

    @classmethod
    def smallest_size(
        cls, input_dim: int | None, output_dim: int, **kwargs: Any
    ) -> int:
        return output_dim

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int | None, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        # More buckets than ids would never be read.
        rows = 2**31 - 1 if input_dim is None else input_dim
        return {"num_buckets": min(size // output_dim, rows)}

    def tables(self) -> dict[str, Table]:
        fill = initial_scale.shared(
            self.embeddings_initializer, self.input_dim, self.output_dim
        )
        return {"buckets": Table(self.num_buckets, self.output_dim, fill)}

    def address(self, ids: Tensor) -> dict[str, Tensor]:
        bucket = hashing.starts(
            ids, self.num_buckets, seed=self.seed, family=self.hash
        )
        return {"buckets": bucket[:, 0]}

    def combine(self, rows: dict[str, Tensor]) -> Tensor:
        return rows["buckets"]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_buckets": self.num_buckets,
            "hash": self.hash,
            "seed": self.seed,
        }
