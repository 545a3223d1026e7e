"""Factors of the rows and columns of a table, one for each tensor core."""

import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial

Shape = tuple[int, ...]

# Up to this many cores, all row factors near the optimum are compared. Their
# number grows exponentially.
MOST_SEARCHED = 12


@lru_cache
def balanced_row_shape(rows: int, cores: int) -> Shape:
    """TT-Rec's factors of the number of rows, as equal as possible.

    The number is rounded up to a multiple of each power of ten in turn. Of all
    products of `cores` factors that give one of these numbers, the one whose
    factors, divided by their sum, have the largest entropy is chosen.

    Returns:
        Factors in the order of TT-Rec's table 2; their product is at least
        `rows`.
    """
    steps = [10**power for power in range(len(str(rows)))]
    numbers = [-(-rows // step) * step for step in steps]
    # Most of the many products cannot exceed the entropy of a simple one.
    known = max(_entropy(_near_equal_factors(n, cores)) for n in numbers)
    best: tuple[float, Shape] = (-math.inf, ())
    for number in numbers:
        for shape in _factorizations(number, cores, known - 1e-9):
            entropy = _entropy(shape)
            # Rounding errors must not decide between equal entropies.
            if entropy > best[0] + 1e-12:
                best = entropy, shape
    # The two ascending halves are interleaved: x0 x2 x1 x3 for four cores.
    ascending = sorted(best[1])
    half = -(-cores // 2)
    pairs = itertools.zip_longest(ascending[:half], ascending[half:])
    interleaved = [f for pair in pairs for f in pair if f is not None]
    return tuple(ascending) if cores < 4 else tuple(interleaved)


def min_params_row_shape(
    rows: int, columns: Sequence[int], rank: int, ring: bool = False
) -> Shape:
    """The row factors with the fewest parameters at a given rank.

    One more digit costs r² q parameters in an inner core and r q in an outer
    core, so the inner factors are smaller than the outer ones.

    Args:
        rows: n, the number of rows, a lower bound of the factors' product.
        columns: The factors q of the row length, one for each core.
        rank: The rank r.
        ring: Whether the outer cores, too, have the rank on both sides.
    """
    cost = _digit_costs(columns, rank, ring)

    def total(shape: Sequence[int]) -> int:
        return sum(c * p for c, p in zip(cost, shape, strict=True))

    near = _shapes_near_optimum if len(cost) <= MOST_SEARCHED else _rounded
    balanced = balanced_row_shape(rows, len(cost))
    return min(itertools.chain([balanced], near(rows, cost)), key=total)


def _digit_costs(columns: Sequence[int], rank: int, ring: bool) -> list[int]:
    """Number of parameters that one more row digit adds to each core."""
    if ring:
        return [q * rank * rank for q in columns]
    last = len(columns) - 1
    return [
        q * (1 if k == 0 else rank) * (1 if k == last else rank)
        for k, q in enumerate(columns)
    ]


def _shapes_near_optimum(rows: int, cost: Sequence[int]) -> Iterator[Shape]:
    """Row factors near those that are optimal over the reals."""
    # There, the cost is equal in every core. The last factor is the smallest
    # that reaches `rows`.
    scale = _root(rows * math.prod(cost), len(cost))
    ideal = [max(1.0, scale / c) for c in cost]
    tried = 200 if len(cost) < 4 else 10
    for head in itertools.product(*(_around(x, tried) for x in ideal[:-1])):
        yield (*head, -(-rows // math.prod(head)))


def _rounded(rows: int, cost: Sequence[int]) -> Iterator[Shape]:
    """Row factors near the optimum, rounded one after the other.

    The most expensive factors come first. Each is rounded up or down so that
    the cost is lower if the factors after it need not be integers.
    """
    shape = [1] * len(cost)
    left = float(rows)
    *head, last = sorted(range(len(cost)), key=lambda k: -cost[k])
    for place, k in enumerate(head):
        rest = [cost[i] for i in (*head[place + 1 :], last)]
        ideal = _real_factors(left, [cost[k], *rest])[0]

        shape[k] = min(
            (math.floor(ideal), math.ceil(ideal)),
            key=partial(_total_beyond, left, cost[k], rest),
        )
        left = max(1.0, left / shape[k])
    shape[last] = -(-rows // math.prod(shape))
    yield tuple(shape)


def _total_beyond(
    rows: float, cost: int, rest: Sequence[int], factor: int
) -> float:
    """Cost of a factor and of the best real factors after it."""
    parts = _real_factors(max(1.0, rows / factor), rest)
    return cost * factor + sum(map(operator.mul, rest, parts))


def _real_factors(rows: float, cost: Sequence[int]) -> list[float]:
    """Factors of at least 1 with the least cost, for costs in any order."""
    free = sorted(cost)
    while True:
        logs = math.log(rows) + sum(map(math.log, free))
        scale = math.exp(logs / len(free))
        if scale >= free[-1] or len(free) == 1:
            return [max(1.0, scale / c) for c in cost]
        free.pop()  # its factor would be less than 1


def _root(number: int, degree: int) -> float:
    """A root of a positive integer, which may exceed the range of floats."""
    try:
        return number ** (1 / degree)
    except OverflowError:
        return math.exp(math.log(number) / degree)


def _around(x: float, count: int) -> range:
    """Integers within 10 % of x, about `count` of them at most."""
    low, high = max(1, math.floor(0.9 * x)), math.ceil(1.1 * x) + 1
    return range(low, high, max(1, (high - low) // count))


def _entropy(shape: Sequence[int]) -> float:
    """Entropy of factors that are divided by their sum."""
    total = sum(shape)
    return -sum(f / total * math.log(f / total) for f in shape)


def _near_equal_factors(number: int, count: int) -> Shape:
    """Factors of a number, each as close to a root as a divisor can be."""
    found = []
    for left in range(count, 0, -1):
        root = round(number ** (1 / left), 9)
        factor = max(d for d in _divisors(number) if d <= root or d == 1)
        found.append(number if left == 1 else factor)
        number //= found[-1]
    return tuple(found)


@lru_cache(maxsize=1 << 16)
def _divisors(number: int) -> Shape:
    """All divisors of a number, ascending."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    large = [number // d for d in reversed(small) if d * d != number]
    return (*small, *large)


def _entropy_bound(head: Sequence[int], number: int, count: int) -> float:
    """An upper bound on the entropy of factors that begin with `head`.

    Args:
        head: The first factors.
        number: The product of the others.
        count: Number of the others, whose sum is least if they are equal.
    """
    if not head:
        return math.inf
    total, inner = sum(head), _entropy(head)
    others = count * number ** (1 / count)
    # Let w be the share of the others in the sum of all factors. Their own
    # entropy is at most log(count). This is largest at one w; w is at least
    # that of equal factors.
    share = max(others / (total + others), count / (count + math.exp(inner)))
    parts = -share * math.log(share) - (1 - share) * math.log(1 - share)
    return parts + (1 - share) * inner + share * math.log(count)


def _factorizations(
    number: int, count: int, least_entropy: float, head: Shape = ()
) -> Iterator[Shape]:
    """Ascending tuples of `count` factors whose product is `number`.

    Args:
        number, count: Integers.
        least_entropy: Tuples of less entropy may be left out.
        head: The factors before these.
    """
    least = head[-1] if head else 1
    if count == 1:
        if number >= least:
            yield (*head, number)
        return
    if _entropy_bound(head, number, count) < least_entropy:
        return
    for factor in _divisors(number):
        if factor**count > number:
            return
        if factor >= least:
            yield from _factorizations(
                number // factor, count - 1, least_entropy, (*head, factor)
            )


def column_shape(columns: int, cores: int) -> Shape:
    """Exact factors of the row length, the largest last.

    The last core has the fewest parameters for its size, so it gets the
    largest factor: for 16 and three cores, (2, 2, 4).
    """
    shapes = _factorizations(columns, cores, -math.inf)
    best = min(shapes, key=lambda f: (sum(f), f))
    return tuple(sorted(best))
