"""Base of the layers of raw rows, and the check of values in graphs."""

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


def checked(values: Any, valid: Any, rule: str, found: Any = None) -> Any:
    """The values, after a check that raises an `InvalidArgumentError`.

    Args:
        values: The tensor to give on.
        valid: Whether each value is valid, boolean.
        rule: What the error says.
        found: The values to show, of the shape of `valid`. Default: `values`.
    """
    import tensorflow as tf

    found = values if found is None else found
    first = tf.where(tf.reshape(~valid, [-1]))[:1, 0]
    wrong = tf.gather(tf.reshape(found, [-1]), first)
    message = f"{rule} Received:"
    check = tf.debugging.Assert(tf.reduce_all(valid), [message, wrong])
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(values)
