"""Sparse gradients of gathered rows, with duplicates summed.

Keras supports them on TensorFlow only: JAX's gradients are dense, and Keras'
optimizers on PyTorch take dense gradients. Stock layers give Adam, Adagrad and
RMSprop one entry for each occurrence of an id, which they square separately.
Here each row occurs once, so that every optimizer sees the true gradient.
"""

import weakref
from typing import Any

from keras import backend

from keras_pss.native.dispatch import table_kernels

Tensor = Any
MODES = ("auto", "dense", "sparse")

# Number of parameters from which on a sparse gradient is faster with SGD (for
# which it is from 4 million on) and Adagrad; Adam's step is 4 to 10 % slower.
# Measured by benchmarks/gradient_crossover.py.
CROSSOVER = 1 << 24

# For each graph, the tables it already reads with a sparse gradient.
_read_in: weakref.WeakKeyDictionary[Any, set[int]]
_read_in = weakref.WeakKeyDictionary()


def mark_rows(table: Any) -> None:
    """Marks a Keras variable as a table of rows that ids select."""
    table.holds_rows = True


def holds_rows(table: Any) -> bool:
    """Whether a variable was marked by `mark_rows`."""
    return getattr(table, "holds_rows", False)


def prefer(table: Any) -> None:
    """Lets `"auto"` choose a sparse gradient for a table of rows of any size.

    An optimizer that updates the rows of a batch alone calls it.
    """
    if holds_rows(table):
        table.prefers_sparse_gradient = True


def pays(table: Any) -> bool:
    """Whether `"auto"` uses a sparse gradient for a table.

    It does if the optimizer prefers one, or for a large table. It never does
    for a table of single elements that is no table of rows, as ROBE's memory:
    up to about 30 million elements, finding the duplicates takes longer than a
    dense step.
    """
    if getattr(table, "prefers_sparse_gradient", False):
        return True
    rows, width = table.shape
    return width > 1 and rows * width >= CROSSOVER


def possible(table: Any) -> bool:
    """Whether the next read of a table can have a sparse gradient.

    In one graph, only one read of a table can: TensorFlow would concatenate
    the entries of two reads, or of several replicas, without summing
    duplicates. Further reads are dense, which makes the total gradient dense
    and correct.
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
    """`table[index]` of a TensorFlow variable for which `possible` holds."""
    import tensorflow as tf

    flat = tf.reshape(index, (-1,))
    found = _summed_once(tf.gather(table.value, flat), flat)
    return tf.reshape(found, (*_shape(index), table.shape[1]))


def _summed_once(rows: Tensor, index: Tensor) -> Tensor:
    """Returns `rows`; sums their gradient at the first row of each index.

    Duplicates get zeros. (A custom gradient of the variable would read all of
    it, and TensorFlow copies a variable that is read whole at each sparse
    update.)
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
