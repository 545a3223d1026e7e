"""Arguments of `keras.layers.Embedding` that compressed layers lack."""

import warnings
from typing import Any

import numpy as np

_INSTEAD = {
    "weights": (
        "has no single table to initialize with given values. Use "
        "`embeddings_initializer`, or use keras_pss.FullEmbedding, which "
        "accepts `weights`"
    ),
    "lora_rank": "does not support low-rank adaptation (LoRA)",
    "lora_alpha": "does not support low-rank adaptation (LoRA)",
    "quantization_config": (
        "is quantized by `quantize(mode, config=...)` after training"
    ),
}


def checked(cls: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Removes the arguments that only `keras.layers.Embedding` has.

    Each of them may be None. `input_length`, which Keras ignores, may have any
    value and causes the same warning as in Keras.

    Args:
        cls: Class of the layer, for the error message.
        arguments: Keyword arguments of the constructor.

    Returns:
        The other keyword arguments.

    Raises:
        ValueError: If one of the others is not None; the message names the
            alternative.
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
    """Text of a number or string, shape of an array, or type of a value."""
    if isinstance(value, int | float | str):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", None)
    if shape is not None and np.ndim(shape) == 1:
        return f"an array of shape {tuple(shape)}"
    return f"a {type(value).__name__}"
