"""Bags of ids as they come: padded, ragged, sparse, or cut by row splits."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import backend, ops

from keras_pss.ops import ids as ids_ops
from keras_pss.ops import pooling

Tensor = Any


@dataclass(frozen=True)
class Bags:
    """Ids and what belongs to each of them, in one of two forms.

    Attributes:
        ids: `(..., L)`, a bag along the last axis; or `(n,)` with segments.
        weights, mask: Of the shape of `ids`, or None.
        segments: Which bag each id is in, or None.
        valid: Boolean scalars that must hold, where nothing could be raised.
    """

    ids: Tensor
    weights: Tensor | None
    mask: Tensor | None
    segments: pooling.Segments | None
    valid: tuple[Tensor, ...]

    def pool(
        self, rows: Tensor, weights: Tensor | None, combiner: str
    ) -> Tensor:
        """Rows of the ids, `ids.shape + (k,)`, to one row a bag."""
        pooled = pooling.pool(rows, weights, combiner, self.segments)
        return self._checked(pooled)

    def pool_sums(
        self, pooled: Tensor, weights: Tensor | None, combiner: str
    ) -> Tensor:
        """Sums of the bags' rows, one a bag in one list, to one row a bag."""
        length = None
        if self.segments is None:
            *bags, length = ops.shape(self.ids)
            pooled = ops.reshape(pooled, (*bags, pooled.shape[-1]))
        normed = pooling.normed(
            pooled, weights, combiner, self.segments, length
        )
        return self._checked(normed)

    def _checked(self, pooled: Tensor) -> Tensor:
        for valid in self.valid:
            pooled = ops.where(valid, pooled, float("nan"))
        return pooled

    def splits(self) -> Tensor | None:
        """Where each bag begins in one list of ids; None if they do not."""
        if self.segments is not None:
            return self.segments.splits
        *bags, length = ops.shape(self.ids)
        return ops.arange(math.prod(bags) + 1, dtype="int32") * length


def arranged(
    inputs: Tensor,
    weights: Tensor | None,
    row_splits: Tensor | None,
    mask: Tensor | None,
    name: str,
) -> Bags:
    """Brings bags of any form into one of the two of `Bags`.

    Args:
        inputs, weights, row_splits, mask: As in a call of `EmbeddingBag`.
        name: Of the layer, for messages.

    Raises:
        ValueError: If they do not fit each other, where this is known now;
            a TensorFlow graph raises `InvalidArgumentError`.
    """
    weights, row_splits, mask = map(_tensor, (weights, row_splits, mask))
    check(inputs, weights, row_splits, mask, name)
    valid = [
        _check_place(label, x, inputs, name)
        for label, x in (("weights", weights), ("mask", mask))
        if x is not None
    ]
    ids, weights, mask = map(_entries, (inputs, weights, mask))
    segments, kind = None, form(inputs)
    if kind == "sparse":
        index = ops.cast(inputs.indices[:, 0], "int32")
        segments = pooling.Segments(index, _rows_of_sparse(inputs))
    elif kind == "ragged" or row_splits is not None:
        size = ops.shape(ids)[0]
        if row_splits is None:
            row_splits = inputs.row_splits
        else:
            valid.append(_check_splits(row_splits, size, name))
        splits = ops.cast(row_splits, "int32")
        segments = pooling.Segments.from_splits(splits, size)
    known = tuple(ok for ok in valid if ok is not None)
    return Bags(ids, weights, mask, segments, known)


def check(
    inputs: Any, weights: Any, row_splits: Any, mask: Any, name: str
) -> None:
    """Raises for arguments whose forms or shapes do not fit each other.

    Args:
        inputs, weights, row_splits, mask: Tensors, Keras' symbolic ones too.
        name: Of the layer, for messages.
    """
    kind, shape = form(inputs), _static(inputs.shape)
    received = f"Received: {kind} ids of shape {shape}"
    # JAX can give axes of a sparse array a layout of their own.
    batched = getattr(inputs, "n_sparse", 2) != 2
    if row_splits is not None:
        if kind != "dense" or len(shape) != 1:
            raise ValueError(
                f"Layer '{name}' cuts a list of ids, of shape (nnz,), at "
                "`row_splits`. Give the ids as one list, or leave "
                "`row_splits` out: other ids are pooled over their last "
                f"axis. {received}"
            )
        dtype = backend.standardize_dtype(row_splits.dtype)
        splits = _static(row_splits.shape)
        if len(splits) != 1 or splits[0] == 0 or "int" not in dtype:
            raise ValueError(
                f"`row_splits` of layer '{name}' must be integers of shape "
                "(batch + 1,): where each bag begins, then the number of "
                f"ids. Received: row_splits of shape {splits}, {dtype}"
            )
    elif not shape or (kind != "dense" and len(shape) != 2) or batched:
        raise ValueError(
            f"Layer '{name}' pools ids over their last axis. Give dense ids "
            "of shape (..., L), or ragged or sparse ones of shape "
            f"(batch, None). {received}"
        )
    for label, x in ("weights", weights), ("mask", mask):
        if x is None:
            continue
        own = _static(x.shape)
        if form(x) != kind or not _may_equal(own, shape):
            raise ValueError(
                f"{_misfit(label, name)} {received}, "
                f"{form(x)} {label} of shape {own}"
            )
        dtype = backend.standardize_dtype(x.dtype)
        if (dtype == "bool") == (label == "weights"):
            raise ValueError(
                f"`{label}` of layer '{name}' has a wrong dtype: `weights` "
                "are numbers, and `mask` is boolean, True for the ids that "
                f"take part. Received: {label} of dtype {dtype}"
            )


