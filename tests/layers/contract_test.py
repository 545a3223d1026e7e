"""The contract that every exported embedding layer keeps (no skip list).

Its core: a row for each class, the formula, the initial values, shapes,
precision and the config. What is saved and packed, trained, accepted as ids
and reported is in the files beside it, contract_*_test.py.
"""

import copy
import inspect
import json

import keras
import methods
import numpy as np
import pytest
from contract import IDS, assert_rows, large_arguments, rows_of
from keras import ops
from methods import (
    CLASSES,
    METHODS,
    ROWS,
    WIDTH,
    every_class,
    every_method,
    every_row,
)

import keras_pss
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding


def test_every_exported_embedding_has_a_row():
    exported = {
        value
        for _, value in inspect.getmembers(keras_pss, inspect.isclass)
        if issubclass(value, CompressedEmbedding)
    }
    assert exported == {method.cls for method in CLASSES}
    assert {id(method) for method in CLASSES} <= {id(m) for m in METHODS}


@every_method
def test_equals_its_formula_and_its_materialized_table(method):
    layer = method.make()
    table = layer.materialize()
    expected = method.formula(layer, methods.weights(layer))
    np.testing.assert_allclose(table, expected, rtol=1e-6, atol=1e-7)
    assert_rows(layer, rows_of(layer, IDS), table[IDS])
    assert_rows(layer, layer.materialize(IDS, 7), table[IDS])


TENSORFLOW = keras.backend.backend() == "tensorflow"
INITIALIZERS = {
    "normal": keras.initializers.RandomNormal(stddev=0.3, seed=7),
    "uniform": keras.initializers.RandomUniform(-0.01, 0.01, seed=7),
    "fan_in": keras.initializers.VarianceScaling(0.5, mode="fan_in", seed=7),
}


@pytest.mark.parametrize(
    ("method", "initializer"),
    [
        pytest.param(method, initializer, id=f"{method.id}-{name}")
        for method in ROWS
        for name, initializer in INITIALIZERS.items()
        # What is drawn for a class is drawn for each of its variants, and by
        # other backends.
        if name == "normal" or (TENSORFLOW and not method.variant)
    ],
)
def test_initial_standard_deviation_is_the_initializers(method, initializer):
    rows, width = 100_000, 16
    wanted = {
        "RandomUniform": 0.01 / np.sqrt(3),
        "RandomNormal": 0.3,
        "VarianceScaling": np.sqrt(0.5 / rows),
    }[type(initializer).__name__]
    shared = method.arguments.get("share")
    if shared and isinstance(initializer, keras.initializers.VarianceScaling):
        # A shared memory has no rows; it asks for a scale that has none.
        with pytest.raises(ValueError, match="needs `input_dim`"):
            method.make(embeddings_initializer=initializer).build()
        return
    layer = method.make(
        input_dim=rows,
        output_dim=width,
        embeddings_initializer=initializer,
        **large_arguments(method, width),
    )
    ids = np.random.RandomState(4).randint(0, rows, 20_000)
    sample = layer.materialize(ids.astype("int32"))
    scale = method.arguments.get("output_scale", 1.0)
    assert sample.std() == pytest.approx(wanted * scale, rel=0.05)
    assert abs(sample.mean()) < 0.05 * wanted


@every_row
def test_config_round_trip(method):
    layer = method.make(embeddings_regularizer="l2", mask_zero=True)
    config = layer.get_config()
    arguments = inspect.signature(method.cls.__init__).parameters
    own = {"self", "kwargs", "args", "weights"}  # no values in a config
    assert set(arguments) - own <= set(config)
    twin = method.cls.from_config(config)
    assert twin.get_config() == config == copy.deepcopy(config)
    json.dumps(config)  # or an error
    assert twin.name == layer.name
    layer.build()
    twin.build()
    for owner, other in zip(layer.weights, twin.weights, strict=True):
        other.assign(owner)
    np.testing.assert_array_equal(rows_of(layer, IDS), rows_of(twin, IDS))


@every_class
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_float32_weights(method, dtype):
    layer = method.make(dtype=dtype)
    rows = layer(IDS)
    assert all(w.dtype == "float32" for w in layer.trainable_weights)
    assert keras.backend.standardize_dtype(rows.dtype) == dtype[6:]
    expected = layer.materialize()[IDS]
    epsilon = {"mixed_float16": 2**-11, "mixed_bfloat16": 2**-8}[dtype]
    rows = ops.convert_to_numpy(ops.cast(rows, "float32"))
    np.testing.assert_allclose(rows, expected, rtol=epsilon, atol=1e-7)


@every_class
def test_shapes_from_a_scalar_to_rank_three(method):
    layer = method.make()
    table = layer.materialize()
    for shape in [(), (1,), (45,), (9, 5), (3, 3, 5)]:
        ids = IDS[: int(np.prod(shape))].reshape(shape)
        rows = rows_of(layer, ids)
        assert_rows(layer, rows, table[ids])
        spec = layer.compute_output_spec(keras.KerasTensor(shape, "int32"))
        assert spec.shape == rows.shape
    empty = rows_of(layer, np.zeros((0, 4), "int32"))
    assert empty.shape == (0, 4, WIDTH)


@pytest.mark.tf_only
@pytest.mark.parametrize(
    ("argument", "value"),
    [("input_dim", 0), ("input_dim", 2**31), ("output_dim", 2.0)],
)
@every_class
def test_sizes_must_be_positive_integers(method, argument, value):
    with pytest.raises(ValueError, match=rf"`{argument}` must be a positive"):
        method.make(**{argument: value})
