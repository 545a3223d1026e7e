"""The callback: when it refreshes, what it resets, what it logs."""

import keras
import numpy as np
import pytest
import replicas
from keras import ops

import keras_pss
from keras_pss.callbacks.refresh_hot_rows import RefreshHotRows
from keras_pss.layers.composite.embedding_bag import EmbeddingBag
from keras_pss.layers.composite.hot_rows import HotRows
from keras_pss.optimizers.slots import reset_rows, slots_of

DIM, WIDTH, CAPACITY, BATCH = 60, 4, 5, 8
BACKEND = keras.backend.backend()


def hot_rows(name="frequent", **arguments):
    inner = keras_pss.HashedEmbedding(DIM, WIDTH, num_buckets=7)
    return HotRows(inner, CAPACITY, name=name, **arguments)


def model_of(*layers, optimizer=None, **compiled):
    inputs = keras.Input((3,), dtype="int32")
    outputs = [keras.layers.Flatten()(layer(inputs)) for layer in layers]
    if len(outputs) > 1:
        outputs = [keras.layers.Concatenate()(outputs)]
    model = keras.Model(inputs, keras.layers.Dense(1)(outputs[0]))
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


class Log(keras.callbacks.Callback):
    """Notes after which steps the hot ids changed."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        if self.model is not None:
            self.seen.append(self.layer.ids().tolist())


FREQUENT = [0, 11, 22, 33, 44]


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


@pytest.mark.parametrize(
    ("cls", "options", "slots", "start"),
    [
        (keras.optimizers.Adam, {}, 2, 0),
        (keras.optimizers.Adagrad, {"initial_accumulator_value": 0.2}, 1, 0.2),
        (keras.optimizers.SGD, {"momentum": 0.9}, 1, 0),
        (keras.optimizers.RMSprop, {"centered": True}, 2, 0),
    ],
    ids=["adam", "adagrad", "sgd", "rmsprop"],
)
def test_kept_rows_keep_their_moments_and_new_ones_start_afresh(
    cls, options, slots, start
):
    optimizer = cls(0.1, **options)
    layer, other = hot_rows(), hot_rows("other")
    model = model_of(layer, other, optimizer=optimizer)
    layer.refresh([0, 1, 2, 3, 4])
    other.refresh([0, 1, 2, 3, 4])
    ids, target = steps_of(6)
    fit(model, ids % 5, target)
    weight = layer.hot.hot_table
    mine = list(slots_of(optimizer, weight))
    assert len(mine) == slots
    before = {id(v): numpy_of(v) for v in optimizer.variables}
    assert all((before[id(v)] != start).all() for v in mine)
    # 1 and 3 leave; 30 gets a slot, the other one stays free.
    change = layer.refresh([0, 2, 4, 30])
    assert sorted(change.slots.tolist()) == [1, 3]
    reset_rows(optimizer, weight, change.slots)
    changed = [
        v
        for v in optimizer.variables
        if not np.array_equal(numpy_of(v), before[id(v)])
    ]
    assert {id(v) for v in changed} == {id(v) for v in mine}
    for slot in mine:
        found = numpy_of(slot)
        kept = [0, 2, 4]
        np.testing.assert_array_equal(found[kept], before[id(slot)][kept])
        np.testing.assert_array_equal(found[[1, 3]], np.float32(start))


def numpy_of(x):
    return np.array(ops.convert_to_numpy(x))


def test_the_callback_resets_what_it_fills():
    """The refresh comes after the last step, so its outcome is there to see."""
    layer = hot_rows()
    layer.refresh([0, 1, 2, 3, 4])
    optimizer = keras.optimizers.Adam(0.1)
    model = model_of(layer, optimizer=optimizer)
    ids, target = steps_of(6)
    ids[: 3 * BATCH] %= 5
    ids[3 * BATCH :] = 30 + ids[3 * BATCH :] % 2
    fit(model, ids, target, RefreshHotRows(warmup_steps=6))
    assert layer.ids()[-2:].tolist() == [30, 31]
    slots, _ = layer.hot.find(ops.convert_to_tensor(layer.ids()))
    for moments in slots_of(optimizer, layer.hot.hot_table):
        fresh = ~numpy_of(moments)[numpy_of(slots)].any(axis=1)
        assert fresh.tolist() == [False, False, False, True, True]


def test_a_moving_average_of_the_weights_starts_at_the_filled_rows():
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    layer = hot_rows()
    model = model_of(layer, optimizer=optimizer)
    ids, target = steps_of(3)
    fit(model, ids, target)
    change = layer.refresh(FREQUENT)
    reset_rows(optimizer, layer.hot.hot_table, change.slots)
    (average,) = slots_of(optimizer, layer.hot.hot_table)
    np.testing.assert_array_equal(
        numpy_of(average), numpy_of(layer.hot.hot_table)
    )


def test_scaled_losses_and_models_without_an_optimizer():
    inner = keras.optimizers.Adam(0.1)
    optimizer = keras.optimizers.LossScaleOptimizer(inner)
    layer = hot_rows()
    model = model_of(layer, optimizer=optimizer)
    ids, target = steps_of(4)
    layer.refresh(FREQUENT)
    fit(model, ids, target)
    weight = layer.hot.hot_table
    assert all(numpy_of(slot).any() for slot in slots_of(inner, weight))
    reset_rows(optimizer, weight, np.arange(CAPACITY))
    assert not any(numpy_of(slot).any() for slot in slots_of(inner, weight))
    reset_rows(None, weight, np.arange(CAPACITY))
    reset_rows(keras.optimizers.Adam(), weight, np.arange(CAPACITY))
    frozen = keras.Variable(np.zeros((CAPACITY, WIDTH)))
    assert not list(slots_of(inner, frozen))


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


def test_frozen_rows_stay_as_they_are():
    layer, other = hot_rows(), hot_rows("other")
    model = model_of(layer, other)
    layer.refresh([1, 2, 3])
    ids, target = steps_of(4)
    fit(model, ids % 5, target)
    layer.trainable = False
    model.compile("adam", "mse")
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
