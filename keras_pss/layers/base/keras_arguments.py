"""Arguments of `keras.layers.Embedding` that compressed layers do without."""

import warnings
from typing import Any

import numpy as np

_INSTEAD = {
    "weights": (
        "has no single table that they could be the values of. Give "
        "`embeddings_initializer`, or take keras_pss.FullEmbedding, which "
        "starts with `weights`"
    ),
    "lora_rank": "is trained itself, and has no low-rank update of its rows",
    "lora_alpha": "is trained itself, and has no low-rank update of its rows",
    "quantization_config": (
        "is packed by `quantize(mode, config=...)` once it is trained"
    ),
}


def checked(cls: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments without those that only Keras' own layer has.

    None is taken for all of them; `input_length`, which Keras no longer reads,
    is taken with Keras' warning.

    Raises:
        ValueError: For another value; the message says what to do instead.
    """
    for name, instead in _INSTEAD.items():
        value = arguments.get(name)
        if value is not None:
            raise ValueError(
                f"{cls.__name__} {instead}; leave `{name}` out. "
                f"Received: {name}={_shown(value)}"
            )
    if arguments.get("input_length") is not None:
        warnings.warn(
            "Argument `input_length` is deprecated. Just remove it.",
            stacklevel=3,
        )
    known = {*_INSTEAD, "input_length"}
    return {k: v for k, v in arguments.items() if k not in known}


def _shown(value: Any) -> str:
    """A number as it is, an array by its shape, else the type."""
    if isinstance(value, int | float | str):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", None)
    if shape is not None and np.ndim(shape) == 1:
        return f"an array of shape {tuple(shape)}"
    return f"a {type(value).__name__}"
