"""Sums, means and normed sums of the rows of a bag."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from keras import backend, ops

Tensor = Any
COMBINERS = ("sum", "mean", "sqrtn")


@dataclass(frozen=True)
class Segments:
    """Bags of any length, whose entries lie in one list.

    Attributes:
        index: int32 `(n,)`, the bag of each entry.
        count: Number of bags.
        splits: int32 `(count + 1,)`, where each bag begins, then n; None where
            the index is not in order.
    """

    index: Tensor
    count: Any
    splits: Tensor | None = None

    @property
    def lengths(self) -> Tensor | None:
        """Entries of each bag, int32 `(count,)`; None without splits."""
        if self.splits is None:
            return None
        return self.splits[1:] - self.splits[:-1]

    @classmethod
    def from_splits(cls, splits: Tensor, size: Any) -> Self:
        """Bags that lie one after another.

        Counts the inner splits at or below each place, which stays within
        the bags whatever the splits are. A binary search gives the same, but
        XLA on TensorFlow compares every place with every split instead.

        Args:
            splits: int32 `(count + 1,)`.
            size: n, the number of entries.
        """
        inner = ops.clip(splits[1:-1], 0, size)
        begin = cls(inner, size + 1).sum(ops.ones_like(inner))
        index = ops.cumsum(begin)[:size]
        return cls(index, ops.shape(splits)[0] - 1, splits)

    def sum(self, x: Tensor) -> Tensor:
        """Sums over each bag: `(n, ...)` to `(count, ...)`."""
        name = backend.backend()
        if name == "torch":
            # Keras' own sums in float32 and repeats the index by column.
            zeros = x.new_zeros((self.count, *x.shape[1:]))
            return zeros.index_add(0, self.index, x)
        # On TensorFlow a number of segments excludes a promise of order.
        ordered = self.splits is not None and name == "jax"
        return ops.segment_sum(x, self.index, self.count, sorted=ordered)


def pool(
    rows: Tensor,
    weights: Tensor | None,
    combiner: str,
    segments: Segments | None = None,
) -> Tensor:
    """Pools rows of equal bags, or of segments.

    Args:
        rows: Floats, `(..., L, k)` or, with segments, `(n, k)`.
        weights: Floats `rows.shape[:-1]`, or None for ones.
        combiner: One of `COMBINERS`.
        segments: Of the rows; None for bags along the last axis but one.

    Returns:
        Floats, `(..., k)` or `(count, k)`; 0 for a bag whose norm is 0.
    """
    if weights is not None:
        # Not a matrix product, which a GPU may compute in TF32.
        rows = rows * ops.expand_dims(weights, -1)
    total = sums(segments)
    length = ops.shape(rows)[-2]
    return normed(total(rows, -2), weights, combiner, segments, length)


def normed(
    pooled: Tensor,
    weights: Tensor | None,
    combiner: str,
    segments: Segments | None,
    length: Any,
) -> Tensor:
    """Sums of bags divided by their norm.

    Args:
        pooled: Floats, `(..., k)` or `(count, k)`.
        weights, combiner, segments: As in `pool`.
        length: L, without segments.
    """
    if combiner == "sum":
        return pooled
    if weights is not None:
        total = sums(segments)
        norm = total(weights if combiner == "mean" else ops.square(weights), -1)
    else:
        norm = ops.cast(_lengths(length, segments), pooled.dtype)
    empty = ops.equal(norm, 0)
    # Replaced before the root and the quotient: their slopes at 0 are not
    # finite, and would spoil the gradient though the value is not used.
    norm = ops.where(empty, ops.ones_like(norm), norm)
    if combiner == "sqrtn":
        norm = ops.sqrt(norm)
    # A factor and not a choice: the NaN of an id without a row stays NaN.
    factor = ops.where(empty, ops.zeros_like(norm), 1 / norm)
    return pooled * ops.expand_dims(factor, -1)


def sums(
    segments: Segments | None,
) -> Callable[[Tensor, int], Tensor]:
    """Sums over the bags' axis, the last one but one, or the last."""
    if segments is not None:
        return lambda x, axis: segments.sum(x)
    return lambda x, axis: ops.sum(x, axis=axis)


def _lengths(length: Any, segments: Segments | None) -> Tensor:
    if segments is None:
        return ops.convert_to_tensor(length)
    if segments.lengths is not None:
        return segments.lengths
    return segments.sum(ops.ones_like(segments.index))
