"""The check of values within a graph."""

from typing import Any


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
