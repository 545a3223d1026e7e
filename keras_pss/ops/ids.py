"""Validation of the ids of a layer: dtype, range, sparse and ragged tensors.

One rule holds for every method: an out-of-range id is an error and never
returns the row of another id. Eager execution raises a `ValueError`; a
TensorFlow graph or a SavedModel raises an `InvalidArgumentError`; compiled
code that cannot raise (XLA, `jax.jit`) returns a row of NaN. The conversion
of ids before they reach a layer is in `model_inputs/exact.py`.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import backend, ops

from keras_pss.native import tracing
from keras_pss.native.dispatch import check_kernels
from keras_pss.ops.wide_ids import UNSIGNED, truncates

Tensor = Any

# The integer up to which all integers are exact in the dtype. An id equal to
# it may be the result of rounding.
EXACT = {
    "bfloat16": 2**8,
    "float16": 2**11,
    "float32": 2**24,
    "float64": 2**53,
}
_NARROW = ("int8", "int16", "uint8", "uint16")

_FIX = (
    "Give the ids as integers; in a model, declare them as "
    '`keras.Input(shape, dtype="int32")` of a `keras_pss.models.Model`, which '
    "never truncates an id, unlike `keras.Model`."
)


def check_dtype(dtype: Any, limit: int | None, name: str) -> None:
    """Raises unless ids below `limit` are exact in `dtype`.

    Args:
        dtype: Dtype of the ids that the layer receives.
        limit: Largest number of ids of any table, or None for an open
            vocabulary.
        name: Name of the layer in error messages.
    """
    dtype = backend.standardize_dtype(dtype)
    if _rounds(dtype, limit):
        # When Keras saves a subclassed model, it also traces it with float32
        # inputs, regardless of its signatures. `checked` rejects such calls.
        if not tracing.saving():
            raise ValueError(_rounding(dtype, limit, name))
    elif dtype not in (*EXACT, *_NARROW, *UNSIGNED, "int32", "int64"):
        raise ValueError(
            f"Layer '{name}' looks up integer ids, or floats that are whole "
            f"numbers. {_FIX} "
            f"Received: dtype={dtype}"
        )


def _rounds(dtype: str, limit: int | None) -> bool:
    """Whether rounding in the dtype can turn an invalid id into a valid one."""
    return dtype in EXACT and (limit is None or limit > EXACT[dtype])


def _rounding(dtype: str, limit: int | None, name: str) -> str:
    rows = "an open vocabulary" if limit is None else f"{limit} rows"
    return (
        f"Layer '{name}' has {rows}, but its ids are {dtype}, where integers "
        f"above {EXACT[dtype]} are rounded to another row's id. {_FIX} Where "
        "a subclassed model is exported, give "
        '`input_signature=[keras.InputSpec(shape=..., dtype="int64")]`. '
        f"Received: dtype={dtype}"
    )


def map_flat(
    function: Callable[[Tensor], Tensor], inputs: Tensor, suffix: int = 0
) -> Tensor:
    """Applies a function of dense ids to dense, sparse or ragged ids.

    Args:
        function: Maps ids of shape `(n,)` (or `(n,) + shape[-suffix:]`) to
            rows of shape `(n, ...)`.
        inputs: Ids of any shape. A missing entry of a sparse tensor is id 0.
        suffix: Number of trailing axes of the ids that `function` receives
            without flattening. Default: 0.

    Returns:
        Rows of shape `inputs.shape[:-suffix] + rows.shape[1:]`, ragged for
        ragged ids.
    """
    if is_ragged(inputs):
        flat = map_flat(function, inputs.flat_values, suffix)
        return inputs.with_flat_values(flat)
    inputs = densified(inputs)
    kept = tuple(inputs.shape[len(inputs.shape) - suffix :]) if suffix else ()
    shape = ops.shape(inputs)
    leading = shape[: len(shape) - suffix]
    rows = function(ops.reshape(inputs, (-1, *kept)))
    return ops.reshape(rows, (*leading, *rows.shape[1:]))


def densified(inputs: Tensor) -> Tensor:
    """Dense ids; a missing entry of a sparse tensor is id 0."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and isinstance(inputs, tensorflow.SparseTensor):
        # Keras' own conversion requires sorted entries.
        inputs = tensorflow.sparse.reorder(inputs)
    return ops.convert_to_tensor(inputs, sparse=False)


