"""Splits columns into two groups, and joins them in the original order.

Runs of adjacent columns are sliced and concatenated. Selecting columns with
`ops.take` has a gradient many times slower than that of slices, except in
eager PyTorch.
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
    """The chosen columns and the other columns; None for an empty group.

    Args:
        x: Tensor of shape `(n, width)`.
        chosen: Indices of the chosen columns, increasing.
        width: Number of columns.
    """
    if not chosen or len(chosen) == width:
        return (x, None) if chosen else (None, x)
    is_float = backend.is_float_dtype(backend.standardize_dtype(x.dtype))
    found = table_kernels(x, None) if is_float else table_kernels(None, x)
    if found is not None:
        parts = found.split_columns(ops.expand_dims(x, -1), chosen, width)
        return ops.squeeze(parts[0], -1), ops.squeeze(parts[1], -1)
    runs = _runs(chosen, width)
    parts = _split_runs(x, [length for _, length in runs])
    kinds = [kind for kind, _ in runs]
    first = [p for p, kind in zip(parts, kinds, strict=True) if kind]
    second = [p for p, kind in zip(parts, kinds, strict=True) if not kind]
    return _one(first), _one(second)


def choose(x: Tensor, chosen: Sequence[int], width: int) -> Tensor:
    """The chosen columns of `x`, shape `(n, len(chosen))`.

    Args:
        x: Tensor of shape `(n, width)`.
        chosen: Indices of the chosen columns, increasing; may be empty.
        width: Number of columns.
    """
    if not chosen:
        return x[:, :0]
    if backend.backend() == "torch":
        # On PyTorch the gradient of each slice is a pass over all columns.
        return ops.take(x, chosen, axis=1)
    return split(x, chosen, width)[0]


def join(
    first: Tensor | None,
    second: Tensor | None,
    chosen: Sequence[int],
    width: int,
) -> Tensor:
    """Joins `(n, k, d)` and `(n, width - k, d)` to `(n, width, d)`.

    It is the inverse of `split`.
    """
    if first is None or second is None:
        return second if first is None else first
    found = table_kernels(first, None)
    if found is not None and first.dtype == second.dtype:
        return found.join_columns(first, second, chosen, width)
    runs = _runs(chosen, width)
    parts = {
        kind: iter(
            _split_runs(x, [length for own, length in runs if own is kind])
        )
        for kind, x in ((True, first), (False, second))
    }
    return _one([next(parts[kind]) for kind, _ in runs])


def _runs(chosen: Sequence[int], width: int) -> list[tuple[bool, int]]:
    """Runs of adjacent columns of one group: `(chosen or not, length)`."""
    kinds = [column in set(chosen) for column in range(width)]
    return [(kind, len(list(run))) for kind, run in groupby(kinds)]


def _split_runs(x: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    ends = list(accumulate(lengths))[:-1]
    return ops.split(x, ends, axis=1) if ends else [x]


def _one(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)
