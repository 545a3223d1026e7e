"""The callback: when it refreshes, what it finds, what it logs."""

import keras
import numpy as np
import pytest
import replicas
from compiling import WITHOUT_XLA
from hot_models import (
    BATCH,
    DIM,
    FREQUENT,
    WIDTH,
    fit,
    hot_rows,
    model_of,
    numpy_of,
    steps_of,
)

import keras_pss
from keras_pss.callbacks.refresh_hot_rows import RefreshHotRows
from keras_pss.layers.composite.embedding_bag import EmbeddingBag

BACKEND = keras.backend.backend()


class Log(keras.callbacks.Callback):
    """Notes after which steps the hot ids changed."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        if self.model is not None:
            self.seen.append(self.layer.ids().tolist())


@pytest.mark.parametrize("jit", [False, True])
def test_a_refresh_in_the_middle_of_an_epoch_counts_at_once(jit):
    layer = hot_rows()
    model = model_of(layer, jit_compile=jit and BACKEND != "torch")
    ids, target = steps_of(10)
    history = fit(model, ids, target, RefreshHotRows(warmup_steps=4))
    np.testing.assert_array_equal(layer.ids(), FREQUENT)
    # Misses before it, hits from the next step on, in the same epoch.
    hits = np.isin(ids[4 * BATCH :], FREQUENT).sum()
    assert layer.count_hits() == (hits, ids.size)
    assert history["hot_rows_hit_rate"] == [hits / ids.size]
    # The rows trained in the steps that were left, and were not lost.
    compressed = layer.embedding.materialize(FREQUENT)
    assert (layer.materialize(FREQUENT) != compressed).any(axis=1).all()


def test_steps_until_a_refresh():
    layer = hot_rows()
    ids = np.repeat(np.arange(12, dtype="int32"), BATCH)[:, None]
    ids = np.repeat(ids, 3, axis=1)  # step k sees nothing but id k
    target = np.zeros((len(ids), 1), "float32")
    log = Log(layer)
    refresh = RefreshHotRows(warmup_steps=2, every=4)
    model = model_of(layer)
    fit(model, ids, target, refresh, log)
    expected = 1 * [[]] + 4 * [[0, 1]] + 4 * [[0, 1, 2, 3, 4]]
    # Equally counted ids do not push out those that are there.
    assert log.seen == expected + 3 * [[0, 1, 2, 3, 4]]
    assert refresh.steps == 12
    log.seen.clear()
    fit(model, ids[::-1].copy(), target, refresh, log)  # goes on counting
    assert refresh.steps == 24
    assert log.seen[0] == [0, 1, 2, 3, 4]
    assert log.seen[1] == [0, 1, 2, 10, 11]


def test_decay_is_handed_on():
    layer = hot_rows()
    ids, target = steps_of(6)
    refresh = RefreshHotRows(warmup_steps=6, decay=True)
    fit(model_of(layer), ids, target, refresh)
    every = np.arange(DIM, dtype=np.int32)
    np.testing.assert_array_equal(
        layer.counter.estimates(every),
        np.bincount(ids.reshape(-1), minlength=DIM) // 2,
    )


def test_several_steps_at_once():
    layer = hot_rows()
    # Keras has one step at a time on PyTorch.
    at_once, warmup_steps = (1, 4) if BACKEND == "torch" else (4, 3)
    model = model_of(layer, steps_per_execution=at_once)
    ids, target = steps_of(12)
    refresh = RefreshHotRows(warmup_steps, every=100)
    fit(model, ids, target, refresh)
    assert refresh.steps == 12
    hits = np.isin(ids[4 * BATCH :], FREQUENT).sum()
    assert layer.count_hits() == (hits, ids.size)


def test_each_epoch_has_a_hit_rate_of_its_own():
    layer = hot_rows()
    ids, target = steps_of(5)
    model = model_of(layer)
    refresh = RefreshHotRows(warmup_steps=5)
    rates = fit(model, ids, target, refresh, epochs=3)["hot_rows_hit_rate"]
    share = np.isin(ids, FREQUENT).mean()
    assert rates == pytest.approx([0.0, share, share])
    assert 0.6 < share < 0.8


def test_all_layers_are_found_and_named():
    """In a bag, in a model within, under one name, and frozen."""
    inner = keras.Input((3,), dtype="int32")
    within = hot_rows()
    submodel = keras.Model(inner, within(inner), name="submodel")
    bagged, frozen = hot_rows("bagged"), hot_rows("frozen", trainable=False)
    alone = hot_rows()
    layers = [submodel, EmbeddingBag(bagged), alone, frozen]
    model = model_of(*layers)
    ids, target = steps_of(4)
    history = fit(model, ids, target, RefreshHotRows(2, 2))
    rates = {k: v[0] for k, v in history.items() if "hot_rows" in k}
    name = "hot_rows_hit_rate_"
    assert {*rates} == {
        f"{name}frequent",
        f"{name}frequent_2",
        f"{name}bagged",
        f"{name}frozen",
    }
    assert np.isnan(rates.pop(f"{name}frozen"))
    assert len({*rates.values()}) == 1
    for layer in within, bagged, alone:
        np.testing.assert_array_equal(layer.ids(), FREQUENT)
    assert not len(frozen.ids())


@pytest.mark.slow
@pytest.mark.tf_only
def test_replicas_count_and_refresh_as_one():
    replicas.check("""
