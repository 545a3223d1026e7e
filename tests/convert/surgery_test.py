"""Models of many forms: only the tables change, and files load again."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from convert.models import (
    ROWS,
    embedding,
    flat,
    ids,
    outputs,
    outputs_with_rows_of,
    scaled,
)
from keras import layers

import keras_pss


@keras.saving.register_keras_serializable("convert_test")
class Given(keras.Model):
    """A class whose constructor takes its embedding."""

    def __init__(self, table, **kwargs):
        super().__init__(**kwargs)
        self.table = table
        self.head = layers.Dense(1)

    def call(self, inputs):
        return self.head(keras.ops.mean(self.table(inputs), axis=1))

    def get_config(self):
        table = keras.saving.serialize_keras_object(self.table)
        return {**super().get_config(), "table": table}

    @classmethod
    def from_config(cls, config):
        table = keras.saving.deserialize_keras_object(config.pop("table"))
        return cls(table, **config)


@keras.saving.register_keras_serializable("keras_rs", name="EmbedReduce")
class Reduced(layers.Embedding):
    """In the place of keras-rs' layer, which need not be installed."""

    def __init__(self, *args, combiner="mean", **kwargs):
        super().__init__(*args, **kwargs)
        self.combiner = combiner

    def call(self, inputs, weights=None):
        rows, given = super().call(inputs), keras.ops.expand_dims(weights, -1)
        total = keras.ops.sum(given * rows, axis=-2)
        if self.combiner == "mean":
            total = total / keras.ops.sum(given, axis=-2)
        return total

    def compute_output_shape(self, input_shape, weights_shape=None):
        return (*input_shape[:-1], self.output_dim)

    def compute_output_spec(self, inputs, weights=None):
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, self.compute_dtype)


def id_input(length=4, **kwargs):
    return keras.Input((length,), dtype="int32", **kwargs)


def penalties(model):
    """The penalty of the last call."""
    assert len(model.losses) == 1
    return [float(keras.ops.convert_to_numpy(x)) for x in model.losses]


def sequential():
    return keras.Sequential(
        [id_input(), embedding(mask_zero=True), layers.LSTM(3)]
    )


def called_only():
    table = embedding(mask_zero=True)
    model = keras.Sequential(
        [table, layers.Bidirectional(layers.GRU(2)), layers.Dense(1)]
    )
    model(ids())
    return model


def shared_twice():
    one, two, table = id_input(name="one"), id_input(name="two"), embedding()
    tower = keras.Sequential([layers.Flatten(), layers.Dense(3)])
    dot = layers.Dot(1)([tower(table(one)), tower(table(two))])
    return keras.Model({"one": one, "two": two}, dot)


def nested():
    """Graphs within graphs, one of them frozen, with equal names inside."""
    inputs = id_input()
    inner = keras.Sequential(
        [inputs, embedding(), layers.Flatten(), layers.Dense(3, name="head")]
    )
    inner.trainable = False
    given = id_input()
    x = keras.ops.relu(inner(given) + 1.0) * 2.0
    x = layers.Lambda(lambda t: t / 3)(layers.BatchNormalization()(x))
    return keras.Model(given, layers.Dense(1, name="head")(x))


def bags():
    table, given = keras_pss.FullEmbedding(ROWS, 4, name="table"), id_input()
    x = [
        keras_pss.EmbeddingBag(table, combiner)(given)
        for combiner in ("sum", "mean")
    ]
    return keras.Model(given, layers.Dense(1)(layers.Concatenate()(x)))


def half():
    given = id_input()
    return keras.Model(given, flat(embedding(dtype="mixed_bfloat16"), given))


def untied():
    given = id_input()
    table = layers.ReversibleEmbedding(ROWS, 4, name="table")
    return keras.Model(given, layers.Dense(1)(flat(table, given)))


def of_class():
    model = Given(embedding())
    model(ids())
    return model


