"""What a refresh resets in the optimizer: slots of the filled rows."""

import keras
import numpy as np
import pytest
from hot_models import (
    BATCH,
    CAPACITY,
    FREQUENT,
    WIDTH,
    fit,
    hot_rows,
    model_of,
    numpy_of,
    steps_of,
)
from keras import ops

from keras_pss.callbacks.refresh_hot_rows import RefreshHotRows
from keras_pss.optimizers import (
    LazyAdam,
    LazySGD,
    RowwiseAdagrad,
    for_tables,
)
from keras_pss.optimizers.slots import reset_rows, slots_of


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


@pytest.mark.parametrize(
    ("cls", "options", "shapes"),
    [
        (LazyAdam, {}, [(CAPACITY, WIDTH)] * 2),
        (RowwiseAdagrad, {}, [(CAPACITY,)]),
        (LazySGD, {"momentum": 0.9}, [(CAPACITY, WIDTH)]),
        (LazySGD, {}, []),
    ],
    ids=["lazy_adam", "rowwise_adagrad", "momentum", "lazy_sgd"],
)
def test_rows_that_train_alone_start_afresh_too(cls, options, shapes):
    """Hot rows and buckets by one optimizer, the network by Keras' Adam."""
    layer = hot_rows()
    model = model_of(layer)
    optimizer = for_tables(model, cls(0.1, **options))
    model.compile(optimizer, "mse")
    layer.refresh([0, 1, 2, 3, 4])
    ids, target = steps_of(6)
    fit(model, ids % 5, target)
    weight = layer.hot.hot_table
    mine = list(slots_of(optimizer, weight))
    assert [tuple(slot.shape) for slot in mine] == shapes
    before = {id(v): numpy_of(v) for v in optimizer.variables}
    assert all(before[id(v)].all() for v in mine)
    change = layer.refresh([0, 2, 4, 30])
    reset_rows(optimizer, weight, change.slots)
    for variable in optimizer.variables:
        expected = before[id(variable)]
        if id(variable) in set(map(id, mine)):
            expected[change.slots] = 0
        np.testing.assert_array_equal(numpy_of(variable), expected)
    kernel = model.layers[-1].kernel
    assert len(list(slots_of(optimizer, kernel))) == 2


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
