"""Rows of ids that repeat, each computed once.

A batch of a click log has few distinct ids in most columns. Where a row costs
much more than a copy, it is computed once for each of them. XLA needs the
number of rows when it compiles, so this is for graphs of TensorFlow: those that
are trained without XLA, and exported ones.
"""

from collections.abc import Callable
from typing import Any

from keras_pss.native.dispatch import compiled_by_xla

Tensor = Any

# The first ids decide, since to find the distinct ones among all of them takes
# 35 ns an id.
_SAMPLE = 2048
_MOST = 0.8  # the share of distinct ids among them that pays


def each_once(function: Callable[[Tensor], Tensor], ids: Tensor) -> Tensor:
    """`function(ids)`, with one call for the distinct ids if many repeat.

    Args:
        function: Maps ids `(n,)` to rows `(n, k)`, each id by itself.
        ids: Integers `(n,)`.
    """
    if compiled_by_xla():
        return function(ids)
    import tensorflow as tf

    sample = ids[:_SAMPLE]
    found = tf.size(tf.unique(sample).y)
    repeated = tf.cast(found, "float32") < _MOST * tf.cast(
        tf.size(sample), "float32"
    )
    distinct, place = tf.cond(
        repeated,
        lambda: tuple(tf.unique(ids)),
        lambda: (ids, tf.range(tf.size(ids))),
    )
    rows = function(distinct)
    return tf.cond(repeated, lambda: _taken(rows, place), lambda: rows)


def _taken(rows: Tensor, place: Tensor) -> Tensor:
    """`rows[place]`; the reshape makes its gradient a dense tensor."""
    import tensorflow as tf

    return tf.gather(tf.reshape(rows, tf.shape(rows)), place)