MAKERS = (
    sequential,
    called_only,
    shared_twice,
    nested,
    bags,
    half,
    untied,
    of_class,
)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_only_the_tables_change(make, tmp_path):
    model = scaled(make())
    x = ids()
    if make is shared_twice:
        x = {"one": x, "two": ids(seed=1)}
    before = outputs(model, x)
    new, report = keras_pss.compress_model(model, "robe", "4x")
    assert np.array_equal(outputs(model, x), before)
    found = outputs(new, x)
    expected = outputs_with_rows_of(new, model, x)
    tolerance = 0.05 if make is half else 1e-5
    np.testing.assert_allclose(found, expected, atol=tolerance)
    assert not np.allclose(found, before, atol=1e-3)
    assert type(new) is type(model)
    frozen = len(model.weights) - len(model.trainable_weights)
    assert len(new.weights) - len(new.trainable_weights) == frozen
    (row,) = report.tables
    assert (row.layer, row.rows, row.width, row.method) == (
        *("table", ROWS, 4),
        "robe",
    )
    assert report.parameters == ROWS * 4
    assert report.parameters_after <= ROWS
    if make is not nested:  # Keras loads no lambda without being asked
        new.save(tmp_path / "new.keras")
        loaded = keras.saving.load_model(tmp_path / "new.keras")
        assert np.array_equal(outputs(loaded, x), found)


@pytest.mark.parametrize("mask_zero", [False, True])
def test_bags_of_keras_rs_become_bags(mask_zero):
    given, weights = id_input(), keras.Input((4,))
    table = Reduced(
        ROWS, 4, name="bag", mask_zero=mask_zero, activity_regularizer="l2"
    )
    model = scaled(keras.Model([given, weights], table(given, weights)))
    weights = np.random.RandomState(1).uniform(1, 2, (16, 4))
    x = [ids() * (ids() % 2), weights]  # keras-rs pools id 0 as well
    new, report = keras_pss.compress_model(model, "robe", "4x")
    (layer,) = [x for x in new.layers if isinstance(x, keras_pss.EmbeddingBag)]
    table.embeddings.assign(layer.embedding.materialize())
    np.testing.assert_allclose(outputs(new, x), outputs(model, x), atol=1e-5)
    assert report.tables[0].layer == "bag"
    assert penalties(new) == pytest.approx(penalties(model), rel=1e-4)


@pytest.mark.tf_only
def test_vocabularies_and_statistics_go_along():
    lookup, scale = layers.StringLookup(), layers.Normalization()
    lookup.adapt(np.array(["a", "b", "c"]))
    scale.adapt(np.arange(12.0).reshape(6, 2))
    text, numbers = keras.Input((1,), dtype="string"), keras.Input((2,))
    rows = flat(embedding(), lookup(text))
    x = layers.Concatenate()([rows, scale(numbers)])
    model = scaled(keras.Model([text, numbers], layers.Dense(1)(x)))
    given = [
        keras.ops.convert_to_tensor([["a"], ["c"]], dtype="string"),
        keras.ops.convert_to_tensor([[1.0, 2.0], [9.0, 3.0]]),
    ]
    new, _ = keras_pss.compress_model(model, "robe", "4x")
    np.testing.assert_allclose(
        outputs(new, given),
        outputs_with_rows_of(new, model, given),
        atol=1e-5,
    )


class Maybe(layers.Layer):
    """Adds what is there."""

    def call(self, inputs, more=None):
        return inputs if more is None else inputs + more


def test_optional_inputs_and_penalties_of_outputs():
    given, more = id_input(), keras.Input((4, 4), optional=True)
    rows = embedding(activity_regularizer="l2")(given)
    model = scaled(keras.Model([given, more], Maybe()(rows, more)))
    new, _ = keras_pss.compress_model(model, "robe", "4x")
    for x in ([ids(), None], [ids(), np.ones((16, 4, 4))]):
        expected = outputs_with_rows_of(new, model, x)
        np.testing.assert_allclose(outputs(new, x), expected, atol=1e-5)
        assert penalties(new) == pytest.approx(penalties(model), rel=1e-4)


SCALE = 3.0


