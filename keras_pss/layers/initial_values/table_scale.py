"""Initial scales: what a table would start with, whatever it is made of.

A method's parameters are not the table that they stand for. Drawn with the
initializer as it is, a product of factors would start many times too small or
too large, and a fan-in would be that of the wrong shape. So the initializer is
asked for the mean and the standard deviation of the `(input_dim, output_dim)`
table, and the method scales its own parameters to give them, by the draws of
draws.py. What it cannot give is an error.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from keras import initializers, ops

from keras_pss.layers.initial_values import draws, table_moments
from keras_pss.layers.initial_values.table_moments import (
    FIX,
    Moments,
    is_builtin,
)

Tensor = Any
Fill = Callable[..., Tensor]

# A mean of no more than so many deviations is as good as none.
NO_MEAN = 1e-3


class TableScale:
    """Mean and standard deviation of the table that a layer stands for.

    They are looked for when the first parameter is filled, since that may take
    draws of an initializer.

    Args:
        initializer: The layer's `embeddings_initializer`.
        rows: Number of rows, None for an open vocabulary.
        width: Number of columns.
        layer: The layer's name, for errors.
    """

    def __init__(
        self, initializer: Any, rows: int | None, width: int, layer: str
    ) -> None:
        self._shape = rows, width
        self._initializer = initializer
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
        """The scales of a layer's tables, with one look at the initializer."""
        found = table_moments.of_tables(initializer, row_counts, width)
        scales = [cls(initializer, rows, width, layer) for rows in row_counts]
        for scale, moments in zip(scales, found, strict=True):
            scale.apart = moments
        return scales

    @cached_property
    def apart(self) -> Moments:
        """Moments of all entries, whose columns may differ."""
        return table_moments.moments(self._initializer, *self._shape)

    @property
    def moments(self) -> Moments:
        """Moments of each entry.

        Raises:
            ValueError: If those of the columns differ.
        """
        if not self.apart.alike:
            raise ValueError(
                "`embeddings_initializer` gives columns of different means or "
                "standard deviations, which the parameters of layer "
                f"'{self._layer}' cannot follow. {FIX} "
                f"Received: embeddings_initializer={self._initializer}"
            )
        return self.apart

    @property
    def mean(self) -> float:
        return self.moments.mean

    @property
    def std(self) -> float:
        return self.moments.std

    def check_centred(self) -> None:
        """Raises for a mean, where products or signs would drop it."""
        if abs(self.mean) > NO_MEAN * self.std:
            raise ValueError(
                f"Layer '{self._layer}' cannot start with a mean other than "
                "zero, since it multiplies its parameters by each other or "
                "by random signs. Use an initializer of mean zero, such as "
                "`keras.initializers.RandomUniform(-0.05, 0.05)`, or a method "
                "that shares or adds rows, such as 'hash', 'qr' or "
                "'clustered'. Received: "
                f"embeddings_initializer={self._initializer}, of mean "
                f"{self.mean:.6g}"
            )

    def check_products(self) -> None:
        """Raises for a deviation of zero, where products would never train."""
        if not self.std > 0:
            raise ValueError(
                f"Layer '{self._layer}' multiplies its parameters: all equal, "
                "they would get no gradient or stay equal. Use a random "
                "initializer, such as 'uniform'. "
                f"Received: embeddings_initializer={self._initializer}"
            )

    @property
    def product_std(self) -> float:
        """The deviation, for products that cannot represent a mean."""
        self.check_products()
        self.check_centred()
        return self.std


def moved(initializer: Any, index: int) -> Any:
    """The same initializer with its seed moved, so that it draws afresh."""
    if not isinstance(initializer, initializers.Initializer):
        return initializer
    if type(initializer).__module__.split(".")[0] != "keras":
        return initializer  # its config may not tell all of it
    config = initializer.get_config()
    if "seed" not in config:
        return initializer
    if isinstance(config["seed"], int):
        config["seed"] += index
    return initializer.__class__.from_config(config)


def table(initializer: Any, rows: int, width: int) -> Fill:
    """Fills parameters that are the `(rows, width)` table itself."""
    if is_builtin(initializer, initializers.VarianceScaling):
        return entries(initializer, rows, width)

    def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
        value = table_moments.constant(initializer)
        if value is not None:
            _check_fits(initializer, np.shape(value), shape)
        if is_builtin(initializer, initializers.Orthogonal):
            return draws.in_float32(initializer, shape, dtype)
        return moved(initializer, 0)(shape, dtype=dtype)

    return fill


def gives_table(initializer: Any) -> bool:
    """Whether an initializer holds a value for each row."""
    value = table_moments.constant(initializer)
    return len(np.shape(value)) > 1 and not table_moments.is_number(value)


def stacked(initializer: Any, row_counts: Sequence[int], width: int) -> Fill:
    """Fills tables that lie below each other, each with its own scale."""

    def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
        if len(row_counts) == 1 or _ignores_rows(initializer, width):
            return table(initializer, shape[0], width)(shape, dtype)
        parts = [
            table(moved(initializer, index), rows, width)((rows, width), dtype)
            for index, rows in enumerate(row_counts)
        ]
        return ops.concatenate(parts, axis=0)

    return fill


def shared_rows(
    initializer: Any, rows: int | None, width: int, layer: str
) -> Fill:
    """Fills a table whose rows are rows of the table, each of many ids."""
    draw = entries(initializer, rows, width, layer, columns_apart=True)

    def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
        value = table_moments.constant(initializer)
        # One row for all ids is right in whatever order they read it.
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
    centred: bool = False,
) -> Fill:
    """Fills parameters that are entries of the table, wherever they stand.

    Args:
        initializer: The initializer of the `(rows, width)` table.
        rows, width: Its shape.
        layer: The layer's name, for errors.
        columns_apart: Whether columns of the parameters are those of the
            table, so that they may be drawn unlike each other.
        centred: Whether the table must have a mean of zero.
    """
    scale = TableScale(initializer, rows, width, layer)
    draw = draws.spread(initializer, lambda: (scale.mean, scale.std))

    def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
        found = scale.apart if columns_apart else scale.moments
        if centred:
            scale.check_centred()
        if found.by_rows:
            return draw(shape, dtype)
        return moved(initializer, 0)(shape, dtype=dtype)

    return fill


def _ignores_rows(initializer: Any, width: int) -> bool:
    """Whether tables of any number of rows are drawn alike."""
    try:
        return not table_moments.moments(initializer, None, width).by_rows
    except ValueError:
        return False


def _check_fits(
    initializer: Any, given: Sequence[int], shape: Sequence[int]
) -> None:
    """Raises for constant values that are neither a table nor one row."""
    try:
        fits = np.broadcast_shapes(tuple(given), tuple(shape)) == tuple(shape)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            "The value of a Constant must be a number, one row of shape "
            f"{tuple(shape)[1:]}, or the whole table of shape {tuple(shape)}. "
            "Give values of one of these shapes, to each table its own. "
            f"Received: embeddings_initializer={initializer}, with values of "
            f"shape {tuple(given)}"
        )
