"""Ids on their way into a layer: dtype, range, sparse and ragged tensors.

One rule for every method: an id that has no row is an error, never another
id's row. Where values are known (eager execution) it is a `ValueError`; in a
TensorFlow graph and in a SavedModel it is an `InvalidArgumentError`; where
compiled code cannot raise (XLA, `jax.jit`) the row is NaN.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import backend, ops

from keras_pss.native.dispatch import check_kernels

Tensor = Any

# The largest integer up to which every integer is exact in the dtype.
_EXACT = {
    "bfloat16": 2**8,
    "float16": 2**11,
    "float32": 2**24,
    "float64": 2**53,
}
_NARROW = ("int8", "int16", "uint8", "uint16")
_FIX = 'Declare the ids as integers: `keras.Input(shape, dtype="int32")`.'


def check_dtype(dtype: Any, limit: int | None, name: str) -> None:
    """Raises unless ids below `limit` are exact in `dtype`.

    Args:
        dtype: Of the ids as they reach the layer.
        limit: Largest number of ids of any table, None for an open one.
        name: Of the layer, for the message.
    """
    dtype = backend.standardize_dtype(dtype)
    if dtype in _EXACT:
        if limit is None or limit - 1 > _EXACT[dtype]:
            rows = "an open vocabulary" if limit is None else f"{limit} rows"
            raise ValueError(
                f"Layer '{name}' has {rows}, but its ids are {dtype}, where "
                f"integers above {_EXACT[dtype]} are rounded to another "
                f"row's id. {_FIX} Received: dtype={dtype}"
            )
    elif dtype not in (*_NARROW, "int32", "int64"):
        raise ValueError(
            f"Layer '{name}' looks up integer ids. {_FIX} "
            f"Received: dtype={dtype}"
        )


def check_not_cut(inputs: Any, name: str) -> None:
    """Raises for 64-bit ids that JAX would cut to 32 bits on their way in.

    Only NumPy arrays can be looked at in time; `model.fit` hands ids on as
    they are, so wide ids belong hashed in the input pipeline there.
    """
    if backend.backend() != "jax" or not isinstance(inputs, np.ndarray):
        return
    import jax

    if inputs.dtype.kind not in "iu" or not inputs.size:
        return
    # Python integers, since uint64 and int64 compare as rounded floats.
    low, high = int(inputs.min()), int(inputs.max())
    fits = -(2**31) <= low <= high < 2**31
    if not fits and not jax.config.read("jax_enable_x64"):
        raise ValueError(
            f"Layer '{name}' would see ids cut to 32 bits, which is what JAX "
            "does with 64-bit integers. Hash them into [0, 2^31) in the input "
            "pipeline, or set JAX_ENABLE_X64=1. "
            f"Received: ids from {low} to {high}"
        )


def map_flat(
    function: Callable[[Tensor], Tensor], inputs: Tensor, suffix: int = 0
) -> Tensor:
    """Applies a function of dense ids to dense, sparse or ragged ids.

    Args:
        function: Maps ids of shape `(n,)` (or `(n,) + shape[-suffix:]`) to
            rows of shape `(n, ...)`.
        inputs: Ids of any shape. A missing entry of a sparse tensor is id 0.
        suffix: Number of trailing axes of the ids that stay.

    Returns:
        Rows of shape `inputs.shape[:-suffix] + rows.shape[1:]`; ragged where
        the ids are.
    """
    if is_ragged(inputs):
        flat = map_flat(function, inputs.flat_values, suffix)
        return inputs.with_flat_values(flat)
    inputs = ops.convert_to_tensor(inputs, sparse=False)
    kept = tuple(inputs.shape[len(inputs.shape) - suffix :]) if suffix else ()
    shape = ops.shape(inputs)
    leading = shape[: len(shape) - suffix]
    rows = function(ops.reshape(inputs, (-1, *kept)))
    return ops.reshape(rows, (*leading, *rows.shape[1:]))


def is_ragged(inputs: Any) -> bool:
    """Whether the ids are a `tf.RaggedTensor`, without loading TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(
        inputs, tensorflow.RaggedTensor
    )