class OwnRegularizer(keras.regularizers.Regularizer):
    def __call__(self, x):
        return 0.1 * keras.ops.sum(keras.ops.square(x))

    def get_config(self):
        return {}


class OwnLoss(keras.losses.Loss):
    def call(self, true, predicted):
        return keras.ops.mean(keras.ops.square(true - predicted), axis=-1)


class OwnOptimizer(keras.optimizers.Adam):
    pass


def own_metric(true, predicted):
    return SCALE * keras.ops.mean(keras.ops.abs(true - predicted), axis=-1)


def own_function(x, factor):
    return keras.ops.tanh(x) * factor * SCALE


def test_functions_and_classes_need_not_be_registered():
    given, offset = id_input(), 0.5
    x = layers.Lambda(lambda t: keras.ops.relu(t) * SCALE + offset)(
        embedding()(given)
    )
    x = layers.Lambda(own_function, arguments={"factor": 2.0})(x)
    x = layers.Dense(
        3,
        activation=lambda t: keras.ops.sigmoid(t) * SCALE,
        kernel_regularizer=OwnRegularizer(),
    )(layers.Flatten()(x))
    outputs_ = {"a": layers.Dense(1)(x), "b": layers.Dense(1)(x)}
    model = scaled(keras.Model(given, outputs_))
    # Two functions of one name: a name would not tell them apart.
    losses = {"a": OwnLoss(), "b": lambda t, p: keras.ops.mean(t - p, axis=-1)}
    model.compile(
        OwnOptimizer(0.3),
        losses,
        metrics={"a": [own_metric], "b": keras.metrics.MeanSquaredError()},
        loss_weights={"a": 2.0, "b": 0.1},
    )
    new, _ = keras_pss.compress_model(model, "robe", "4x")
    table = new.get_layer("table").materialize()
    model.get_layer("table").embeddings.assign(table)
    y = {"a": np.ones((16, 1)), "b": np.zeros((16, 1))}
    expected = model.evaluate(ids(), y, verbose=0, return_dict=True)
    found = new.evaluate(ids(), y, verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-4)
    assert len(found) == 5
    assert type(new.optimizer) is OwnOptimizer
    assert float(new.optimizer.learning_rate) == pytest.approx(0.3)
    assert new.optimizer is not model.optimizer
    kept, copied = model.metrics[-1], new.metrics[-1]
    assert not {id(v) for v in kept.variables} & {
        id(v) for v in copied.variables
    }


class Task(keras.Model):
    """Takes other arguments than a graph, and has its own defaults."""

    def __init__(self, units):
        given = id_input()
        rows = flat(embedding(), given)
        super().__init__(given, layers.Dense(units)(rows))

    def compile(self, optimizer="sgd"):
        super().compile(optimizer, OwnLoss(), metrics=[own_metric])


def test_a_class_with_its_own_compile_becomes_a_compiled_graph():
    model = Task(1)
    model.compile()
    new, report = keras_pss.compress_model(model, "robe", "4x")
    assert model.compiled
    assert "plain Functional model now" in report.notes[0]
    assert new.loss is model.loss
    found = new.evaluate(ids(), np.ones((16, 1)), verbose=0, return_dict=True)
    assert set(found) == {"loss", "own_metric"}


def test_threads_may_copy_one_model():
    given = id_input()
    model = keras.Model(given, layers.Dense(1)(flat(embedding(), given)))
    model.compile("sgd", "mse")
    with ThreadPoolExecutor(3) as pool:
        found = list(
            pool.map(
                lambda _: keras_pss.compress_model(model, "hash", "4x")[0],
                range(3),
            )
        )
    assert [new.compiled for new in found] == [True] * 3
    assert model.compiled


def test_states_of_the_given_model_stay():
    given = keras.Input(batch_shape=(4, 5), dtype="int32")
    state = layers.LSTM(3, stateful=True)
    model = scaled(keras.Model(given, state(embedding()(given))))
    outputs(model, ids(4, 5))
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in state.states]
    new, _ = keras_pss.compress_model(model, "robe", "4x")
    for old, value, copy in zip(
        state.states, before, new.layers[-1].states, strict=True
    ):
        assert np.array_equal(keras.ops.convert_to_numpy(old), value)
        assert not keras.ops.convert_to_numpy(copy).any()


