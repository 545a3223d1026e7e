"""Initial values of parameters that are not entries of the table itself.

Their seeds are derived from the initializer of the layer.
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

# Standard normal distribution beyond 2: the probability of one tail, and the
# second moment in both tails, 1 + 2 φ(2) / (1 - Φ(2)) = 5.7464.
_TAIL = math.erfc(math.sqrt(2)) / 2
TAIL_SQUARE = 1 + 2 * math.exp(-2) / math.sqrt(2 * math.pi) / _TAIL


def spread(
    initializer: Any,
    moments: Callable[[], tuple[float, float]],
    index: int = 0,
) -> Fill:
    """Uniform numbers with a given mean and standard deviation.

    Args:
        initializer: Initializer whose seed is used, if it has one.
        moments: Function that returns the mean and standard deviation; called
            when the numbers are drawn.
        index: Integer that is added to the seed, different for each parameter
            tensor of a layer.
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
    """Normal numbers from the tails beyond two standard deviations.

    This is TT-Rec's algorithm 3, which draws numbers again until they are in
    the tails, with the sign that the paper's text omits. The numbers have the
    second moment `TAIL_SQUARE` and are scaled to the given deviation.

    Args:
        initializer: Initializer whose seed is used, if it has one.
        std: Function that returns the standard deviation; called when the
            numbers are drawn.
        index: Integer that is added to the seed, different for each parameter
            tensor of a layer.
    """
    place = initializers.RandomUniform(
        -1, 1, seed=scaled(initializer, 1.0, index).seed
    )

    def fill(shape: Sequence[int], dtype: Any = None) -> Tensor:
        drawn = place(shape, dtype="float32")
        # Use the quantile function of the tail instead of a rejection loop.
        # The bound below 1 is the largest that float32 can distinguish from 1
        # in this scale.
        inside = ops.minimum(1 - 2 * _TAIL * ops.abs(drawn), 1 - 2**-23)
        size = math.sqrt(2) * ops.erfinv(inside)
        values = ops.sign(drawn) * size * (std() / math.sqrt(TAIL_SQUARE))
        return ops.cast(values, keras.backend.standardize_dtype(dtype))

    return fill


def scaled(initializer: Any, std: float, index: int = 0) -> Any:
    """Uniform numbers with mean zero and a given standard deviation.

    Products of uniform numbers have lighter tails than products of normal
    numbers. The seed is that of the given initializer plus `index`.
    """
    seed = getattr(initializer, "seed", None)
    half = math.sqrt(3) * std
    return keras.initializers.RandomUniform(
        -half, half, seed=seed + index if isinstance(seed, int) else None
    )


def signs(initializer: Any, size: float, index: int = 0) -> Any:
    """Random signs: +size or -size, each with probability 1/2."""
    draw = scaled(initializer, 1.0, index)

    def fill(shape: Sequence[int], dtype: Any = None) -> Any:
        drawn = ops.where(draw(shape) < 0, -size, size)
        return ops.cast(drawn, dtype or "float32")

    return fill


def projection(initializer: Any, inner: int, outer: int, index: int = 0) -> Any:
    """An (inner, outer) matrix with orthogonal rows that preserves variance.

    It maps `inner` numbers of standard deviation s to `outer` numbers whose
    average standard deviation is s.
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
    """Draws in at least float32: no backend factorizes 16-bit matrices."""
    dtype = keras.backend.standardize_dtype(dtype)
    wide = "float32" if itemsize(dtype) < 4 else dtype
    return ops.cast(initializer(shape, dtype=wide), dtype)