def checked(
    ids: Tensor, limit: int | Sequence[int] | None, name: str
) -> tuple[Tensor, Tensor | None]:
    """Integer ids in range, and which of them were valid.

    Args:
        ids: Dense ids of any shape and an allowed dtype.
        limit: Number of rows; a sequence has one number for each index of
            the last axis; None only asks for non-negative ids.
        name: Of the layer, for messages.

    Returns:
        `(ids, valid)`: int32 or int64 ids, with 0 in place of an invalid one,
        and a boolean tensor of the same shape, or None where every id is
        known to be valid.

    Raises:
        ValueError: In eager execution, if an id has no row.
    """
    given = ids
    dtype = backend.standardize_dtype(ids.dtype)
    if dtype in _EXACT:
        # Compared as floats: a NaN fails, and nothing overflows on the way.
        number = ids if dtype == "float64" else ops.cast(ids, "float32")
        whole = ops.floor(number)
        valid = ops.logical_and(number == whole, _in_range(number, limit))
        ids = ops.cast(ops.where(valid, whole, 0), "int32")
    else:
        ids = ops.cast(ids, "int32") if dtype in _NARROW else ids
        found = check_kernels()
        if found is not None:
            return _natively_checked(found, ids, limit, name), None
        valid = _in_range(ids, limit)
    if is_concrete(valid):
        if not bool(ops.all(valid)):
            raise ValueError(_message(given, valid, limit, name))
        return ids, None
    if backend.backend() == "tensorflow":
        ids = _asserted(ids, valid, limit, name)
    return ops.where(valid, ids, ops.zeros_like(ids)), valid


def _natively_checked(
    found: Any, ids: Tensor, limit: int | Sequence[int] | None, name: str
) -> Tensor:
    """The ids, or the error that the checks below would raise."""
    import tensorflow as tf

    limits = limit if isinstance(limit, Sequence) else [limit]
    message = f"Ids of layer '{name}' must be {_rule(limit)}. {_RANGE_FIX}"
    try:
        return found.check_ids(
            ids, [-1 if n is None else n for n in limits], message
        )
    except tf.errors.InvalidArgumentError:
        # As without kernels, with all that can be said of values at hand.
        raise ValueError(
            _message(ids, _in_range(ids, limit), limit, name)
        ) from None


def is_concrete(x: Tensor) -> bool:
    """Whether the values of a backend tensor can be read now."""
    name = backend.backend()
    if name == "tensorflow":
        return hasattr(x, "numpy")
    if name == "jax":
        import jax

        return not isinstance(x, jax.core.Tracer)
    if name == "torch":
        import torch

        return x.device.type != "meta" and not torch.compiler.is_compiling()
    return True


def _in_range(ids: Tensor, limit: int | Sequence[int] | None) -> Tensor:
    if limit is None:
        return ids >= 0
    bound = ops.convert_to_tensor(np.asarray(limit, np.int32))
    # In the ids' own dtype: an int64 id must not be cut before it is compared.
    return ops.logical_and(ids >= 0, ids < ops.cast(bound, ids.dtype))


def _rule(limit: int | Sequence[int] | None) -> str:
    if limit is None:
        return "non-negative integers"
    if isinstance(limit, int):
        return f"integers in [0, input_dim) = [0, {limit})"
    return "integers in [0, input_dim) of their table"


_RANGE_FIX = (
    "Map unknown values to an out-of-vocabulary id, hash them to the range, "
    "or make `input_dim` larger."
)


def _message(
    ids: Tensor, valid: Tensor, limit: int | Sequence[int] | None, name: str
) -> str:
    values = ops.convert_to_numpy(ids)
    wrong = ~ops.convert_to_numpy(valid)
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    table = ""
    if limit is not None and not isinstance(limit, int):
        table = f" (table {where[-1]}, input_dim={limit[where[-1]]})"
    return (
        f"Ids of layer '{name}' must be {_rule(limit)}. {_RANGE_FIX} "
        f"Received: {wrong.sum()} of {wrong.size} ids outside, the first "
        f"{values[where]}{table}"
    )


def _asserted(
    ids: Tensor,
    valid: Tensor,
    limit: int | Sequence[int] | None,
    name: str,
) -> Tensor:
    """The ids, behind a check that TensorFlow runs where it can."""
    import tensorflow as tf

    message = f"Ids of layer '{name}' must be {_rule(limit)}. {_RANGE_FIX}"
    ok = tf.reduce_all(valid)
    check = tf.debugging.Assert(ok, [message, "Received: ids =", ids])
    with tf.control_dependencies([check]):
        return tf.identity(ids)
