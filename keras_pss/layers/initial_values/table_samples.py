"""Draws tables from an initializer, and computes their statistics."""

import copy
import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

# As many numbers are drawn to measure tables of one shape, in at most
# `_MOST_DRAWS` tables.
NUMBERS = 1 << 18
_MOST_DRAWS = 256

# Two statistics count as equal if they differ by no more than this many
# standard errors plus this relative rounding error of float32.
ERRORS = 6
ROUNDING = 1e-4

# Number of bands of consecutive rows whose statistics are compared.
_BANDS = 16

FIX = (
    "Use an initializer whose numbers are identically distributed, such as "
    "`keras.initializers.RandomUniform(-0.05, 0.05)` with suitable bounds, or "
    "use a FullEmbedding or QuantizedEmbedding, which can start with any table."
)


class Sample(NamedTuple):
    """Statistics of tables of one shape that have been drawn.

    Attributes:
        rows: Number of rows.
        numbers: Number of entries that were drawn independently.
        mean: Mean of the entries.
        std: Standard deviation of the entries.
        std_error: Relative standard error of `std`, times sqrt(numbers).
        same_columns: Whether all columns have the same mean and std.
        fixed: Whether the initializer draws the same table each time.
    """

    rows: int
    numbers: int
    mean: float
    std: float
    std_error: float
    same_columns: bool
    fixed: bool


def sample(initializer: Any, rows: int, width: int) -> Sample:
    drawn = _draws(initializer, (rows, width))
    mean, std = float(np.mean(drawn)), float(np.std(drawn))
    squares = np.square(drawn - mean)
    spread = float(np.std(squares))  # of the squares, for the error of std
    if not all(math.isfinite(number) for number in (mean, std, spread)):
        raise ValueError(
            "`embeddings_initializer` must give finite numbers. "
            f"Received: embeddings_initializer={initializer}"
        )
    length = rows // _BANDS
    for values, error in (drawn, std), (squares, spread):
        bands = values[:, : _BANDS * length].reshape(
            len(drawn), _BANDS, length * width
        )
        if not _equal_means(bands.swapaxes(0, 1), error):
            raise ValueError(
                "`embeddings_initializer` gives rows that depend on their "
                "position in the table, which the parameters of this method "
                f"cannot represent. {FIX} "
                f"Received: embeddings_initializer={initializer}"
            )
    return Sample(
        rows,
        drawn.size,
        mean,
        std,
        spread / (2 * std**2) if std else 0.0,
        _equal_means(drawn.transpose(2, 0, 1), std)
        and _equal_means(squares.transpose(2, 0, 1), spread),
        fixed=len(drawn) == 1 and drawn.size < NUMBERS,
    )


def _equal_means(groups: np.ndarray, std: float) -> bool:
    """Whether means of groups differ by no more than random errors."""
    if not groups.size:
        return True
    groups = groups.reshape(len(groups), -1)
    means = groups.mean(axis=1)
    allowed = 2 * ERRORS * std / math.sqrt(groups.shape[1])
    rounding = 1e-6 * float(np.abs(means).max())
    return float(np.ptp(means)) <= allowed + rounding


def _draws(initializer: Any, shape: tuple[int, int]) -> np.ndarray:
    """Draws tables of one shape, as float64: `(draws, rows, width)`.

    Only one is returned if the initializer draws the same table each time.
    """
    count = min(_MOST_DRAWS, max(1, NUMBERS // math.prod(shape)))
    first = _drawn(initializer, shape)
    tables = [first]
    for index in range(1, count):
        tables.append(_drawn(_reseeded(initializer, index), shape))
        if index == 1 and np.ptp(first) and np.array_equal(first, tables[1]):
            return first[None]
    return np.stack(tables)


def _reseeded(initializer: Any, index: int) -> Any:
    """A copy of an initializer with `index` added to its seed."""
    seed = getattr(initializer, "seed", None)
    if not isinstance(seed, int):
        return initializer
    initializer = copy.copy(initializer)
    initializer.seed = seed + index
    return initializer


def _drawn(initializer: Any, shape: tuple[int, int]) -> np.ndarray:
    """Draws a table from a user's initializer, as float64.

    Raises:
        ValueError: If the initializer cannot draw a table of this shape.
    """
    try:
        drawn = ops.convert_to_numpy(initializer(shape, dtype="float32"))
    except Exception as error:  # a user's function may raise any exception
        raise _refused(initializer, shape, repr(error)) from error
    if np.shape(drawn) != shape:
        given = f"numbers of shape {np.shape(drawn)}"
        raise _refused(initializer, shape, given)
    return np.asarray(drawn, np.float64)


def _refused(initializer: Any, shape: tuple[int, int], what: str) -> ValueError:
    return ValueError(
        "`embeddings_initializer` must be able to draw tables with any number "
        f"of rows if the method does not store the table itself. {FIX} "
        f"Received: embeddings_initializer={initializer}, which for shape "
        f"{shape} gave {what}"
    )


def errors(sample: Sample, like: Sample) -> tuple[float, float]:
    """Standard errors of the mean and of the standard deviation.

    The relative error of the deviation comes from the larger sample `like`,
    since a small sample rarely includes the extreme numbers that determine it.
    """
    root = math.sqrt(sample.numbers)
    return sample.std / root, sample.std * like.std_error / root


def agrees(predicted: float, found: float, error: float) -> bool:
    allowed = ERRORS * error + ROUNDING * abs(found)
    return abs(predicted - found) <= allowed
