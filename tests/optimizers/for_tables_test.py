"""One optimizer for a model's tables of rows, another for the rest."""

import keras
import numpy as np
import pytest
import replicas
from keras import ops

import keras_pss
from keras_pss.ops import sparse_gradient
from keras_pss.optimizers import (
    LazyAdam,
    LazySGD,
    RowwiseAdagrad,
    for_tables,
)
from keras_pss.optimizers.slots import slots_of

TENSORFLOW = keras.backend.backend() == "tensorflow"
DIM, WIDTH = 40, 4
IDS = (np.random.RandomState(0).zipf(1.4, (48, 3)).clip(max=DIM) - 1).astype(
    "int32"
)
CLICKS = np.random.RandomState(1).randint(0, 2, (48, 1)).astype("float32")
COPIES = pytest.mark.filterwarnings("ignore:The lookup of keras.layers.Emb")


def sequential(layer):
    """Keras gives its weights other paths when it loads the model."""
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layer])
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(1))
    return model


def full(**arguments):
    keras.utils.set_random_seed(4)
    return sequential(keras_pss.FullEmbedding(DIM, WIDTH, **arguments))


def fit(model, epochs=1):
    model.fit(IDS, CLICKS, 8, epochs, verbose=0, shuffle=False)
    return [np.array(ops.convert_to_numpy(w)) for w in model.weights]


def compiled(model, tables=None, **arguments):
    optimizer = for_tables(model, tables or LazyAdam(0.01))
    model.compile(optimizer, "mse", **arguments)
    return model


def assert_equal(one, other, atol=0.0):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=0)


def chosen(layer):
    """Names of the weights of a layer that train as tables of rows."""
    model = sequential(layer)
    tables, network = for_tables(model, LazySGD()).optimizers
    both = for_tables(model, tables, network)
    both.build(model.trainable_variables)
    found = {
        w.name
        for w in layer.trainable_weights
        if w.path in _paths(model, both, tables)
    }
    return found, {w.name for w in layer.trainable_weights} - found


def _paths(model, both, tables):
    from keras_pss import keras_internals

    return {
        w.path
        for w in model.trainable_variables
        if keras_internals.optimizer_for(both, w) is tables
    }


def test_tables_of_rows_are_told_from_factors_and_memories():
    make = keras_pss.embedding
    assert chosen(make(DIM, WIDTH, "hash", budget="4x")) == (
        {"buckets_table"},
        set(),
    )
    assert chosen(make(DIM, WIDTH, "robe", budget="4x"))[0] == set()
    assert chosen(keras_pss.TTEmbedding(DIM, WIDTH, rank=2))[0] == set()
    assert chosen(keras_pss.FPDEmbedding(DIM, WIDTH, rank=2))[0] == set()
    low_rank = keras_pss.MixedDimensionEmbedding(DIM, WIDTH, inner_dim=2)
    assert chosen(low_rank) == ({"narrow_table"}, {"projection_table"})
    memcom = keras_pss.MEMComEmbedding(DIM, WIDTH, num_buckets=9)
    assert {"shared_table", "scale_table"} <= chosen(memcom)[0]
    hot = keras_pss.HotRows(
        keras_pss.ROBEEmbedding(DIM, WIDTH, memory_size=50), 5
    )
    assert chosen(hot) == ({"hot_table"}, {"memory_table"})


@COPIES
@pytest.mark.parametrize(
    ("layer", "tables"),
    [
        (lambda: keras_pss.FullEmbedding(DIM, WIDTH), LazyAdam),
        (lambda: keras.layers.Embedding(DIM, WIDTH), RowwiseAdagrad),
        (
            lambda: keras_pss.TTEmbedding(DIM, WIDTH, rank=2),
            lambda: LazySGD(0.1, 0.9),
        ),
    ],
    ids=["full", "stock", "no tables"],
)
def test_a_saved_model_goes_on_bit_equal(layer, tables, tmp_path):
    model = compiled(sequential(layer()), tables())
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_equal(fit(model), fit(loaded))
    assert_equal(
        *[
            [*map(ops.convert_to_numpy, m.optimizer.variables)]
            for m in (model, loaded)
        ]
    )