def is_ragged(inputs: Any) -> bool:
    """Whether the ids are a `tf.RaggedTensor`, without loading TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(
        inputs, tensorflow.RaggedTensor
    )


def checked(
    ids: Tensor,
    limit: int | Sequence[int] | None,
    name: str,
    labels: Sequence[str] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Integer ids in range, and a mask of the valid ones.

    Args:
        ids: Dense ids of any shape and an allowed dtype.
        limit: Number of rows: an integer, a sequence with one number for
            each index of the last axis, or None to require only that ids
            are non-negative.
        name: Name of the layer in error messages.
        labels: What error messages call each index of the last axis, where
            `limit` is a sequence. Defaults to `"table 0"` and so on.

    Returns:
        `(ids, valid)`: int32 or int64 ids, where 0 replaces an invalid id,
        and a boolean tensor of the same shape, or None if every id is known
        to be valid.

    Raises:
        ValueError: In eager execution, if an id is out of range.
    """
    given = ids
    dtype = backend.standardize_dtype(ids.dtype)
    message = f"Ids of layer '{name}' must be {_rule(limit)}. {_RANGE_FIX}"
    if dtype in EXACT:
        # Compared as floats, so that NaN fails and nothing overflows.
        number = ids if dtype == "float64" else ops.cast(ids, "float32")
        whole = ops.floor(number)
        valid = ops.logical_and(number == whole, _in_range(number, limit))
        largest = max(limit) if isinstance(limit, Sequence) else limit
        if _rounds(dtype, largest):
            message = _rounding(dtype, largest, name)
            valid = ops.zeros_like(valid)
        ids = ops.cast(ops.where(valid, whole, 0), "int32")
    else:
        ids = _signed(ids, dtype)
        found = check_kernels()
        if found is not None:
            ids = _natively_checked(
                found, ids, given, limit, name, message, labels
            )
            return ids, None
        valid = _in_range(ids, limit)
    if is_concrete(valid):
        if not bool(ops.all(valid)):
            raise ValueError(_message(given, valid, limit, name, labels))
        return ids, None
    if backend.backend() == "tensorflow":
        ids = asserted(ids, given, valid, message)
    return ops.where(valid, ids, ops.zeros_like(ids)), valid


def _signed(ids: Tensor, dtype: str) -> Tensor:
    """Ids as int32 or int64; ids too large for them become negative."""
    if dtype in _NARROW:
        return ops.cast(ids, "int32")
    if dtype in UNSIGNED:
        return ops.cast(ids, "int32" if truncates() else "int64")
    return ids


def _natively_checked(
    found: Any,
    ids: Tensor,
    given: Tensor,
    limit: int | Sequence[int] | None,
    name: str,
    message: str,
    labels: Sequence[str] | None,
) -> Tensor:
    """The ids, or the error that `checked` raises without kernels."""
    import tensorflow as tf

    limits = limit if isinstance(limit, Sequence) else [limit]
    try:
        return found.check_ids(
            ids, [-1 if n is None else n for n in limits], message
        )
    except tf.errors.InvalidArgumentError:
        # Raised again with the invalid values, as without kernels.
        raise ValueError(
            _message(given, _in_range(ids, limit), limit, name, labels)
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
    # In the ids' dtype: an int64 id must not be truncated before the test.
    bound = ops.cast(bound, ids.dtype)
    if backend.standardize_dtype(ids.dtype) in EXACT:
        return ops.logical_and(ids >= 0, ids < bound)
    # Runtimes of exported graphs, such as OpenVINO, compare integers as
    # float32, which keeps their signs.
    return ops.logical_and(ids >= 0, ids - bound < 0)


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
    ids: Tensor,
    valid: Tensor,
    limit: int | Sequence[int] | None,
    name: str,
    labels: Sequence[str] | None,
) -> str:
    values = ops.convert_to_numpy(ids)
    wrong = ~ops.convert_to_numpy(valid)
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    table = ""
    if limit is not None and not isinstance(limit, int):
        column = where[-1]
        label = f"table {column}" if labels is None else labels[column]
        table = f" ({label}, input_dim={limit[column]})"
    return (
        f"Ids of layer '{name}' must be {_rule(limit)}. {_RANGE_FIX} "
        f"Received: {wrong.sum()} of {wrong.size} ids out of range, the first "
        f"{values[where]}{table}"
    )


def asserted(ids: Tensor, given: Tensor, valid: Tensor, message: str) -> Tensor:
    """The ids with a control dependency on an assertion that `valid` holds."""
    import tensorflow as tf

    ok = tf.reduce_all(valid)
    check = tf.debugging.Assert(ok, [message, "Received: ids =", given])
    with tf.control_dependencies([check]):
        return tf.identity(ids)