from keras_pss.callbacks.refresh_hot_rows import RefreshHotRows
from keras_pss.layers.composite.hot_rows import HotRows
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    inner = keras_pss.HashedEmbedding(60, 4, num_buckets=7)
    layer = HotRows(inner, 5)
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    model.compile("adam", "mse", jit_compile=False)
model.fit(ids, np.ones((160, 4)), batch_size=16, shuffle=False, verbose=0,
          callbacks=[RefreshHotRows(4, 3)])
counts = np.bincount(ids, minlength=60)
every = np.arange(60, dtype=np.int32)
np.testing.assert_array_equal(layer.counter.estimates(every), counts)
assert layer.count_hits()[1] == 160
for weight in [*layer.weights, *model.optimizer.variables]:
    values = [value.numpy() for value in weight.value.values]
    np.testing.assert_array_equal(*values)
""")


@pytest.mark.slow
@pytest.mark.tf_only
def test_replicas_have_the_slots_of_one_device():
    replicas.check("""
from keras_pss.callbacks.refresh_hot_rows import RefreshHotRows
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    tables = keras_pss.EmbeddingCollection(
        [50, 30], 4, "hot_rows", None, min_rows=0,
        options={"inner": "hash", "counts": "slots", "num_buckets": 5,
                 "capacity": 6, "sketch_width": 50})
    inputs = keras.Input((2,), dtype="int32")
    model = keras.Model(inputs, tables(inputs))
    model.compile("adam", "mse", jit_compile=False)
pairs = np.array([[3, 4]] * 8 + [[7, 8]] * 8, "int32")
model.fit(pairs, np.ones((16, 2, 4)), batch_size=16, shuffle=False, verbose=0,
          callbacks=[RefreshHotRows(1, decay=False)])
group = tables.shared
assert group.ids().tolist() == [[0, 3], [0, 7], [1, 4], [1, 8]]
scores = group.counter.estimates(np.array([3, 54, 7, 58]))
assert scores.tolist() == [8, 8, 8, 8]
assert group.count_hits() == (0, 32)  # those of all replicas
for weight in [*tables.weights, *model.optimizer.variables]:
    values = [value.numpy() for value in weight.value.values]
    np.testing.assert_array_equal(*values)
""")


def test_frozen_rows_stay_as_they_are():
    layer, other = hot_rows(), hot_rows("other")
    model = model_of(layer, other)
    layer.refresh([1, 2, 3])
    ids, target = steps_of(4)
    fit(model, ids % 5, target)
    layer.trainable = False
    model.compile("adam", "mse", jit_compile=WITHOUT_XLA)
    before = numpy_of(layer.hot.hot_table)
    fit(model, ids, target, RefreshHotRows(1, 1, decay=True))
    assert layer.ids().tolist() == [1, 2, 3]
    np.testing.assert_array_equal(numpy_of(layer.hot.hot_table), before)
    assert len(other.ids())
    other.trainable = False
    with pytest.raises(ValueError, match=r"with 2 HotRows layers, none of"):
        fit(model, ids, target, RefreshHotRows(1))


def test_wrong_arguments_are_errors():
    for wrong in {"warmup_steps": 0}, {"warmup_steps": 1, "every": 0.5}:
        name, value = list(wrong.items())[-1]
        with pytest.raises(ValueError, match=rf"`{name}` must be.*{value}"):
            RefreshHotRows(**wrong)
    model = model_of(keras_pss.HashedEmbedding(DIM, WIDTH, num_buckets=7))
    ids, target = steps_of(1)
    with pytest.raises(ValueError, match=r"needs a model with.*HotRows"):
        fit(model, ids, target, RefreshHotRows(1))
