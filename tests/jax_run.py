"""Trains one model on JAX in several ways; a process of its own.

Its argument is JSON: `kinds`, what to train on in turn; `die`, the process,
epoch and batch at which a process kills itself as kill -9 does; `fail`, the
process that raises an error before it trains; `out`, the folder of models. It
prints a line of JSON for each kind.
"""

import json
import os
import signal
import sys

import keras
import numpy as np

import keras_pss
from keras_pss import distribution

# Batches of 8 rows, and a last one of 3 that no two devices share equally.
ROWS, BATCH, STEPS, EPOCHS = 35, 8, 5, 2
# The smallest table that is divided has 2^16 parameters.
LARGE = 1 << 14

_random = np.random.default_rng(0)
IDS = (_random.zipf(1.5, (ROWS, 2)).clip(max=60) - 1).astype("int32")
LABELS = (IDS[:, 0] % 2).astype("float32")
CONNECT = {
    "one": lambda: distribution.connect(None),
    "jax": lambda: distribution.connect("jax"),
    "shards": lambda: distribution.connect("jax"),
    "tables": lambda: distribution.connect("jax", model_parallel=2),
}


def batches():
    while True:
        for begin in range(0, ROWS, BATCH):
            end = min(begin + BATCH, ROWS)
            yield IDS[begin:end], LABELS[begin:end]


def shards(worker, workers):
    for ids, labels in batches():
        rows = len(ids)
        begin, end = rows * worker // workers, rows * (worker + 1) // workers
        yield ids[begin:end], labels[begin:end], np.int64(rows)


def compiled():
    hot = keras_pss.HotRows(
        keras_pss.HashedEmbedding(60, 4, num_buckets=7), 5, counts="slots"
    )
    large = keras_pss.FullEmbedding(LARGE, 4)
    ids = keras.Input((2,), dtype="int32")
    rows = keras.layers.Add()([layer(ids) for layer in (hot, large)])
    hidden = keras.layers.Flatten()(rows)
    # Both depend on the rows of a whole batch.
    hidden = keras.layers.BatchNormalization()(hidden)
    hidden = keras.layers.Dropout(0.2)(hidden)
    dense = keras.layers.Dense(1, "sigmoid", kernel_regularizer="l2")
    model = keras.Model(ids, dense(hidden))
    optimizer = keras.optimizers.Adam(0.05, global_clipnorm=0.05)
    model.compile(optimizer, "binary_crossentropy", metrics=["AUC"])
    return model, hot, large


class Scores(keras.callbacks.Callback):
    """The chief alone predicts; all processes log what it found."""

    def __init__(self, replicas):
        super().__init__()
        self.replicas = replicas

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = self.replicas.on_chief(self._score)

    def _score(self):
        return float(np.sum(self.model.predict_on_batch(IDS)))


class Dies(keras.callbacks.Callback):
    def __init__(self, place):
        super().__init__()
        self.place = place

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if [self.epoch, batch] == self.place:
            os.kill(os.getpid(), signal.SIGKILL)


def train(kind, out, die=None, fail=None):
    replicas = CONNECT[kind]()
    if fail == replicas.worker:
        raise ValueError("an error of one process")
    keras.utils.set_random_seed(0)
    with replicas.scope():
        model, hot, large = compiled()
    history = keras.callbacks.History()
    callbacks = [
        Scores(replicas),
        keras_pss.callbacks.LayerUpdates(STEPS),
        history,
    ]
    if die is not None and die[0] == replicas.worker:
        callbacks.append(Dies(die[1:]))
    replicas.fit(
        model,
        shards if kind == "shards" else batches(),
        epochs=EPOCHS,
        steps_per_epoch=STEPS,
        callbacks=callbacks,
        verbose=0,
    )
    table = large.weights[0]
    bytes_held = sum(
        variable.value.addressable_shards[0].data.nbytes
        for variable in [*model.variables, *model.optimizer.variables]
        if tuple(variable.shape) == tuple(table.shape)
    )
    with replicas.whole(model):
        if replicas.is_chief:
            model.save(f"{out}/{kind}.keras")
        else:
            table.assign(np.zeros(table.shape))
        replicas.send([table])
    with replicas.whole(model):
        held = [
            np.asarray(variable.value).astype("float64")
            for variable in [
                *hot.counter.weights,
                *model.optimizer.variables,
                table,
            ]
        ]
        return {
            "history": history.history,
            "hot": np.asarray(hot.ids()).tolist(),
            "sums": [float(np.abs(value).sum()) for value in held],
            "counters": [
                np.asarray(weight.value).ravel().tolist()
                for weight in hot.counter.weights
            ],
            "table_bytes": bytes_held,
            "replicas": [replicas.count, replicas.workers, replicas.worker],
        }


if __name__ == "__main__":
    assert "tensorflow" not in sys.modules
    told = json.loads(sys.argv[1])
    for kind in told.pop("kinds"):
        print(json.dumps(train(kind, **told)), flush=True)
