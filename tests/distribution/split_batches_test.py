"""Each row of a batch goes to one replica, in order."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pss.data.pipelines.shards import shard_batches
from keras_pss.distribution.split_batches import split_batches

pytestmark = pytest.mark.tf_only


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_every_row_is_trained_once_with_its_weight(replicas):
    rows = np.arange(23, dtype=np.int32)
    # Batches of 10, 10 and 3 rows, and a second epoch that begins anew.
    features = {"ids": rows[:, None] + [[0, 100]], "dense": rows / 2}
    batches = tf.data.Dataset.from_tensor_slices((features, rows)).batch(10)
    batches = batches.repeat(2)
    shards = shard_batches(batches, (0, 1))
    whole = list(split_batches(shards, replicas, 0, replicas))
    assert len(whole) == 6 * replicas
    seen = []
    for batch in range(6):
        parts = whole[batch * replicas : (batch + 1) * replicas]
        total = [10, 10, 3][batch % 3]
        for features, labels, weights in parts:
            assert len(labels) == -(-total // replicas)
            kept = weights.numpy() > 0
            assert (weights.numpy()[kept] == np.float32(replicas / total)).all()
            assert kept.sum() in (total // replicas, -(-total // replicas))
            np.testing.assert_array_equal(features["ids"][:, 0], labels)
            seen.extend(labels.numpy()[kept])
    assert seen == [*rows, *rows]
    # A process has the parts of its own replicas.
    shards = shard_batches(batches, (replicas - 1, replicas))
    own = list(split_batches(shards, replicas, replicas - 1, 1))
    for mine, all_of_it in zip(
        own, whole[replicas - 1 :: replicas], strict=True
    ):
        np.testing.assert_array_equal(mine[1], all_of_it[1])


def test_batches_are_pairs():
    batches = tf.data.Dataset.from_tensor_slices(np.zeros((4, 2))).batch(2)
    with pytest.raises(ValueError, match=r"pair \(features, labels\)"):
        shard_batches(batches, (0, 2))
