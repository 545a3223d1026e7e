"""Columns of two kinds of tables: cut apart, and joined in their order.

By runs of neighbours, forth and back: a choice of columns (`ops.take`) has a
gradient that is many times slower than that of a cut, but in eager PyTorch.
"""

from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import Any

from keras import backend, ops

from keras_pss.native.dispatch import table_kernels

Tensor = Any


def split(
    x: Tensor, chosen: Sequence[int], width: int
) -> tuple[Tensor, Tensor]:
    """The chosen columns, and the others; None where there are no columns.

    Args:
        x: `(n, width)` numbers.
        chosen: Increasing numbers of columns.
        width: Columns in all.
    """
    if not chosen or len(chosen) == width:
        return (x, None) if chosen else (None, x)
    is_float = backend.is_float_dtype(backend.standardize_dtype(x.dtype))
    found = table_kernels(x, None) if is_float else table_kernels(None, x)
    if found is not None:
        parts = found.split_columns(ops.expand_dims(x, -1), chosen, width)
        return ops.squeeze(parts[0], -1), ops.squeeze(parts[1], -1)
    runs = _runs(chosen, width)
    parts = _cut(x, [length for _, length in runs])
    kinds = [kind for kind, _ in runs]
    first = [p for p, kind in zip(parts, kinds, strict=True) if kind]
    second = [p for p, kind in zip(parts, kinds, strict=True) if not kind]
    return _one(first), _one(second)


def choose(x: Tensor, chosen: Sequence[int], width: int) -> Tensor:
    """The chosen columns of `(n, width)` numbers, increasing; maybe none."""
    if not chosen:
        return x[:, :0]
    if backend.backend() == "torch":
        # The gradient of each piece is a pass over all columns there.
        return ops.take(x, chosen, axis=1)
    return split(x, chosen, width)[0]


def join(
    first: Tensor | None,
    second: Tensor | None,
    chosen: Sequence[int],
    width: int,
) -> Tensor:
    """The inverse: `(n, k, d)` and `(n, width - k, d)` to `(n, width, d)`."""
    if first is None or second is None:
        return second if first is None else first
    found = table_kernels(first, None)
    if found is not None and first.dtype == second.dtype:
        return found.join_columns(first, second, chosen, width)
    runs = _runs(chosen, width)
    parts = {
        kind: iter(_cut(x, [length for own, length in runs if own is kind]))
        for kind, x in ((True, first), (False, second))
    }
    return _one([next(parts[kind]) for kind, _ in runs])


def _runs(chosen: Sequence[int], width: int) -> list[tuple[bool, int]]:
    """Lengths of neighbouring columns of one kind, and if they are chosen."""
    kinds = [column in set(chosen) for column in range(width)]
    return [(kind, len(list(run))) for kind, run in groupby(kinds)]


def _cut(x: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    ends = list(accumulate(lengths))[:-1]
    return ops.split(x, ends, axis=1) if ends else [x]


def _one(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)
