"""FPD: two small tables, multiplied, summed and projected."""

import math
from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import draws, table_scale

Tensor = Any

# The rank that a budget aims at, and the share of it that is to be used.
USUAL_RANK = 8
WELL_USED = 0.98


@keras.saving.register_keras_serializable("keras_pss")
class FPDEmbedding(CompressedEmbedding):
    """A low-rank row whose coordinates are low-rank in the id's two digits.

        E[i] = (Σ_{k<p} U[i div s, k, :] * V[i mod s, k, :]) W

    with `r = rank`, `p = terms`, U and V of shape (s, p, r), W of shape
    (r, d), and s the square root of n rounded up to a multiple of 8. It is the
    rank-(p, p, 1) block term decomposition of the (s, s, d) cube; `p = 1`,
    `r = d` and W the identity is the quotient-remainder product.

    The review that introduced FPD gives only sizes; this layer is inferred
    from them, and has all eleven of its parameter counts.

    Args:
        input_dim: n, the number of ids.
        output_dim: d, the length of a row.
        embeddings_initializer: Of the `(n, d)` table.
        embeddings_regularizer, embeddings_constraint: Of U, V and W.
        mask_zero: As in `keras.layers.Embedding`.
        rank: r, the rank of the table; at most d.
        terms: p, the rank of each coordinate over the two digits. Raise it,
            rather than r, for more capacity.
        **kwargs: `gradient`, `name`, `dtype`, `trainable`, ...

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
        # Terms pay more than ranks, down to the review's rank of 8. Of all
        # pairs that use the budget well, the one whose rank is nearest to it.
        pairs = []
        for rank in range(1, output_dim + 1):
            most = (size // rank - output_dim) // (2 * _side(input_dim))
            # More terms than a digit has values add nothing.
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
        # V holds signs and W orthogonal rows, so that U alone carries the
        # table's scale and a step moves a row as it moves a dense one.
        return {
            "first": Table(self._side, width, first),
            "second": Table(
                self._side,
                width,
                draws.signs(given, 1 / math.sqrt(self.terms), 1),
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
        index = self.address(ids)
        product = self.gather_rows("first", index["first"]) * self.gather_rows(
            "second", index["second"]
        )
        # (n, p r) -> (n, p, r) -> (n, r)
        return ops.sum(
            ops.reshape(product, (-1, self.terms, self.rank)), axis=1
        )

    def project(self, latent: Tensor) -> Tensor:
        matrix = self.whole_table("projection")
        return ops.matmul(latent, ops.cast(matrix, latent.dtype))

    def lookup(self, ids: Tensor) -> Tensor:
        return self.project(self.latent(ids))

    def lookup_flops(self) -> int:
        return 2 * self.rank * (self.terms + self.output_dim)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rank": self.rank, "terms": self.terms}


def _side(input_dim: int) -> int:
    """Values of each digit: the root of n, up to a multiple of 8."""
    root = math.isqrt(input_dim - 1) + 1
    return -(-root // 8) * 8


def _size(input_dim: int, output_dim: int, rank: int, terms: int) -> int:
    return rank * (2 * terms * _side(input_dim) + output_dim)
