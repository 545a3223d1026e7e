"""Products of neighbouring cores, which make lookups of tensor trains cheaper.

Cores of shapes (p, r, q, m) and (p', m, q', r') are one core of shape
(p p', r, q q', r'), whose slices are the products of theirs:

    G[(i, i'), a, (j, j'), b] = Σ_c G_1[i, a, j, c] G_2[i', c, j', b].

It represents the same table with more numbers, and a lookup multiplies fewer
slices.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Shape = tuple[int, int, int, int]

# Time of an addition or multiplication of a batched product in a TensorFlow
# graph, in times of a gathered number (.09 ns to .5 ns on a Xeon).
_FLOP = 0.2


@dataclass(frozen=True)
class CoreGroups:
    """A partition of cores into groups of neighbours.

    Attributes:
        ends: Numbers of the cores at which groups begin and end, from 0 to
            the number of cores.
        size: Numbers of all groups that have several cores.
        cost: Time of a lookup, in times of a gathered number.
    """

    ends: tuple[int, ...]
    size: int = 0
    cost: float = 0.0


def best_split(shapes: Sequence[Shape], most: int) -> CoreGroups:
    """The partition with the cheapest lookups.

    Args:
        shapes: The shapes `(p, r, q, r')` of two or more cores.
        most: Largest size of the merged groups, in numbers.

    Returns:
        At least two groups; one core each if no product is worth it or small
        enough.
    """
    count = len(shapes)
    # For each number of cores, the partitions than which none is smaller and
    # as cheap.
    found: list[list[CoreGroups]] = [[CoreGroups((0,))]]
    for end in range(1, count + 1):
        options = []
        for begin in range(end):
            if (begin, end) == (0, count):
                continue  # the whole table
            step = _step(shapes, begin, end)
            size = math.prod(merged_shape(shapes[begin:end]))
            if end - begin == 1:
                size = 0  # the core is there already
            options += [
                CoreGroups((*s.ends, end), s.size + size, s.cost + step)
                for s in found[begin]
                if s.size + size <= most
            ]
        found.append(_undominated(options))
    return min(found[count], key=lambda split: split.cost)


def _undominated(options: list[CoreGroups]) -> list[CoreGroups]:
    kept: list[CoreGroups] = []
    for split in sorted(options, key=lambda s: (s.size, s.cost)):
        if not kept or split.cost < kept[-1].cost:
            kept.append(split)
    return kept


def _step(shapes: Sequence[Shape], begin: int, end: int) -> float:
    """Cost of the slice of a group, and of its product with those before."""
    _, left, width, right = merged_shape(shapes[begin:end])
    flops = 0
    if begin:
        # The trace of a ring sums over both ranks of the last slice.
        above = shapes[0][1] * math.prod(q for _, _, q, _ in shapes[:begin])
        last = end == len(shapes)
        flops = 2 * above * left * width * (1 if last else right)
    return left * width * right + _FLOP * flops


def merged_shape(shapes: Sequence[Shape]) -> Shape:
    """The shape of the product of neighbouring cores."""
    rows, _, widths, _ = zip(*shapes, strict=True)
    return math.prod(rows), shapes[0][1], math.prod(widths), shapes[-1][3]


def merged(
    cores: Sequence[np.ndarray], shapes: Sequence[Shape], split: CoreGroups
) -> list[np.ndarray]:
    """The core of each group, float32 arrays `(p, r q r')`.

    Args:
        cores: The cores, of shapes `(p, r q r')`.
        shapes: Their shapes `(p, r, q, r')`.
        split: The groups.
    """
    shaped = [
        np.asarray(core, np.float64).reshape(shape)
        for core, shape in zip(cores, shapes, strict=True)
    ]
    found = []
    for begin, end in pairwise(split.ends):
        product = shaped[begin]
        for core in shaped[begin + 1 : end]:
            product = np.einsum("iajc,kclb->ikajlb", product, core)
            p, k, a, j, q, b = product.shape
            product = product.reshape(p * k, a, j * q, b)
        found.append(product.reshape(len(product), -1).astype(np.float32))
    return found
