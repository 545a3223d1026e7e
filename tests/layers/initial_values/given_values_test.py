"""Means, constants and given values are kept or refused."""

import math
import re

import numpy as np
import pytest
from keras import initializers, ops
from large_tables import RowUniform, make_large, sample
from methods import DIM, WIDTH, every_row

import keras_pss


def refuses_a_mean(method, layer):
    signs = getattr(layer, "sign", False)
    projects = getattr(layer, "_projects", False)
    return method.meanless or signs or projects


@every_row
def test_a_mean_is_kept_or_refused(method):
    layer = make_large(method, initializers.RandomNormal(1.0, 0.1, seed=2))
    if refuses_a_mean(method, layer):
        with pytest.raises(
            ValueError, match=r"other than zero.*RandomUniform.*of mean 1"
        ):
            layer.build()
        return
    rows, scale = sample(layer), method.arguments.get("output_scale", 1.0)
    rounding = method.grid  # of an int4 table
    assert rows.mean() == pytest.approx(scale, rel=0.01 + rounding / 7)
    assert rows.std() == pytest.approx(0.1 * scale, rel=0.05 + rounding)


@every_row
@pytest.mark.parametrize("mean", [-3.0, 0.02])
def test_a_mean_of_either_sign_and_size_is_kept(method, mean):
    given = initializers.RandomUniform(mean - 0.5, mean + 0.5, seed=2)
    layer = make_large(method, given)
    if refuses_a_mean(method, layer):
        return
    rows, std = sample(layer), 1 / math.sqrt(12)
    std *= method.arguments.get("output_scale", 1.0)
    mean *= method.arguments.get("output_scale", 1.0)
    assert rows.mean() == pytest.approx(mean, abs=0.08 * std)
    assert rows.std() == pytest.approx(std, rel=0.08 + method.grid)


# Methods whose rows are known to keep a constant, one given row or a whole
# given table. Any other method keeps them exactly as well, or refuses them.
KEEP_CONSTANTS = (
    keras_pss.ClusteredEmbedding,
    keras_pss.FullEmbedding,
    keras_pss.HashedEmbedding,
    keras_pss.MEMComEmbedding,
    keras_pss.MixedDimensionEmbedding,
    keras_pss.QuantizedEmbedding,
    keras_pss.ROBEEmbedding,
)
KEEP_TABLES = (keras_pss.FullEmbedding, keras_pss.QuantizedEmbedding)


def is_kept(layer, wanted, tolerance, message):
    """Whether the layer starts with a table; if not, its error must say so."""
    refusal = ""
    try:
        layer.build()
    except ValueError as error:
        refusal = str(error)
    if refusal:
        assert re.search(message, refusal)
        return False
    atol = np.abs(wanted).max() * (1e-6 + tolerance)
    np.testing.assert_allclose(layer.materialize(), wanted, atol=atol)
    return True


@every_row
def test_a_constant_is_kept_or_refused(method):
    layer = method.make(embeddings_initializer="ones", input_dim=61)
    scale = method.arguments.get("output_scale", 1.0)
    wanted = np.full((61, WIDTH), scale)
    kept = is_kept(layer, wanted, method.grid / 2, "multiplies")
    if refuses_a_mean(method, layer):
        assert not kept
    elif method.cls is keras_pss.QREmbedding:
        assert kept == (layer.operation != "mult")
    elif method.cls in KEEP_CONSTANTS:
        assert kept


@every_row
@pytest.mark.parametrize("form", ["table", "row", "array"])
def test_given_values_are_kept_or_refused(method, form):
    values = np.random.RandomState(0).normal(size=(DIM, WIDTH))
    values = values.astype("float32")[0 if form == "row" else slice(None)]
    given = initializers.get(values) if form == "array" else None
    given = given or initializers.Constant(values)
    if method.arguments.get("share"):
        with pytest.raises(ValueError, match=r"(Use|Give) .*Received"):
            method.make(embeddings_initializer=given).build()
        return
    if method.cls is keras_pss.HotRows:
        with pytest.raises(ValueError, match="Use an initializer whose"):
            method.make(embeddings_initializer=given)
        return
    layer = method.make(embeddings_initializer=given)
    wanted = np.broadcast_to(values, (DIM, WIDTH))
    kept = is_kept(
        layer,
        wanted,
        method.grid,
        r"FullEmbedding or QuantizedEmbedding[\s\S]*Received",
    )
    one_row = method.cls is keras_pss.MEMComEmbedding or (
        method.cls is keras_pss.HashedEmbedding and layer.num_hashes == 1
    )
    whole = method.cls in KEEP_TABLES or method.id == "mixed_dimension_full"
    if whole or (one_row and form == "row"):
        assert kept


def test_given_values_of_a_collection_are_of_its_one_table():
    values = np.random.RandomState(0).normal(size=(9, 4)).astype("float32")
    given = initializers.Constant(values)
    arguments = {"method": "full", "embeddings_initializer": given}
    one = keras_pss.EmbeddingCollection([9], 4, **arguments)
    rows = ops.convert_to_numpy(one(np.arange(9)[:, None]))
    np.testing.assert_array_equal(rows[:, 0], values)
    two = keras_pss.EmbeddingCollection([9, 5], 4, **arguments)
    with pytest.raises(
        ValueError, match=r"whole table of shape \(5, 4\).*of shape \(9, 4\)"
    ):
        two.build()
    row = keras_pss.EmbeddingCollection(
        [9, 5],
        4,
        "full",
        embeddings_initializer=initializers.Constant(values[0]),
    )
    found = ops.convert_to_numpy(row(np.array([[8, 4]])))[0]
    np.testing.assert_array_equal(found, np.stack([values[0]] * 2))


def test_a_shared_memory_takes_its_own_values():
    values = np.random.RandomState(0).normal(size=(60, 1)).astype("float32")
    memory = keras_pss.SharedMemory(60, initializers.Constant(values))
    layer = keras_pss.ROBEEmbedding(20, 4, memory=memory, sign=True)
    layer.build()
    np.testing.assert_array_equal(
        ops.convert_to_numpy(memory.memory_table), values
    )
    memory = keras_pss.SharedMemory(60, "ones")
    layer = keras_pss.ROBEEmbedding(20, 4, memory=memory, sign=True)
    with pytest.raises(ValueError, match="a mean other than zero"):
        layer.build()


def test_parameters_as_the_table_are_those_of_the_initializer():
    """A layer that keeps the table starts as Keras' own does."""
    for given in (RowUniform(), initializers.RandomNormal(0.5, 0.2, seed=1)):
        layer = keras_pss.FullEmbedding(7, 4, given)
        np.testing.assert_array_equal(
            layer.materialize(), ops.convert_to_numpy(given((7, 4)))
        )