@pytest.mark.tf_only
def test_every_way_to_run_a_step_trains_alike(monkeypatch):
    """Eager gradients are dense; those of graphs are sparse at any size."""
    import tensorflow as tf

    seen = []
    step = LazyAdam.update_step

    def spied(self, gradient, variable, rate):
        seen.append(isinstance(gradient, tf.IndexedSlices))
        return step(self, gradient, variable, rate)

    monkeypatch.setattr(LazyAdam, "update_step", spied)
    graph = fit(compiled(full()))
    assert seen
    assert all(seen)
    seen.clear()
    assert_equal(graph, fit(compiled(full(), run_eagerly=True)), 1e-6)
    assert not any(seen)
    assert_equal(graph, fit(compiled(full(gradient="dense"))), 1e-6)
    assert not any(seen)
    assert_equal(graph, fit(compiled(full(), steps_per_execution=3)))
    assert_equal(graph, fit(compiled(full(), jit_compile=True)), 1e-6)
    assert seen[-1]
    # TensorFlow traces the step that builds the optimizer once more.
    unbuilt, model = for_tables(full(), LazyAdam(0.01)), full()
    model.compile(type(unbuilt).from_config(unbuilt.get_config()), "mse")
    assert_equal(graph, fit(model))
    assert seen[-1]
    with pytest.warns(UserWarning, match="Use keras_pss.FullEmbedding in its"):
        stock = compiled(sequential(keras.layers.Embedding(DIM, WIDTH)))
    stock.set_weights(full().get_weights())
    assert_equal(graph, fit(stock), 1e-6)
    # With an optimizer that updates all rows, small tables are dense.
    model = full()
    model.compile("adam", "mse")
    assert not sparse_gradient.pays(model.layers[0].embeddings)


def test_mixed_precision_scales_losses():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = compiled(full(), RowwiseAdagrad(0.05))
    finally:
        keras.config.set_dtype_policy(policy)
    optimizer = keras.optimizers.LossScaleOptimizer
    assert isinstance(half.optimizer, optimizer)
    found = fit(half)
    whole = fit(compiled(full(), RowwiseAdagrad(0.05)))
    assert_equal(found, whole, 0.02)
    (slot,) = slots_of(half.optimizer, half.layers[0].embeddings)
    assert slot.shape == (DIM,)
    assert np.array(ops.convert_to_numpy(slot)).any()


def test_a_loss_scale_of_the_tables_is_that_of_the_loss():
    """A power of two changes no bit."""
    optimizer = LazyAdam(0.01, loss_scale_factor=256.0)
    scaled = compiled(full(), optimizer, run_eagerly=True)
    assert ops.convert_to_numpy(scaled.optimizer.scale_loss(1.0)) == 256
    assert_equal(fit(scaled), fit(compiled(full(), run_eagerly=True)))


def test_schedules_and_callbacks_of_the_learning_rate():
    model = compiled(full(), LazySGD(keras_pss.optimizers.WarmupDecay(0.1, 9)))
    tables, network = model.optimizer.optimizers
    fit(model)
    assert float(ops.convert_to_numpy(tables.learning_rate)) == pytest.approx(
        0.1 * 7 / 9
    )
    assert float(ops.convert_to_numpy(network.learning_rate)) == pytest.approx(
        1e-3
    )


@COPIES
def test_what_is_refused():
    partly = keras.Sequential([keras.layers.Embedding(DIM, WIDTH)])
    partly.layers[0].build()
    for given in (None, partly):
        with pytest.raises(ValueError, match="a Keras model that is built and"):
            for_tables(given, LazyAdam())
    model = full()
    with pytest.raises(ValueError, match="Received: tables='lazy_adam'"):
        for_tables(model, "lazy_adam")
    half = keras.optimizers.SGD(loss_scale_factor=0.5)
    with pytest.raises(ValueError, match=r"tables\.loss_scale_factor=2\.0, "):
        for_tables(model, LazyAdam(loss_scale_factor=2.0), half)
    scaled = keras.optimizers.LossScaleOptimizer(LazyAdam())
    with pytest.raises(ValueError, match="`tables` must be a Keras optimizer"):
        for_tables(model, scaled)
    with pytest.raises(ValueError, match="`network` must be a Keras optimizer"):
        for_tables(model, LazyAdam(), for_tables(model, LazyAdam()))
    inputs = keras.Input((3,), dtype="int32")
    rows = keras.layers.Embedding(DIM, WIDTH, name="same")(inputs)
    inner = keras.layers.ReversibleEmbedding(DIM, WIDTH, name="same")
    nested = keras.Model(inputs, inner(inputs), name="inner")
    both = keras.Model(inputs, rows + nested(inputs))
    with pytest.raises(ValueError, match="weight named 'same/embeddings'"):
        for_tables(both, LazyAdam())


