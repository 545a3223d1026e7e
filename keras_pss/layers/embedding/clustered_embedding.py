"""Clustered compositional embeddings, which learn which ids share parameters.

The file is long because half of its lines are documentation.
"""

import logging
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss.layers.base.budget import units
from keras_pss.layers.base.checks import non_negative_int, positive_int
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.base.updates import Replaced
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops import hashing, hot_ids
from keras_pss.ops.fitting import centroids as fitted_centroids
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.fitting.variables import filling
from keras_pss.ops.hash_families import pss1
from keras_pss.ops.methods import clustering
from keras_pss.ops.sketches import replicas

logger = logging.getLogger(__name__)

Tensor = Any
# No re-clustering after this share of the training, so that the loss recovers.
LAST_RECLUSTERING = 0.75
MOST_CLUSTERS = 1 << 16  # pointers have 16 bits


@keras.saving.register_keras_serializable("keras_pss")
class ClusteredEmbedding(CompressedEmbedding):
    """Each part of a row is the sum of a centroid and a hashed residual.

        E[i] = concat_{j<c} (T_j[p_j(i)] + H_j[h_j(i)])

    with `c = num_columns`, T_j and H_j of shape (k, d/c), `k = num_clusters`.
    Initially the pointers p are hashes. `recluster()` clusters the learned
    vectors: T_j becomes the centroids of the vectors in column j, p_j(i) the
    index of the nearest centroid, and h_j a new hash, so that ids that shared
    a residual are separated. Re-cluster a few times in the first three
    quarters of the training, by `keras_pss.callbacks.Recluster`.

    The pointers are not parameters but take memory, which exceeds that of T
    and H if k is small; see below. The hash family is always `"pss1"`, since
    ids that collide under universal hashes would collide in all columns and
    after every re-clustering.

    Args:
        input_dim: Integer n, the number of ids.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table.
            Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of T and H.
        embeddings_constraint: Constraint of T and H.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        num_clusters: Integer k, the number of rows of each table; at most n
            and at most 65,536.
        num_columns: Integer c, the number of parts of a row, which must divide
            d. Defaults to 4.
        seed: Integer seed of the hash functions. It does not affect
            initialization. Defaults to 0.
        **kwargs: Further arguments of the layer, such as `gradient`, `name`,
            `dtype` and `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `2 * num_clusters * output_dim` parameters, and
    `2 * num_columns * input_dim` bytes of pointers. With the default of four
    columns, the pointers take an eighth of the memory of a float32 table with
    16 columns. A budget counts both. (On PyTorch, Keras stores 16-bit integer
    weights with 32 bits, so the pointers take twice as much.)

    Raises:
        ValueError: If `num_clusters` exceeds its bounds or if `num_columns`
            does not divide `output_dim`.

    Example:

    ```python
    layer = keras_pss.ClusteredEmbedding(10_000, 16, num_clusters=50)
    layer(np.array([[3, 9_999]])).shape  # (1, 2, 16)
    layer.recluster()  # needs `pip install scikit-learn`
    layer.memory_report().index_bytes  # 80004
    ```

    References: Tsang and Ahle, "Clustering the sketch: dynamic compression
    for embedding tables" (NeurIPS 2023), algorithm 3. Unlike there, a row of
    H_j starts after a re-clustering with the mean difference between the
    vectors of its ids and their centroids, instead of zero.
    """

    sized_by = "num_clusters"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        *,
        num_clusters: int,
        num_columns: int = 4,
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
        self.num_clusters = positive_int(
            "num_clusters", num_clusters, min(input_dim, MOST_CLUSTERS)
        )
        positive_int("num_columns", num_columns, output_dim)
        self.num_columns = num_columns
        self.seed = non_negative_int("seed", seed)
        if output_dim % num_columns:
            raise ValueError(
                "`num_columns` must divide `output_dim`. Use a divisor such "
                f"as {math.gcd(output_dim, num_columns)}. Received: "
                f"num_columns={num_columns}, output_dim={output_dim}"
            )

    @classmethod
    def smallest_size(
        cls, input_dim: int, output_dim: int, **kwargs: Any
    ) -> int:
        index = cls.index_size(input_dim, output_dim, **kwargs)
        return 2 * output_dim + index

    @classmethod
    def index_size(
        cls,
        input_dim: int,
        output_dim: int,
        *,
        num_columns: int = 4,
        **kwargs: Any,
    ) -> int:
        positive_int("num_columns", num_columns)
        return units(2 * num_columns * input_dim + 4)  # pointers, and the epoch

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        index = cls.index_size(input_dim, output_dim, **kwargs)
        fits = (size - index) // (2 * output_dim)
        return {"num_clusters": min(fits, input_dim, MOST_CLUSTERS)}

    def tables(self) -> dict[str, Table]:
        given = self.embeddings_initializer
        scale = table_scale.TableScale.of(self)
        rows = self.num_columns * self.num_clusters
        width = self.output_dim // self.num_columns

        def drawn(index: int) -> Table:
            # Each has half of the variance; only centroids have the mean.
            fill = draws.spread(
                given,
                lambda: (scale.mean * (not index), scale.std / math.sqrt(2)),
                index,
            )
            return Table(rows, width, fill)

        return {
            "centroids": drawn(0),
            "residuals": drawn(1),
            "pointers": Table(
                self.input_dim,
                self.num_columns,
                self._initial_pointers,
                # Several workers exchange no integers of 16 bits.
                dtype="int32" if replicas.many_workers() else "uint16",
            ),
            # Number of re-clusterings. It is a variable, so that the hash of
            # the residuals changes without compiling the step again.
            "epoch": Table(
                1,
                1,
                keras.initializers.Zeros(),
                whole=True,
                dtype=hot_ids.index_dtype(),
            ),
        }

    def _initial_pointers(
        self, shape: Sequence[int], dtype: Any = None
    ) -> Tensor:
        rows, columns = shape
        pointers = np.empty((rows, columns), np.uint16)
        for ids in clustering.blocks(rows):
            pointers[ids] = pss1.starts(
                ids, self.num_clusters, self.seed, 0, range(columns)
            )
        return ops.convert_to_tensor(pointers, dtype=dtype)

    def address(self, ids: Tensor) -> dict[str, Tensor]:
        # The rows of column j follow those of the columns before it.
        first = self.num_clusters * ops.arange(self.num_columns, dtype="int32")
        bucket = hashing.starts(
            ops.cast(ids, "int32"),
            self.num_clusters,
            seed=self.seed,
            table=1,
            chunks=self.num_columns,
            high=ops.cast(ops.reshape(self.epoch_table, (1,)), "int32"),
        )
        return {
            "centroids": self.gather_index("pointers", ids) + first,  # (n, c)
            "residuals": bucket + first,
        }

    def combine(self, rows: dict[str, Tensor]) -> Tensor:
        # (n, c, d/c) -> (n, d)
        both = rows["centroids"] + rows["residuals"]
        return ops.reshape(both, (-1, self.output_dim))

    def lookup_numbers(self) -> int:
        return 2 * self.output_dim

    def lookup_flops(self) -> int:
        return self.output_dim

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        (table,) = tables
        with filling(self.pointers_table) as write:
            found = fitted_centroids.fitted(
                table, self.num_clusters, self.num_columns, write
            )
        self.centroids_table.assign(found)
        self.residuals_table.assign(np.zeros_like(found))

    def recluster(
        self,
        counts: np.ndarray | None = None,
        samples_per_cluster: int = 256,
        seed: int = 0,
    ) -> float:
        """Clusters the learned vectors and updates the pointers of all ids.

        The method runs on the host, between steps. It replaces T, H and the
        pointers, so the optimizer's slots of `centroids_table` and
        `residuals_table` are stale afterwards; the callback
        `keras_pss.callbacks.Recluster` resets them.

        Args:
            counts: Array of shape `(input_dim,)` that says how often each id
                occurs, used as weights of the ids. By default all ids have
                the same weight.
            samples_per_cluster: Integer, the number of ids per cluster from
                which the centroids are computed, sampled by weight. If there
                are fewer ids, all are used. Defaults to 256.
            seed: Integer seed of the random samples. Defaults to 0.

        Returns:
            Float, the weighted sum over all ids of the squared errors of the
            new rows, relative to that of the squared rows.

        Raises:
            ImportError: If scikit-learn is not installed.
            ValueError: If the layer is packed or has diverged, and if `counts`
                have the wrong shape, are negative or all zero.
        """
        if self.quantization_mode is not None:
            raise ValueError(
                f"Layer '{self.name}' is packed, so it cannot be "
                "re-clustered. Re-cluster before `quantize`. Received: "
                f"quantization_mode={self.quantization_mode!r}"
            )
        self.build()
        positive_int("samples_per_cluster", samples_per_cluster)
        weights = clustering.checked_weights(counts, self.input_dim)
        centroids, residuals, pointers, epochs = (
            ops.convert_to_numpy(getattr(self, f"{name}_table"))
            for name in self.tables()
        )
        if self.variable_dtype != "float64":
            centroids, residuals = (
                table.astype("float32") for table in (centroids, residuals)
            )
        if not (np.isfinite(centroids).all() and np.isfinite(residuals).all()):
            raise ValueError(
                f"The weights of layer '{self.name}' are not finite, so the "
                "training has diverged. Use a lower learning rate."
            )
        epoch, k = int(epochs[0, 0]), self.num_clusters
        random = np.random.default_rng((seed, epoch))
        sample = clustering.sampled(
            self.input_dim, samples_per_cluster * k, weights, random
        )

        def buckets(ids: np.ndarray, column: int, epoch: int) -> np.ndarray:
            wide = (epoch << 32) + ids.astype("int64")
            return pss1.starts(wide, k, self.seed, 1, (column,))[:, 0]

        def vectors(ids: np.ndarray, column: int) -> np.ndarray:
            hashed = buckets(ids, column, epoch)
            rows = pointers[ids, column].astype("int32"), hashed
            first = column * k
            return centroids[first + rows[0]] + residuals[first + rows[1]]

        found = [
            clustering.clustered(
                self.input_dim,
                k,
                partial(vectors, column=column),
                partial(buckets, column=column, epoch=epoch + 1),
                sample,
                weights,
                random,
            )
            for column in range(self.num_columns)
        ]
        self.centroids_table.assign(
            np.concatenate([column.centroids for column in found])
        )
        self.residuals_table.assign(
            np.concatenate([column.residuals for column in found])
        )
        self.pointers_table.assign(
            np.stack([column.pointers for column in found], axis=1)
        )
        self.epoch_table.assign([[epoch + 1]])
        total = sum(column.total for column in found)
        return sum(column.error for column in found) / total if total else 0.0

    def replaced(self) -> list[Replaced]:
        """The rows that `recluster` replaces."""
        tables = self.centroids_table, self.residuals_table
        return [Replaced(t, np.arange(t.shape[0])) for t in tables]

    def after_epoch(self, done: float) -> list[Replaced]:
        """Re-clusters, except in the last quarter of the training."""
        if not self.trainable or done > LAST_RECLUSTERING:
            return []
        error = self.recluster()
        logger.info(
            "Re-clustered '%s', relative squared error %.3g", self.name, error
        )
        return self.replaced()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_clusters": self.num_clusters,
            "num_columns": self.num_columns,
            "seed": self.seed,
        }
