"""Bags of ids in each input form: dense, ragged, sparse, or row splits."""

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
    """Ids with their weights and mask, in one of two forms.

    Attributes:
        ids: Shape `(..., L)`, one bag along the last axis; or `(n,)` with
            segments.
        weights, mask: Tensors with the shape of `ids`, or None.
        segments: The bag of each id, or None.
        valid: Boolean scalars. If one is False, the output is NaN; they stand
            for checks that could not raise an error.
    """

    ids: Tensor
    weights: Tensor | None
    mask: Tensor | None
    segments: pooling.Segments | None
    valid: tuple[Tensor, ...]

    def pool(
        self, rows: Tensor, weights: Tensor | None, combiner: str
    ) -> Tensor:
        """Pools the rows of the ids, `ids.shape + (k,)`, to one per bag."""
        pooled = pooling.pool(rows, weights, combiner, self.segments)
        return self._checked(pooled)

    def pool_sums(
        self, pooled: Tensor, weights: Tensor | None, combiner: str
    ) -> Tensor:
        """Normalizes and reshapes sums of bags.

        Args:
            pooled: Sums, `(number of bags, k)`.
            weights: Weights of the ids, or None.
            combiner: One of `pooling.COMBINERS`.
        """
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
        """Row splits of the flattened ids; None if bags may be unsorted."""
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
    """Converts bags of any input form to `Bags`.

    Args:
        inputs, weights, row_splits, mask: The call arguments of
            `EmbeddingBag`.
        name: Name of the layer, for error messages.

    Raises:
        ValueError: If the arguments are inconsistent and their values are
            known. A TensorFlow graph raises `InvalidArgumentError` instead.
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
    """Raises an error if the forms or shapes of the arguments do not match.

    Args:
        inputs, weights, row_splits, mask: Tensors; may be `KerasTensor`s.
        name: Name of the layer, for error messages.
    """
    kind, shape = form(inputs), _static(inputs.shape)
    received = f"Received: {kind} ids of shape {shape}"
    # A BCOO array of JAX can have batch or dense axes, which do not fit.
    batched = getattr(inputs, "n_sparse", 2) != 2
    if row_splits is not None:
        if kind != "dense" or len(shape) != 1:
            raise ValueError(
                f"With `row_splits`, layer '{name}' needs dense ids of shape "
                "(nnz,). Flatten the ids, or omit `row_splits`: without it, "
                f"ids are pooled over their last axis. {received}"
            )
        dtype = backend.standardize_dtype(row_splits.dtype)
        splits = _static(row_splits.shape)
        if len(splits) != 1 or splits[0] == 0 or "int" not in dtype:
            raise ValueError(
                f"`row_splits` of layer '{name}' must be integers of shape "
                "(batch + 1,): the start of each bag, then the number of "
                f"ids. Received: row_splits of shape {splits}, dtype {dtype}"
            )
    elif not shape or (kind != "dense" and len(shape) != 2) or batched:
        raise ValueError(
            f"Layer '{name}' pools ids over their last axis. Pass dense ids "
            "of shape (..., L), or ragged or sparse ids of shape "
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
                f"`{label}` of layer '{name}' has the wrong dtype: `weights` "
                "must be numeric, and `mask` boolean (True for the ids to "
                f"pool). Received: {label} of dtype {dtype}"
            )


def form(x: Any) -> str:
    """Form of a tensor or `KerasTensor`: "dense", "ragged" or "sparse"."""
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
    """Converts lists to tensors; Keras converts arrays, but not lists."""
    return ops.convert_to_tensor(x) if isinstance(x, list | tuple) else x


def _entries(x: Tensor) -> Tensor:
    """The values of a tensor of any form, as a dense tensor."""
    if x is None or form(x) == "dense":
        return x if x is None else ops.convert_to_tensor(x)
    jax = backend.backend() == "jax"
    return x.data if jax else x.values


def _place(x: Tensor) -> Tensor:
    """The row splits, indices or shape that give the entries' positions."""
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
        return None  # `check` has compared the shapes
    own, place = _place(x), _place(ids)
    if own is place:
        return None
    ok: Any = False
    if _may_equal(_static(own.shape), _static(place.shape)):
        ok = ops.all(ops.equal(own, place))
    received = {f"positions of {label}": own, "positions of ids": place}
    return _required(ok, _misfit(label, name), received)


def _misfit(label: str, name: str) -> str:
    return (
        f"`{label}` of layer '{name}' must have one entry for each id: the "
        "same form (dense, ragged or sparse), the same shape, and the same "
        "row splits or indices. Derive it from the ids, for ragged ids with "
        "`ids.with_values(...)`."
    )


def _check_splits(splits: Tensor, size: Any, name: str) -> Tensor | None:
    ends = ops.logical_and(splits[0] == 0, ops.equal(splits[-1], size))
    return _required(
        ops.logical_and(ends, ops.all(splits[1:] >= splits[:-1])),
        f"`row_splits` of layer '{name}' must start at 0, never decrease and "
        "end at the number of ids: bag b holds "
        "`inputs[row_splits[b]:row_splits[b + 1]]`. Truncate the ids at the "
        "last split, or append the number of ids to the splits.",
        {"row_splits": splits, "ids": size},
    )


def _required(ok: Any, message: str, received: dict[str, Any]) -> Tensor | None:
    """Raises an error unless `ok`; returns `ok` if its value is not known."""
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
