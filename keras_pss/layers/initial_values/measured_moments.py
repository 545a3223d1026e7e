"""Measures the moments of tables for initializers that are not Keras'.

A small table is drawn in full. For a large table, smaller ones are drawn, and
its mean and standard deviation are extrapolated from theirs if these follow a
simple law in the number of rows.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

# Sizes, in numbers, of the tables that are drawn to find a law in the number
# of rows, and of the largest table that is drawn to check it.
_LADDER = tuple(1 << bits for bits in range(8, 21, 2))
LARGEST_DRAW = 1 << 22

# Two statistics count as equal if they differ by no more than this many
# standard errors plus this relative rounding error of float32.
_ERRORS = 6
_ROUNDING = 1e-4

# Exponents of the number of rows that the laws try.
_POWERS = (0, -1 / 2, -1, -1 / 3, -1 / 4, 1 / 4, 1 / 3, 1 / 2, 1)

# Number of bands of consecutive rows whose statistics are compared.
_BANDS = 16

FIX = (
    "Use an initializer whose numbers are identically distributed, such as "
    "`keras.initializers.RandomUniform(-0.05, 0.05)` with suitable bounds, or "
    "use a FullEmbedding or QuantizedEmbedding, which can start with any table."
)


Law = Callable[[int], float]


class Moments(NamedTuple):
    """Mean and standard deviation of the entries of a table.

    Attributes:
        mean: Mean of the entries.
        std: Standard deviation of the entries.
        by_rows: Whether `mean` or `std` depends on the number of rows.
        alike: Whether all columns have the same mean and std.
    """

    mean: float
    std: float
    by_rows: bool = False
    alike: bool = True


def needs_rows(initializer: Any) -> ValueError:
    """The error for a scale that depends on an unknown number of rows."""
    return ValueError(
        "An initializer whose scale depends on the number of rows needs "
        "`input_dim`. Give `input_dim`, or an initializer such as "
        "`keras.initializers.RandomUniform(-0.05, 0.05)`. "
        f"Received: embeddings_initializer={initializer}"
    )


class Sample(NamedTuple):
    """Statistics of a table that has been drawn.

    Attributes:
        rows: Number of rows.
        numbers: Number of entries.
        mean: Mean of the entries.
        std: Standard deviation of the entries.
        std_error: Relative standard error of `std`, times sqrt(numbers).
        alike: Whether all columns have the same mean and std.
    """

    rows: int
    numbers: int
    mean: float
    std: float
    std_error: float
    alike: bool


def _sample(initializer: Any, rows: int, width: int) -> Sample:
    drawn = _drawn(initializer, (rows, width))
    mean, std = float(np.mean(drawn)), float(np.std(drawn))
    squares = np.square(drawn - mean)
    spread = float(np.std(squares))  # of the squares, for the error of std
    if not all(math.isfinite(number) for number in (mean, std, spread)):
        raise ValueError(
            "`embeddings_initializer` must give finite numbers. "
            f"Received: embeddings_initializer={initializer}"
        )
    length = rows // _BANDS * width
    bands = drawn.reshape(-1)[: _BANDS * length].reshape(_BANDS, length)
    for values, error in (bands, std), (np.square(bands - mean), spread):
        if not _equal_means(values, error, axis=1):
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
        _equal_means(drawn, std, axis=0)
        and _equal_means(squares, spread, axis=0),
    )


def _equal_means(values: np.ndarray, std: float, axis: int) -> bool:
    """Whether means along an axis differ by no more than random errors."""
    if not values.size:
        return True
    means = values.mean(axis)
    allowed = 2 * _ERRORS * std / math.sqrt(values.shape[axis])
    rounding = 1e-6 * float(np.abs(means).max())
    return float(np.ptp(means)) <= allowed + rounding


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


def ladder(initializer: Any, width: int) -> list[Sample]:
    """Statistics of small tables with increasing numbers of rows."""
    least = max(4, _LADDER[0] // width)
    counts = [least * numbers // _LADDER[0] for numbers in _LADDER]
    return [_sample(initializer, count, width) for count in counts]


def measured(
    initializer: Any, rows: int | None, width: int, ladder: list[Sample]
) -> Moments:
    """Moments of a `(rows, width)` table, measured on drawn tables.

    Args:
        initializer: A function of shape and dtype.
        rows: Integer, the number of rows; None for an open vocabulary.
        width: Integer, the number of columns.
        ladder: The result of `ladder(initializer, width)`.

    Raises:
        ValueError: If the table is too large to be drawn and its moments do
            not follow from those of smaller tables, or if they depend on an
            unknown number of rows.
    """
    last = ladder[-1]
    laws = _mean_law(ladder), _std_law(ladder)
    by_rows = any(law is None or law(1) != law(2) for law in laws)
    if rows is None:
        if by_rows:
            raise needs_rows(initializer)
        mean, std = (law(1) for law in laws if law is not None)
        return Moments(mean, std, alike=last.alike)
    own = _sample(initializer, min(rows, max(4, LARGEST_DRAW // width)), width)
    alike = last.alike and (own.alike or own.rows < last.rows)
    mean_error, std_error = _errors(own, last)
    mean_law, std_law = laws
    mean_holds = mean_law is not None and _agrees(
        mean_law(own.rows), own.mean, mean_error
    )
    std_holds = std_law is not None and _agrees(
        std_law(own.rows), own.std, std_error
    )
    if mean_law and std_law and mean_holds and std_holds:
        return Moments(mean_law(rows), std_law(rows), by_rows, alike)
    if own.rows < rows:
        raise ValueError(
            "The mean and standard deviation that `embeddings_initializer` "
            f"gives to a table of {rows} x {width} do not follow from those of "
            f"smaller tables, and only tables of up to {LARGEST_DRAW} numbers "
            f"are drawn. {FIX} Received: embeddings_initializer={initializer}"
        )
    found = 0.0 if _agrees(0.0, own.mean, mean_error) else own.mean
    if mean_law and mean_holds:
        found = mean_law(rows)
    return Moments(found, own.std, True, alike)


def _errors(sample: Sample, like: Sample) -> tuple[float, float]:
    """Standard errors of the mean and of the standard deviation.

    The relative error of the deviation comes from the larger sample `like`,
    since a small sample rarely includes the extreme numbers that determine it.
    """
    root = math.sqrt(sample.numbers)
    return sample.std / root, sample.std * like.std_error / root


def _agrees(predicted: float, found: float, error: float) -> bool:
    allowed = _ERRORS * error + _ROUNDING * abs(found)
    return abs(predicted - found) <= allowed


def _mean_law(ladder: Sequence[Sample]) -> Law | None:
    errors = [_errors(sample, ladder[-1])[0] for sample in ladder]
    if all(
        _agrees(0.0, s.mean, e) for s, e in zip(ladder, errors, strict=True)
    ):
        return lambda rows: 0.0
    return _law([s.rows for s in ladder], [s.mean for s in ladder], errors)


def _std_law(ladder: Sequence[Sample]) -> Law | None:
    errors = [_errors(sample, ladder[-1])[1] for sample in ladder]
    return _law([s.rows for s in ladder], [s.std for s in ladder], errors)


def _law(
    counts: Sequence[int], values: Sequence[float], errors: Sequence[float]
) -> Law | None:
    """The law that a statistic follows in the number of rows, or None.

    The candidates are powers of the number of rows, and a law whose inverse
    square is linear in it, as for a fan of rows and columns.

    Args:
        counts: Numbers of rows.
        values: Values of the statistic, one for each number of rows.
        errors: Standard errors of the values.
    """
    first, last = values[0], values[-1]

    def power(exponent: float) -> Law:
        return lambda rows: last * (rows / counts[-1]) ** exponent

    laws = [power(exponent) for exponent in _POWERS]
    if first > last > 0:
        slope = (last**-2 - first**-2) / (counts[-1] - counts[0])
        start = last**-2 - slope * counts[-1]
        laws.append(lambda rows: max(start + slope * rows, 1e-30) ** -0.5)
    for law in laws:
        if all(
            _agrees(law(rows), value, error + errors[-1])
            for rows, value, error in zip(counts, values, errors, strict=True)
        ):
            return law
    return None
