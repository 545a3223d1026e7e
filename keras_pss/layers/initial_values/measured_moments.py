"""Measures the moments of tables for initializers that are not Keras'.

A small table is drawn repeatedly. For a large table, smaller ones are drawn,
and its mean and standard deviation are extrapolated by the law in the number
of rows that fits theirs best.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from keras_pss.layers.initial_values.table_samples import (
    ERRORS,
    FIX,
    NUMBERS,
    ROUNDING,
    Sample,
    agrees,
    errors,
    sample,
)

# Up to this many numbers, tables are measured by themselves.
SMALL = NUMBERS
# Sizes, in numbers, of the tables that are drawn to find a law in the number
# of rows, and of the largest table that is drawn to check it.
_SIZES = (1 << 12, 1 << 15, NUMBERS)
LARGEST_DRAW = 1 << 22

# Exponents of the number of rows that the laws try.
_POWERS = (0, -1 / 2, -1, -1 / 3, -1 / 4, 1 / 4, 1 / 3, 1 / 2, 1)

Law = Callable[[int], float]


class Moments(NamedTuple):
    """Mean and standard deviation of the entries of a table.

    Attributes:
        mean: Mean of the entries.
        std: Standard deviation of the entries.
        by_rows: Whether `mean` or `std` depends on the number of rows.
        same_columns: Whether all columns have the same mean and std.
    """

    mean: float
    std: float
    by_rows: bool = False
    same_columns: bool = True


def needs_rows(initializer: Any) -> ValueError:
    """The error for a scale that depends on an unknown number of rows."""
    return ValueError(
        "An initializer whose scale depends on the number of rows needs "
        "`input_dim`. Give `input_dim`, or an initializer such as "
        "`keras.initializers.RandomUniform(-0.05, 0.05)`. "
        f"Received: embeddings_initializer={initializer}"
    )


class Laws(NamedTuple):
    """Laws in the number of rows that the moments of tables follow.

    Attributes:
        mean, std: Functions of the number of rows.
        by_rows: Whether one of them depends on the number of rows.
        largest: Statistics of the largest table that determined them.
        same_columns: Whether the columns of all tables have the same moments.
    """

    mean: Law
    std: Law
    by_rows: bool
    largest: Sample
    same_columns: bool

    def hold(self, other: Sample) -> bool:
        """Whether tables of another number of rows follow the laws."""
        mean_error, std_error = errors(other, self.largest)
        # The laws have the relative errors of the table they are scaled to.
        both = 1 + math.sqrt(other.numbers / self.largest.numbers)
        mean_error, std_error = mean_error * both, std_error * both
        return agrees(self.mean(other.rows), other.mean, mean_error) and agrees(
            self.std(other.rows), other.std, std_error
        )


class _Shared(NamedTuple):
    rows: int
    found: dict[tuple[int, int], tuple[Any, Laws, bool, int]]


_shared: ContextVar[_Shared | None] = ContextVar(
    "keras_pss_shared_moments", default=None
)


@contextmanager
def shared(row_counts: Sequence[int | None]) -> Iterator[None]:
    """Measures each initializer once for all tables that are built within.

    Args:
        row_counts: Numbers of rows of the tables.
    """
    rows = max((rows for rows in row_counts if rows is not None), default=0)
    token = _shared.set(_Shared(rows, {}))
    try:
        yield
    finally:
        _shared.reset(token)


def measured(
    initializer: Any, row_counts: Sequence[int | None], width: int
) -> list[Moments]:
    """Moments of `(rows, width)` tables, measured on drawn tables.

    Args:
        initializer: A function of shape and dtype.
        row_counts: Number of rows of each table; None for an open vocabulary.
        width: Integer, the number of columns.

    Raises:
        ValueError: If a table is too large to be drawn and its moments do not
            follow from those of smaller tables, or if they depend on an
            unknown number of rows.
    """
    largest = max((rows for rows in row_counts if rows is not None), default=0)
    laws, verified = _verified_laws(initializer, width, largest)
    found: dict[int | None, Moments] = {}
    for rows in dict.fromkeys(row_counts):
        if rows is None:
            if laws.by_rows:
                raise needs_rows(initializer)
            moments = laws.mean(1), laws.std(1)
            found[rows] = Moments(*moments, same_columns=laws.same_columns)
        elif verified and rows * width > SMALL:
            moments = laws.mean(rows), laws.std(rows)
            found[rows] = Moments(*moments, laws.by_rows, laws.same_columns)
        else:
            found[rows] = _own_moments(initializer, rows, width, laws)
    return [found[rows] for rows in row_counts]


def _verified_laws(
    initializer: Any, width: int, rows: int
) -> tuple[Laws, bool]:
    """The best laws, and whether a large table of up to `rows` follows them."""
    context = _shared.get()
    key = id(initializer), width
    rows = max(rows, context.rows if context else 0)
    rows = min(rows, LARGEST_DRAW // width)
    if context is not None and key in context.found:
        _, laws, verified, checked = context.found[key]
        if rows <= checked:
            return laws, verified
    laws = _laws(initializer, width)
    is_large = rows > laws.largest.rows
    verified = not is_large or laws.hold(sample(initializer, rows, width))
    if context is not None:  # holds the initializer, so its id stays valid
        context.found[key] = initializer, laws, verified, rows
    return laws, verified


def _own_moments(
    initializer: Any, rows: int, width: int, laws: Laws
) -> Moments:
    """Moments of a table that is drawn itself."""
    if rows * width > LARGEST_DRAW:
        raise ValueError(
            "The mean and standard deviation that `embeddings_initializer` "
            f"gives to a table of {rows} x {width} do not follow from those of "
            f"smaller tables, and only tables of up to {LARGEST_DRAW} numbers "
            f"are drawn. {FIX} Received: embeddings_initializer={initializer}"
        )
    own = sample(initializer, rows, width)
    held = laws.hold(own)
    mean, std = own.mean, own.std
    # The laws are more precise than a table that is the same in each draw, or
    # than a limited number of small tables of the same distribution.
    if held and (own.fixed or not laws.by_rows):
        mean, std = laws.mean(rows), laws.std(rows)
    if agrees(0.0, own.mean, errors(own, laws.largest)[0]):
        mean = 0.0
    same_columns = own.same_columns and laws.same_columns
    return Moments(mean, std, laws.by_rows or not held, same_columns)


def _laws(initializer: Any, width: int) -> Laws:
    """The laws that describe tables of increasing numbers of rows best."""
    counts = [max(4 << 2 * k, s // width) for k, s in enumerate(_SIZES)]
    samples = [sample(initializer, count, width) for count in counts]
    largest = samples[-1]
    deviations = [errors(each, largest) for each in samples]
    means = [each.mean for each in samples]
    by_rows = False
    mean: Law = _constant(0.0)
    if not all(
        agrees(0.0, m, e) for m, (e, _) in zip(means, deviations, strict=True)
    ):
        mean, by_rows = _best(counts, means, [e for e, _ in deviations], width)
    stds = [each.std for each in samples]
    std, std_by_rows = _best(counts, stds, [e for _, e in deviations], width)
    return Laws(
        mean,
        std,
        by_rows or std_by_rows,
        largest,
        all(each.same_columns for each in samples[1:]),
    )


def _constant(value: float) -> Law:
    return lambda rows: value


def _best(
    counts: Sequence[int],
    values: Sequence[float],
    deviations: Sequence[float],
    width: int,
) -> tuple[Law, bool]:
    """The law that fits best, and whether it depends on the number of rows.

    The candidates are powers of the number of rows, and the average of the
    numbers of rows and columns to the power of -1/2. If none fits, it is a law
    whose inverse square is linear in the number of rows.

    Args:
        counts: Numbers of rows.
        values: Values of the statistic, one for each number of rows.
        deviations: Standard errors of the values.
        width: Number of columns.
    """
    first, last = values[0], values[-1]
    both = [e + deviations[-1] + ROUNDING * abs(last) for e in deviations]

    def power(exponent: float, added: int = 0) -> Law:
        scale = counts[-1] + added
        return lambda rows: last * ((rows + added) / scale) ** exponent

    def worst(law: Law) -> float:
        """The largest deviation from a law, in standard errors."""
        each = zip(counts, values, both, strict=True)
        return max(abs(law(n) - v) / (e or 1e-300) for n, v, e in each)

    laws = [*map(power, _POWERS), power(-1 / 2, width)]
    best = min(laws, key=worst)
    if worst(best) > ERRORS and first > last > 0:
        slope = (last**-2 - first**-2) / (counts[-1] - counts[0])
        start = last**-2 - slope * counts[-1]
        return lambda rows: max(start + slope * rows, 1e-30) ** -0.5, True
    return best, best is not laws[0]
