"""Steps on two replicas equal those of one device."""

import pytest
import replicas

pytestmark = [pytest.mark.tf_only, pytest.mark.slow]


def test_users_models_train_as_on_one_device():
    """Clipped, with a penalty, a metric, and last batches of a single row."""
    replicas.check("""
from keras_pss import distribution
labels = (ids[:33] % 2).astype("float32")
batches = tf.data.Dataset.from_tensor_slices((ids[:33], labels)).batch(8)
found = []
for kind in (None, "mirrored"):
    two = distribution.connect(kind)
    keras.utils.set_random_seed(0)
    with two.scope():
        inner = keras_pss.HashedEmbedding(60, 4, num_buckets=7)
        layer = keras_pss.HotRows(inner, 5)
        model = keras.Sequential([
            keras.Input((), dtype="int32"), layer,
            keras.layers.Dense(1, "sigmoid", kernel_regularizer="l2")])
        optimizer = keras.optimizers.Adam(0.05, global_clipnorm=0.05)
        model.compile(optimizer, "binary_crossentropy", metrics=["AUC"])
    logs = keras.callbacks.History()
    updates = keras_pss.callbacks.LayerUpdates(5)
    two.fit(model, batches.repeat(), epochs=3, steps_per_epoch=5, verbose=0,
            callbacks=[logs, updates])
    assert model.optimizer.global_clipnorm == 0.05
    assert "train_step" not in vars(model)
    counts = layer.counter.estimates(np.arange(60, dtype=np.int32))
    found.append((logs.history, counts, layer.ids(), model.get_weights()))
one, both = found
for key, values in one[0].items():
    np.testing.assert_allclose(both[0][key], values, atol=1e-6)
np.testing.assert_array_equal(one[1], both[1])
np.testing.assert_array_equal(one[2], both[2])
for mine, other in zip(one[3], both[3]):
    np.testing.assert_allclose(mine, other, atol=1e-6)
with two.scope():
    model = keras.Sequential([keras.Input((2,)),
                              keras.layers.BatchNormalization()])
    model.compile("adam", "mse")
try:
    two.fit(model, batches, epochs=1, steps_per_epoch=5, verbose=0)
except ValueError as error:
    assert "Use keras.layers.LayerNormalization" in str(error)
else:
    raise AssertionError
""")
