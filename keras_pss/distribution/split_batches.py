"""Divides a process's rows of global batches among its replicas."""

from typing import Any

import keras
import tensorflow as tf

from keras_pss.data.pipelines.shards import check_elements, own_rows


def split_batches(
    shards: tf.data.Dataset, replicas: int, first: int, count: int
) -> tf.data.Dataset:
    """The parts of global batches that the replicas of a process train on.

    Replica r of R trains on rows n r // R to n (r + 1) // R of a batch of n
    rows, so the numbers of rows differ by at most one, and no row is left out.
    Parts of one batch have equal shapes: those with fewer rows end in a row of
    zeros with weight 0, which `exact_step` removes before the model sees it.

    Args:
        shards: The process's rows of global batches, `(features, labels,
            rows)`, as `shard_batches` makes them.
        replicas: Number R of all replicas.
        first: Index of the first replica of this process.
        count: Number of replicas of this process; the same in all processes.

    Returns:
        Elements `(features, labels, weights)`: for each batch one for each of
        the `count` replicas, in order. The weights, float32 `(rows,)`, are
        R / n for rows of the batch.

    Raises:
        ValueError: If elements are others.
    """
    check_elements(shards)

    def parts(features: Any, labels: Any, total: Any) -> tf.data.Dataset:
        longest = -(-total // replicas)
        before, _ = own_rows(total, first, replicas)

        def part(replica: tf.Tensor) -> Any:
            begin, end = own_rows(total, replica, replicas)
            missing = longest - (end - begin)

            def rows(value: tf.Tensor) -> tf.Tensor:
                padding = [[0, missing]] + [[0, 0]] * (value.shape.rank - 1)
                return tf.pad(value[begin - before : end - before], padding)

            share = tf.cast(replicas / total, tf.float32)
            weights = tf.fill([end - before], share)
            taken = keras.tree.map_structure(rows, (features, labels))
            return *taken, rows(weights)

        return tf.data.Dataset.range(first, first + count).map(part)

    options = tf.data.Options()
    options.autotune.enabled = False
    return shards.flat_map(parts).prefetch(2 * count).with_options(options)
