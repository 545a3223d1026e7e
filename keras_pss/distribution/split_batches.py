"""Divides global batches among replicas, each row to one of them."""

from typing import Any

import keras
import tensorflow as tf


def split_batches(
    batches: tf.data.Dataset, replicas: int, first: int, count: int
) -> tf.data.Dataset:
    """The parts of global batches that some of the replicas train on.

    Of a batch of n rows, replica r of R has rows n r // R to n (r + 1) // R,
    so the numbers of rows differ by at most one, and no row is left out. Parts
    of one batch have equal shapes: those with fewer rows end in a row of zeros
    with weight 0, which `exact_step` removes before the model sees it.

    Args:
        batches: Global batches `(features, labels)`.
        replicas: Number R of all replicas.
        first: Index of the first replica of this process.
        count: Number of replicas of this process.

    Returns:
        Elements `(features, labels, weights)`: for each batch one for each of
        the `count` replicas, in order. The weights, float32 `(rows,)`, are
        R / n for rows of the batch.

    Raises:
        ValueError: If an element is no pair of features and labels.
    """
    spec = batches.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise ValueError(
            "Each batch must be a pair (features, labels) to be divided among "
            f"replicas. Received: elements {spec}"
        )

    def parts(features: Any, labels: Any) -> tf.data.Dataset:
        total = tf.shape(keras.tree.flatten(labels)[0], tf.int64)[0]
        longest = -(-total // replicas)

        def part(replica: tf.Tensor) -> Any:
            begin = total * replica // replicas
            end = total * (replica + 1) // replicas
            missing = longest - (end - begin)

            def rows(value: tf.Tensor) -> tf.Tensor:
                padding = [[0, missing]] + [[0, 0]] * (value.shape.rank - 1)
                return tf.pad(value[begin:end], padding)

            weight = tf.cast(replicas / total, tf.float32)
            weights = rows(tf.fill([total], weight))
            taken = keras.tree.map_structure(rows, (features, labels))
            return *taken, weights

        return tf.data.Dataset.range(first, first + count).map(part)

    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.flat_map(parts).prefetch(2 * count).with_options(options)
