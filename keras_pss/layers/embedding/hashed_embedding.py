"""The hashing trick, and Hash Embeddings."""

import math
from functools import partial
from typing import Any

import keras
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
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops import hashing

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class HashedEmbedding(CompressedEmbedding):
    """Whole rows shared by the ids of a hash bucket.

        E[i] = Σ_{k<K} P[h'(i), k] W[h_k(i)]

    One hash (K = 1) without weights is the hashing trick, `E[i] = W[h(i)]`.
    Several are summed; with `weighted=True` by the learned importance P of
    each id, which is Hash Embeddings: ids that share all buckets can still
    differ. P starts at 1/sqrt(K), so that training starts from the plain sum.

    `h` mixes all bits of the id. (`i mod buckets` is not a hash: where ids are
    sorted by frequency, its collisions follow a pattern.)

    Args:
        input_dim: n, the number of ids; None for an open vocabulary, where
            any non-negative id of 63 bits has a row.
        output_dim: d, the length of a row.
        embeddings_initializer: Of the `(n, d)` table.
        embeddings_regularizer, embeddings_constraint: Of W and of P.
        mask_zero: As in `keras.layers.Embedding`.
        num_buckets: Rows of W.
        num_hashes: K, the buckets of an id.
        weighted: Whether each of them has a learned importance.
        importance_rows: Rows of P. By default ten for each bucket, at most
            one for each id; from n on, each id has its own.
        hash: `"pss1"`, or `"universal"`, the papers' family.
        seed: Of the hash, not of the initial values.
        **kwargs: `name`, `dtype`, `trainable`, ...

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `num_buckets * output_dim` parameters, and
    `importance_rows * num_hashes` if weighted.

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
        # More buckets than ids would never be read by one hash.
        one = kwargs.get("num_hashes", 1) == 1
        low, high = 1, 2**31 - 1
        if one and input_dim is not None:
            high = input_dim
        while low < high:
            middle = (low + high + 1) // 2
            fits = _size(middle, input_dim, output_dim, **kwargs) <= size
            low, high = (middle, high) if fits else (low, middle - 1)
        return {"num_buckets": low}

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
        """Mean and deviation of buckets of which a row sums K."""
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
            # Another table's hash, so that it is independent of the buckets'.
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
    """Rows of P: as given, or by default; None where there is no P."""
    if not weighted:
        if rows is not None:
            raise ValueError(
                "`importance_rows` needs weighted=True. "
                f"Received: importance_rows={shown(rows)}, weighted={weighted}"
            )
        return None
    if rows is None:
        rows = min(10 * num_buckets, 2**31 - 1)
    positive_int("importance_rows", rows, 2**31 - 1)
    # More rows than ids would never be read.
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
    """Parameters of both tables."""
    rows = _importance_rows(importance_rows, weighted, num_buckets, input_dim)
    return num_buckets * output_dim + (rows or 0) * num_hashes
