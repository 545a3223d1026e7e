"""Fine-tuning trains tables alone, and never makes the validation worse."""

import keras
import numpy as np
import pytest
from convert.models import ROWS, ids
from keras import layers

import keras_pss


def problem():
    """A compressed model, and what its rows should add up to."""
    given = keras.Input((4,), dtype="int32")
    rows = keras_pss.HashedEmbedding(ROWS, 4, num_buckets=40, name="rows")
    x = layers.Dropout(0.5)(layers.Flatten()(rows(given)))
    x = layers.BatchNormalization()(layers.Dense(3)(x))
    model = keras.Model(given, layers.Dense(1)(x))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model, (ids(64), np.ones((64, 1)))


def values(model):
    return [np.array(keras.ops.convert_to_numpy(w)) for w in model.weights]


def test_tables_alone_change():
    model, data = problem()
    model.get_layer("rows").trainable = True
    model.layers[3].trainable = False
    before, optimizer = values(model), model.optimizer
    report = keras_pss.fine_tune(
        model, data, data, (1e-3, 1e-2), epochs=2, batch_size=16
    )
    changed = [
        not np.array_equal(a, b)
        for a, b in zip(before, values(model), strict=True)
    ]
    assert changed == [True] + [False] * (len(changed) - 1)
    assert [s.epochs for s in report.steps] == [0, *[0.5, 1, 1.5, 2] * 2]
    scores = [step.score for step in report.steps]
    assert scores[report.best] == max(scores)
    assert report.steps[report.best].learning_rate == 1e-2
    loss = model.evaluate(*data, verbose=0)
    assert -scores[report.best] == pytest.approx(loss, rel=1e-5)
    assert "chosen" in str(report).splitlines()[1 + report.best]
    flags = [layer.trainable for layer in model.layers]
    assert flags == [True] * 3 + [False] + [True] * (len(flags) - 4)
    assert model.optimizer is optimizer
    assert not optimizer.built or int(optimizer.iterations) == 0


def test_the_state_before_is_kept_if_nothing_is_better():
    model, (x, y) = problem()
    before = values(model)
    batches = [(x[:32], y[:32]), (x[32:], y[32:])]
    scores = iter([0.7, 0.6, 0.5, 0.4, 0.3])
    report = keras_pss.fine_tune(
        model, batches, score=lambda model: next(scores)
    )
    assert report.best == 0
    assert all(map(np.array_equal, before, values(model)))


def test_an_error_leaves_the_tables_and_flags():
    model, data = problem()
    before = values(model)
    calls = []

    def score(given):
        calls.append(given)
        if len(calls) == 2:
            raise RuntimeError("stopped")
        return 0.0

    with pytest.raises(RuntimeError, match="stopped"):
        keras_pss.fine_tune(model, data, score=score, batch_size=16)
    assert all(map(np.array_equal, before, values(model)))
    assert all(layer.trainable for layer in model.layers)


class Around(layers.Layer):
    """A layer that holds a table, and has a weight of its own."""

    def build(self, shape):
        self.table = keras_pss.HashedEmbedding(ROWS, 4, num_buckets=40)
        self.table.build(shape)
        self.shift = self.add_weight(shape=(4,), name="shift")
        self.kept = self.add_weight(shape=(4,), name="kept", trainable=False)

    def call(self, inputs):
        return self.table(inputs) + self.shift + self.kept


def test_several_losses_and_weights_beside_the_tables():
    given = keras.Input((4,), dtype="int32")
    x = layers.Flatten()(Around()(given))
    outputs = {name: layers.Dense(1, name=name)(x) for name in ("a", "b")}
    model = keras.Model(given, outputs)
    losses = {"a": "mse", "b": "mae"}
    model.compile("sgd", losses, loss_weights={"a": 5.0, "b": 0.1})
    x, y = ids(64), {"a": np.ones((64, 1)), "b": np.zeros((64, 1))}
    batches = [(x[:32], {k: v[:32] for k, v in y.items()}, np.ones(32))]
    flags = [w.trainable for w in model.weights]
    before = values(model)
    report = keras_pss.fine_tune(
        model, (x, y), batches, [1e-2], batch_size=16, evaluations=1
    )
    (changed,) = [
        weight
        for weight, old, new in zip(
            model.weights, before, values(model), strict=True
        )
        if not np.array_equal(old, new)
    ]
    assert changed.shape == (40, 4)
    assert [w.trainable for w in model.weights] == flags
    (batch,) = batches
    (loss, *_) = model.evaluate(*batch[:2], verbose=0)
    assert -report.steps[report.best].score == pytest.approx(loss, rel=1e-5)


def test_small_gradients_in_float16_are_scaled():
    given = keras.Input((4,), dtype="int32")
    table = keras_pss.HashedEmbedding(
        ROWS, 4, num_buckets=40, dtype="mixed_float16"
    )
    x = layers.Flatten()(table(given))
    model = keras.Model(given, layers.Dense(1, kernel_initializer="ones")(x))
    model.compile("sgd", "mse", loss_weights=[1e-7])
    before = table.materialize()
    scores = iter(range(9))
    keras_pss.fine_tune(
        *(model, (ids(64), np.ones((64, 1)))),
        learning_rates=[1e-2],
        score=lambda model: next(scores),
        batch_size=16,
    )
    assert np.abs(table.materialize() - before).max() > 1e-4


def test_a_score_that_is_no_number_is_the_worst():
    model, data = problem()
    scores = iter([float("nan"), 0.5, float("nan"), 0.4, 0.3])
    report = keras_pss.fine_tune(model, data, score=lambda model: next(scores))
    assert report.best == 1


def test_mistakes():
    model, data = problem()
    with pytest.raises(ValueError, match="`validation_data` or `score`"):
        keras_pss.fine_tune(model, data)
    with pytest.raises(ValueError, match="`steps_per_epoch` must be given"):
        keras_pss.fine_tune(model, iter([data]), data)
    x, y = data
    for arguments, match in (
        (((x, y[:9]), data), r"as many rows.*\(64, 4\), \(9, 1\)"),
        (((x[:0], y[:0]), data), "as many rows in each, at least one"),
        (((x,), data), r"`train_data` must be a tuple of arrays \(x, y\)"),
        (([x, y], data), "`train_data` must be a tuple of arrays"),
        ((data, iter([data])), "`validation_data` is read several times"),
        ((data, (x[:0], y[:0])), "`validation_data` must have arrays"),
        ((data, data, 1e-3), "`learning_rates` must be a list"),
    ):
        with pytest.raises(ValueError, match=match):
            keras_pss.fine_tune(model, *arguments)
    for score, match in (("auc", "a function"), (str, "return a number")):
        with pytest.raises(ValueError, match=match):
            keras_pss.fine_tune(model, data, score=score)
    plain = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="`loss` must be given"):
        keras_pss.fine_tune(plain, data, data)
    with pytest.raises(ValueError, match="must have an embedding layer"):
        keras_pss.fine_tune(plain, data, data, loss="mse")
    with pytest.raises(ValueError, match="must have a batch in each epoch"):
        keras_pss.fine_tune(
            model, iter([data]), data, epochs=2, steps_per_epoch=1
        )
