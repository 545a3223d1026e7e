"""Models with hot rows, and ids of which a few are frequent."""

import keras
import numpy as np
from compiling import WITHOUT_XLA
from keras import ops

import keras_pss
from keras_pss.layers.composite.hot_rows import HotRows

DIM, WIDTH, CAPACITY, BATCH = 60, 4, 5, 8


def hot_rows(name="frequent", **arguments):
    inner = keras_pss.HashedEmbedding(DIM, WIDTH, num_buckets=7)
    return HotRows(inner, CAPACITY, name=name, **arguments)


def model_of(*layers, optimizer=None, **compiled):
    inputs = keras.Input((3,), dtype="int32")
    outputs = [keras.layers.Flatten()(layer(inputs)) for layer in layers]
    if len(outputs) > 1:
        outputs = [keras.layers.Concatenate()(outputs)]
    model = keras.Model(inputs, keras.layers.Dense(1)(outputs[0]))
    compiled = {"jit_compile": WITHOUT_XLA} | compiled
    model.compile(optimizer or keras.optimizers.Adam(0.05), "mse", **compiled)
    return model


def steps_of(count, seed=0):
    """Ids of `count` steps, and targets; a few ids are frequent."""
    random = np.random.RandomState(seed)
    ids = random.randint(0, DIM, (count * BATCH, 3))
    frequent = random.rand(*ids.shape) < 0.7
    ids[frequent] = ids[frequent] % CAPACITY * 11
    target = random.normal(size=(len(ids), 1))
    return ids.astype("int32"), target.astype("float32")


def fit(model, ids, target, *callbacks, epochs=1):
    return model.fit(
        ids,
        target,
        batch_size=BATCH,
        shuffle=False,
        epochs=epochs,
        callbacks=list(callbacks),
        verbose=0,
    ).history


FREQUENT = [0, 11, 22, 33, 44]


def numpy_of(x):
    return np.array(ops.convert_to_numpy(x))
