"""Base of the layers of raw rows."""

from typing import Any

import keras


class RawLayer(keras.layers.Layer):
    """A layer that takes values in their own dtypes, in TensorFlow alone."""

    def __init__(self, **kwargs: Any) -> None:
        # Keras would round float64 numbers to the policy's dtype.
        super().__init__(autocast=False, **kwargs)

    def get_config(self) -> dict[str, Any]:
        # The policy is that of a training that these layers take no part in.
        config = super().get_config()
        config.pop("dtype", None)
        return config


def spec(like: Any, dtype: str | None = None, width: Any = ()) -> Any:
    """A symbolic tensor like another one.

    Args:
        like: A symbolic tensor.
        dtype: Another dtype. Default: that of `like`.
        width: What follows the batch in the shape. Default: as in `like`.
    """
    shape = like.shape if width == () else (like.shape[0], *width)
    return keras.KerasTensor(shape, dtype or like.dtype)
