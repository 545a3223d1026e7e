"""Rows that stay on their grid while they train, and pack without loss."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_pss.layers.embedding.full_embedding import FullEmbedding
from keras_pss.layers.embedding.quantized_embedding import QuantizedEmbedding
from keras_pss.ops import rounding

every_storage = pytest.mark.parametrize("storage", rounding.STORAGES)
ROWS, WIDTH = 60, 12
IDS = np.random.RandomState(0).randint(0, ROWS // 2, (96,)).astype("int32")
TARGETS = np.random.RandomState(1).normal(size=(96, WIDTH)).astype("float32")


def model_of(layer, optimizer="adam"):
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    model.compile(optimizer, "mse")
    return model


def numbers(layer):
    return ops.convert_to_numpy(layer.embeddings_table)


def assert_on_grid(layer):
    table = numbers(layer)
    nearest = rounding.nearest(table, layer.storage)
    np.testing.assert_array_equal(ops.convert_to_numpy(nearest), table)


def optimizers():
    return {
        "adam": keras.optimizers.Adam(0.01),
        "adagrad": keras.optimizers.Adagrad(0.1),
        "momentum": keras.optimizers.SGD(0.5, momentum=0.9),
        "averaged": keras.optimizers.SGD(
            0.5, use_ema=True, ema_overwrite_frequency=5
        ),
    }


@every_storage
def test_rows_start_on_the_grid(storage):
    layer = QuantizedEmbedding(ROWS, WIDTH, storage=storage)
    layer.build()
    assert_on_grid(layer)
    assert len(np.unique(numbers(layer))) > ROWS


@pytest.mark.parametrize(
    ("storage", "optimizer"),
    [
        ("float16", "adam"),
        ("int4", "adam"),
        *(("int8", o) for o in optimizers()),
    ],
)
def test_rows_stay_on_the_grid_while_they_learn(storage, optimizer):
    layer = QuantizedEmbedding(ROWS, WIDTH, storage=storage)
    model = model_of(layer, optimizers()[optimizer])
    losses = model.fit(
        IDS, TARGETS, batch_size=32, epochs=12, verbose=0, shuffle=False
    ).history["loss"]
    assert losses[-1] < losses[0]
    if optimizer != "averaged":  # fit ends by assigning the averages
        assert_on_grid(layer)


# PyTorch runs each step by itself, which takes it a minute for 10,000;
# rounding_test.py draws as often there.
ON_TORCH = keras.backend.backend() == "torch"


@pytest.mark.parametrize(
    "steps",
    [
        1_000,
        *([] if ON_TORCH else [pytest.param(10_000, marks=pytest.mark.slow)]),
    ],
)
@every_storage
def test_untouched_rows_do_not_drift_in_thousands_of_steps(storage, steps):
    layer = QuantizedEmbedding(ROWS, WIDTH, storage=storage)
    model = model_of(layer)
    model.compile("sgd", "mse", steps_per_execution=1 if ON_TORCH else 500)
    before = numbers(layer).copy()
    ids = np.random.RandomState(2).randint(0, ROWS // 2, (steps,))
    targets = np.tile(TARGETS, (steps // 96 + 1, 1))[:steps]
    model.fit(ids, targets, batch_size=1, verbose=0)
    after = numbers(layer)
    np.testing.assert_array_equal(after[ROWS // 2 :], before[ROWS // 2 :])
    assert (after[: ROWS // 2] != before[: ROWS // 2]).any(axis=1).all()
    assert_on_grid(layer)


@every_storage
def test_steps_below_the_grid_count_on_average(storage):
    """Nearest rounding would undo each of these steps."""
    rows, steps, rate = 500, 40, 1.0
    start = keras.initializers.RandomUniform(0.5, 1.0, seed=3)
    layer = QuantizedEmbedding(rows, 8, start, storage=storage)
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    grid = {"float16": 2.0**-11, "int8": 1 / 127, "int4": 1 / 7}[storage]
    push = np.float32(0.05 * grid)
    # The gradient of each number is -push, whatever the number is.
    model.compile(
        keras.optimizers.SGD(rate),
        lambda y, found: -push * rows * ops.sum(found, axis=-1),
    )
    before = numbers(layer).astype(float)
    ids = np.tile(np.arange(rows, dtype="int32"), steps)
    model.fit(
        ids,
        np.zeros((len(ids), 8), "float32"),
        batch_size=rows,
        verbose=0,
        shuffle=False,
    )
    moved = (numbers(layer) - before).mean()
    assert moved == pytest.approx(steps * push, rel=0.1)


def test_a_constraint_of_the_users_comes_first():
    layer = QuantizedEmbedding(
        ROWS, WIDTH, embeddings_constraint="non_neg", storage="int4"
    )
    model = model_of(layer)
    model.fit(IDS, TARGETS, epochs=3, verbose=0)
    assert numbers(layer).min() >= 0
    assert_on_grid(layer)
    config = layer.get_config()
    assert config["embeddings_constraint"]["class_name"] == "NonNeg"
    twin = QuantizedEmbedding.from_config(config)
    assert twin.get_config() == config


@every_storage
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_packing_changes_no_bit(storage, tmp_path):
    layer = QuantizedEmbedding(ROWS, WIDTH, storage=storage)
    model = model_of(layer)
    model.fit(IDS, TARGETS, epochs=3, verbose=0)
    trained = layer.materialize()
    promised = layer.memory_report().serving_bytes_int8
    model.quantize("int8")
    np.testing.assert_array_equal(layer.materialize(), trained)
    sizes = {"float16": 2 * WIDTH, "int8": WIDTH + 4, "int4": WIDTH // 2 + 4}
    held = sum(ops.convert_to_numpy(w).nbytes for w in layer.weights)
    assert held == promised == ROWS * sizes[storage]
    assert layer.memory_report().serving_bytes == held
    per_row = {"float16": 24, "int8": 12, "int4": 6}[storage]
    assert layer.memory_report().lookup_bytes == per_row
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(
        tmp_path / "model.keras",
        compile=False,  # the optimizer has no slots for packed weights
    )
    np.testing.assert_array_equal(
        after.predict(IDS, verbose=0), model.predict(IDS, verbose=0)
    )
    np.testing.assert_array_equal(after.layers[-1].materialize(), trained)


@pytest.mark.tf_only
@every_storage
def test_a_packed_lookup_unpacks_rows_and_no_table(storage):
    import tensorflow as tf

    rows = 5000
    layer = QuantizedEmbedding(rows, WIDTH, storage=storage)
    layer.build()
    table = layer.materialize()
    layer.quantize("int8")
    for jit in (False, True):
        function = tf.function(
            layer,
            jit_compile=jit,
            input_signature=[tf.TensorSpec((None,), "int32")],
        )
        np.testing.assert_array_equal(function(IDS).numpy(), table[IDS])
    # To read a variable copies nothing; all else is of the size of a batch.
    large = {
        operation.type
        for operation in function.get_concrete_function().graph.get_operations()
        for output in operation.outputs
        if rows in output.shape.as_list()
    }
    assert large == {"ReadVariableOp"}


@pytest.mark.tf_only
@every_storage
def test_saved_models_hold_the_packed_rows(storage, tmp_path):
    import tensorflow as tf

    layer = QuantizedEmbedding(ROWS, 7, storage=storage)
    inputs = keras.Input((), dtype="int32")
    model = keras.Model(inputs, layer(inputs))
    table = layer.materialize()
    layer.quantize("int8")
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.serve(IDS).numpy(), table[IDS])
    held = sum(v.numpy().nbytes for v in loaded.variables)
    assert held == 4 * layer.budget_size()


def test_bfloat16_models_train_and_pack():
    layer = QuantizedEmbedding(ROWS, WIDTH, dtype="mixed_bfloat16")
    model = model_of(layer)
    model.fit(IDS, TARGETS, verbose=0)
    assert_on_grid(layer)
    table = layer.materialize()
    layer.quantize("int8")
    np.testing.assert_array_equal(layer.materialize(), table)


@pytest.mark.parametrize(
    ("budget", "storage"),
    [
        ("1x", "float16"),
        ("2x", "float16"),
        ("2.1x", "int8"),
        ("3.7x", "int8"),
        ("4x", "int4"),
        ("7.1x", "int4"),
        (100 * 9, "int4"),
        ("6.8KB", "int8"),
    ],
)
def test_a_budget_counts_bytes_and_takes_the_widest_storage(budget, storage):
    """100 rows of 64: 128, 68 and 36 bytes each, for 256 of float32."""
    layer = QuantizedEmbedding.from_budget(100, 64, budget)
    assert layer.storage == storage
    layer.build()
    size = layer.budget_size()
    layer.quantize("int8")
    held = sum(ops.convert_to_numpy(w).nbytes for w in layer.weights)
    assert 4 * size == held


def test_budgets_that_no_storage_meets():
    with pytest.raises(ValueError, match=r"at least 900 parameters \(7.11x\)"):
        QuantizedEmbedding.from_budget(100, 64, "8x")
    with pytest.raises(ValueError, match=r"at least 1700 parameters"):
        QuantizedEmbedding.from_budget(100, 64, "4x", storage="int8")
    given = QuantizedEmbedding.from_budget(100, 64, "2x", storage="int4")
    assert given.storage == "int4"
    # A scale a row is more than it saves where rows are short.
    assert QuantizedEmbedding.smallest_size(100, 1) == 50
    assert QuantizedEmbedding.from_budget(100, 1, "2x").storage == "float16"
    odd = QuantizedEmbedding.from_budget(3, 5, 6)
    assert (odd.storage, odd.budget_size()) == ("int4", 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"storage": "int2"}, r"'float16', 'int8', 'int4'. Received: storage"),
        ({"storage": None}, "Received: storage=None"),
        ({"dtype": "bfloat16"}, "rounds float32 weights.*mixed_bfloat16"),
        ({"seed": -1}, "`seed` must be 0 or a pos"),
    ],
)
def test_errors_name_the_fix(arguments, message):
    with pytest.raises(ValueError, match=message):
        QuantizedEmbedding(ROWS, WIDTH, **arguments)


@pytest.mark.slow
def test_grids_learn_about_as_well_as_floats():
    """A table of noisy targets, fitted by each; squared errors compared."""
    random = np.random.RandomState(5)
    truth = random.normal(size=(200, 16)).astype("float32")
    ids = random.randint(0, 200, 6400)
    noisy = truth[ids] + random.normal(size=(6400, 16)).astype("float32")
    start = keras.initializers.RandomUniform(seed=1)

    def error(layer):
        model = model_of(layer, keras.optimizers.Adam(0.02))
        model.fit(
            ids, noisy, batch_size=128, epochs=5, verbose=0, shuffle=False
        )
        return float(np.square(layer.materialize() - truth).mean())

    floats = error(FullEmbedding(200, 16, start))
    for storage, allowed in (("float16", 0.01), ("int8", 0.06), ("int4", 1)):
        layer = QuantizedEmbedding(200, 16, start, storage=storage)
        assert error(layer) < (1 + allowed) * floats
