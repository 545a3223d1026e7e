"""Ids of 64 bits and of unsigned dtypes, on their way to a backend."""

from typing import Any

import numpy as np
from keras import backend

# Integer dtypes that not every backend has.
UNSIGNED = ("uint32", "uint64")


def untruncated(inputs: Any, name: str) -> Any:
    """NumPy ids in a dtype that the backend does not truncate, or an error.

    JAX truncates 64-bit inputs to 32 bits, and PyTorch lacks the larger
    unsigned integers. Tensors are returned unchanged.

    Args:
        inputs: Ids passed to a layer.
        name: Name of the layer in error messages.
    """
    if not isinstance(inputs, np.ndarray) or not inputs.size:
        return inputs
    if not truncates():
        unsigned = inputs.dtype.name in UNSIGNED
        return _as_int64(inputs, name) if unsigned else inputs
    if inputs.dtype.kind == "f" and inputs.dtype.itemsize > 4:
        truncated = inputs.astype("float32")
        # `checked` rejects NaN, like every other number that is not an id.
        if np.any((truncated != inputs) & (inputs == inputs)):
            raise ValueError(_truncation(name, inputs.min(), inputs.max()))
    if inputs.dtype.kind in "iu":
        # Python integers, since uint64 and int64 compare as rounded floats.
        low, high = int(inputs.min()), int(inputs.max())
        if not -(2**31) <= low <= high < 2**31:
            raise ValueError(_truncation(name, low, high))
        if inputs.dtype.itemsize > 4:
            return inputs.astype("int32")
    return inputs


def truncates() -> bool:
    """Whether the backend truncates 64-bit numbers, JAX's default."""
    if backend.backend() != "jax":
        return False
    import jax

    return not jax.config.read("jax_enable_x64")


def _truncation(name: str, low: Any, high: Any) -> str:
    return (
        f"Layer '{name}' would receive ids truncated to 32 bits, as JAX does "
        "with 64-bit numbers. Hash them into [0, 2^31) in the input "
        "pipeline, or set JAX_ENABLE_X64=1. "
        f"Received: ids from {low} to {high}"
    )


def _as_int64(ids: np.ndarray, name: str) -> np.ndarray:
    largest = int(ids.max())
    if largest >= 2**63:
        raise ValueError(
            f"Layer '{name}' looks up ids below 2^63. Hash larger ones in the "
            f"input pipeline. Received: ids up to {largest}"
        )
    return ids.astype("int64")
