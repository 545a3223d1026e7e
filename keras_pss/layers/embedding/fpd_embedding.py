"""FPD: rows of two small tables are multiplied, summed and projected."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops.fitting import block_terms
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.methods import pair_sums

Tensor = Any

# The rank that `from_budget` prefers, and the least share of the usable budget
# that it uses.
USUAL_RANK = 8
WELL_USED = 0.98


@keras.saving.register_keras_serializable("keras_pss")
class FPDEmbedding(CompressedEmbedding):
    """A low-rank table whose coordinates are low-rank in the digits of the id.

        E[i] = (Σ_{k<p} U[i div s, k, :] * V[i mod s, k, :]) W

    with `r = rank`, `p = terms`, U and V of shape (s, p, r), W of shape
    (r, d), and s the square root of n rounded up to a multiple of 8. This is
    the rank-(p, p, 1) block term decomposition of a tensor of shape (s, s, d).
    With `p = 1`, `r = d` and the identity as W it is the product form of
    quotient-remainder embeddings.

    The review that introduced FPD states only parameter counts. This layer is
    inferred from them and reproduces all eleven.

    Args:
        input_dim: Integer n, the number of ids.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table.
            Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of U, V and W.
        embeddings_constraint: Constraint of U, V and W.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        rank: Integer r, the rank of the table; at most d.
        terms: Integer p, the rank of each coordinate in the two digits. For
            more capacity increase `terms` rather than `rank`. Defaults to 1.
        **kwargs: Further arguments of the layer, such as `gradient`, `name`,
            `dtype` and `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `rank * (2 * terms * s + output_dim)` parameters.

    Raises:
        ValueError: If `rank` exceeds `output_dim`.

    Example:

    ```python
    layer = keras_pss.FPDEmbedding(8_165_896, 128, rank=8, terms=4)
    layer(np.array([[3, 8_165_895]])).shape  # (1, 2, 128)
    ```

    References: Hajgató, "Review of compressed embedding layers and their
    applications for recommender systems" (2023), for the sizes; De Lathauwer,
    "Decompositions of a higher-order tensor in block terms, part II" (2008),
    for the decomposition.
    """

    sized_by = "rank"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        *,
        rank: int,
        terms: int = 1,
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
        self.rank = positive_int("rank", rank, output_dim)
        self.terms = positive_int("terms", terms)
        self._side = _side(input_dim)

    @classmethod
    def smallest_size(
        cls,
        input_dim: int,
        output_dim: int,
        *,
        terms: int = 1,
        **kwargs: Any,
    ) -> int:
        return _size(input_dim, output_dim, 1, positive_int("terms", terms))

    @classmethod
    def arguments_within(
        cls,
        size: int,
        input_dim: int,
        output_dim: int,
        *,
        terms: int | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        if terms is not None:
            rank = size // _size(input_dim, output_dim, 1, terms)
            return {"rank": min(rank, output_dim)}
        # More terms help more than a higher rank, down to the review's rank
        # of 8. So choose, among the pairs that use the budget well, the pair
        # whose rank is nearest to 8.
        pairs = []
        for rank in range(1, output_dim + 1):
            most = (size // rank - output_dim) // (2 * _side(input_dim))
            # More terms than values of a digit add nothing.
            terms = min(most, _side(input_dim))
            if terms >= 1:
                used = _size(input_dim, output_dim, rank, terms)
                pairs.append((used, rank, terms))
        largest, *_ = max(pairs)
        _, rank, terms = min(
            (pair for pair in pairs if pair[0] >= WELL_USED * largest),
            key=lambda pair: (abs(math.log(pair[1] / USUAL_RANK)), -pair[0]),
        )
        return {"rank": rank, "terms": terms}

    def tables(self) -> dict[str, Table]:
        given = self.embeddings_initializer
        scale = table_scale.TableScale.of(self)
        first = draws.spread(given, lambda: (0.0, scale.product_std))
        width = self.terms * self.rank
        # V holds signs and W has orthogonal rows, so that U alone carries the
        # table's scale and a gradient step moves a row by as much as in an
        # uncompressed table.
        return {
            "first": Table(self._side, width, first, by_row=False),
            "second": Table(
                self._side,
                width,
                draws.signs(given, 1 / math.sqrt(self.terms), 1),
                by_row=False,
            ),
            "projection": Table(
                self.rank,
                self.output_dim,
                draws.projection(given, self.rank, self.output_dim, 2),
                whole=True,
            ),
        }

    def address(self, ids: Tensor) -> dict[str, Tensor]:
        first = ids // self._side
        return {"first": first, "second": ids - first * self._side}

    def latent(self, ids: Tensor) -> Tensor:
        def gathered() -> tuple[Tensor, Tensor]:
            first, second = self.address(ids).items()
            return self.gather_rows(*first), self.gather_rows(*second)

        return pair_sums.rows(ids, self._dense_tables(), self.terms, gathered)

    def _dense_tables(self) -> tuple[Any, Any]:
        if self.quantization_mode is not None:
            return None, None
        return self.kernel_table("first"), self.kernel_table("second")

    def project(self, latent: Tensor) -> Tensor:
        matrix = self.whole_table("projection")
        return ops.matmul(latent, ops.cast(matrix, latent.dtype))

    def computes_once(self, ids: Tensor) -> bool:
        # A kernel's rows cost less than to find those that repeat.
        return pair_sums.kernels(ids, self._dense_tables()) is None

    def lookup(self, ids: Tensor) -> Tensor:
        return self.project(self.latent(ids))

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        (table,) = tables
        first, second, projection = block_terms.fitted(
            table, self._side, self.rank, self.terms
        )
        self.first_table.assign(first)
        self.second_table.assign(second)
        self.projection_table.assign(projection)

    def lookup_flops(self) -> int:
        return 2 * self.rank * (self.terms + self.output_dim)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rank": self.rank, "terms": self.terms}


def _side(input_dim: int) -> int:
    """Number of values of a digit: sqrt(n), rounded up to a multiple of 8."""
    root = math.isqrt(input_dim - 1) + 1
    return -(-root // 8) * 8


def _size(input_dim: int, output_dim: int, rank: int, terms: int) -> int:
    return rank * (2 * terms * _side(input_dim) + output_dim)
