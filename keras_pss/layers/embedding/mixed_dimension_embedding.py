"""Mixed dimension embedding: a narrow table and a projection."""

from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import draws, table_scale

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class MixedDimensionEmbedding(CompressedEmbedding):
    """A separate narrow row for each id, projected to the common width.

        E[i] = W[i] P,   W of shape (n, k), P of shape (k, d)

    Tables of different popularity can have different k, and their rows still
    have the same length d. With the same k for all tables it is the low-rank
    baseline.

    Args:
        input_dim: Integer n, the number of ids.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table.
            Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of W and P.
        embeddings_constraint: Constraint of W and P.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        inner_dim: Integer k, the number of columns of W; at most d. With
            `inner_dim=output_dim` there is no projection, and the layer is an
            uncompressed table.
        **kwargs: Further arguments of the layer, such as `gradient`, `name`,
            `dtype` and `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `inner_dim * (input_dim + output_dim)` parameters, or
    `input_dim * output_dim` with `inner_dim=output_dim`; never less than 1/d
    of the uncompressed table.

    Example:

    ```python
    layer = keras_pss.MixedDimensionEmbedding(1_000_000, 64, inner_dim=4)
    layer(np.array([[3, 999_999]])).shape  # (1, 2, 64)
    ```

    References: Ginart et al., "Mixed dimension embeddings with application to
    memory-efficient recommendation systems" (ISIT 2021).
    """

    sized_by = "inner_dim"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        *,
        inner_dim: int,
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
        self.inner_dim = positive_int("inner_dim", inner_dim, output_dim)
        self._projects = inner_dim < output_dim

    @classmethod
    def smallest_size(
        cls, input_dim: int, output_dim: int, **kwargs: Any
    ) -> int:
        return input_dim + (output_dim if output_dim > 1 else 0)

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        if size >= input_dim * output_dim:
            return {"inner_dim": output_dim}
        inner = size // (input_dim + output_dim)
        return {"inner_dim": max(1, min(inner, output_dim - 1))}

    def tables(self) -> dict[str, Table]:
        given = self.embeddings_initializer
        if not self._projects:
            fill = table_scale.table(given, self.input_dim, self.output_dim)
            return {"narrow": Table(self.input_dim, self.output_dim, fill)}
        scale = table_scale.TableScale.of(self)
        narrow = draws.spread(given, lambda: (0.0, scale.product_std))
        return {
            "narrow": Table(self.input_dim, self.inner_dim, narrow),
            "projection": Table(
                self.inner_dim,
                self.output_dim,
                draws.projection(given, self.inner_dim, self.output_dim, 1),
                whole=True,
            ),
        }

    def latent(self, ids: Tensor) -> Tensor:
        return self.gather_rows("narrow", ids)

    def project(self, latent: Tensor) -> Tensor:
        if not self._projects:
            return latent
        matrix = self.whole_table("projection")
        return ops.matmul(latent, ops.cast(matrix, latent.dtype))

    def lookup(self, ids: Tensor) -> Tensor:
        return self.project(self.latent(ids))

    def lookup_flops(self) -> int:
        return 2 * self.inner_dim * self.output_dim * self._projects

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "inner_dim": self.inner_dim}
