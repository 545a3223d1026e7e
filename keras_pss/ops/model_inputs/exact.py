"""Conversion of numbers to integer dtypes, exact or an error.

`keras.Model` casts its inputs to the dtypes of its `keras.Input`s, where both
int64 2^32 + 5 and 5.7 become id 5. These functions replace that cast.
"""

import sys
from typing import Any

import numpy as np
from keras import KerasTensor, backend, ops

from keras_pss.ops import ids as ids_ops
from keras_pss.ops import wide_ids
from keras_pss.ops.bags import form

Tensor = Any


def is_integer(dtype: str) -> bool:
    """Whether a dtype is an integer dtype."""
    return dtype.startswith(("int", "uint"))


def number(x: Any, dtype: str, name: str) -> Any:
    """Converts a value passed to a model's input exactly to its dtype.

    Args:
        x: A NumPy array, an object with `__array__`, a SciPy sparse matrix,
            a dense, sparse or ragged tensor of the backend or of TensorFlow,
            or None for an optional input.
        dtype: Dtype of the input. Only integer dtypes are converted here.
        name: Name of the input in error messages.

    Returns:
        The same numbers in `dtype`. None and symbolic tensors of Keras are
        returned unchanged.

    Raises:
        ValueError: For other objects than these; and in eager execution, for
            a number that the dtype cannot represent. A TensorFlow graph raises
            `InvalidArgumentError`; in other compiled code the number becomes
            -1, or a very large integer if `dtype` is unsigned, which is an
            out-of-range id.
    """
    if not is_integer(dtype) or x is None or isinstance(x, KerasTensor):
        return x
    if dtype.endswith("64") and wide_ids.truncates():
        dtype = dtype.replace("64", "32")
    if form(x) == "ragged":
        return x.with_flat_values(number(x.flat_values, dtype, name))
    if form(x) == "sparse":
        return _sparse(x, dtype, name)
    if ops.is_tensor(x):
        return _tensor(x, dtype, name)
    if _is_dataset_tensor(x):
        return _dataset_tensor(x, dtype, name)
    if hasattr(x, "tocoo"):
        matrix = x.tocsr(copy=True)
        matrix.data = _array(matrix.data, dtype, name)
        return matrix
    if hasattr(x, "__array__"):
        return _array(np.asarray(x), dtype, name)
    raise ValueError(
        f"Input '{name}' takes arrays or tensors. Convert other objects by "
        f"`numpy.asarray` first. Received: a value of type {type(x)}"
    )


def _sparse(x: Tensor, dtype: str, name: str) -> Tensor:
    if backend.backend() == "jax":
        data = _tensor(x.data, dtype, name)
        return (
            x if data is x.data else type(x)((data, x.indices), shape=x.shape)
        )
    values = _tensor(x.values, dtype, name)
    if values is x.values:
        return x
    after = type(x)(x.indices, values, x.dense_shape)
    after.set_shape(x.shape)
    return after


def _array(x: np.ndarray, dtype: str, name: str) -> np.ndarray:
    given = (
        backend.standardize_dtype(x.dtype) if x.dtype.kind in "biufV" else ""
    )
    if given in ids_ops.EXACT:
        wide = x.astype("float64")
        exact = (wide == np.floor(wide)) & (np.abs(wide) < ids_ops.EXACT[given])
        low, high = _bounds(dtype)
        valid = exact & (wide >= low) & (wide <= high)
    elif is_integer(given):
        if np.can_cast(x.dtype, dtype):
            return x
        low, high = _bounds(dtype, given)
        valid = (x >= low) & (x <= high)
    else:
        raise ValueError(_wrong_kind(dtype, name, x.dtype))
    if not valid.all():
        raise ValueError(_message(x, valid, dtype, name))
    return x.astype(dtype)


