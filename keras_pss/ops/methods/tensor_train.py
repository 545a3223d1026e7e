"""Tensor trains: ranks and shapes of cores, digits of an id, the contraction.

Row i, column j of the table is the product of one slice of each core,

    E[i, j] = G_1[i_1, j_1] G_2[i_2, j_2] ... G_D[i_D, j_D],

which are matrices of r_{k-1} x r_k with r_0 = r_D = 1. The digits i_k of the
id and j_k of the column are ordered most significant first.

Reference: Yin et al., "TT-Rec: tensor train compression for deep learning
recommendation models" (MLSys 2021), equations 3 to 5 and table 2.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_pss.native.dispatch import packed_kernels, train_kernels
from keras_pss.native.packed_table import PackedTable
from keras_pss.ops import gather

Tensor = Any
Shape = tuple[int, ...]

# Kernels count the rows of all digits, which can exceed `input_dim`, in int32.
LARGEST_TABLE = 2**31 - 1


def ranks(
    rank: int | Sequence[int], rows: Sequence[int], columns: Sequence[int]
) -> Shape:
    """Ranks r_0 .. r_D; a single rank is lowered where it exceeds the bound.

    The bound between two cores is the smaller of the numbers of entries that
    the cores on either side can represent.
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
    """The shape (p_k, r_{k-1}, q_k, r_k) of each core."""
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


def rows(
    shapes: Sequence[tuple[int, int, int, int]],
    ids: Tensor,
    cores: Sequence[Any],
    slices: Callable[[int, Tensor], Tensor],
) -> Tensor:
    """Rows of ids, `(n, prod(q))`.

    Args:
        shapes: The shapes `(p, r, q, r')` of the cores.
        ids: Integers of shape `(n,)` in `[0, prod(p))`.
        cores: For each core the tensor or variable of shape `(p, r q r')`, if
            kernels may read it and return a dense gradient, or a
            `PackedTable`; otherwise None.
        slices: Function of the number of a core and of digits `(n,)` that
            returns slices of the core, `(n, r q r')`.
    """
    found = kernels(shapes, ids, cores)
    if found is None:
        parts = [slices(k, d) for k, d in enumerate(digits(ids, _p(shapes)))]
        return contract(parts, shapes)
    if _packed(cores):
        rows = found.packed_tensor_train_lookup(ids, cores, shapes)
    else:
        floats = [ops.cast(ops.convert_to_tensor(c), "float32") for c in cores]
        rows = found.tensor_train_lookup(ids, floats, shapes)
    return ops.cast(rows, cores[0].dtype)


def kernels(
    shapes: Sequence[tuple[int, int, int, int]],
    ids: Tensor,
    cores: Sequence[Any],
) -> Any:
    """The kernels if they support these cores, or None."""
    if any(core is None for core in cores):
        return None
    if math.prod(_p(shapes)) > LARGEST_TABLE:
        return None
    if _packed(cores):
        return packed_kernels(cores, ids)
    return train_kernels(cores, ids)


def _packed(cores: Sequence[Any]) -> bool:
    return all(isinstance(core, PackedTable) for core in cores)


def _p(shapes: Sequence[tuple[int, int, int, int]]) -> list[int]:
    return [rows for rows, *_ in shapes]


def contract(
    slices: Sequence[Tensor], shapes: Sequence[tuple[int, int, int, int]]
) -> Tensor:
    """Multiplies core slices, `(n, r q r')` each, to rows `(n, prod(q))`.

    It uses a sequence of batched matrix products; an einsum of three operands
    would choose a far slower order. In a ring, the left rank of the first core
    equals the right rank of the last, and a row is the trace over it.
    """
    first = shapes[0][1]
    result = leading(slices[:-1], shapes[:-1])
    columns = result.shape[1]
    part, (_, left, width, right) = slices[-1], shapes[-1]
    if right == 1:
        part = ops.reshape(part, (-1, left, width))
        return ops.reshape(ops.matmul(result, part), (-1, columns * width))
    # The trace sums over the left ranks of both the first and the last core:
    # (n, Q, a r) x (n, a r, q) -> (n, Q q).
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


def leading(
    slices: Sequence[Tensor], shapes: Sequence[tuple[int, int, int, int]]
) -> Tensor:
    """Product of the slices of the first cores, `(n, r_0 prod(q), r')`."""
    _, first, width, rank = shapes[0]
    columns = first * width
    result = ops.reshape(slices[0], (-1, columns, rank))
    for part, (_, left, width, right) in list(zip(slices, shapes, strict=True))[
        1:
    ]:
        part = ops.reshape(part, (-1, left, width * right))
        columns *= width
        # (n, Q, r) x (n, r, q r') -> (n, Q q, r'), Q with the first rank
        result = ops.reshape(ops.matmul(result, part), (-1, columns, right))
    return result


def take_rows(
    cores: Sequence[Tensor],
    shapes: Sequence[tuple[int, int, int, int]],
    ids: Tensor,
) -> Tensor:
    """Builds the whole table and gathers the rows of ids, `(n, prod(q))`.

    Its large matrix products do not depend on the number of ids. It pays for
    tables that are not much larger than a batch.

    Args:
        cores: Tensors of shape `(p, r q r')`.
        shapes: The shapes `(p, r, q, r')` of the cores.
        ids: Integers of shape `(n,)` in `[0, prod(p))`.
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
    """Number of additions and multiplications of `contract` per row."""
    total, columns = 0, shapes[0][1] * shapes[0][2]
    for _, left, width, right in shapes[1:-1]:
        total += 2 * columns * left * width * right
        columns *= width
    _, left, width, _ = shapes[-1]
    return total + 2 * columns * left * width


def mean_square(
    cores: Sequence[Tensor], shapes: Sequence[tuple[int, int, int, int]]
) -> Tensor:
    """Mean of the squared entries of the table, without building it.

    An r x r Gram matrix is updated core by core: V <- Σ_{i,j} G[i,j]' V G[i,j].
    """
    gram = ops.ones((1, 1))
    for core, (rows, left, width, right) in zip(cores, shapes, strict=True):
        core = ops.reshape(core, (rows, left, width, right))
        turned = ops.einsum("rt,prqs->ptqs", gram, core)
        gram = ops.einsum("ptqs,ptqu->su", turned, core) / (rows * width)
    return gram[0, 0]
