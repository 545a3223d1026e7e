"""Re-clustering between the epochs of `fit`."""

import keras
import numpy as np
import pytest
from compiling import WITHOUT_XLA
from keras import ops

import keras_pss
from keras_pss.callbacks.recluster import Recluster
from keras_pss.layers.embedding import methods as factory
from keras_pss.layers.embedding.clustered_embedding import ClusteredEmbedding
from keras_pss.ops.hash_families import pss1

ROWS, WIDTH = 200, 8
IDS = np.random.RandomState(0).randint(0, ROWS, (256,)).astype("int32")
TARGETS = np.random.RandomState(1).normal(size=(256, WIDTH)).astype("float32")
NAMES = ("centroids", "residuals", "pointers", "epoch")


def make(optimizer="adam", **changes):
    layer = ClusteredEmbedding(ROWS, WIDTH, num_clusters=10, **changes)
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    model.compile(optimizer, "mse", jit_compile=WITHOUT_XLA)
    return layer, model


def fit(model, *callbacks, epochs, **options):
    return model.fit(
        IDS,
        TARGETS,
        epochs=epochs,
        callbacks=list(callbacks),
        verbose=0,
        shuffle=False,
        **options,
    )


def tables(layer):
    return {
        name: np.array(ops.convert_to_numpy(getattr(layer, f"{name}_table")))
        for name in NAMES
    }


