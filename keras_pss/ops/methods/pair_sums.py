"""Sums of products of rows of two tables.

For an id i = i1 n2 + i2, and tables U (n1, p, r) and V (n2, p, r),

    x[i] = Σ_{k < p} U[i1, k] V[i2, k],   of length r.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_pss.native.dispatch import pair_kernels

Tensor = Any

# Kernels divide 32-bit numbers.
LARGEST_TABLE = 2**31 - 1


def rows(
    ids: Tensor,
    tables: tuple[Any, Any],
    terms: int,
    gathered: Callable[[], tuple[Tensor, Tensor]],
) -> Tensor:
    """Sums `(n, r)` of the ids.

    Args:
        ids: Integers `(n,)` in `[0, n1 n2)`.
        tables: U and V, variables or tensors `(n1, p r)` and `(n2, p r)`, if
            kernels may read them and return a dense gradient; otherwise None.
        terms: p.
        gathered: Returns the rows of U and of V of the ids, `(n, p r)` each.
    """
    found = kernels(ids, tables)
    if found is not None:
        floats = [ops.cast(ops.convert_to_tensor(t), "float32") for t in tables]
        return ops.cast(found.pair_sums(ids, *floats, terms), tables[0].dtype)
    first, second = gathered()
    # (n, p r) -> (n, p, r) -> (n, r)
    product = ops.reshape(first * second, (-1, terms, first.shape[1] // terms))
    return ops.sum(product, axis=1)


def kernels(ids: Tensor, tables: tuple[Any, Any]) -> Any:
    """The kernels if they support these tables and ids, or None."""
    if any(table is None for table in tables):
        return None
    if tables[0].shape[0] * tables[1].shape[0] > LARGEST_TABLE:
        return None
    return pair_kernels(tables, ids)
