"""The contract of gradients and of training."""

import gradients
import keras
import methods
import numpy as np
import pytest
from contract import IDS, rows_of
from keras import ops
from methods import CLASSES, DIM, ROWS, WIDTH, every_class


@pytest.mark.parametrize(
    "method", [m for m in ROWS if not m.rounds], ids=lambda m: m.id
)
def test_gradient_is_the_dense_tables_pulled_back(method):
    """d loss / dw_k = <d loss / d table, d table / dw_k>.

    Where every row is linear in each single weight, the central difference of
    the NumPy formula is exact whatever its step.
    """
    step = 1 if method.linear else 1e-4
    layer = method.make()
    layer.build()
    upstream = np.random.RandomState(1).normal(size=(len(IDS), WIDTH))
    upstream = upstream.astype("float32")
    dense = np.zeros((DIM, WIDTH))
    np.add.at(dense, IDS, upstream.astype("float64"))
    found = gradients.weight_gradients(layer, IDS, upstream)
    tables = methods.weights(layer)
    trained = [
        (name, tables[name])
        for owner in [layer, *layer.parts()]
        for name in owner.float_tables()
    ]
    random = np.random.RandomState(2)
    for gradient, (name, table) in zip(found, trained, strict=True):
        for k in random.choice(table.size, min(table.size, 12), replace=False):
            up, down = table.copy(), table.copy()
            up.flat[k] += step
            down.flat[k] -= step
            slope = (
                method.formula(layer, tables | {name: up})
                - method.formula(layer, tables | {name: down})
            ) / (2 * step)
            assert gradient.flat[k] == pytest.approx(
                (slope * dense).sum(), rel=2e-5, abs=1e-6
            )


@every_class
def test_adam_sees_the_sum_over_colliding_ids(method):
    layer = method.make()
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    target = np.random.RandomState(1).normal(size=(len(IDS), WIDTH))
    target = target.astype("float32")
    # Of half the squared error, summed over columns, averaged over ids.
    upstream = (rows_of(layer, IDS) - target) / len(IDS)
    found = gradients.weight_gradients(layer, IDS, upstream)
    before = [ops.convert_to_numpy(w).copy() for w in layer.trainable_weights]
    model.compile(
        keras.optimizers.Adam(0.1, epsilon=1e-3),
        lambda y, rows: ops.sum((rows - y) ** 2, axis=-1) / 2,
    )
    model.train_on_batch(IDS, target)
    for weight, start, gradient in zip(
        layer.trainable_weights, before, found, strict=True
    ):
        # The first step of Adam, where Keras adds epsilon to sqrt(v) before
        # the bias correction.
        epsilon = 1e-3 / np.sqrt(1 - 0.999)
        expected = start - 0.1 * gradient / (np.abs(gradient) + epsilon)
        grid = method.grid * np.abs(expected).max()
        np.testing.assert_allclose(
            ops.convert_to_numpy(weight), expected, rtol=1e-4, atol=1e-5 + grid
        )


def test_fit_trains_every_weight_table():
    """Of every class, each an output of one model."""
    layers = {method.id: method.make() for method in CLASSES}
    inputs = keras.Input((3,), dtype="int32")
    model = keras.Model(inputs, {k: f(inputs) for k, f in layers.items()})
    before = {
        (name, weight.name): ops.convert_to_numpy(weight).copy()
        for name, layer in layers.items()
        for weight in layer.trainable_weights
    }
    model.compile(keras.optimizers.Adam(0.01), dict.fromkeys(layers, "mse"))
    target = np.random.RandomState(3).normal(size=(15, 3, WIDTH))
    targets = dict.fromkeys(layers, target)
    history = model.fit(IDS.reshape(15, 3), targets, epochs=20, verbose=0)
    for name, layer in layers.items():
        losses = history.history[f"{name}_loss"]
        assert losses[-1] < losses[0], name
        assert layer.trainable_weights
        for weight in layer.trainable_weights:
            moved = ops.convert_to_numpy(weight) - before[name, weight.name]
            assert np.abs(moved).max() > 0, (name, weight.name)
