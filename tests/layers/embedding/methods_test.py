"""What all methods have: names, the factory, initializers, use in a model."""

import inspect
import pkgutil
import re
from importlib import import_module

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.embedding.methods import METHODS


def test_every_method_has_a_name_and_is_exported():
    """A class without its line in methods.py is none."""
    classes = set()
    for room in ("embedding", "composite"):
        package = import_module(f"keras_pss.layers.{room}")
        for file in pkgutil.iter_modules(package.__path__):
            module = import_module(f"{package.__name__}.{file.name}")
            classes |= {
                value
                for value in vars(module).values()
                if inspect.isclass(value)
                and issubclass(value, CompressedEmbedding)
                and value.__module__ == module.__name__
            }
    assert classes == set(METHODS.values())
    assert len(classes) == len(METHODS)
    for cls in classes:
        assert getattr(keras_pss, cls.__name__) is cls
        assert getattr(keras_pss.layers, cls.__name__) is cls
        assert cls.__name__ in dir(keras_pss)
    listed = re.findall(r'`"(\w+)"`', keras_pss.embedding.__doc__)
    assert set(METHODS) <= set(listed)


@pytest.mark.parametrize("method", METHODS)
def test_the_argument_of_the_size_is_one_of_the_class(method):
    """Without `sized_by`, a budget overrides the user's value silently."""
    cls = METHODS[method]
    if cls.sized_by:
        assert cls.sized_by in cls.option_names({})
    else:
        assert method in ("full", "quantized", "hot_rows")


@pytest.mark.parametrize(
    ("method", "group"),
    [("full", "FullGroup"), ("robe", "ROBEGroup"), ("hash", None)],
)
def test_what_many_tables_become_is_the_methods(method, group):
    fused = METHODS[method].fuse([50, 40], 8, (0, 3), 64, name="together")
    assert (None if fused is None else type(fused).__name__) == group
    if fused is None:
        return
    fused.build()
    assert fused.budget_size() == (90 * 8 if method == "full" else 64)
    rows = fused(ops.convert_to_tensor([[49, 39], [0, 1]]))
    assert rows.shape == (2, 2, 8)


def test_an_initializer_of_ones_own_needs_no_config():
    class Threes(keras.initializers.Initializer):
        def __init__(self, value):
            self.value = value

        def __call__(self, shape, dtype=None):
            return ops.full(shape, self.value, dtype)

    layer = keras_pss.FullEmbedding(5, 2, Threes(3.0))
    np.testing.assert_array_equal(layer.materialize(), np.full((5, 2), 3.0))


def test_products_refuse_an_initializer_that_cannot_train():
    for layer in (
        keras_pss.TTEmbedding(50, 8, "zeros", rank=2),
        keras_pss.QREmbedding(50, 8, "ones", num_buckets=7),
    ):
        with pytest.raises(ValueError, match="multiplies its parameters"):
            layer.build()


def test_model_add_as_a_reader_of_the_readme_types_it():
    model = keras.Sequential()
    model.add(keras.Input((4,), dtype="int32"))
    model.add(keras_pss.ROBEEmbedding(10_000, 8, memory_size=1000))
    model.add(keras.layers.GlobalAveragePooling1D())
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    model.compile("adam", "binary_crossentropy")
    ids = np.random.RandomState(0).randint(0, 10_000, (64, 4))
    history = model.fit(ids, ids[:, 0] % 2, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    no_input = keras.Sequential(
        [keras_pss.ROBEEmbedding(100, 8, memory_size=50)]
    )
    assert no_input(np.array([[1, 99]])).shape == (1, 2, 8)


def test_regularizer_and_constraint_reach_the_parameters():
    layer = keras_pss.HashedEmbedding(
        100,
        4,
        embeddings_regularizer=keras.regularizers.L2(0.5),
        embeddings_constraint="non_neg",
        num_buckets=5,
    )
    layer(np.array([1]))
    weight = ops.convert_to_numpy(layer.weights[0])
    loss = float(ops.convert_to_numpy(layer.losses[0]))
    assert loss == pytest.approx(0.5 * (weight**2).sum(), rel=1e-5)
    assert layer.weights[0].constraint is not None
