"""Mixed dimension embedding: narrow rows and a projection.

The file is long because the layer has two forms, with one width and with
blocks, and a rule that finds the widths of several tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_pss.layers.base.budget import Budget
from keras_pss.layers.base.checks import int_or_each, positive_int, shown
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tables import Table
from keras_pss.layers.fused.mixed import power_rule
from keras_pss.layers.fused.mixed.mixed_dimension_group import (
    MixedDimensionGroup,
)
from keras_pss.layers.fused.mixed.mixed_rows import MixedRows
from keras_pss.layers.initial_values import draws, table_scale
from keras_pss.ops.fitting import low_rank
from keras_pss.ops.fitting.trained_table import TrainedTable
from keras_pss.ops.fitting.variables import copy_rows

Tensor = Any


@keras.saving.register_keras_serializable("keras_pss")
class MixedDimensionEmbedding(MixedRows, CompressedEmbedding):
    """A separate narrow row for each id, projected to the common width.

        E[i] = W[i] P,   W of shape (n, k), P of shape (k, d)

    Tables of different popularity can have different k, and their rows still
    have the same length d. With the same k for all tables it is the low-rank
    baseline.

    Ids that are sorted by frequency can form blocks, the first with the widest
    rows. Block b has the ids from s_b on and a matrix of its own:

        E[i] = W_b[i - s_b] P_b   if s_b <= i < s_b + r_b
        E[i] = E[0]               beyond the last block

    In an `EmbeddingCollection` with the option `alpha` the widths follow the
    papers' power rule: `k = λ p^alpha`, rounded and clipped, where p is the
    probability that an id of the table or block is looked up. λ is the
    largest within the budget, all matrices included; without a budget, the
    smallest table has k = d.

    - If no counts are known, a table of n rows is one block, with p = 1 / n.
      No table is then smaller than 1/d.
    - `train` and `compare` know the counts of a prepared log, and divide each
      table into `num_blocks` blocks (8 by default) that are read equally
      often. Below one number for each id, rows must be shared, which the
      papers do not consider: where λ p^alpha rounds to 0, the ids of a block
      have the row of id 0 of their table.

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
            uncompressed table. Or a list of numbers that do not rise, one for
            each block.
        num_rows: List of the number of rows r_b of each block, the row of id
            0 in the first. Defaults to None, one block of all ids.
        **kwargs: Further arguments of the layer, such as `gradient`, `name`,
            `dtype` and `trainable`.

    Call arguments, input and output shape: see `CompressedEmbedding`.

    Memory: `inner_dim * (input_dim + output_dim)` parameters, or
    `input_dim * output_dim` with `inner_dim=output_dim`; never less than 1/d
    of the uncompressed table. With blocks, these numbers for each one.

    Example:

    ```python
    layer = keras_pss.MixedDimensionEmbedding(1_000_000, 64, inner_dim=4)
    layer(np.array([[3, 999_999]])).shape  # (1, 2, 64)
    tables = keras_pss.EmbeddingCollection(
        [1_000_000, 3_000, 40],
        64,
        method="mixed_dimension",
        budget="20x",
        options={"alpha": 0.3},
    )
    ```

    References: Ginart et al., "Mixed dimension embeddings with application to
    memory-efficient recommendation systems" (ISIT 2021), the power rule and
    blocks of equal popularity.
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
        inner_dim: int | Sequence[int],
        num_rows: Sequence[int] | None = None,
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
        # An integer, or a tuple for blocks.
        self.inner_dim: Any = inner_dim
        self.num_rows: Any = num_rows
        if num_rows is None:
            width = positive_int("inner_dim", inner_dim, output_dim)
            self._projects = width < output_dim
            return
        self.inner_dim = int_or_each("inner_dim", inner_dim, "block")
        self.num_rows = int_or_each("num_rows", num_rows, "block")
        self._projects = self.inner_dim[-1] < output_dim
        self._set_blocks([input_dim], [self.num_rows], [self.inner_dim], [0])

    @classmethod
    def option_names(cls, options: Mapping[str, Any]) -> list[str]:
        names = [n for n in super().option_names(options) if n != "num_rows"]
        names += ["num_rows"] if "inner_dim" in options else []
        return [*names, "alpha", "num_blocks"]

    @classmethod
    def size_name(cls, options: Mapping[str, Any]) -> str:
        ruled = "alpha" in options and "inner_dim" not in options
        return "" if ruled else cls.sized_by

    @classmethod
    def divides_size(cls, options: Mapping[str, Any]) -> bool:
        return "alpha" in options or _by_table(options.get("inner_dim"))

    @classmethod
    def check_unsized(cls, arguments: dict[str, Any]) -> None:
        super().check_unsized(arguments)
        for name in {"alpha", "num_blocks"} & set(arguments):
            raise ValueError(
                f"`{name}` belongs to the power rule of several tables, which "
                "an EmbeddingCollection with options={'alpha': 0.3} follows. "
                f"Create one, or leave `{name}` out. "
                f"Received: {name}={shown(arguments[name])}"
            )
        if arguments.get("num_rows") is not None:
            raise ValueError(
                "A budget determines one width for all ids. Leave `num_rows` "
                "out, or give `inner_dim` instead of a budget. "
                f"Received: num_rows={shown(arguments['num_rows'])}"
            )

    @classmethod
    def smallest_size(
        cls, input_dim: int, output_dim: int, **kwargs: Any
    ) -> int:
        return input_dim + (output_dim if output_dim > 1 else 0)

    @classmethod
    def smallest_together(
        cls, input_dims: Sequence[Any], output_dim: int, **kwargs: Any
    ) -> int:
        if cls.divides_size(kwargs):
            return power_rule.smallest_size(input_dims, output_dim)
        return super().smallest_together(input_dims, output_dim, **kwargs)

    @classmethod
    def arguments_within(
        cls, size: int, input_dim: int, output_dim: int, **kwargs: Any
    ) -> dict[str, Any]:
        if size >= input_dim * output_dim:
            return {"inner_dim": output_dim}
        inner = size // (input_dim + output_dim)
        return {"inner_dim": max(1, min(inner, output_dim - 1))}

    @classmethod
    def fuse(
        cls,
        input_dims: Sequence[Any],
        output_dim: int,
        numbers: Sequence[int],
        size: int | None = None,
        **kwargs: Any,
    ) -> MixedDimensionGroup | None:
        if not cls.divides_size(kwargs):
            return None
        alpha = kwargs.pop("alpha", None)
        blocks = kwargs.pop("num_blocks", power_rule.NUM_BLOCKS)
        positive_int("num_blocks", blocks)
        widths = kwargs.pop("inner_dim", None)
        rows = kwargs.pop("num_rows", None)
        if widths is not None:
            widths = _of_tables("inner_dim", widths, numbers)
        elif size is None:
            widths = power_rule.published_widths(input_dims, output_dim, alpha)
        else:
            widths = power_rule.widths_of_tables(
                size, input_dims, output_dim, alpha
            )
        if rows is None:
            rows, widths = [[n] for n in input_dims], [[k] for k in widths]
        else:
            rows = _of_tables("num_rows", rows, numbers)
        return MixedDimensionGroup(
            input_dims, output_dim, rows, widths, **kwargs
        )

    @classmethod
    def options_from_counts(
        cls,
        counts: Sequence[Any],
        output_dim: int,
        budget: Budget,
        options: Mapping[str, Any],
    ) -> dict[str, Any] | None:
        if "alpha" not in options or "inner_dim" in options:
            return None
        return power_rule.blocks_by_counts(
            counts,
            output_dim,
            budget,
            options["alpha"],
            options.get("num_blocks", power_rule.NUM_BLOCKS),
        )

    @classmethod
    def options_of_width(
        cls, options: Mapping[str, Any], output_dim: int, before: int
    ) -> dict[str, Any] | None:
        if not cls.divides_size(options):
            return None
        if "inner_dim" not in options:
            return dict(options)
        narrow = [
            min(each, output_dim)
            if isinstance(each, int)
            else tuple(min(k, output_dim) for k in each)
            for each in options["inner_dim"]
        ]
        return {**options, "inner_dim": tuple(narrow)}

    def tables(self) -> dict[str, Table]:
        if self.num_rows is not None:
            return super().tables()
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

    def fit_to(self, tables: Sequence[TrainedTable]) -> None:
        if self.num_rows is not None:
            return super().fit_to(tables)
        (table,) = tables
        if self._projects:
            table, matrix = low_rank.narrow(table, self.inner_dim)
            self.projection_table.assign(matrix)
        copy_rows(self.narrow_table, [table])

    def latent(self, ids: Tensor) -> Tensor:
        if self.num_rows is not None:
            return self.rows_of(ops.expand_dims(ids, -1))[..., 0, :]
        return self.gather_rows("narrow", ids)

    def project(self, latent: Tensor) -> Tensor:
        if self.num_rows is not None or not self._projects:
            return latent
        matrix = self.whole_table("projection")
        return ops.matmul(latent, ops.cast(matrix, latent.dtype))

    def lookup(self, ids: Tensor) -> Tensor:
        return self.project(self.latent(ids))

    def lookup_numbers(self) -> int:
        if self.num_rows is not None:
            return super().lookup_numbers()
        return self.inner_dim

    def lookup_flops(self) -> int:
        if self.num_rows is not None:
            return super().lookup_flops()
        return 2 * self.inner_dim * self.output_dim * self._projects

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "inner_dim": self.inner_dim,
            "num_rows": self.num_rows,
        }


def _by_table(inner_dim: Any) -> bool:
    """Whether `inner_dim` of a collection has an entry for each table."""
    return isinstance(inner_dim, list | tuple)


def _of_tables(name: str, values: Any, numbers: Sequence[int]) -> list[Any]:
    """The entries of some tables of a collection, by their numbers."""
    if len(values) <= max(numbers):
        raise ValueError(
            f"`{name}` of a collection must have one entry for each table. "
            f"Received: {len(values)} entries for at least {max(numbers) + 1} "
            "tables"
        )
    return [values[number] for number in numbers]