def form(x: Any) -> str:
    """`"dense"`, `"ragged"` or `"sparse"`, of a tensor or Keras' own."""
    if isinstance(x, keras.KerasTensor):
        return "ragged" if x.ragged else "sparse" if x.sparse else "dense"
    if ids_ops.is_ragged(x):
        return "ragged"
    if backend.backend() == "jax":
        from jax.experimental.sparse import BCOO

        return "sparse" if isinstance(x, BCOO) else "dense"
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and isinstance(x, tensorflow.SparseTensor):
        return "sparse"
    return "dense"


def _tensor(x: Any) -> Any:
    """Lists as tensors; Keras converts arrays, but not these."""
    return ops.convert_to_tensor(x) if isinstance(x, list | tuple) else x


def _entries(x: Tensor) -> Tensor:
    """The values of a tensor of any form, as a dense one."""
    if x is None or form(x) == "dense":
        return x if x is None else ops.convert_to_tensor(x)
    jax = backend.backend() == "jax"
    return x.data if jax else x.values


def _place(x: Tensor) -> Tensor:
    """What says where the entries stand."""
    kind = form(x)
    if kind == "dense":
        return ops.convert_to_tensor(ops.shape(x))
    return x.row_splits if kind == "ragged" else x.indices


def _rows_of_sparse(x: Tensor) -> Any:
    rows = _static(x.shape)[0]
    return ops.cast(x.dense_shape[0], "int32") if rows is None else rows


def _check_place(
    label: str, x: Tensor, ids: Tensor, name: str
) -> Tensor | None:
    if form(ids) == "dense" and None not in (*x.shape, *ids.shape):
        return None  # compared already
    own, place = _place(x), _place(ids)
    if own is place:
        return None
    ok: Any = False
    if _may_equal(_static(own.shape), _static(place.shape)):
        ok = ops.all(ops.equal(own, place))
    received = {f"places of {label}": own, "places of ids": place}
    return _required(ok, _misfit(label, name), received)


def _misfit(label: str, name: str) -> str:
    return (
        f"`{label}` of layer '{name}' must have one entry for each id: the "
        "same form (dense, ragged or sparse), the same shape, and the same "
        "rows or places. Make it from the ids, as `ids.with_values(...)` "
        "does for ragged ones."
    )


def _check_splits(splits: Tensor, size: Any, name: str) -> Tensor | None:
    ends = ops.logical_and(splits[0] == 0, ops.equal(splits[-1], size))
    return _required(
        ops.logical_and(ends, ops.all(splits[1:] >= splits[:-1])),
        f"`row_splits` of layer '{name}' must start at 0, never decrease and "
        "end at the number of ids: bag b holds "
        "`inputs[row_splits[b]:row_splits[b + 1]]`. Cut the ids at the last "
        "split, or append their number to the splits.",
        {"row_splits": splits, "ids": size},
    )


def _required(ok: Any, message: str, received: dict[str, Any]) -> Tensor | None:
    """Raises unless `ok`; hands it back where its value is not known yet."""
    if ok is False or ids_ops.is_concrete(ok):
        if not bool(ok):
            shown = [f"{key}={_shown(x)}" for key, x in received.items()]
            raise ValueError(f"{message} Received: {', '.join(shown)}")
        return None
    if backend.backend() != "tensorflow":
        return ok
    import tensorflow as tf

    parts = [part for item in received.items() for part in item]
    asserted = tf.debugging.Assert(ok, [message, "Received:", *parts])
    with tf.control_dependencies([asserted]):
        return tf.identity(ok)


def _shown(x: Any) -> Any:
    known = not isinstance(x, int) and ids_ops.is_concrete(x)
    return ops.convert_to_numpy(x) if known else x


def _static(shape: Any) -> tuple[int | None, ...]:
    return tuple(shape)


def _may_equal(left: Sequence[int | None], right: Sequence[int | None]) -> bool:
    return len(left) == len(right) and all(
        a is None or b is None or a == b
        for a, b in zip(left, right, strict=True)
    )