class Watch(keras.callbacks.Callback):
    """Keeps what the callback before it left behind at the end of epochs."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.tables, self.slots, self.rows = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        model = self.model  # on JAX this brings the weights back
        self.tables.append(tables(self.layer))
        self.rows.append(self.layer.materialize())
        self.slots.append(
            {v.name: ops.convert_to_numpy(v) for v in model.optimizer.variables}
        )


def test_training_goes_on_from_the_reclustered_weights():
    """One step of SGD an epoch, repeated in NumPy from what was there."""
    layer, model = make(keras.optimizers.SGD(2.0))
    watch = Watch(layer)
    before_any = layer.materialize()
    fit(model, Recluster(until=2), watch, epochs=4, batch_size=256)
    assert [int(t["epoch"][0, 0]) for t in watch.tables] == [1, 2, 2, 2]
    assert np.abs(watch.rows[0] - before_any).max() > 0
    # The step from the end of epoch 2 to that of epoch 3, which only trains.
    start, end = watch.tables[1], watch.tables[2]
    np.testing.assert_array_equal(start["pointers"], end["pointers"])
    wide = IDS.astype("int64") + (2 << 32)
    hashed = pss1.starts(wide, 10, 0, 1, range(4))
    upstream = 2 * (watch.rows[1][IDS] - TARGETS) / TARGETS.size
    for name, index in (
        ("centroids", start["pointers"][IDS].astype(int)),
        ("residuals", hashed),
    ):
        gradient = np.zeros((40, 2))
        rows = index + 10 * np.arange(4)
        np.add.at(gradient, rows, upstream.reshape(256, 4, 2))
        np.testing.assert_allclose(
            end[name], start[name] - 2.0 * gradient, rtol=1e-4, atol=1e-6
        )


def test_weights_survive_epochs_without_learning():
    layer, model = make(keras.optimizers.SGD(0.0))
    watch = Watch(layer)
    fit(model, Recluster(until=1), watch, epochs=3, batch_size=64)
    for name, table in watch.tables[0].items():
        np.testing.assert_array_equal(tables(layer)[name], table)
    predicted = model.predict(IDS, verbose=0)
    np.testing.assert_array_equal(predicted, watch.rows[0][IDS])


@pytest.mark.parametrize(
    ("optimizer", "value"),
    [("adam", 0.0), ("adagrad", 0.1), ("ftrl", None), ("rmsprop", 0.0)],
)
def test_slots_of_the_replaced_tables_start_afresh(optimizer, value):
    inputs = keras.Input((), dtype="int32")
    layer = ClusteredEmbedding(ROWS, WIDTH, num_clusters=10)
    model = keras.Model(inputs, keras.layers.Dense(WIDTH)(layer(inputs)))
    model.compile(optimizer, "mse", jit_compile=WITHOUT_XLA)
    watch = Watch(layer)
    fit(model, Recluster(every_epochs=2, until=2), watch, epochs=2)
    learned, cleared = watch.slots
    own = [name for name in cleared if "clustered" in name]
    assert own
    for name in own:
        wanted = value
        if value is None:
            wanted = 0.1 if name.endswith("accumulator") else 0.0
        np.testing.assert_allclose(cleared[name], wanted, rtol=1e-6)
        assert np.abs(learned[name] - wanted).max() > 0
    if optimizer == "adam":  # which moves its slots of all weights alike
        others = [name for name in cleared if "dense" in name]
        assert others
        assert all(cleared[name].any() for name in others)


def test_it_stops_after_three_quarters():
    layer, model = make()
    watch = Watch(layer)
    losses = fit(model, Recluster(), watch, epochs=8).history["loss"]
    epochs = [int(t["epoch"][0, 0]) for t in watch.tables]
    assert epochs == [1, 2, 3, 4, 5, 6, 6, 6]
    assert losses[-1] < losses[0]
    layer, model = make()
    fit(model, Recluster(every_epochs=2, until=5), epochs=6)
    assert int(tables(layer)["epoch"][0, 0]) == 2


@pytest.mark.slow
def test_ids_that_belong_together_find_each_other():
    """Ten kinds of ids, in no order, which a hash can only mix."""
    random = np.random.RandomState(3)
    kind = random.randint(0, 10, 400)
    truth = random.normal(size=(10, WIDTH)).astype("float32")[kind]
    ids = np.tile(np.arange(400, dtype="int32"), 8)
    losses = {}
    for callbacks in ([], [Recluster()]):
        keras.utils.set_random_seed(1)
        layer = ClusteredEmbedding(400, WIDTH, num_clusters=40)
        model = keras.Sequential([keras.Input((), dtype="int32"), layer])
        model.compile(keras.optimizers.Adam(0.05), "mse")
        history = model.fit(
            ids,
            truth[ids],
            batch_size=100,
            epochs=12,
            callbacks=callbacks,
            verbose=0,
        )
        losses[len(callbacks)] = history.history["loss"][-1]
    assert losses[1] < 0.5 * losses[0]


def test_layers_are_found_wherever_they_are(monkeypatch):
    monkeypatch.setitem(factory.METHODS, "clustered", ClusteredEmbedding)
    dims = (400, 300, 5)
    collection = keras_pss.EmbeddingCollection(
        dims, WIDTH, method="clustered", budget="2x"
    )
    first = keras.Input((3,), dtype="int32")
    inner = keras.Model(first, collection(first))
    second = keras.Input((), dtype="int32")
    own = ClusteredEmbedding(ROWS, WIDTH, num_clusters=10, name="own")
    frozen = ClusteredEmbedding(
        ROWS, WIDTH, num_clusters=10, trainable=False, name="frozen"
    )
    rows = keras.layers.Flatten()(inner(first))
    joined = keras.layers.Concatenate()([rows, own(second), frozen(second)])
    model = keras.Model([first, second], keras.layers.Dense(1)(joined))
    model.compile("adam", "mse", jit_compile=WITHOUT_XLA)
    random = np.random.RandomState(0)
    ids = np.stack([random.randint(0, n, 64) for n in dims], 1).astype("int32")
    counts = {"own": np.bincount(IDS, minlength=ROWS)}
    recluster = Recluster(counts=counts, samples_per_cluster=5)
    model.fit(
        [ids, IDS[:64]],
        np.ones(64),
        epochs=2,
        callbacks=[recluster],
        verbose=0,
    )
    layers = [*collection.single, own]
    assert len(layers) == 3
    assert [int(tables(layer)["epoch"][0, 0]) for layer in layers] == [1, 1, 1]
    assert int(tables(frozen)["epoch"][0, 0]) == 0


@pytest.mark.parametrize(
    ("arguments", "epochs", "message"),
    [
        ({}, 1, r"1 epochs.*epoch 0 is the last.*steps_per_epoch"),
        ({"every_epochs": 4}, 5, "every_epochs=4, until=None"),
        ({"every_epochs": 4, "until": 9}, 3, "every_epochs=4, until=9"),
        ({"counts": {"other": IDS}}, 4, r"names of .*clustered.*'other'"),
    ],
)
def test_errors_come_when_training_begins(arguments, epochs, message):
    _, model = make()
    with pytest.raises(ValueError, match=message):
        fit(model, Recluster(**arguments), epochs=epochs)


def test_errors_of_its_own():
    for arguments in ({"every_epochs": 0}, {"until": -1}, {"until": 1.5}):
        with pytest.raises(ValueError, match="must be a positive integer"):
            Recluster(**arguments)
    with pytest.raises(ValueError, match="`samples_per_cluster` must be"):
        Recluster(samples_per_cluster=0)
    model = keras.Sequential(
        [keras.Input((), dtype="int32"), keras.layers.Embedding(ROWS, WIDTH)]
    )
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="needs a model with a trainable"):
        fit(model, Recluster(), epochs=4)
