"""Mean and standard deviation of the table that an initializer specifies.

They are known for Keras' initializers; measured_moments.py measures them for
others.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import initializers

from keras_pss.layers.initial_values import measured_moments
from keras_pss.layers.initial_values.measured_moments import (
    Moments,
    needs_rows,
)
from keras_pss.layers.initial_values.table_samples import FIX

# Standard deviation of a standard normal truncated at two deviations.
_TRUNCATED = 0.87962566103423978


def moments(initializer: Any, rows: int | None, width: int) -> Moments:
    """Moments of a `(rows, width)` table, without drawing a large table.

    Args:
        initializer: A Keras initializer or a function of shape and dtype.
        rows: Integer, the number of rows; None for an open vocabulary.
        width: Integer, the number of columns.

    Raises:
        ValueError: If the entries are not identically distributed, so that a
            mean and a standard deviation do not describe them, or if the
            moments of a table with this many rows cannot be determined.
    """
    return of_tables(initializer, [rows], width)[0]


def of_tables(
    initializer: Any, row_counts: Sequence[int | None], width: int
) -> list[Moments]:
    """Moments of several tables, measured once for consistent ratios."""
    known = [_known(initializer, rows, width) for rows in row_counts]
    if None not in known:
        return [found for found in known if found is not None]
    return measured_moments.measured(initializer, row_counts, width)


def is_builtin(initializer: Any, *kinds: type) -> bool:
    """Whether an initializer draws in the same way as one of Keras' classes."""
    return any(
        isinstance(initializer, kind)
        and type(initializer).__call__ is kind.__call__
        for kind in kinds
    )


def constant(initializer: Any) -> Any:
    """The value of a constant initializer; None for others."""
    if is_builtin(initializer, initializers.Zeros):
        return 0.0
    if is_builtin(initializer, initializers.Ones):
        return 1.0
    if is_builtin(initializer, initializers.Constant):
        return initializer.value
    return None


def is_number(value: Any) -> bool:
    """Whether a constant is a single number for all entries."""
    return math.prod(np.shape(value)) == 1


def _known(initializer: Any, rows: int | None, width: int) -> Moments | None:
    value = constant(initializer)
    if value is not None:
        if not is_number(value):
            raise fixed(initializer, np.shape(value))
        return Moments(float(np.reshape(value, ())), 0.0)
    if is_builtin(initializer, initializers.RandomUniform):
        low, high = initializer.minval, initializer.maxval
        return Moments((low + high) / 2, abs(high - low) / math.sqrt(12))
    if is_builtin(initializer, initializers.TruncatedNormal):
        return Moments(initializer.mean, initializer.stddev * _TRUNCATED)
    if is_builtin(initializer, initializers.RandomNormal):
        return Moments(initializer.mean, initializer.stddev)
    if is_builtin(initializer, initializers.VarianceScaling):
        if rows is None:
            raise needs_rows(initializer)
        fan = _fan(initializer, rows, width)
        std = math.sqrt(initializer.scale / max(1.0, fan))
        return Moments(0.0, std, by_rows=True)
    if is_builtin(initializer, initializers.Orthogonal):
        if rows is None:
            raise needs_rows(initializer)
        std = abs(initializer.gain) / math.sqrt(max(rows, width))
        return Moments(0.0, std, by_rows=True)
    return None


def _fan(initializer: Any, rows: int, width: int) -> float:
    axes = initializer.input_axes, initializer.output_axes
    ins: float = rows
    outs: float = width
    if None not in axes:
        ins, outs = (math.prod((rows, width)[k] for k in axis) for axis in axes)
    fans = {"fan_in": ins, "fan_out": outs, "fan_avg": (ins + outs) / 2}
    return fans[initializer.mode]


def fixed(initializer: Any, shape: Sequence[int]) -> ValueError:
    """The error for fixed table values in a method that has no such table."""
    return ValueError(
        "`embeddings_initializer` gives fixed values of shape "
        f"{tuple(shape)}, which the parameters of this method cannot "
        f"represent. {FIX} Received: embeddings_initializer={initializer}"
    )
