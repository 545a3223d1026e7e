"""The hashing trick and Hash Embeddings.

The file is long because a third of its lines document and check arguments.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss.layers.base.checks import (
    boolean,
    non_negative_int,
    one_of,
    positive_int,
    shown,
)
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.hashed_group import HashedGroup
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops import hashing
from keras_pss.ops.fitting import hash_embeddings, single_reads
from keras_pss.ops.fitting.trained_table import TrainedTable

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class HashedEmbedding(CompressedEmbedding):
    """All ids of a hash bucket share its row.

        E[i] = Σ_{k<K} P[h'(i), k] W[h_k(i)]

    With a single hash (K = 1) and without weights, this is the hashing trick,
    `E[i] = W[h(i)]`. The rows of several hashes are summed. With
    `weighted=True` the sum is weighted by learned importance weights P, as in
    Hash Embeddings, so that ids that share all buckets can still differ. P
    starts at 1/sqrt(K), so that training starts with equal weights.

    `h` mixes all bits of the id. (`i mod buckets` would not: its collisions
    follow a pattern if ids are sorted by frequency.)

    Args:
        input_dim: Integer n, the number of ids; None for an open vocabulary,
            in which every non-negative 63-bit id is valid.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table.
            Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of W and of P.
        embeddings_constraint: Constraint of W and of P.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        num_buckets: Integer, the number of rows of W.
        num_hashes: Integer K, the number of buckets of an id. Defaults to 1.
        weighted: Boolean, whether buckets have learned importance weights.
            Defaults to False.
        importance_rows: Integer, the number of rows of P, limited to n. With
            n rows, P is indexed by the id itself instead of by a hash.
            Defaults to ten rows for each bucket. Requires `weighted=True`.
        hash: Hash family, `"pss1"` (the default) or `"universal"`, which is
            the family used in the papers.
        seed: Integer seed of the hash function. It does not affect
            initialization. Defaults to 0.
        **kwargs: Further arguments of the layer, such as `name`, `dtype` and
            `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `num_buckets * output_dim` parameters, and
    `importance_rows * num_hashes` with `weighted=True`.

    Raises:
        ValueError: If `importance_rows` is given without `weighted=True`.

    Example:

    ```python
    layer = keras_pss.HashedEmbedding(10_000_000, 16, num_buckets=10_000)
    layer(np.array([[3, 9_999_999]])).shape  # (1, 2, 16)
    ```

    References: Weinberger et al., "Feature hashing for large scale multitask
    learning" (ICML 2009); Svenstrup et al., "Hash embeddings for efficient
    word representations" (NeurIPS 2017), section 2.
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
        num_hashes: int = 1,
        weighted: bool = False,
        importance_rows: int | None = None,
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
        self.num_hashes = positive_int("num_hashes", num_hashes)
        self.weighted = boolean("weighted", weighted)
        # Rows of P; None without weights.
        self.importance_rows: Any = _importance_rows(
            importance_rows, weighted, num_buckets, input_dim
        )
        self.hash = one_of("hash", hash, hashing.FAMILIES)
        self.seed = non_negative_int("seed", seed)

    @classmethod
    def smallest_size(
        cls, input_dim: int | None, output_dim: int, **kwargs: Any
    ) -> int:
        return _size(1, input_dim, output_dim, **kwargs)

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int | None, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        # A single hash reads at most one bucket for each id.
        one = kwargs.get("num_hashes", 1) == 1
        low, high = 1, 2**31 - 1
        if one and input_dim is not None:
            high = input_dim
        while low < high:
            middle = (low + high + 1) // 2
            fits = _size(middle, input_dim, output_dim, **kwargs) <= size
            low, high = (middle, high) if fits else (low, middle - 1)
        return {"num_buckets": low}

    @classmethod
    def fuses_cold(cls, options: Mapping[str, Any]) -> bool:
        return not options.get("weighted", False)

    @classmethod
    def smallest_cold(
        cls, input_dims: Sequence[Any], output_dim: int, **kwargs: Any
    ) -> int:
        return output_dim

    @classmethod
    def fuse_cold(
        cls,
        input_dims: Sequence[int | None],
        output_dim: int,
        numbers: Sequence[int],
        size: int | None = None,
        **kwargs: Any,
    ) -> HashedGroup:
        """Creates hashed tables in one weight; see `HashedGroup`.

        Without a `size`, each table has `num_buckets` buckets.
        """
        kwargs.pop("weighted", None)
        given = kwargs.pop("num_buckets", None)
        buckets: Any = [given] * len(input_dims)
        if size is not None:
            buckets = size // output_dim
        return HashedGroup(
            input_dims, output_dim, buckets, table_numbers=numbers, **kwargs
        )

    def tables(self) -> dict[str, Table]:
        given, shape = self.embeddings_initializer, (self.num_buckets,)
        if self.num_hashes == 1:
            fill = table_scale.shared_rows(
                given, self.input_dim, self.output_dim, self.name
            )
        else:
            fill = draws.spread(
                given, partial(self._moments, table_scale.TableScale.of(self))
            )
        tables = {"buckets": Table(*shape, self.output_dim, fill)}
        if self.importance_rows:
            start = keras.initializers.Constant(1 / math.sqrt(self.num_hashes))
            tables["importance"] = Table(
                self.importance_rows, self.num_hashes, start
            )
        return tables

    def _moments(self, scale: table_scale.TableScale) -> tuple[float, float]:
        """Mean and standard deviation of W, K rows of which are summed."""
        root = math.sqrt(self.num_hashes)
        if self.weighted:  # each by 1 / sqrt(K)
            return scale.mean / root, scale.std
        return scale.mean / self.num_hashes, scale.std / root

    def address(self, ids: Tensor) -> dict[str, Tensor]:
        where: dict[str, Any] = {"seed": self.seed, "family": self.hash}
        bucket = hashing.starts(
            ids, self.num_buckets, chunks=self.num_hashes, **where
        )
        index = {"buckets": bucket}  # (n, K)
        if not self.weighted:
            return index
        if self.importance_rows == self.input_dim:
            index["importance"] = ids
        else:
            # Another table number gives a hash independent of the buckets'.
            other = hashing.starts(ids, self.importance_rows, table=1, **where)
            index["importance"] = other[:, 0]
        return index

    def combine(self, rows: dict[str, Tensor]) -> Tensor:
        buckets = rows["buckets"]  # (n, K, d)
        if self.weighted:
            buckets = buckets * ops.expand_dims(rows["importance"], -1)
        if self.num_hashes == 1:
            return buckets[:, 0]
        return ops.sum(buckets, axis=1)

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        (table,) = tables
        if self.num_hashes == 1 and not self.weighted:
            means = single_reads.bucket_means(
                (
                    (self._numbers(b.ids)["buckets"][:, 0], b.rows, b.weights)
                    for b in table.blocks()
                ),
                self.num_buckets,
                self.output_dim,
            )
            self.buckets_table.assign(means)
            return
        found = hash_embeddings.fitted(
            table,
            self._numbers,
            self.num_buckets,
            self.num_hashes,
            self.importance_rows,
        )
        self.buckets_table.assign(found.buckets)
        if self.weighted:
            self.importance_table.assign(found.importance)

    def _numbers(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        """The row numbers of ids in each table, on the host."""
        index = self.address(ops.convert_to_tensor(ids.astype(np.int32)))
        return {k: ops.convert_to_numpy(v) for k, v in index.items()}

    def lookup_numbers(self) -> int:
        own = self.num_hashes if self.weighted else 0
        return self.num_hashes * self.output_dim + own

    def lookup_flops(self) -> int:
        each = 1 + self.weighted
        return (self.num_hashes * each - 1) * self.output_dim

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_buckets": self.num_buckets,
            "num_hashes": self.num_hashes,
            "weighted": self.weighted,
            "importance_rows": self.importance_rows,
            "hash": self.hash,
            "seed": self.seed,
        }


def _importance_rows(
    rows: int | None, weighted: bool, num_buckets: int, input_dim: int | None
) -> int | None:
    """Checks or computes the number of rows of P; None if there is no P."""
    if not weighted:
        if rows is not None:
            raise ValueError(
                "`importance_rows` requires weighted=True. "
                f"Received: importance_rows={shown(rows)}, weighted={weighted}"
            )
        return None
    if rows is None:
        rows = min(10 * num_buckets, 2**31 - 1)
    positive_int("importance_rows", rows, 2**31 - 1)
    # At most one row is read for each id.
    return rows if input_dim is None else min(rows, input_dim)


def _size(
    num_buckets: int,
    input_dim: int | None,
    output_dim: int,
    num_hashes: int = 1,
    weighted: bool = False,
    importance_rows: int | None = None,
    **kwargs: Any,
) -> int:
    """Number of parameters of both tables."""
    rows = _importance_rows(importance_rows, weighted, num_buckets, input_dim)
    return num_buckets * output_dim + (rows or 0) * num_hashes