@keras.saving.register_keras_serializable("convert_test")
class Both(Given):
    """A class of two embeddings, which may be one."""

    def __init__(self, table, other, **kwargs):
        super().__init__(table, **kwargs)
        self.other = other

    def call(self, inputs):
        rows = self.table(inputs) * self.other(inputs)
        return self.head(keras.ops.mean(rows, axis=1))

    def get_config(self):
        other = keras.saving.serialize_keras_object(self.other)
        return {**super().get_config(), "other": other}

    @classmethod
    def from_config(cls, config):
        table, other = (
            keras.saving.deserialize_keras_object(config.pop(name))
            for name in ("table", "other")
        )
        return cls(table, other, **config)


def test_configs_that_do_not_tell_embeddings_apart():
    one = embedding()
    for other, match in (
        (one, "has 3 layers within it.*shared.*2 layers: table, dense"),
        (embedding(), "have the same name.*name='table'"),
    ):
        model = Both(one, other)
        model(ids())
        with pytest.raises(ValueError, match=match):
            keras_pss.compress_model(model, "robe", "4x")


@pytest.mark.parametrize("name", ["Nadam", "Adafactor", "LossScale", "Multi"])
def test_all_of_an_optimizer_goes_along(name):
    given, table = id_input(), keras_pss.FullEmbedding(ROWS, 4)
    model = keras.Model(given, layers.Dense(1)(flat(table, given)))
    optimizer = keras.optimizers.Adam(0.1, use_ema=True, amsgrad=True)
    if name == "LossScale":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    elif name == "Multi":
        tables = keras_pss.optimizers.LazyAdam(0.1)
        optimizer = keras_pss.optimizers.for_tables(model, tables, optimizer)
    else:
        optimizer = getattr(keras.optimizers, name)(0.1)
    model.compile(optimizer, "mse")
    optimizer.build(model.trainable_variables)
    for number, variable in enumerate(optimizer.variables):
        if variable.dtype == "float32":
            variable.assign(variable + 1.0 + number)
    # A policy of the session is not that of the model.
    keras.config.set_dtype_policy("mixed_float16")
    try:
        new, _ = keras_pss.compress_model(model, "hash", "4x")
    finally:
        keras.config.set_dtype_policy("float32")
    assert type(new.optimizer) is type(optimizer)
    pairs = zip(optimizer.variables, new.optimizer.variables, strict=True)
    shared = [(a, b) for a, b in pairs if ROWS not in a.shape]
    assert len(shared) >= 5
    for one, other in shared:
        if name != "Adafactor" or one.shape != (4,):  # of the table's columns
            np.testing.assert_array_equal(
                *map(keras.ops.convert_to_numpy, (one, other))
            )


def test_training_goes_on():
    """The optimizer's state is that of before, except for the tables."""
    given = id_input()
    x = layers.Dense(3)(flat(embedding(), given))
    model = keras.Model(given, layers.Dense(1)(x))

    def loss(true, predicted):
        return keras.ops.mean(keras.ops.square(true - predicted), axis=-1)

    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(ids(), np.ones((16, 1)), batch_size=4, verbose=0)
    new, _ = keras_pss.compress_model(model, "robe", "4x")
    before = [np.array(v) for v in model.optimizer.variables]
    after = [np.array(v) for v in new.optimizer.variables]
    assert int(new.optimizer.iterations) == 4
    shared = [a.shape == b.shape for a, b in zip(before, after, strict=True)]
    assert sum(shared) == len(shared) - 2  # the moments of the table
    for one, other, same in zip(before, after, shared, strict=True):
        assert np.array_equal(one, other) if same else not other.any()
    new.fit(ids(), np.ones((16, 1)), verbose=0)
    assert int(model.optimizer.iterations) == 4
