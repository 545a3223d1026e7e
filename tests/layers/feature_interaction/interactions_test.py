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


def message_of(call):
    with pytest.raises(ValueError, match="Received: ") as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    "layer",
    [row[0] for row in FIELDS] + [keras_pss.DotInteraction()],
    ids=[*names(FIELDS), "DotInteraction"],
)
@pytest.mark.parametrize("shape", [(6,), (6, 4, 2), ()], ids=str)
def test_a_wrong_rank_is_the_same_error_everywhere(layer, shape):
    def twin():
        return layer.__class__.from_config(layer.get_config())

    found = [
        message_of(lambda: twin()(keras.Input(shape))),
        message_of(lambda: twin()(np.ones((3, *shape), "float32"))),
        message_of(lambda: twin().compute_output_shape((3, *shape))),
    ]
    if "build" in vars(layer.__class__):
        found.append(message_of(lambda: twin().build((3, *shape))))
    for message in found:
        assert "keras.ops.stack(vectors, axis=1)" in message
        assert "Received: inputs of shape (" in message
    twin()(keras.Input((6, 4)))  # and the right one is taken


@pytest.mark.parametrize(
    "layer",
    [row[0] for row in FIELDS] + [keras_pss.DotInteraction()],
    ids=[*names(FIELDS), "DotInteraction"],
)
def test_a_list_of_vectors_is_to_be_stacked(layer):
    twin = layer.__class__.from_config(layer.get_config())
    for vectors in (
        [np.ones((3, 4), "float32")] * 2,
        [keras.Input((4,)), keras.Input((4,))],
    ):
        assert "a list of 2" in message_of(lambda v=vectors: twin(v))
    stacked = ops.stack([np.ones((3, 4), "float32")] * 6, axis=1)
    assert twin(stacked).shape[0] == 3


@pytest.mark.parametrize(
    ("make", "same", "other", "why"),
    [
        (lambda: keras_pss.FieldAttention(2, 3), (9, 4), (6, 5), "dim = 4"),
        (
            lambda: keras_pss.CompressedInteraction((4,)),
            (6, 5),
            (7, 4),
            "number of fields = 6",
        ),
        (lambda: keras_pss.SqueezeExcitation(2), (6, 5), (7, 4), "fields = 6"),
        (
            lambda: keras_pss.BilinearInteraction("all"),
            (7, 4),
            (6, 5),
            "dim = 4",
        ),
        (
            lambda: keras_pss.BilinearInteraction("each"),
            (6, 4),
            (7, 4),
            "number of fields = 6 and the vectors' dim = 4",
        ),
    ],
)
def test_weights_serve_inputs_of_their_shape(make, same, other, why):
    layer = make()
    layer(np.ones((2, 6, 4), "float32"))
    assert layer(np.ones((3, *same), "float32")).shape[0] == 3
    for wrong in (np.ones((2, *other), "float32"), keras.Input(other)):
        message = message_of(lambda w=wrong: layer(w))
        assert "has weights for" in message
        assert why in message


@pytest.mark.parametrize(
    "make",
    [
        keras_pss.DotInteraction,
        keras_pss.FieldAttention,
        keras_pss.SqueezeExcitation,
        keras_pss.BilinearInteraction,
        lambda: keras_pss.CompressedInteraction((4,)),
    ],
)
def test_a_number_of_fields_must_be_known(make):
    message = message_of(lambda: make()(keras.Input((None, 4))))
    assert "needs to know the number of fields" in message
    assert keras_pss.FieldSum()(keras.Input((None, 4))).shape == (None, 4)


@pytest.mark.parametrize(
    "cross", [row[0] for row in CROSSES], ids=names(CROSSES)
)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((12, 5), (12, 7)),
        ((1, 5), (2, 5)),
        ((2, 5), (1, 5)),
        ((12, 6, 5), (12, 6, 5)),
        ((12, 5), (12, 1)),
        ((5,), (5,)),
    ],
    ids=str,
)
def test_a_cross_never_broadcasts(cross, first, second):
    def twin():
        return cross.__class__.from_config(cross.get_config())

    calls = [
        lambda: twin()(np.ones(first, "float32"), np.ones(second, "float32")),
        lambda: twin().build(first, second),
        lambda: twin().compute_output_shape(first, second),
        lambda: twin()(
            keras.KerasTensor(first, "float32"),
            keras.KerasTensor(second, "float32"),
        ),
    ]
    for call in calls:
        assert message_of(call).endswith(
            f"Received: x0 of shape {first}, x of shape {second}"
        )


def test_a_cross_reads_two_tensors():
    cross = keras_pss.MatrixCross()
    x = np.ones((2, 5), "float32")
    assert "cross(x0, x0). Received: x0 alone" in message_of(lambda: cross(x))
    assert "Received: a list" in message_of(lambda: cross([x, x]))
    assert "x is a list of 1" in message_of(lambda: cross(x, [x]))
    assert cross(x, x=x).shape == (2, 5)
    wide = np.ones((2, 6), "float32")
    assert "weights for k = 5" in message_of(lambda: cross(wide, wide))
    assert cross(keras.Input((5,)), keras.Input((5,))).shape == (None, 5)
    unknown = keras.Input((None,))
    assert "k known" in message_of(
        lambda: keras_pss.VectorCross()(unknown, unknown)
    )
