"""Models of many forms: only the tables change, and files load again."""

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


def test_bags_of_keras_rs_become_bags():
    given, weights = id_input(), keras.Input((4,))
    table = Reduced(ROWS, 4, name="bag")
    model = scaled(keras.Model([given, weights], table(given, weights)))
    weights = np.random.RandomState(1).uniform(1, 2, (16, 4))
    x = [ids(), weights]
    new, report = keras_pss.compress_model(model, "robe", "4x")
    (layer,) = [x for x in new.layers if isinstance(x, keras_pss.EmbeddingBag)]
    table.embeddings.assign(layer.embedding.materialize())
    np.testing.assert_allclose(outputs(new, x), outputs(model, x), atol=1e-5)
    assert report.tables[0].layer == "bag"


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
