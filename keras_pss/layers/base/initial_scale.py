"""Initial scales: what a table would start with, whatever it is made of.

A method's parameters are not the table that they stand for. Drawn with the
initializer as it is, a product of factors would start many times too small or
too large, and a fan-in would be that of the wrong shape. So the initializer is
asked for the standard deviation of the `(input_dim, output_dim)` table, and
the method scales its own parameters to give it.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import initializers, ops

# Standard deviation of a normal cut at two of its own.
_TRUNCATED = 0.87962566103423978


def table_std(initializer: Any, rows: int | None, width: int) -> float:
    """Standard deviation of the entries of a `(rows, width)` table.

    Args:
        initializer: A Keras initializer.
        rows: Rows of the table, None for an open vocabulary.
        width: Columns of the table.
    """
    known = _known_std(initializer, rows, width)
    if known is not None:
        return known
    sample = _draw(initializer, (max(2, 1 << 16) // width + 1, width))
    return float(np.std(sample))


def _known_std(initializer: Any, rows: int | None, width: int) -> float | None:
    if isinstance(initializer, initializers.RandomUniform):
        span = initializer.maxval - initializer.minval
        return abs(span) / math.sqrt(12)
    if isinstance(initializer, initializers.TruncatedNormal):
        return initializer.stddev * _TRUNCATED
    if isinstance(initializer, initializers.RandomNormal):
        return initializer.stddev
    if isinstance(initializer, initializers.VarianceScaling):
        if rows is None:
            raise ValueError(
                "An initializer that scales with the table's rows needs "
                "`input_dim`. Give `input_dim`, or an initializer such as "
                "`keras.initializers.RandomUniform(-0.05, 0.05)`. "
                f"Received: embeddings_initializer={initializer}"
            )
        fan = {
            "fan_in": rows,
            "fan_out": width,
            "fan_avg": (rows + width) / 2,
        }[initializer.mode]
        return math.sqrt(initializer.scale / max(1.0, fan))
    return None


def shared(
    initializer: Any, rows: int | None, width: int, index: int = 0
) -> Any:
    """An initializer for parameters that are entries of the table themselves.

    Args:
        initializer: Of the `(rows, width)` table.
        rows, width: Its shape.
        index: Of the layer's parameters: equal initializers would fill equal
            shapes with equal numbers, so the seed is moved by it.
    """
    if isinstance(initializer, initializers.VarianceScaling):
        std = table_std(initializer, rows, width)
        return scaled(initializer, std, index)
    return moved(initializer, index)


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


def stacked(initializer: Any, row_counts: Sequence[int], width: int) -> Any:
    """Fills tables that lie below each other, each with its own scale."""
    if not isinstance(initializer, initializers.VarianceScaling):
        return shared(initializer, None, width)

    def fill(shape: Sequence[int], dtype: Any = None) -> Any:
        parts = [
            shared(initializer, rows, width, index)((rows, width), dtype)
            for index, rows in enumerate(row_counts)
        ]
        return ops.concatenate(parts, axis=0)

    return fill


def scaled(initializer: Any, std: float, index: int = 0) -> Any:
    """Uniform numbers of the given standard deviation around zero.

    Uniform, because products of its draws keep lighter tails than products of
    normal ones; the seed is the given initializer's, moved by `index`.
    """
    seed = getattr(initializer, "seed", None)
    half = math.sqrt(3) * std
    return keras.initializers.RandomUniform(
        -half, half, seed=seed + index if isinstance(seed, int) else None
    )


def signs(initializer: Any, size: float, index: int = 0) -> Any:
    """Fills with +size or -size, half of the numbers each on average."""
    draw = scaled(initializer, 1.0, index)

    def fill(shape: Sequence[int], dtype: Any = None) -> Any:
        drawn = ops.where(draw(shape) < 0, -size, size)
        return ops.cast(drawn, dtype or "float32")

    return fill


def projection(initializer: Any, inner: int, outer: int, index: int = 0) -> Any:
    """An (inner, outer) matrix of orthogonal rows that keeps the variance.

    A vector of `inner` numbers of deviation s becomes `outer` ones of
    deviation s, on average over them; its gradient keeps its length.
    """
    seed = getattr(initializer, "seed", None)
    return keras.initializers.Orthogonal(
        gain=math.sqrt(outer / inner),
        seed=seed + index if isinstance(seed, int) else None,
    )


def product_std(
    initializer: Any, rows: int | None, width: int, layer: str
) -> float:
    """`table_std` for methods that multiply, where zero would never train."""
    std = table_std(initializer, rows, width)
    if not std > 0:
        raise ValueError(
            f"Layer '{layer}' multiplies its parameters: all equal, they "
            "would get no gradient or stay equal. Use a random initializer, "
            "such as 'uniform'. "
            f"Received: embeddings_initializer={initializer}"
        )
    return std


def _draw(initializer: Any, shape: tuple[int, int]) -> np.ndarray:
    return ops.convert_to_numpy(initializer(shape, dtype="float32"))