def test_weights_of_another_model_are_refused():
    one, other = compiled(full(), run_eagerly=True), full()
    fit(one)
    other.compile(one.optimizer, "mse", run_eagerly=True)
    with pytest.raises(ValueError, match="Make another one for another model"):
        fit(other)
    optimizer = one.optimizer
    for gradients in ([None] * 3, [ops.ones((DIM, WIDTH))]):
        with pytest.raises(ValueError, match="a gradient, or None, for each"):
            optimizer.apply(gradients, one.trainable_variables)


def test_a_step_may_train_some_of_the_weights():
    """As Keras' own optimizers do, and those of the others count the step."""
    model = full()
    optimizer = for_tables(model, LazyAdam(0.01), global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)
    table, kernel, bias = model.trainable_variables
    before = [np.array(ops.convert_to_numpy(w)) for w in model.weights]
    optimizer.apply([], [])
    optimizer.apply([None, ops.ones(kernel.shape)], [table, kernel])
    optimizer.apply([ops.ones(bias.shape)], [bias])
    after = [ops.convert_to_numpy(w) for w in model.weights]
    changed = [(a != b).any() for a, b in zip(before, after, strict=True)]
    assert changed == [False, True, True]
    counted = [optimizer, *optimizer.optimizers]
    assert [int(ops.convert_to_numpy(o.iterations)) for o in counted] == [2] * 3


def test_slots_are_found_if_a_function_makes_the_optimizers():
    model = full()
    optimizer = keras.optimizers.MultiOptimizer(
        lambda w: (
            LazyAdam()
            if w.name == "embeddings_table"
            else keras.optimizers.SGD()
        )
    )
    optimizer.build(model.trainable_variables)
    slots = list(slots_of(optimizer, model.layers[0].embeddings))
    assert [tuple(slot.shape) for slot in slots] == [(DIM, WIDTH)] * 2


@pytest.mark.tf_only
def test_variables_of_tensorflow_train_too():
    import tensorflow as tf

    table = tf.Variable(tf.zeros((DIM, WIDTH)))
    optimizer = RowwiseAdagrad(0.1)
    optimizer.apply([tf.ones(table.shape)], [table])
    np.testing.assert_allclose(table.numpy(), -0.1, rtol=1e-5)
    with pytest.raises(ValueError, match="Received: weight 'bias:0' of shape"):
        RowwiseAdagrad().build([tf.Variable([0.0], name="bias")])


@pytest.mark.tf_only
def test_a_dense_gradient_of_a_large_table_is_named(monkeypatch, caplog):
    model = compiled(full(gradient="dense"))
    monkeypatch.setattr(sparse_gradient, "CROSSOVER", 1)
    fit(model)
    (record,) = caplog.records
    assert "is dense, so each step takes time in prop" in record.getMessage()
    fit(compiled(full()))
    assert len(caplog.records) == 1


@pytest.mark.slow
@pytest.mark.tf_only
def test_two_replicas_train_as_one():
    replicas.check(
        """
from keras_pss.optimizers import RowwiseAdagrad, for_tables
ids = ids.reshape(20, 8)
target = np.ones((20, 1), "float32")
found = []
for strategy in (None, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    for layer in (keras_pss.FullEmbedding, keras.layers.Embedding):
        with strategy.scope() if strategy else tf.init_scope():
            keras.utils.set_random_seed(1)
            model = keras.Sequential([
                keras.Input((8,), dtype="int32"), layer(60, 4),
                keras.layers.Flatten(), keras.layers.Dense(1)])
            optimizer = for_tables(model, RowwiseAdagrad(0.05))
            model.compile(optimizer, "mse")
        model.fit(ids, target, 10, 2, verbose=0, shuffle=False)
        found.append(model.get_weights())
for one, two in zip(found[:2], found[2:]):
    for a, b in zip(one, two):
        np.testing.assert_allclose(a, b, atol=1e-5)
"""
    )
