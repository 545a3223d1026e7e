"""Packs inputs that are given by the names of features.

A model has one input for all single-valued features and one for all dense
features; a caller may also give each feature by its own name.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import KerasTensor, ops

from keras_pss.ops.model_inputs import exact

Tensor = Any


def packed(
    inputs: Mapping[str, Any],
    dtypes: Mapping[str, str],
    packs: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
    """The inputs of a model, where features may be given by their names.

    Args:
        inputs: Arrays or tensors by name, each `(batch,)` or
            `(batch, length)`.
        dtypes: Dtype of each input of the model, by name.
        packs: For each input that packs several features, their lengths by
            name, in order.

    Returns:
        Arrays or tensors by the names of `dtypes`. Those given by these names
        are unchanged.

    Raises:
        ValueError: If a name is missing or unknown, or if a shape is wrong.
    """
    named = {
        pack: within for pack, within in packs.items() if pack not in inputs
    }
    wanted = [key for name in dtypes for key in named.get(name, (name,))]
    missing = [name for name in wanted if name not in inputs]
    unknown = [name for name in inputs if name not in wanted]
    if missing or unknown:
        either = [
            f"{pack!r} or {', '.join(map(repr, within))}"
            for pack, within in packs.items()
        ]
        others = [repr(name) for name in dtypes if name not in packs]
        raise ValueError(
            "The inputs must have the names of the features: "
            f"{'; '.join([*either, *others])}. "
            f"Received: missing={missing}, unknown={unknown}"
        )
    found = {name: inputs[name] for name in dtypes if name not in named}
    for pack, within in named.items():
        columns = []
        for name, size in within.items():
            x = exact.number(_array(inputs[name]), dtypes[pack], name)
            columns.append(_columns(x, name, size))
        found[pack] = _concatenated(columns, dtypes[pack])
    return {name: found[name] for name in dtypes}


def _array(x: Any) -> Any:
    return x if hasattr(x, "shape") else np.asarray(x)


def _columns(x: Any, name: str, size: int) -> Any:
    """`(batch,)` or `(batch, size)` to `(batch, size)`."""
    shape = tuple(x.shape)
    if len(shape) == 2 and shape[1] == size:
        return x
    if len(shape) != 1 or size != 1:
        flat = "(batch,) or " if size == 1 else ""
        raise ValueError(
            f"Feature '{name}' must be a dense array of shape {flat}"
            f"(batch, {size}). Received: values of shape {shape}"
        )
    return (
        x[:, None]
        if not isinstance(x, KerasTensor)
        else ops.reshape(x, (-1, 1))
    )


def _concatenated(columns: Sequence[Any], dtype: str) -> Any:
    if any(isinstance(x, KerasTensor) or ops.is_tensor(x) for x in columns):
        return ops.concatenate([ops.cast(x, dtype) for x in columns], axis=1)
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and any(
        isinstance(x, tensorflow.Tensor) for x in columns
    ):
        # A dataset's tensors on another backend.
        return tensorflow.concat(
            [tensorflow.cast(x, dtype) for x in columns], axis=1
        )
    return np.concatenate([np.asarray(x).astype(dtype) for x in columns], 1)
