"""Keras' own layer test, on every method.

`keras.src.testing` is private, so it is named in this one place.
"""

import methods
import pytest
from keras.src.testing import TestCase

from keras_pss import DotInteraction, HotRows

# A config that holds a layer names the object, which differs in a copy.
CLASSES = [
    m
    for m in methods.CLASSES
    if m.cls is not HotRows and not m.arguments.get("share")
]


class Suite(TestCase):
    def runTest(self):
        """unittest wants a name; the methods are called from below."""


# Keras' test hands `fit` a generator and is told so by `fit`.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize("method", CLASSES, ids=lambda m: m.id)
@pytest.mark.parametrize("shape", [(4,), (2, 3)], ids=str)
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


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.filterwarnings("ignore:The model does not have any trainable")
def test_keras_layer_test_of_the_interaction():
    layer = DotInteraction()
    Suite().run_layer_test(
        DotInteraction,
        init_kwargs={},
        input_shape=(2, 5, 3),
        expected_output_shape=(2, 10),
        expected_num_trainable_weights=0,
        supports_masking=False,
    )
    assert layer.compute_output_shape((2, 5, 3)) == (2, 10)
