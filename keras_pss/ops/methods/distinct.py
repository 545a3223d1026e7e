"""Rows of ids that repeat, each computed once.

A batch of a click log has few distinct ids in most columns. Where a row costs
much more than a copy, it is computed once for each of them: in graphs of
TensorFlow, those that are trained without XLA and exported ones, by tensors of
unknown length. XLA needs the number of rows when it compiles. There a kernel
finds the distinct ids, and a loop over chunks of them ends after the last.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_pss.native.dispatch import compiled_by_xla, id_kernels, vectorized
from keras_pss.ops.ids import is_concrete
from keras_pss.ops.methods.chain import Chain, first_rows

Tensor = Any

# The first ids decide, since to find the distinct ones among all of them takes
# 35 ns an id.
_SAMPLE = 2048
_MOST = 0.8  # the share of distinct ids among them that pays

# Chunks of a loop under XLA: as many as save most of the rows to compute, and
# so long that a chunk costs little more than its part of a batch.
_CHUNKS = 32
_LEAST = 256


def each_once(function: Callable[[Tensor], Tensor], ids: Tensor) -> Tensor:
    """`function(ids)`, with one call for the distinct ids if many repeat.

    Args:
        function: Maps ids `(n,)` to rows `(n, k)`, each id by itself. Under XLA
            only a `Chain` is computed for distinct ids.
        ids: Integers `(n,)`.
    """
    if vectorized():
        return function(ids)
    if compiled_by_xla():
        if isinstance(function, Chain):
            return _chunked(function, ids)
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


def _chunked(chain: Chain, ids: Tensor) -> Tensor:
    """Rows by a loop over the distinct ids, if there are kernels."""
    few = ids.shape[0] is not None and ids.shape[0] < 2 * _LEAST
    found = None if few or is_concrete(ids) else id_kernels(ids)
    if found is None:
        return chain(ids)
    distinct, place, count = found.distinct_ids(
        ids, _SAMPLE, _MOST, _CHUNKS, _LEAST
    )
    return ops.take(first_rows(chain, distinct, count), place, axis=0)


def _taken(rows: Tensor, place: Tensor) -> Tensor:
    """`rows[place]`; the reshape makes its gradient a dense tensor."""
    import tensorflow as tf

    return tf.gather(tf.reshape(rows, tf.shape(rows)), place)
