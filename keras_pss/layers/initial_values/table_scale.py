"""The scale of the uncompressed table, to which methods initialize their rows.

The parameters of a method are not the table that they represent. If they were
drawn from the initializer directly, a product of factors would be many times
too small or too large, and a fan-in would be that of the wrong shape. Therefore
the mean and the standard deviation of the `(input_dim, output_dim)` table are
derived from the initializer, and the method scales its parameters to match
them, using draws.py. If a method cannot match them, it raises an error.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from keras import initializers, ops

from keras_pss.layers.initial_values import draws, table_moments
from keras_pss.layers.initial_values.table_moments import Moments, is_builtin
from keras_pss.layers.initial_values.table_samples import FIX

Tensor = Any
Fill = Callable[..., Tensor]

# A mean of at most this many standard deviations counts as zero.
NO_MEAN = 1e-3


class TableScale:
    """Mean and standard deviation of the table that a layer represents.

    They are computed when the first parameter is initialized, since that may
    require to draw tables.

    Args:
        initializer: The layer's `embeddings_initializer`.
        rows: Integer, the number of rows; None for an open vocabulary.
        width: Integer, the number of columns.
        layer: Name of the layer, for error messages.
    """

    def __init__(
        self, initializer: Any, rows: int | None, width: int, layer: str
    ) -> None:
        self._rows_and_width = rows, width
        self._given = initializer
        self._layer = layer

    @classmethod
    def of(cls, layer: Any) -> Self:
        """The scale of a layer's table."""
        return cls(
            layer.embeddings_initializer,
            layer.input_dim,
            layer.output_dim,
            layer.name,
        )

    @classmethod
    def several(
        cls,
        initializer: Any,
        row_counts: Sequence[int | None],
        width: int,
        layer: str,
    ) -> list[Self]:
        """The scales of several tables, measured on the same draws."""
        found = table_moments.of_tables(initializer, row_counts, width)
        scales = [cls(initializer, rows, width, layer) for rows in row_counts]
        for scale, moments in zip(scales, found, strict=True):
            scale.pooled = moments
        return scales

    @cached_property
    def pooled(self) -> Moments:
        """Moments of the entries of all columns together."""
        return table_moments.moments(self._given, *self._rows_and_width)

    @property
    def moments(self) -> Moments:
        """Moments of each entry.

        Raises:
            ValueError: If the columns have different moments.
        """
        if not self.pooled.same_columns:
            raise ValueError(
                "`embeddings_initializer` gives columns of different means or "
                "standard deviations, which the parameters of layer "
                f"'{self._layer}' cannot represent. {FIX} "
                f"Received: embeddings_initializer={self._given}"
            )
        return self.pooled

    @property
    def mean(self) -> float:
        return self.moments.mean

    @property
    def std(self) -> float:
        return self.moments.std

    def check_centered(self) -> None:
        """Raises an error for a nonzero mean, which products or signs lose."""
        if abs(self.mean) > NO_MEAN * self.std:
            raise ValueError(
                f"Layer '{self._layer}' cannot start with a mean other than "
                "zero, since it multiplies its parameters by each other or "
                "by random signs. Use an initializer of mean zero, such as "
                "`keras.initializers.RandomUniform(-0.05, 0.05)`, or a method "
                "that shares or adds rows, such as 'hash', 'qr' or "
                "'clustered'. Received: "
                f"embeddings_initializer={self._given}, of mean "
                f"{self.mean:.6g}"
            )

    def check_products(self) -> None:
        """Raises an error for zero deviation, where products cannot learn."""
        if not self.std > 0:
            raise ValueError(
                f"Layer '{self._layer}' multiplies its parameters. If all "
                "start with the same value, they get no gradient or remain "
                "equal. Use a random initializer, such as 'uniform'. "
                f"Received: embeddings_initializer={self._given}"
            )

    @property
    def product_std(self) -> float:
        """Standard deviation for products, which cannot represent a mean."""
        self.check_products()
        self.check_centered()
        return self.std


