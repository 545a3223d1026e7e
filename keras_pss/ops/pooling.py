"""Pooling of the rows of a bag: sum, mean, sqrtn or max."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from keras import backend, ops

Tensor = Any
COMBINERS = ("sum", "mean", "sqrtn")


@dataclass(frozen=True)
class Segments:
    """Bags of varying length, with their entries in one list.

    Attributes:
        index: int32 `(n,)`, the bag of each entry.
        count: Number of bags.
        splits: int32 `(count + 1,)`, the start of each bag, then n; None if
            the index may be unsorted.
    """

    index: Tensor
    count: Any
    splits: Tensor | None = None

    @property
    def lengths(self) -> Tensor | None:
        """Length of each bag, int32 `(count,)`; None without splits."""
        if self.splits is None:
            return None
        return self.splits[1:] - self.splits[:-1]

    @classmethod
    def from_splits(cls, splits: Tensor, size: Any) -> Self:
        """Segments of consecutive bags.

        The bag of an entry is the number of inner splits at or below its
        position, so that it is in range for invalid splits too. A binary
        search gives the same result, but XLA on TensorFlow compiles it to a
        comparison of every position with every split.

        Args:
            splits: int32 `(count + 1,)`, the row splits.
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
            # Keras' `segment_sum` would sum in float32 and repeat the index
            # for each column.
            zeros = x.new_zeros((self.count, *x.shape[1:]))
            return zeros.index_add(0, self.index, x)
        # On TensorFlow, `sorted=True` excludes a given number of segments.
        ordered = self.splits is not None and name == "jax"
        return ops.segment_sum(x, self.index, self.count, sorted=ordered)


def pool(
    rows: Tensor,
    weights: Tensor | None,
    combiner: str,
    segments: Segments | None = None,
) -> Tensor:
    """Pools the rows of bags of equal length, or of segments.

    Args:
        rows: Floats of shape `(..., L, k)` or, with segments, `(n, k)`.
        weights: Floats of shape `rows.shape[:-1]`, or None for ones.
        combiner: One of `COMBINERS`.
        segments: The bag of each row; None for bags along axis -2.

    Returns:
        Floats of shape `(..., k)` or `(count, k)`; 0 for a bag whose norm
        is 0.
    """
    if weights is not None:
        # Not a matrix product, which a GPU may compute in TF32.
        rows = rows * ops.expand_dims(weights, -1)
    total = sums(segments)
    length = ops.shape(rows)[-2]
    return normed(total(rows, -2), weights, combiner, segments, length)


def largest(rows: Tensor, mask: Tensor) -> Tensor:
    """The largest entry of each column of a bag's rows.

    Args:
        rows: Floats of shape `(..., L, k)`.
        mask: Booleans of shape `(..., L)`, False for padding.

    Returns:
        Floats of shape `(..., k)`; 0 for a bag of padding alone.
    """
    inside = ops.expand_dims(mask, -1)
    low = ops.full_like(rows, float("-inf"))
    found = ops.max(ops.where(inside, rows, low), axis=-2)
    # A product with 0 would make the gradient of an empty bag NaN.
    return ops.where(ops.any(inside, axis=-2), found, ops.zeros_like(found))


def normed(
    pooled: Tensor,
    weights: Tensor | None,
    combiner: str,
    segments: Segments | None,
    length: Any,
) -> Tensor:
    """Divides the sums of bags by their norms.

    Args:
        pooled: Floats of shape `(..., k)` or `(count, k)`.
        weights, combiner, segments: The arguments of `pool`.
        length: L, the length of all bags; not used with segments.
    """
    if combiner == "sum":
        return pooled
    if weights is not None:
        total = sums(segments)
        norm = total(weights if combiner == "mean" else ops.square(weights), -1)
    else:
        norm = ops.cast(_lengths(length, segments), pooled.dtype)
    empty = ops.equal(norm, 0)
    # The zeros are replaced before the root and the quotient: their
    # derivatives at 0 are not finite and would make the gradient NaN.
    norm = ops.where(empty, ops.ones_like(norm), norm)
    if combiner == "sqrtn":
        norm = ops.sqrt(norm)
    # A product rather than `where`: NaN of an out-of-range id stays NaN.
    factor = ops.where(empty, ops.zeros_like(norm), 1 / norm)
    return pooled * ops.expand_dims(factor, -1)


def sums(
    segments: Segments | None,
) -> Callable[[Tensor, int], Tensor]:
    """Returns `f(x, axis)`, which sums over bags: segments, or an axis."""
    if segments is not None:
        return lambda x, axis: segments.sum(x)
    return lambda x, axis: ops.sum(x, axis=axis)


def _lengths(length: Any, segments: Segments | None) -> Tensor:
    if segments is None:
        return ops.convert_to_tensor(length)
    if segments.lengths is not None:
        return segments.lengths
    return segments.sum(ops.ones_like(segments.index))
