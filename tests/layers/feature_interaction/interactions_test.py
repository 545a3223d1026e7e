"""Shapes, parameters and configs of the interactions, and their errors.

Their mathematics is tested within the models, by tests/models/forward_test.py,
and so is that an output has the shape that the layer said it would.
"""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss

# Layer, shape of an output for inputs (b, 6, 4), parameters.
FIELDS = [
    (keras_pss.FieldSum(), (4,), 0),
    (keras_pss.BiInteraction(), (4,), 0),
    (keras_pss.FactorizationMachine(), (1,), 0),
    (keras_pss.FieldAttention(3, 5), (6, 15), 4 * 4 * 15),
    (
        keras_pss.CompressedInteraction((8, 6, 5)),
        (4 + 3 + 5,),
        6 * (6 * 8 + 4 * 6 + 3 * 5),
    ),
    (
        keras_pss.CompressedInteraction((7, 5), False, "linear"),
        (12,),
        6 * (6 * 7 + 7 * 5),
    ),
    (keras_pss.SqueezeExcitation(2), (6, 4), 2 * 6 * 3),
    (keras_pss.SqueezeExcitation(9), (6, 4), 2 * 6),
    (keras_pss.BilinearInteraction("interaction"), (15, 4), 15 * 16),
    (keras_pss.BilinearInteraction("each"), (15, 4), 5 * 16),
    (keras_pss.BilinearInteraction("all"), (15, 4), 16),
]
CROSSES = [
    (keras_pss.VectorCross(), 2 * 7),
    (keras_pss.MatrixCross(), 7 * 7 + 7),
    (keras_pss.MatrixCross(rank=2), 2 * 7 * 2 + 7),
]


def names(rows):
    return [f"{row[0].__class__.__name__}-{k}" for k, row in enumerate(rows)]


def check_config(layer, twin):
    assert layer.get_config() == twin.get_config()
    own = set(layer.get_config()) - set(keras.layers.Layer().get_config())
    arguments = set()
    if "__init__" in vars(layer.__class__):
        arguments = set(inspect.signature(layer.__class__).parameters)
    assert own == arguments - {"kwargs"}


@pytest.mark.parametrize(("layer", "shape", "size"), FIELDS, ids=names(FIELDS))
def test_shapes_parameters_and_config(layer, shape, size):
    twin = layer.__class__.from_config(layer.get_config())
    check_config(layer, twin)
    assert twin(keras.Input((6, 4))).shape == (None, *shape)
    assert twin.count_params() == size


@pytest.mark.parametrize(("layer", "size"), CROSSES, ids=names(CROSSES))
def test_shapes_parameters_and_config_of_crosses(layer, size):
    twin = layer.__class__.from_config(layer.get_config())
    check_config(layer, twin)
    assert twin(keras.Input((7,)), keras.Input((7,))).shape == (None, 7)
    assert twin.count_params() == size


def test_first_cross_holds_all_products_of_two():
    # With w = 1 and no bias, x0 (1 + x0 · 1).
    layer = keras_pss.VectorCross()
    x = np.random.RandomState(0).normal(size=(3, 4)).astype("float32")
    layer.build(x.shape, x.shape)
    layer.set_weights([np.ones((4, 1)), np.zeros(4)])
    expected = x * (1 + x.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x, x)), expected, rtol=1e-5, atol=1e-6
    )


def test_bi_interaction_of_two_fields_is_their_product():
    x = np.random.RandomState(0).normal(size=(3, 2, 4)).astype("float32")
    found = ops.convert_to_numpy(keras_pss.BiInteraction()(x))
    np.testing.assert_allclose(found, x[:, 0] * x[:, 1], atol=1e-6)


def test_bilinear_interaction_of_two_fields():
    x = np.random.RandomState(0).normal(size=(3, 2, 4)).astype("float32")
    for kind in ("interaction", "each", "all"):
        layer = keras_pss.BilinearInteraction(kind)
        found = ops.convert_to_numpy(layer(x))
        kernel = ops.convert_to_numpy(layer.kernel)[0]
        expected = (x[:, 0] @ kernel * x[:, 1])[:, None]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_each_matrix_starts_at_glorots_scale():
    layer = keras_pss.BilinearInteraction()
    layer.build((None, 26, 16))
    spread = ops.convert_to_numpy(layer.kernel).std()
    assert abs(spread / np.sqrt(2 / (16 + 16)) - 1) < 0.02


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: keras_pss.MatrixCross(rank=0),
            "`rank` must be a positive integer. Received: rank=0",
        ),
        (
            lambda: keras_pss.FieldAttention(head_dim=0.5),
            "`head_dim` must be a positive integer. Received: head_dim=0.5",
        ),
        (
            lambda: keras_pss.CompressedInteraction(()),
            "`units` must hold .* at least one layer. Received: units=()",
        ),
        (
            lambda: keras_pss.CompressedInteraction((5, 4)),
            r"`units` must be even .* pass even ones.*units=\(5, 4\)",
        ),
        (
            lambda: keras_pss.SqueezeExcitation(0),
            "`reduction_ratio` must be a positive.*reduction_ratio=0",
        ),
        (
            lambda: keras_pss.BilinearInteraction("some"),
            "`kind` must be one of 'interaction'.*Received: kind='some'",
        ),
        (
            lambda: keras_pss.BilinearInteraction().build((None, 1, 4)),
            r"at least two; .* Received: input_shape=\(None, 1, 4\)",
        ),
    ],
)
def test_errors_name_the_argument_and_the_fix(make, message):
    with pytest.raises(ValueError, match=message):
        make()