def with_seed_offset(initializer: Any, index: int) -> Any:
    """A copy of an initializer with `index` added to its seed."""
    if not isinstance(initializer, initializers.Initializer):
        return initializer
    if type(initializer).__module__.split(".")[0] != "keras":
        return initializer  # its config may be incomplete
    config = initializer.get_config()
    if "seed" not in config:
        return initializer
    if isinstance(config["seed"], int):
        config["seed"] += index
    return initializer.__class__.from_config(config)


def table(initializer: Any, rows: int, width: int) -> Fill:
    """Initializer of parameters that are the `(rows, width)` table itself."""
    if is_builtin(initializer, initializers.VarianceScaling):
        return entries(initializer, rows, width)

    def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
        value = table_moments.constant(initializer)
        if value is not None:
            _check_fits(initializer, np.shape(value), shape)
        if is_builtin(initializer, initializers.Orthogonal):
            return draws.in_float32(initializer, shape, dtype)
        return with_seed_offset(initializer, 0)(shape, dtype=dtype)

    return fill


def gives_table(initializer: Any) -> bool:
    """Whether an initializer holds fixed values for each row."""
    value = table_moments.constant(initializer)
    return len(np.shape(value)) > 1 and not table_moments.is_number(value)


def stacked(initializer: Any, row_counts: Sequence[int], width: int) -> Fill:
    """Initializer of vertically stacked tables, each with its own scale."""

    def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
        if len(row_counts) == 1 or _ignores_rows(initializer, width):
            return table(initializer, shape[0], width)(shape, dtype)
        parts = [
            table(with_seed_offset(initializer, index), rows, width)(
                (rows, width), dtype
            )
            for index, rows in enumerate(row_counts)
        ]
        return ops.concatenate(parts, axis=0)

    return fill


def shared_rows(
    initializer: Any, rows: int | None, width: int, layer: str
) -> Fill:
    """Initializer of rows that are rows of the table, shared by many ids."""
    draw = entries(initializer, rows, width, layer, columns_apart=True)

    def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
        value = table_moments.constant(initializer)
        # A single row for all ids is correct for every mapping of ids to rows.
        if value is not None and np.shape(value) in ((width,), (1, width)):
            return initializer(shape, dtype=dtype)
        return draw(shape, dtype)

    return fill


def entries(
    initializer: Any,
    rows: int | None,
    width: int,
    layer: str = "",
    columns_apart: bool = False,
    centered: bool = False,
) -> Fill:
    """Initializer of parameters that are entries of the table at any position.

    Args:
        initializer: Initializer of the `(rows, width)` table.
        rows, width: Shape of the table.
        layer: Name of the layer, for error messages.
        columns_apart: Boolean, whether the columns of the parameters are
            columns of the table, so that they may have different moments.
        centered: Boolean, whether the table must have a mean of zero.
    """
    scale = TableScale(initializer, rows, width, layer)
    draw = draws.spread(initializer, lambda: (scale.mean, scale.std))

    def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
        found = scale.pooled if columns_apart else scale.moments
        if centered:
            scale.check_centered()
        if found.by_rows:
            return draw(shape, dtype)
        return with_seed_offset(initializer, 0)(shape, dtype=dtype)

    return fill


def _ignores_rows(initializer: Any, width: int) -> bool:
    """Whether the distribution is the same for any number of rows."""
    try:
        return not table_moments.moments(initializer, None, width).by_rows
    except ValueError:
        return False


def _check_fits(
    initializer: Any, given: Sequence[int], shape: Sequence[int]
) -> None:
    """Raises an error for constants that are neither a table nor one row."""
    try:
        fits = np.broadcast_shapes(tuple(given), tuple(shape)) == tuple(shape)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            "The value of a Constant must be a number, one row of shape "
            f"{tuple(shape)[1:]}, or the whole table of shape {tuple(shape)}. "
            "Use values of one of these shapes for each table. "
            f"Received: embeddings_initializer={initializer}, with values of "
            f"shape {tuple(given)}"
        )
