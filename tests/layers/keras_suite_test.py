"""Keras' own layer test, on every method.

`keras.src.testing` is private, so it is named in this one place.
"""

import methods
import pytest
from keras.src.testing import TestCase

import keras_pss

# A config that holds a layer names the object, which differs in a copy.
CLASSES = [
    m
    for m in methods.CLASSES
    if m.cls is not keras_pss.HotRows and not m.arguments.get("share")
]


class Suite(TestCase):
    def runTest(self):
        """unittest wants a name; the methods are called from below."""


# Keras' test hands `fit` a generator and is told so by `fit`.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize("method", CLASSES, ids=lambda m: m.id)
@pytest.mark.parametrize(
    "shape",
    [
        (4,),
        # A lookup flattens ids of any shape, on each backend alike.
        pytest.param((2, 3), marks=[pytest.mark.slow, pytest.mark.tf_only]),
    ],
    ids=str,
)
def test_keras_layer_test(method, shape):
    arguments = {"input_dim": methods.DIM, "output_dim": methods.WIDTH}
    layer = method.make()
    tables = len(layer.float_tables())
    Suite().run_layer_test(
        method.cls,
        init_kwargs=arguments | method.arguments,
        input_shape=shape,
        input_dtype="int32",
        expected_output_shape=(*shape, methods.WIDTH),
        expected_num_trainable_weights=tables,
        expected_num_non_trainable_weights=len(layer.tables()) - tables,
        expected_num_seed_generators=0,
        expected_num_losses=0,
        supports_masking=False,
        assert_built_after_instantiation=False,
    )
    assert tables >= 1


# Class, arguments, shape of an output for (2, 5, 3), and number of weights.
INTERACTIONS = [
    (keras_pss.DotInteraction, {}, (2, 10), 0),
    (keras_pss.FieldSum, {}, (2, 3), 0),
    (keras_pss.BiInteraction, {}, (2, 3), 0),
    (keras_pss.FactorizationMachine, {}, (2, 1), 0),
    (keras_pss.FieldAttention, {"head_dim": 4}, (2, 5, 8), 4),
    (keras_pss.CompressedInteraction, {"units": (4, 3)}, (2, 5), 2),
    (keras_pss.SqueezeExcitation, {"reduction_ratio": 2}, (2, 5, 3), 2),
    (keras_pss.BilinearInteraction, {"kind": "each"}, (2, 10, 3), 1),
]


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.filterwarnings("ignore:The model does not have any trainable")
@pytest.mark.parametrize(
    ("cls", "arguments", "shape", "weights"),
    INTERACTIONS,
    ids=[row[0].__name__ for row in INTERACTIONS],
)
def test_keras_layer_test_of_an_interaction(cls, arguments, shape, weights):
    Suite().run_layer_test(
        cls,
        init_kwargs=arguments,
        input_shape=(2, 5, 3),
        expected_output_shape=shape,
        expected_num_trainable_weights=weights,
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=0,
        expected_num_losses=0,
        supports_masking=False,
        assert_built_after_instantiation=False,
    )
    assert cls(**arguments).compute_output_shape((2, 5, 3)) == shape
