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
    saved = []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: saved.append(
        model.optimizer.get_config()["global_clipnorm"]))
    two.fit(model, batches.repeat(), epochs=3, steps_per_epoch=5, verbose=0,
            callbacks=[logs, updates, keep])
    assert saved == [0.05] * 3
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
""")


def test_losses_and_optimizers_of_users():
    """Two outputs, an infinite gradient on one replica, and what is refused."""
    replicas.check("""
from keras_pss import distribution
from keras import layers, losses, optimizers
dense = np.random.default_rng(1).normal(size=(33, 4)).astype("float32")
labels = (ids[:33] % 2).astype("int64")
one, both = distribution.connect(None), distribution.connect("mirrored")

def trained(two, make, data):
    keras.utils.set_random_seed(0)
    with two.scope():
        model = make()
    logs = keras.callbacks.History()
    data = tf.data.Dataset.from_tensor_slices(data).batch(8).repeat()
    two.fit(model, data, epochs=2, steps_per_epoch=5, verbose=0,
            callbacks=[logs])
    return logs.history, model.get_weights(), model.optimizer

def same(make, data):
    found, expected = trained(both, make, data), trained(one, make, data)
    assert found[0].keys() == expected[0].keys()
    for name, values in expected[0].items():
        np.testing.assert_allclose(found[0][name], values, atol=1e-5)
    for mine, other in zip(found[1], expected[1]):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    return found[2], expected[2]

def two_outputs():
    a, b = keras.Input((4,), name="a"), keras.Input((), dtype="int32", name="b")
    hidden = layers.concatenate([a, keras_pss.FullEmbedding(61, 3)(b)])
    model = keras.Model({"a": a, "b": b}, {
        "u": layers.Dense(1, "sigmoid")(hidden), "v": layers.Dense(1)(hidden)})
    optimizer = optimizers.Adam(0.05, clipnorm=0.05, use_ema=True)
    model.compile(optimizer, {"u": "binary_crossentropy", "v": "mse"},
                  loss_weights={"u": 1.0, "v": 0.3}, metrics={"u": ["AUC"]})
    return model

same(two_outputs,
     ({"a": dense, "b": ids[:33]}, {"u": labels, "v": dense[:, 0]}))

def plain(loss="mse", optimizer="sgd", part=None, cls=keras.Sequential):
    model = cls([keras.Input((4,)), *([part] if part else []), layers.Dense(1)])
    model.compile(optimizer, loss)
    return model

# The last row of the first batch is on the second replica.
huge = dense.copy()
huge[7] = 1e30
scaled, expected = same(
    lambda: plain(
        optimizer=optimizers.LossScaleOptimizer(
            optimizers.SGD(), initial_scale=8.0)),
    (huge, labels.astype("float32")))
assert scaled.dynamic_scale == expected.dynamic_scale < 8

class Own(keras.Sequential):
    def compute_loss(self, **given):
        return 0.0

def scalar(y, p):
    return keras.ops.mean(keras.ops.square(y - p))

def shared_loss():
    model = two_outputs()
    model.compile("sgd", {"u": "mse", "v": scalar})
    return model

try:
    trained(both, shared_loss,
            ({"a": dense, "b": ids[:33]}, {"u": labels, "v": dense[:, 0]}))
except ValueError as error:
    assert "'scalar', which returns a scalar" in str(error), error
else:
    raise AssertionError

for message, settings in {
    "Use reduction='mean'": {"loss": losses.MeanSquaredError(reduction="sum")},
    "which returns a scalar": {"loss": lambda y, p: keras.ops.sum(p)},
    "a loss of layer 'dense": {
        "part": layers.Dense(4, activity_regularizer="l2")},
    "with its own `compute_loss`": {"cls": Own},
    "gradient_accumulation_steps=2": {
        "optimizer": optimizers.SGD(gradient_accumulation_steps=2)},
    "keras.layers.LayerNormalization": {"part": layers.BatchNormalization},
}.items():
    def make(settings=settings):
        given = dict(settings)
        if given.get("part") is layers.BatchNormalization:
            given["part"] = layers.BatchNormalization()
        return plain(**given)
    try:
        trained(both, make, (dense, labels))
    except ValueError as error:
        assert message in str(error), error
    else:
        raise AssertionError(message)
""")
