"""Tensor trains: shapes of the cores, digits of an id, the contraction.

Row i, column j of the table is the product of one slice of each core,

    E[i, j] = G_1[i_1, j_1] G_2[i_2, j_2] ... G_D[i_D, j_D],

matrices of r_{k-1} x r_k with r_0 = r_D = 1; the digits i_k of the id and j_k
of the column are taken most significant first.

Reference: Yin et al., "TT-Rec: tensor train compression for deep learning
recommendation models" (MLSys 2021), equations 3 to 5 and table 2.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from keras import ops

from keras_pss.ops import gather

Tensor = Any
Shape = tuple[int, ...]


@lru_cache
def balanced_row_shape(rows: int, cores: int) -> Shape:
    """TT-Rec's factors of the number of rows: as equal as they come.

    The number is rounded up to each power of ten in turn; of all the ways to
    write these as a product of `cores` factors the one of largest entropy
    (of the factors over their sum) is taken.

    Returns:
        Factors in the order of TT-Rec's table 2, product at least `rows`.
    """
    best: tuple[float, Shape] = (-math.inf, ())
    for power in range(len(str(rows))):
        step = 10**power
        rounded = -(-rows // step) * step
        for shape in _factorizations(rounded, cores):
            total = sum(shape)
            entropy = -sum(f / total * math.log(f / total) for f in shape)
            # A tie of equal factors written twice must not change the choice.
            if entropy > best[0] + 1e-12:
                best = entropy, shape
    # Ascending halves dealt in turn: x0 x2 x1 x3 for four cores.
    ascending = sorted(best[1])
    half = -(-cores // 2)
    pairs = itertools.zip_longest(ascending[:half], ascending[half:])
    dealt = [f for pair in pairs for f in pair if f is not None]
    return tuple(ascending) if cores < 4 else tuple(dealt)


def min_params_row_shape(
    rows: int, columns: Sequence[int], rank: int, ring: bool = False
) -> Shape:
    """The row factors that need the fewest parameters at a given rank.

    A digit of an inner core costs r² q parameters and one of an outer core
    r q, so inner factors come out smaller than with equal ones.

    Args:
        rows: n; the product of the factors is at least this.
        columns: The factors q of a row, one for each core.
        rank: r.
        ring: Whether the outer cores have the rank on both sides as well.
    """
    cost = _digit_costs(columns, rank, ring)

    def total(shape: Sequence[int]) -> int:
        return sum(c * p for c, p in zip(cost, shape, strict=True))

    # For real factors, equal cost in every core is the optimum; the integers
    # are searched around it, the last factor closing the product.
    scale = (rows * math.prod(cost)) ** (1 / len(cost))
    ideal = [max(1.0, scale / c) for c in cost]
    tried = 200 if len(cost) < 4 else 10
    heads = itertools.product(*(_around(x, tried) for x in ideal[:-1]))
    shapes = [(*head, -(-rows // math.prod(head))) for head in heads]
    return min([balanced_row_shape(rows, len(cost)), *shapes], key=total)


def column_shape(columns: int, cores: int) -> Shape:
    """Factors of a row's length, never rounded up, largest last.

    The last core has the fewest parameters for its size, so it takes the
    largest factor: 16 in three is (2, 2, 4).
    """
    best = min(_factorizations(columns, cores), key=lambda f: (sum(f), f))
    return tuple(sorted(best))


def ranks(
    rank: int | Sequence[int], rows: Sequence[int], columns: Sequence[int]
) -> Shape:
    """Ranks r_0 .. r_D; a single one is cut where a core cannot use it.

    No boundary needs a rank above the number of entries on either side.
    """
    sizes = [p * q for p, q in zip(rows, columns, strict=True)]
    if isinstance(rank, int):
        inner = [
            min(rank, math.prod(sizes[:k]), math.prod(sizes[k:]))
            for k in range(1, len(sizes))
        ]
    else:
        inner = list(rank)
    return (1, *inner, 1)


def core_shapes(
    rows: Sequence[int], columns: Sequence[int], ranks: Sequence[int]
) -> list[tuple[int, int, int, int]]:
    """(p_k, r_{k-1}, q_k, r_k) of each core."""
    return [
        (p, ranks[k], q, ranks[k + 1])
        for k, (p, q) in enumerate(zip(rows, columns, strict=True))
    ]


def digits(ids: Tensor, rows: Sequence[int]) -> list[Tensor]:
    """Digits of ids in the mixed radix `rows`, most significant first."""
    found = []
    for base in reversed(rows[1:]):
        quotient = ids // base
        found.append(ids - quotient * base)
        ids = quotient
    return [ids, *reversed(found)]


def contract(
    slices: Sequence[Tensor], shapes: Sequence[tuple[int, int, int, int]]
) -> Tensor:
    """Product of core slices: `(n, r q r')` each to rows `(n, prod(q))`.

    One batched matrix product after the other; an einsum of three operands
    would choose a far slower order. In a ring the first core has the rank of
    the last one on its left, and a row is the trace over it.
    """
    _, first, columns, rank = shapes[0]
    columns *= first
    result = ops.reshape(slices[0], (-1, columns, rank))
    *inner, last = list(zip(slices, shapes, strict=True))[1:]
    for part, (_, left, width, right) in inner:
        part = ops.reshape(part, (-1, left, width * right))
        columns *= width
        # (n, Q, r) x (n, r, q r') -> (n, Q q, r'), Q with the first rank
        result = ops.reshape(ops.matmul(result, part), (-1, columns, right))
    part, (_, left, width, right) = last
    if right == 1:
        part = ops.reshape(part, (-1, left, width))
        return ops.reshape(ops.matmul(result, part), (-1, columns * width))
    # The trace sums over the rank on the left of the first core as well as
    # over the one before the last: (n, Q, a r) x (n, a r, q) -> (n, Q q).
    columns //= first
    result = ops.reshape(result, (-1, first, columns, left))
    result = ops.reshape(
        ops.transpose(result, (0, 2, 1, 3)), (-1, columns, first * left)
    )
    part = ops.reshape(part, (-1, left, width, right))
    part = ops.reshape(
        ops.transpose(part, (0, 3, 1, 2)), (-1, right * left, width)
    )
    return ops.reshape(ops.matmul(result, part), (-1, columns * width))


def take_rows(
    cores: Sequence[Tensor],
    shapes: Sequence[tuple[int, int, int, int]],
    ids: Tensor,
) -> Tensor:
    """The rows of ids, `(n, prod(q))`, out of the whole table.

    One product of two large matrices after the other, however many ids there
    are; for tables that are not much larger than a batch.

    Args:
        cores: `(p, r q r')` each.
        shapes: Of the cores.
        ids: `(n,)` integers below `prod(p)`.
    """
    shaped = [ops.reshape(c, s) for c, s in zip(cores, shapes, strict=True)]
    first, *inner, last = shaped
    # (first rank a, rows P, columns Q, rank m), rows and columns growing.
    table = ops.transpose(first, (1, 0, 2, 3))
    for core in inner:
        # (a P Q, m) x (m, p q m')
        a, rows, columns, rank = table.shape
        p, _, q, right = core.shape
        core = ops.reshape(ops.transpose(core, (1, 0, 2, 3)), (rank, -1))
        table = ops.matmul(ops.reshape(table, (-1, rank)), core)
        table = ops.reshape(table, (a, rows, columns, p, q, right))
        table = ops.transpose(table, (0, 1, 3, 2, 4, 5))
        table = ops.reshape(table, (a, rows * p, columns * q, right))
    # The trace of a ring: (P Q, a m) x (a m, p q)
    a, rows, columns, rank = table.shape
    p, _, q, _ = last.shape
    table = ops.reshape(ops.transpose(table, (1, 2, 0, 3)), (-1, a * rank))
    last = ops.reshape(ops.transpose(last, (3, 1, 0, 2)), (a * rank, -1))
    table = ops.reshape(ops.matmul(table, last), (rows, columns, p, q))
    table = ops.transpose(table, (0, 2, 1, 3))
    return gather.rows(ops.reshape(table, (rows * p, columns * q)), ids)


def flops(shapes: Sequence[tuple[int, int, int, int]]) -> int:
    """Additions and multiplications of `contract` for one row."""
    total, columns = 0, shapes[0][1] * shapes[0][2]
    for _, left, width, right in shapes[1:-1]:
        total += 2 * columns * left * width * right
        columns *= width
    _, left, width, _ = shapes[-1]
    return total + 2 * columns * left * width


def mean_square(
    cores: Sequence[Tensor], shapes: Sequence[tuple[int, int, int, int]]
) -> Tensor:
    """Mean of the squared entries of the whole table, never built.

    One r x r Gram matrix goes along the train: V <- Σ_{i,j} G[i,j]' V G[i,j].
    """
    gram = ops.ones((1, 1))
    for core, (rows, left, width, right) in zip(cores, shapes, strict=True):
        core = ops.reshape(core, (rows, left, width, right))
        turned = ops.einsum("rt,prqs->ptqs", gram, core)
        gram = ops.einsum("ptqs,ptqu->su", turned, core) / (rows * width)
    return gram[0, 0]


def _digit_costs(columns: Sequence[int], rank: int, ring: bool) -> list[int]:
    """Parameters of one more row digit in each core."""
    if ring:
        return [q * rank * rank for q in columns]
    last = len(columns) - 1
    return [
        q * (1 if k == 0 else rank) * (1 if k == last else rank)
        for k, q in enumerate(columns)
    ]


def _around(x: float, count: int) -> range:
    """Integers within a tenth of x, about `count` of them at most."""
    low, high = max(1, math.floor(0.9 * x)), math.ceil(1.1 * x) + 1
    return range(low, high, max(1, (high - low) // count))


def _factorizations(number: int, count: int, least: int = 1) -> Iterator[Shape]:
    """All ascending tuples of `count` factors whose product is `number`."""
    if count == 1:
        if number >= least:
            yield (number,)
        return
    factor = least
    while factor**count <= number:
        if number % factor == 0:
            for rest in _factorizations(number // factor, count - 1, factor):
                yield (factor, *rest)
        factor += 1
