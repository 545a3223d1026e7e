"""What two workers do with users' own models, as a process of each worker.

Prints "held" where all assertions have held; then worker 1 fails.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_pss
from keras_pss import distribution

random = np.random.default_rng(0)
DENSE = random.normal(size=(33, 4)).astype("float32")
IDS = random.integers(0, 20, 33).astype("int32")
LABELS = {"click": (IDS % 2).astype("int64"), "worth": IDS / 10}


def batches():
    rows = ({"dense": DENSE, "ids": IDS}, LABELS)
    return tf.data.Dataset.from_tensor_slices(rows).batch(8)


def two_outputs(optimizer=None):
    keras.utils.set_random_seed(0)
    dense = keras.Input((4,), name="dense")
    ids = keras.Input((), dtype="int32", name="ids")
    hidden = layers.concatenate([dense, keras_pss.FullEmbedding(20, 3)(ids)])
    model = keras.Model(
        {"dense": dense, "ids": ids},
        {
            "click": layers.Dense(1, "sigmoid", name="click")(hidden),
            "worth": layers.Dense(1, name="worth")(hidden),
        },
    )
    model.compile(
        optimizer or keras.optimizers.Adam(0.05, clipnorm=0.05),
        {"click": "binary_crossentropy", "worth": "mse"},
        loss_weights={"click": 1.0, "worth": 0.3},
        metrics={"click": ["AUC"], "worth": ["mae"]},
    )
    return model


def fit(replicas, model, epochs=3, data=None, **settings):
    """Logs of five steps an epoch, of which the last has a single row."""
    history = keras.callbacks.History()
    settings = {"callbacks": [history], "verbose": 0, **settings}
    data = batches().repeat() if data is None else data
    replicas.fit(model, data, epochs=epochs, steps_per_epoch=5, **settings)
    return history.history


class StopsAlone(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = workers.worker == 1 and epoch == 0
        self.epoch = epoch


def fails():
    raise KeyError("of the chief")


workers = distribution.connect("multi-worker")
alone = two_outputs()
expected = fit(distribution.connect(None), alone)
with workers.scope():
    model = two_outputs()
if workers.worker == 1:  # which the chief's weights replace
    model.set_weights([weight + 1 for weight in model.get_weights()])
found = fit(workers, model)
assert found.keys() == expected.keys()
for name, values in expected.items():
    np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)
for mine, other in zip(model.get_weights(), alone.get_weights(), strict=True):
    np.testing.assert_allclose(mine, other, atol=1e-5)
stops = StopsAlone()
fit(workers, model, callbacks=[stops])
assert stops.epoch == 0
with pytest.raises(ValueError, match="the end after 3 steps of epoch 2"):
    fit(workers, model, data=batches().repeat(2).take(8))
with workers.scope():
    scaled = two_outputs(
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    )
with pytest.raises(ValueError, match="Received: a LossScaleOptimizer"):
    fit(workers, scaled)
raised = KeyError if workers.is_chief else ValueError
with pytest.raises(raised, match="of the chief"):
    workers.on_chief(fails)
print("held", flush=True)
fit(workers, model, epochs=3 + workers.worker)
