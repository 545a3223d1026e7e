"""Quotient-remainder and compositional embeddings.

The file is long because a third of its lines document and check arguments.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss.layers.base.checks import (
    LARGEST_DIM,
    one_of,
    positive_int,
    positive_ints,
    shown,
)
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops.fitting import partitions
from keras_pss.ops.fitting.trained_table import TrainedTable

Tensor = Any
OPERATIONS = ("mult", "add", "concat")
# More partitions are of no use: 2^31 ids have at most 31 binary digits.
MOST_PARTITIONS = 31


@keras.saving.register_keras_serializable("keras_pss")
class QREmbedding(CompressedEmbedding):
    """Combines rows of two or more small tables, one for each digit of the id.

        E[i] = Q[i div c] ∘ R[i mod c]

    With k partitions, the id has k digits in a mixed radix, and each digit has
    a table. Every id reads a unique combination of rows, so no two ids are
    forced to have equal rows. The tables are initialized such that the
    combined rows have the scale of the uncompressed table: a product of
    factors that each had this scale would be far too small.

    Args:
        input_dim: Integer n, the number of ids.
        output_dim: Integer d, the length of a row.
        embeddings_initializer: Initializer of the uncompressed `(n, d)` table.
            Defaults to `"uniform"`.
        embeddings_regularizer: Regularizer of the tables.
        embeddings_constraint: Constraint of the tables.
        mask_zero: Boolean, whether id 0 is padding, as in
            `keras.layers.Embedding`. Defaults to False.
        num_buckets: Integer c, the number of rows of the remainder table; at
            most n. With more than two partitions, either an integer for all
            remainder tables, or a list with one integer for each of them, the
            least significant digit first.
        operation: How rows are combined: `"mult"` (the default), `"add"`, or
            `"concat"`, for which the number of partitions must divide d.
        num_partitions: Integer k, the number of tables. Defaults to 2 if
            `num_buckets` is an integer, else to its length plus one.
        **kwargs: Further arguments of the layer, such as `gradient`, `name`,
            `dtype` and `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `(num_buckets + ceil(input_dim / num_buckets)) * output_dim`
    parameters, half of that with `"concat"`. The tables have at least
    `2 sqrt(n)` rows together, or `k n^(1/k)` with k partitions.

    Raises:
        ValueError: If `num_buckets` does not match `num_partitions`, or if
            `"concat"` cannot divide a row into equal parts.

    Example:

    ```python
    layer = keras_pss.QREmbedding(10_000_000, 16, num_buckets=5_000)
    layer(np.array([[3, 9_999_999]])).shape  # (1, 2, 16)
    ```

    References: Shi et al., "Compositional embeddings using complementary
    partitions for memory-efficient recommendation systems" (KDD 2020).
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
        num_buckets: int | Sequence[int],
        operation: str = "mult",
        num_partitions: int | None = None,
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
        bases = _bases(num_buckets, num_partitions)
        for base in bases:
            positive_int("num_buckets", base, input_dim)
        self.num_buckets = num_buckets
        self.operation = operation
        self.num_partitions = len(bases) + 1
        self._bases = bases
        self._width = _width(operation, output_dim, self.num_partitions)

    @classmethod
    def smallest_size(
        cls,
        input_dim: int,
        output_dim: int,
        *,
        operation: str = "mult",
        num_partitions: int = 2,
        **kwargs: Any,
    ) -> int:
        _bases(1, num_partitions)
        width = _width(operation, output_dim, num_partitions)
        root = round(input_dim ** (1 / num_partitions))
        last = min(root + 2, _limit(input_dim, num_partitions))
        around = range(max(1, min(root - 2, last)), last + 1)
        return width * min(_rows(input_dim, c, num_partitions) for c in around)

    @classmethod
    def arguments_within(
        cls,
        size: int,
        input_dim: int,
        output_dim: int,
        *,
        operation: str = "mult",
        num_partitions: int = 2,
        **kwargs: Any,
    ) -> dict[str, Any]:
        rows = size // _width(operation, output_dim, num_partitions)
        return {"num_buckets": _most_buckets(input_dim, rows, num_partitions)}

    def tables(self) -> dict[str, Table]:
        given = self.embeddings_initializer
        scale = table_scale.TableScale.of(self)
        quotients = -(-self.input_dim // math.prod(self._bases))
        rows = [quotients, *self._bases]
        return {
            name: Table(
                rows[index],
                self._width,
                draws.spread(
                    given, partial(self._moments, scale, index), index
                ),
            )
            for index, name in enumerate(self._names())
        }

    def _moments(
        self, scale: table_scale.TableScale, index: int
    ) -> tuple[float, float]:
        """Mean and standard deviation of one of the tables.

        They are such that the combined rows have those of the whole table.
        """
        count = self.num_partitions
        if self.operation == "concat":
            return scale.mean, scale.std
        if self.operation == "add":
            return scale.mean / count, scale.std / math.sqrt(count)
        scale.check_products()
        mean, std = scale.mean, scale.std
        if not mean:
            return 0.0, std ** (1 / count)
        # In a product, means and mean squares multiply. One factor carries the
        # sign of the mean.
        size = abs(mean) ** (1 / count)
        square = (mean**2 + std**2) ** (1 / count)
        own = size if index else math.copysign(size, mean)
        return own, math.sqrt(max(0.0, square - size**2))

    def _names(self) -> list[str]:
        """Names of the tables: the quotient, then the digits, lowest first."""
        higher = [f"remainder{k}" for k in range(1, self.num_partitions - 1)]
        return ["quotient", "remainder", *higher]

    def address(self, ids: Tensor) -> dict[str, Tensor]:
        digits = []
        for base in self._bases:
            quotient = ids // base
            digits.append(ids - quotient * base)
            ids = quotient
        return dict(zip(self._names(), [ids, *digits], strict=True))

    def combine(self, rows: dict[str, Tensor]) -> Tensor:
        parts = [rows[name] for name in self._names()]
        if self.operation == "concat":
            return ops.concatenate(parts, axis=-1)
        multiply = self.operation == "mult"
        join: Callable[..., Tensor] = ops.multiply if multiply else ops.add
        return reduce(join, parts)

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        (table,) = tables
        solve = {
            "mult": partitions.multiplied,
            "add": partitions.added,
            "concat": partitions.concatenated,
        }[self.operation]
        weights = [getattr(self, f"{name}_table") for name in self._names()]
        sizes = [weight.shape[0] for weight in weights]
        for weight, rows in zip(
            weights, solve(table, self._digits, sizes), strict=True
        ):
            weight.assign(rows)

    def _digits(self, ids: np.ndarray) -> list[np.ndarray]:
        found = self.address(ids)
        return [found[name] for name in self._names()]

    def lookup_flops(self) -> int:
        joins = 0 if self.operation == "concat" else self.num_partitions - 1
        return joins * self.output_dim

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_buckets": self.num_buckets,
            "operation": self.operation,
            "num_partitions": self.num_partitions,
        }


def _bases(
    num_buckets: int | Sequence[int], partitions: int | None
) -> tuple[int, ...]:
    """Number of rows of each remainder table, least significant digit first."""
    if (
        partitions is not None
        and positive_int("num_partitions", partitions, MOST_PARTITIONS) < 2
    ):
        raise ValueError(
            "`num_partitions` must be at least 2. "
            f"Received: num_partitions={partitions}"
        )
    if not isinstance(num_buckets, list | tuple):
        each: Any = num_buckets
        return (each,) * ((partitions or 2) - 1)
    if not num_buckets or partitions not in (None, len(num_buckets) + 1):
        raise ValueError(
            "`num_buckets` must be an integer, or a list of integers, one for "
            "each partition except the first. Received: "
            f"num_buckets={shown(num_buckets)}, num_partitions={partitions}"
        )
    return positive_ints("num_buckets", num_buckets, LARGEST_DIM)


def _width(operation: str, output_dim: int, partitions: int) -> int:
    """Columns of each table."""
    one_of("operation", operation, OPERATIONS)
    if operation != "concat":
        return output_dim
    if output_dim % partitions:
        raise ValueError(
            "operation='concat' needs an `output_dim` that is a multiple of "
            f"the number of partitions, such as {partitions * 4} for "
            f"{partitions} partitions. Received: output_dim={output_dim}"
        )
    return output_dim // partitions


def _rows(input_dim: int, buckets: int, partitions: int = 2) -> int:
    """Total number of rows, with equally large remainder tables."""
    lower = partitions - 1
    return lower * buckets + -(-input_dim // buckets**lower)


def _most_buckets(input_dim: int, rows: int, partitions: int) -> int:
    """The largest remainder tables for which all tables fit into `rows`.

    If ids are sorted by frequency, frequent ids then share a row of the
    remainder table only with rarer ids. The other solution, small remainder
    tables, would give each run of consecutive ids the same quotient.
    """
    lower = partitions - 1
    buckets = min((rows - 1) // lower, _limit(input_dim, partitions))
    while _rows(input_dim, buckets, partitions) > rows:
        buckets -= 1
    return buckets


def _limit(input_dim: int, partitions: int) -> int:
    """Largest remainder tables that leave two values for the first digit."""
    lower = partitions - 1
    root = round(input_dim ** (1 / lower)) + 1
    while root > 1 and root**lower >= input_dim:
        root -= 1
    return root
