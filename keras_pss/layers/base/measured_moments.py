"""Moments of tables of an initializer that is not one of Keras'.

The table is drawn in full where it is small, and smaller ones where it is
not: its mean and standard deviation follow from theirs if they obey a simple
law in the number of rows.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

# Numbers of the tables that are drawn to find a law in the number of rows, and
# of the largest that is drawn to check it.
_LADDER = tuple(1 << bits for bits in (14, 16, 18, 20))
LARGEST_DRAW = 1 << 22

# Statistics that are equal differ by no more than so many standard errors, and
# by the rounding of float32.
_ERRORS = 6
_ROUNDING = 1e-4

# Powers of the number of rows by which initializers scale.
_POWERS = (0, -1 / 2, -1, -1 / 3, -1 / 4, 1 / 4, 1 / 3, 1 / 2, 1)

# Bands of consecutive rows whose statistics are compared.
_BANDS = 16

FIX = (
    "Use an initializer whose numbers are all drawn alike, such as "
    "`keras.initializers.RandomUniform(-0.05, 0.05)` with the bounds that you "
    "want, or a FullEmbedding or QuantizedEmbedding, which hold any table."
)


class Moments(NamedTuple):
    """What is known of the entries of a table.

    Attributes:
        mean: Their mean.
        std: Their standard deviation.
        by_rows: Whether mean or std depend on the number of rows.
        alike: Whether all columns have the same mean and std.
    """

    mean: float
    std: float
    by_rows: bool = False
    alike: bool = True


def needs_rows(initializer: Any) -> ValueError:
    """The error for a scale that depends on rows which are not known."""
    return ValueError(
        "An initializer that scales with the table's rows needs "
        "`input_dim`. Give `input_dim`, or an initializer such as "
        "`keras.initializers.RandomUniform(-0.05, 0.05)`. "
        f"Received: embeddings_initializer={initializer}"
    )


class Sample(NamedTuple):
    """Statistics of a table that was drawn, with their standard errors."""

    rows: int
    mean: float
    mean_error: float
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
                "place in the table, which the parameters of this method "
                f"cannot follow. {FIX} "
                f"Received: embeddings_initializer={initializer}"
            )
    return Sample(
        rows,
        mean,
        std / math.sqrt(drawn.size),
        std,
        spread / max(2 * std, 1e-30) / math.sqrt(drawn.size),
        _equal_means(drawn, std, axis=0)
        and _equal_means(squares, spread, axis=0),
    )


def _equal_means(values: np.ndarray, std: float, axis: int) -> bool:
    """Whether means along an axis differ by no more than chance."""
    if not values.size:
        return True
    means = values.mean(axis)
    allowed = 2 * _ERRORS * std / math.sqrt(values.shape[axis])
    rounding = 1e-6 * float(np.abs(means).max())
    return float(np.ptp(means)) <= allowed + rounding


def _drawn(initializer: Any, shape: tuple[int, int]) -> np.ndarray:
    """A table of an initializer of the user's, in float64.

    Raises:
        ValueError: If it cannot draw one of that shape.
    """
    try:
        drawn = ops.convert_to_numpy(initializer(shape, dtype="float32"))
    except Exception as error:  # whatever a function of the user's raises
        raise _refused(initializer, shape, repr(error)) from error
    if np.shape(drawn) != shape:
        given = f"numbers of shape {np.shape(drawn)}"
        raise _refused(initializer, shape, given)
    return np.asarray(drawn, np.float64)


def _refused(initializer: Any, shape: tuple[int, int], what: str) -> ValueError:
    return ValueError(
        "`embeddings_initializer` must draw tables of any number of rows for a "
        f"method whose parameters are not the table. {FIX} "
        f"Received: embeddings_initializer={initializer}, which for shape "
        f"{shape} gave {what}"
    )


def ladder(initializer: Any, width: int) -> list[Sample]:
    """Statistics of small tables of growing numbers of rows."""
    least = max(4, _LADDER[0] // width)
    counts = [least * numbers // _LADDER[0] for numbers in _LADDER]
    return [_sample(initializer, count, width) for count in counts]


def measured(
    initializer: Any, rows: int | None, width: int, ladder: list[Sample]
) -> Moments:
    """Moments of a `(rows, width)` table, from drawn ones.

    Args:
        initializer: A function of shape and dtype.
        rows, width: The shape; no rows for an open vocabulary.
        ladder: Tables of `ladder(initializer, width)`.
    """
    means = [(s.rows, s.mean, s.mean_error) for s in ladder]
    stds = [(s.rows, s.std, s.std_error) for s in ladder]
    laws = _law(means), _law(stds)
    constant = [law is not None and law(1) == law(2) for law in laws]
    if rows is None:
        if not all(constant):
            raise needs_rows(initializer)
        return Moments(ladder[-1].mean, ladder[-1].std, alike=ladder[-1].alike)
    own = _sample(initializer, min(rows, max(4, LARGEST_DRAW // width)), width)
    alike = own.alike and ladder[-1].alike
    predicted = [None if law is None else law(own.rows) for law in laws]
    if _agrees(predicted[0], own.mean, own.mean_error) and _agrees(
        predicted[1], own.std, own.std_error
    ):
        mean, std = (law(rows) for law in laws if law is not None)
        return Moments(mean, std, not all(constant), alike)
    if own.rows == rows:
        return Moments(own.mean, own.std, True, alike)
    raise ValueError(
        "The mean and standard deviation that `embeddings_initializer` gives "
        f"to a table of {rows} x {width} do not follow from those of smaller "
        f"ones. Tables are drawn in full up to {LARGEST_DRAW} numbers. {FIX} "
        f"Received: embeddings_initializer={initializer}"
    )


def _agrees(predicted: float | None, found: float, error: float) -> bool:
    return predicted is not None and abs(predicted - found) <= (
        _ERRORS * error + _ROUNDING * abs(found)
    )


def _law(
    points: Sequence[tuple[int, float, float]],
) -> Callable[[int], float] | None:
    """The law that a statistic follows in the number of rows, if any.

    A power of the number, or an inverse square that is linear in it, as with
    a fan of rows and columns.

    Args:
        points: Number of rows, the statistic, and its standard error.
    """
    first, last = points[0], points[-1]
    if all(_agrees(0.0, value, error) for _, value, error in points):
        return lambda rows: 0.0

    def power(exponent: float) -> Callable[[int], float]:
        return lambda rows: last[1] * (rows / last[0]) ** exponent

    laws = [power(exponent) for exponent in _POWERS]
    if first[1] > last[1] > 0:
        slope = (last[1] ** -2 - first[1] ** -2) / (last[0] - first[0])

        def fan(rows: int) -> float:
            return (last[1] ** -2 + slope * (rows - last[0])) ** -0.5

        # Below the rows that were drawn a fan may be no number.
        if last[1] ** -2 > slope * last[0]:
            laws.append(fan)
    for law in laws:
        if all(
            _agrees(law(rows), value, error + last[2])
            for rows, value, error in points
        ):
            return law
    return None
