"""A sparse Johnson-Lindenstrauss sketch of an embedding table."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss.layers.base.checks import non_negative_int, one_of, positive_int
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import table_scale
from keras_pss.ops import hashing
from keras_pss.ops.fitting import least_squares
from keras_pss.ops.fitting.trained_table import TrainedTable

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class SketchEmbedding(CompressedEmbedding):
    """Sums a few rows of a small table, each with a hashed sign.

        E[i] = (S e_i)' M = Σ_{k<s} g_k(i) M[h_k(i)] / sqrt(s)

    S is a sparse Johnson-Lindenstrauss transform that hash functions generate.
    It has `m = num_buckets` rows and, in each column, `s = num_nonzeros`
    entries of ±1/sqrt(s). It preserves inner products of the columns of a
    table up to an error that decreases as 1/sqrt(m). `M = S E` is the sketch
    of a trained table E.

    Args:
        input_dim: Integer n, the number of ids; None for an open vocabulary,
            in which every non-negative 63-bit id is valid.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table.
            Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of M.
        embeddings_constraint: Constraint of M.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        num_buckets: Integer m, the number of rows of M.
        num_nonzeros: Integer s, the number of nonzero entries in a column of
            S. Defaults to 4.
        hash: Hash family, `"pss1"` (the default) or `"universal"`, which is
            the family used in the papers.
        seed: Integer seed of the hash function. It does not affect
            initialization. Defaults to 0.
        **kwargs: Further arguments of the layer, such as `gradient`, `name`,
            `dtype` and `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `num_buckets * output_dim` parameters.

    Example:

    ```python
    layer = keras_pss.SketchEmbedding(10_000_000, 16, num_buckets=10_000)
    layer(np.array([[3, 9_999_999]])).shape  # (1, 2, 16)
    ```

    References: Desai and Shrivastava, "The trade-offs of model size in large
    recommendation models: 10000x compressed Criteo-TB DLRM model (100 GB
    parameters to mere 10 MB)", theorems 6 and 7 and section 2.2. Its section
    2.1 draws each entry of S independently (±1 with probability 1/6 each, else
    0). Here each column has exactly s entries, whose positions a lookup can
    compute. Entries with the same position are added.
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
        num_nonzeros: int = 4,
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
        self.num_nonzeros = positive_int("num_nonzeros", num_nonzeros)
        self.hash = one_of("hash", hash, hashing.FAMILIES)
        self.seed = non_negative_int("seed", seed)

    @classmethod
    def smallest_size(
        cls, input_dim: int | None, output_dim: int, **kwargs: Any
    ) -> int:
        return output_dim

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int | None, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        return {"num_buckets": min(size // output_dim, 2**31 - 1)}

    def tables(self) -> dict[str, Table]:
        fill = table_scale.entries(
            self.embeddings_initializer,
            self.input_dim,
            self.output_dim,
            self.name,
            centered=True,  # the signs cancel a mean
        )
        return {"buckets": Table(self.num_buckets, self.output_dim, fill)}

    def sketch(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Columns of S: row numbers and values of the entries, each `(n, s)`.

        Entries in the same row are added.
        """
        where: dict[str, Any] = {"seed": self.seed, "family": self.hash}
        rows = hashing.starts(
            ids, self.num_buckets, chunks=self.num_nonzeros, **where
        )
        signs = hashing.signs(ids, self.num_nonzeros, **where)
        return rows, signs / math.sqrt(self.num_nonzeros)

    def lookup(self, ids: Tensor) -> Tensor:
        index, values = self.sketch(ids)
        rows = self.gather_rows("buckets", index)  # (n, s, d)
        values = ops.cast(values, rows.dtype)
        return ops.sum(rows * ops.expand_dims(values, -1), axis=1)

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        (table,) = tables
        rows = least_squares.solved(table, self._design, self.num_buckets)
        self.buckets_table.assign(rows)

    def _design(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, values = self.sketch(ops.convert_to_tensor(ids.astype(np.int32)))
        return ops.convert_to_numpy(rows), ops.convert_to_numpy(values)

    def lookup_numbers(self) -> int:
        return self.num_nonzeros * self.output_dim

    def lookup_flops(self) -> int:
        return 2 * self.num_nonzeros * self.output_dim

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_buckets": self.num_buckets,
            "num_nonzeros": self.num_nonzeros,
            "hash": self.hash,
            "seed": self.seed,
        }