def _tensor(x: Tensor, dtype: str, name: str) -> Tensor:
    given = backend.standardize_dtype(x.dtype)
    if given == dtype:
        return x
    if given in ids_ops.EXACT:
        wide = ops.cast(x, "float32") if given.endswith("16") else x
        low, high = _bounds(dtype)
        valid = ops.logical_and(
            wide == ops.floor(wide), ops.abs(wide) < ids_ops.EXACT[given]
        )
    elif is_integer(given):
        if np.can_cast(given, dtype):
            return x
        wide = x
        if given.startswith("u"):  # too large numbers become negative
            given = "int32" if wide_ids.truncates() else "int64"
            wide = ops.cast(x, given)
            valid = wide >= 0
        else:
            valid = ops.ones_like(wide, dtype="bool")
        low, high = _bounds(dtype, given)
    else:
        raise ValueError(_wrong_kind(dtype, name, given))
    valid = ops.logical_and(valid, wide >= low)
    valid = ops.logical_and(valid, wide <= high)
    if ids_ops.is_concrete(valid):
        if not bool(ops.all(valid)):
            shown = ops.convert_to_numpy(x)
            raise ValueError(
                _message(shown, ops.convert_to_numpy(valid), dtype, name)
            )
        return ops.cast(x, dtype)
    if backend.backend() == "tensorflow":
        wide = ids_ops.asserted(wide, x, valid, _rule(dtype, name))
    after = ops.cast(ops.where(valid, wide, ops.zeros_like(wide)), dtype)
    no_id = -1 if dtype.startswith("int") else _bounds(dtype)[1]
    return ops.where(valid, after, ops.full_like(after, no_id))


def _is_dataset_tensor(x: Any) -> bool:
    """Whether `x` is a symbolic tensor of `tf.data` on another backend."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and (
        isinstance(x, tensorflow.SparseTensor)
        or (isinstance(x, tensorflow.Tensor) and not hasattr(x, "numpy"))
    )


def _dataset_tensor(x: Any, dtype: str, name: str) -> Any:
    import tensorflow as tf

    if isinstance(x, tf.SparseTensor):
        values = _dataset_tensor(x.values, dtype, name)
        return tf.SparseTensor(x.indices, values, x.dense_shape)
    given = x.dtype.name
    if given == dtype:
        return x
    if given not in ids_ops.EXACT and not is_integer(given):
        raise ValueError(_wrong_kind(dtype, name, given))
    after = tf.cast(x, dtype)
    # A cast back; numbers that wrap to the other sign also survive it.
    valid = (tf.cast(after, x.dtype) == x) & ((after < 0) == (x < 0))
    if given in ids_ops.EXACT:
        valid &= tf.abs(x) < ids_ops.EXACT[given]
    rule = _rule(dtype, name)
    check = tf.debugging.Assert(
        tf.reduce_all(valid), [rule, "Received: ids =", x]
    )
    with tf.control_dependencies([check]):
        return tf.identity(after)


def _bounds(dtype: str, given: str = "int64") -> tuple[int, int]:
    """The smallest and largest integers that both dtypes represent."""
    both = np.iinfo(dtype), np.iinfo(given)
    return max(int(i.min) for i in both), min(int(i.max) for i in both)


def _rule(dtype: str, name: str) -> str:
    return (
        f"Input '{name}' takes integers that {dtype} can represent, or floats "
        "that are whole numbers and small enough to be exact. Map or hash ids "
        "to that range in the input pipeline."
    )


def _message(x: np.ndarray, valid: np.ndarray, dtype: str, name: str) -> str:
    wrong = ~valid
    first = x[tuple(np.argwhere(wrong)[0])]
    return (
        f"{_rule(dtype, name)} Received: {wrong.sum()} of {wrong.size} "
        f"invalid values, the first {first}, dtype={x.dtype}"
    )


def _wrong_kind(dtype: str, name: str, given: Any) -> str:
    return f"{_rule(dtype, name)} Received: dtype={given}"
