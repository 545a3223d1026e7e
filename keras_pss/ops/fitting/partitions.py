"""Tables whose rows are combined from a row for each digit of the id.

    E[i] = T_0[i_0] ∘ T_1[i_1] ∘ ...

Sums are a sparse linear lookup, and concatenated rows are bucket means. In a
product every column is apart: with two digits it is a matrix (quotient times
remainder) of rank one, whose best one is its first singular pair (Eckart and
Young, "The approximation of one matrix by another of lower rank", 1936). With
weights, with more digits, and where the last quotient has not all remainders,
alternating least squares improve on that: given the other tables, each number
of a table has a closed form.
"""

from collections.abc import Callable, Sequence

import numpy as np

from keras_pss.ops.fitting import least_squares, single_reads
from keras_pss.ops.fitting.trained_table import TrainedTable

# Function from ids `(n,)` to their row in each table.
Digits = Callable[[np.ndarray], Sequence[np.ndarray]]

# Numbers of the Gram matrices of all columns together.
_LARGEST_GRAM = 1 << 24
_ROUNDS = 20
# Least relative improvement of the squared error in a round.
_IMPROVED = 1e-4


def concatenated(
    table: TrainedTable, digits: Digits, sizes: Sequence[int]
) -> list[np.ndarray]:
    """Tables of equal parts of a row; `sizes` are their numbers of rows."""
    width = table.width // len(sizes)

    def part(place: int) -> np.ndarray:
        columns = slice(place * width, (place + 1) * width)
        return single_reads.bucket_means(
            (
                (digits(b.ids)[place], b.rows[:, columns], b.weights)
                for b in table.blocks()
            ),
            sizes[place],
            width,
        )

    return [part(place) for place in range(len(sizes))]


def added(
    table: TrainedTable, digits: Digits, sizes: Sequence[int]
) -> list[np.ndarray]:
    """Tables whose rows are summed."""
    firsts = np.cumsum([0, *sizes])

    def design(ids: np.ndarray) -> tuple[np.ndarray, None]:
        return np.stack(digits(ids), axis=1) + firsts[:-1], None

    rows = least_squares.solved(table, design, int(firsts[-1]))
    return np.split(rows, firsts[1:-1])


def multiplied(
    table: TrainedTable, digits: Digits, sizes: Sequence[int]
) -> list[np.ndarray]:
    """Tables whose rows are multiplied."""
    # Products of which counts determine only one factor can be huge, and new
    # rows of a log have ids without counts: so all ids count something.
    table = table.smoothed()
    random = np.random.default_rng(0)
    found = [random.normal(size=(rows, table.width)) for rows in sizes]
    order = list(range(len(sizes)))
    if len(sizes) == 2:
        small = int(np.argmin(sizes))
        if sizes[small] ** 2 * table.width <= _LARGEST_GRAM:
            found[small] = _singular_vectors(table, sizes, small)
            order = [1 - small, small]
    before = np.inf
    for _ in range(_ROUNDS):
        for place in order:
            kept = _update(table, digits, found, place)
        if before < np.inf and kept - before <= _IMPROVED * kept:
            break
        before = kept
    return _balanced(found)


def _singular_vectors(
    table: TrainedTable, sizes: Sequence[int], small: int
) -> np.ndarray:
    """First singular vectors of each column as a matrix of two digits.

    Args:
        table: The table, whose missing rows count as zeros.
        sizes: Numbers of quotients and remainders.
        small: Which of them the vectors are of, `(sizes[small], width)`.
    """
    quotients, remainders = sizes
    count, width = sizes[small], table.width
    gram = np.zeros((width, count, count))
    if small:  # few remainders: whole quotients are consecutive rows
        step = max(1, table.step // remainders)
        for begin in range(0, quotients, step):
            end = min(begin + step, quotients)
            rows = _padded(table, begin * remainders, end * remainders)
            part = rows.reshape(end - begin, remainders, width)
            part = part.transpose(2, 1, 0)  # (width, remainders, quotients)
            gram += part @ part.transpose(0, 2, 1)
    else:
        step = max(1, table.step // quotients)
        for begin in range(0, remainders, step):
            end = min(begin + step, remainders)
            rows = np.stack(
                [
                    _padded(table, q * remainders + begin, q * remainders + end)
                    for q in range(quotients)
                ]
            )
            part = rows.transpose(2, 0, 1)  # (width, quotients, remainders)
            gram += part @ part.transpose(0, 2, 1)
    _, vectors = np.linalg.eigh(gram)
    return np.asarray(vectors[..., -1].T)


def _padded(table: TrainedTable, begin: int, end: int) -> np.ndarray:
    """Rows as float64, with zeros beyond the last one."""
    rows = np.zeros((end - begin, table.width))
    last = min(end, table.rows)
    if begin < last:
        rows[: last - begin] = table.at(begin, last)
    return rows


def _update(
    table: TrainedTable, digits: Digits, found: list[np.ndarray], place: int
) -> float:
    """Replaces one table by the best one for the others.

    Returns:
        The part of the weighted squared norm that the rows then have.
    """
    shape = found[place].T.shape
    sums, mass = np.zeros(shape), np.zeros(shape)
    for block in table.blocks():
        index = digits(block.ids)
        others = np.ones(block.rows.shape)
        for other, rows in enumerate(found):
            if other != place:
                others *= rows[index[other]]
        weighted = others * block.weights[:, None]
        first, second = weighted * block.rows, weighted * others
        for column in range(table.width):
            single_reads.add_at(sums[column], index[place], first[:, column])
            single_reads.add_at(mass[column], index[place], second[:, column])
    best = sums / np.where(mass > 0, mass, 1)
    found[place] = best.T.copy()
    return float((sums * best).sum())


def _balanced(tables: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The same products, with equal scales of all tables in each column."""
    scales = [np.sqrt(np.square(rows).mean(axis=0)) for rows in tables]
    mean = np.exp(
        np.mean([np.log(np.maximum(s, 1e-30)) for s in scales], axis=0)
    )
    return [
        rows * np.where(scale > 0, mean / np.where(scale > 0, scale, 1), 0)
        for rows, scale in zip(tables, scales, strict=True)
    ]
