"""Sparse gradients of gathered rows, with the entries of equal rows summed.

TensorFlow alone has them in Keras: JAX's gradients are dense, and Keras'
optimizers on PyTorch take dense ones. Stock layers hand Adam, Adagrad and
RMSprop one entry for each occurrence of an id, which they square one by one;
here each row occurs once, so that every optimizer sees the true gradient.
"""

import weakref
from typing import Any

from keras import backend

from keras_pss.native.dispatch import table_kernels

Tensor = Any
MODES = ("auto", "dense", "sparse")

# Numbers in a table from which on a sparse gradient is the faster one (SGD,
# from 4 million on, and Adagrad); Adam's step is 4 to 10 % slower from here on.
# Measured by benchmarks/gradient_crossover.py.
CROSSOVER = 1 << 24

# Tables that were read with a sparse gradient, by the graph that did.
_read_in: weakref.WeakKeyDictionary[Any, set[int]]
_read_in = weakref.WeakKeyDictionary()


def pays(table: Any) -> bool:
    """Whether a table is so large that `"auto"` takes a sparse gradient.

    Never for single numbers, as of ROBE's memory: up to some 30 million of
    them, to find the duplicates takes longer than the whole memory's step.
    """
    rows, width = table.shape
    return width > 1 and rows * width >= CROSSOVER


def possible(table: Any) -> bool:
    """Whether rows of a table can have a sparse gradient here and now.

    In one graph a table may be read so once: the entries of two reads would
    be joined unsummed, and so would those of several replicas. Further reads
    are dense, which makes the sum of all of them dense, and right.
    """
    if backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    value = getattr(table, "value", None)
    if not isinstance(value, tf.Variable) or tf.executing_eagerly():
        return False
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        return False
    read = _read_in.setdefault(tf.compat.v1.get_default_graph(), set())
    if id(table) in read:
        return False
    read.add(id(table))
    return True


def rows(table: Any, index: Tensor) -> Tensor:
    """`table[index]` of a TensorFlow variable, for `possible` tables."""
    import tensorflow as tf

    flat = tf.reshape(index, (-1,))
    found = _summed_once(tf.gather(table.value, flat), flat)
    return tf.reshape(found, (*_shape(index), table.shape[1]))


def _summed_once(rows: Tensor, index: Tensor) -> Tensor:
    """The rows; their gradient is summed at the first row of equal index.

    The others get zeros. (Taking part in the variable's own gradient instead
    would read it whole, which TensorFlow copies after each sparse update.)
    """
    import tensorflow as tf

    @tf.custom_gradient
    def identity(rows: Tensor) -> Any:
        def gradient(upstream: Tensor) -> Tensor:
            found = table_kernels(upstream, index)
            if found is not None:
                return found.sum_equal(upstream, index)
            unique, group = tf.unique(index)
            count = tf.size(unique)
            place = tf.range(tf.size(index))
            first = tf.math.unsorted_segment_min(place, group, count)
            sums = tf.math.unsorted_segment_sum(upstream, group, count)
            is_first = tf.equal(tf.gather(first, group), place)
            return tf.where(is_first[:, None], tf.gather(sums, group), 0)

        return rows, gradient

    return identity(rows)


def _shape(x: Tensor) -> list[Any]:
    """Lengths of the axes, as integers where they are known."""
    import tensorflow as tf

    dynamic = tf.shape(x)
    return [
        dynamic[axis] if length is None else length
        for axis, length in enumerate(x.shape)
    ]
