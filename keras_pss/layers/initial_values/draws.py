"""Draws of parameters that are not entries of the table they stand for.

Each has its seed from the initializer of the layer.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
from keras import initializers, ops

from keras_pss.ops.dtypes import itemsize

Tensor = Any
Fill = Callable[..., Tensor]

# Of a standard normal beyond 2: its probability on one side, and its second
# moment, 1 + 2 φ(2) / (1 - Φ(2)) = 5.7464.
_TAIL = math.erfc(math.sqrt(2)) / 2
TAIL_SQUARE = 1 + 2 * math.exp(-2) / math.sqrt(2 * math.pi) / _TAIL


def spread(
    initializer: Any,
    moments: Callable[[], tuple[float, float]],
    index: int = 0,
) -> Fill:
    """Uniform numbers of a mean and standard deviation that are asked for.

    Args:
        initializer: Gives its seed, if it has one.
        moments: Gives mean and deviation when the numbers are drawn.
        index: Number of the layer's parameters, by which the seed is moved.
    """
    seed = scaled(initializer, 1.0, index).seed

    def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
        mean, std = moments()
        half = math.sqrt(3) * std
        draw = (
            initializers.RandomUniform(mean - half, mean + half, seed=seed)
            if std
            else initializers.Constant(mean)
        )
        return draw(shape, dtype=dtype)

    return fill


def sampled_gaussian(
    initializer: Any, std: Callable[[], float], index: int = 0
) -> Fill:
    """Normal numbers of which those within two deviations are drawn again.

    TT-Rec's algorithm 3, with the sign that its text leaves out. Their second
    moment is `TAIL_SQUARE`, by which they are scaled to a deviation.

    Args:
        initializer: Gives its seed, if it has one.
        std: Gives the deviation when the numbers are drawn.
        index: Number of the layer's parameters, by which the seed is moved.
    """
    place = initializers.RandomUniform(
        -1, 1, seed=scaled(initializer, 1.0, index).seed
    )

    def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
        drawn = place(shape, dtype="float32")
        # The quantile of a tail rather than a loop of draws: the farthest
        # numbers are those whose distance to 1 float32 can still tell.
        inside = ops.minimum(1 - 2 * _TAIL * ops.abs(drawn), 1 - 2**-23)
        size = math.sqrt(2) * ops.erfinv(inside)
        values = ops.sign(drawn) * size * (std() / math.sqrt(TAIL_SQUARE))
        return ops.cast(values, keras.backend.standardize_dtype(dtype))

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
    draw = keras.initializers.Orthogonal(
        gain=math.sqrt(outer / inner),
        seed=seed + index if isinstance(seed, int) else None,
    )
    return partial(in_float32, draw)


def in_float32(
    initializer: Any, shape: Sequence[int], dtype: Any = None
) -> Tensor:
    """Draws at float32 or more: no backend factorises 16-bit matrices."""
    dtype = keras.backend.standardize_dtype(dtype)
    wide = "float32" if itemsize(dtype) < 4 else dtype
    return ops.cast(initializer(shape, dtype=wide), dtype)
