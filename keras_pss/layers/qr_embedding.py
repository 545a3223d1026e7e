"""Quotient-remainder embedding."""

import math
from typing import Any

import keras
from keras import ops

from keras_pss.layers import initial_scale
from keras_pss.layers.base import CompressedEmbedding, positive_int
from keras_pss.layers.tables import Table

Tensor = Any
OPERATIONS = ("mult", "add", "concat")


@keras.saving.register_keras_serializable("keras_pss")
class QREmbedding(CompressedEmbedding):
    """A row from two small tables: `E[i] = Q[i div c] ∘ R[i mod c]`.

    Every id has a pair of rows of its own, so no two rows are forced to be
    equal. The initial scale is that of the table which is replaced: a product
    of factors drawn with the table's scale would start far too small.

    Args:
        input_dim: n, the number of ids.
        output_dim: d, the length of a row.
        embeddings_initializer: Of the `(n, d)` table.
        embeddings_regularizer, embeddings_constraint: Of both tables.
        mask_zero: As in `keras.layers.Embedding`.
        num_buckets: c, the rows of the remainder table; at most n.
        operation: `"mult"`, `"add"`, or `"concat"` of two halves (d even).
        **kwargs: `name`, `dtype`, `trainable`, ...

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `(num_buckets + ceil(input_dim / num_buckets)) * output_dim`
    parameters, half of it for `"concat"`; never below `2 sqrt(n)` rows.

    Example:

    ```python
    layer = keras_pss.QREmbedding(10_000_000, 16, num_buckets=5_000)
    layer(np.array([[3, 9_999_999]])).shape  # (1, 2, 16)
    ```

    References: Shi et al., "Compositional embeddings using complementary
    partitions for memory-efficient recommendation systems" (KDD 2020),
    equations 3 and 4.
    """

    sized_by = "num_buckets"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        *,
        num_buckets: int,
        operation: str = "mult",
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
        self.num_buckets = positive_int("num_buckets", num_buckets, input_dim)
        self.operation = operation
        self._width = _width(operation, output_dim)

    @classmethod
    def smallest_size(
        cls,
        input_dim: int,
        output_dim: int,
        *,
        operation: str = "mult",
        **kwargs: Any,
    ) -> int:
        root = math.isqrt(input_dim - 1) + 1
        return _rows(input_dim, root) * _width(operation, output_dim)

    @classmethod
    def arguments_within(
        cls,
        size: int,
        input_dim: int,
        output_dim: int,
        *,
        operation: str = "mult",
        **kwargs: Any,
    ) -> dict[str, Any]:
        rows = size // _width(operation, output_dim)
        return {"num_buckets": _fewest_buckets(input_dim, rows)}

    def tables(self) -> dict[str, Table]:
        std = initial_scale.product_std(
            self.embeddings_initializer,
            self.input_dim,
            self.output_dim,
            self.name,
        )
        std = {"mult": math.sqrt(std), "add": std / math.sqrt(2)}.get(
            self.operation, std
        )
        quotients = -(-self.input_dim // self.num_buckets)
        return {
            name: Table(
                rows,
                self._width,
                initial_scale.scaled(self.embeddings_initializer, std, index),
            )
            for index, (name, rows) in enumerate(
                {"quotient": quotients, "remainder": self.num_buckets}.items()
            )
        }

    def address(self, ids: Tensor) -> dict[str, Tensor]:
        quotient = ids // self.num_buckets
        remainder = ids - quotient * self.num_buckets
        return {"quotient": quotient, "remainder": remainder}

    def combine(self, rows: dict[str, Tensor]) -> Tensor:
        quotient, remainder = rows["quotient"], rows["remainder"]
        if self.operation == "mult":
            return quotient * remainder
        if self.operation == "add":
            return quotient + remainder
        return ops.concatenate([quotient, remainder], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_buckets": self.num_buckets,
            "operation": self.operation,
        }


def _width(operation: str, output_dim: int) -> int:
    """Columns of each table."""
    if operation not in OPERATIONS:
        raise ValueError(
            "`operation` must be 'mult', 'add' or 'concat'. "
            f"Received: operation={operation!r}"
        )
    if operation != "concat":
        return output_dim
    if output_dim % 2:
        raise ValueError(
            "operation='concat' needs an even `output_dim`, half from each "
            f"table. Received: output_dim={output_dim}"
        )
    return output_dim // 2


def _rows(input_dim: int, buckets: int) -> int:
    return buckets + -(-input_dim // buckets)


def _fewest_buckets(input_dim: int, rows: int) -> int:
    """The smallest remainder table with which both fit into `rows`."""
    low, high = 1, math.isqrt(input_dim - 1) + 1
    # The sum of rows falls as the remainder table grows to sqrt(n).
    while low < high:
        middle = (low + high) // 2
        if _rows(input_dim, middle) <= rows:
            high = middle
        else:
            low = middle + 1
    return high
