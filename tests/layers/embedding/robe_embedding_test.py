"""ROBE: memories that tables share, folds, errors."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss


def test_tables_of_a_shared_memory_read_other_places():
    memory = keras_pss.SharedMemory(1000)
    first = keras_pss.ROBEEmbedding(500, 8, memory=memory)
    second = keras_pss.ROBEEmbedding(400, 16, memory=memory)
    ids = np.arange(400, dtype="int32")
    assert (first.table, second.table) == (0, 1)
    rows = first.materialize(ids), second.materialize(ids)
    # By chance a row in a thousand starts at the same place.
    assert (rows[0] == rows[1][:, :8]).all(axis=1).mean() < 0.02


def test_a_number_belongs_to_a_table_as_long_as_it_exists():
    memory = keras_pss.SharedMemory(1000)

    def table(number=None, **arguments):
        return keras_pss.ROBEEmbedding(
            5, 8, memory=memory, table=number, **arguments
        )

    layers = [table(name="users"), table()]
    for layer in layers:
        layer(np.array([1], "int32"))
    with pytest.raises(
        ValueError,
        match=r"already has a table 0, layer 'users'. Leave .*delete the "
        r"old ones.*Received: table=0",
    ):
        table(0)
    assert table(7).table == 7
    # The next number does not depend on what Python has deleted.
    assert [table().table for _ in range(3)] == [8, 9, 10]
    del layers, layer
    assert [table(number).table for number in (1, 0)] == [1, 0]
    assert table().table == 11


@pytest.mark.parametrize(
    "wrong",
    [
        {"output_scale": -1},
        {"output_scale": "1"},
        {"seed": -1},
        {"sign": 2},
        {"hash": "md5"},
        {"table": -1},
        {"block_size": 0},
    ],
)
def test_a_constructor_that_fails_takes_no_number(wrong):
    memory = keras_pss.SharedMemory(1000)
    with pytest.raises(ValueError, match="Received"):
        keras_pss.ROBEEmbedding(5, 8, memory=memory, **wrong)
    first = keras_pss.ROBEEmbedding(5, 8, memory=memory)
    assert first.table == 0
    assert first.get_config()["memory"]["config"]["memory_size"] == 1000


def test_a_shared_memory_is_counted_trained_and_saved_once(tmp_path):
    memory = keras_pss.SharedMemory(300)
    ids = keras.Input((2,), dtype="int32")
    joined = keras.layers.Concatenate()(
        [
            keras_pss.ROBEEmbedding(500, 8, memory=memory)(ids),
            keras_pss.ROBEEmbedding(900, 4, memory=memory)(ids),
        ]
    )
    model = keras.Model(ids, joined)
    assert model.count_params() == 300
    assert len(model.trainable_weights) == 1
    model.compile("adam", "mse")
    batch = np.array([[1, 2], [3, 499]], "int32")
    model.fit(batch, np.ones((2, 2, 12)), verbose=0)
    before = model.predict(batch, verbose=0)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(after.predict(batch, verbose=0), before)
    first, second = (
        layer for layer in after.layers if hasattr(layer, "memory_size")
    )
    assert first.memory is second.memory
    assert after.count_params() == 300
    after.fit(batch, np.ones((2, 2, 12)), verbose=0)


def test_fold_at_ratio_one_is_the_table_itself():
    """The memory holds each row once, so nothing is shared at 1x."""
    layer = keras_pss.ROBEEmbedding(50, 4, memory_size=200, mapping="fold")
    places = ops.convert_to_numpy(layer.positions(np.arange(50, dtype="int32")))
    assert sorted(places.ravel()) == list(range(200))


def test_fold_loads_the_memory_evenly():
    layer = keras_pss.ROBEEmbedding(500, 4, memory_size=200, mapping="fold")
    ids = np.arange(500, dtype="int32")
    places = ops.convert_to_numpy(layer.positions(ids))
    np.testing.assert_array_equal(np.bincount(places.ravel()), 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either `memory_size`.*or `memory`"),
        ({"memory_size": 7}, "at least `output_dim`"),
        ({"memory_size": 100, "block_size": 101}, "not exceed `memory_size`"),
        ({"memory_size": 100, "block_size": 20}, "such as 16. Received"),
        ({"memory_size": 100, "mapping": "fold"}, "such as 96. Received"),
        ({"memory_size": 100, "mapping": "flod"}, "'block', 'fold'"),
        ({"memory_size": 100, "hash": "md5"}, "'pss1', 'universal'"),
        ({"memory": "m"}, "must be a `keras_pss.SharedMemory`"),
        ({"memory_size": 2**31}, "positive integer of at most 2147483647"),
    ],
)
def test_robe_errors_name_the_fix(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_pss.ROBEEmbedding(50, 8, **arguments)
