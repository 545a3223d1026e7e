"""The kernels against the `keras.ops` path, which is the definition."""

import contextlib

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from kernels import BACKEND, both_ways, looked_up, numbers

import keras_pss
from keras_pss import native
from keras_pss.ops.hash_families import pss1
from keras_pss.ops.methods import robe


@st.composite
def tables_and_ids(draw):
    """ROBE tables of any mapping, and ids of any size."""
    output_dim = draw(st.integers(1, 40))
    memory_size = output_dim * draw(st.integers(1, 30))
    block_size = draw(
        st.one_of(
            st.integers(1, output_dim),
            st.integers(1, memory_size // output_dim).map(
                lambda k: k * output_dim
            ),
            st.just(memory_size),
        )
    )
    columns = draw(st.integers(1, 4))
    one = columns == 1 and draw(st.booleans())
    wide = BACKEND != "jax" and draw(st.booleans())
    largest = 2**63 - 1 if wide else 2**31 - 1
    shape = (draw(st.integers(0, 30)),) + (() if one else (columns,))
    bits = draw(st.integers(1, 63 if wide else 31))
    ids = np.random.default_rng(draw(st.integers(0, 9))).integers(
        0, min(largest, 2**bits - 1), shape, endpoint=True
    )
    tables = robe.Tables(
        memory_size=memory_size,
        output_dim=output_dim,
        block_size=block_size,
        table=3 if one else tuple(range(5, 5 + columns)),
        seed=draw(st.integers(0, 2**64)),
        sign=draw(st.booleans()),
        scales=draw(
            st.sampled_from([(), (0.5,) if one else (0.5, 2.0, 1.5, 3.0)])
        )[:columns],
    )
    return tables, ids.astype("int64" if wide else "int32")


@settings(max_examples=60 if BACKEND == "tensorflow" else 8, deadline=None)
@given(tables_and_ids())
def test_rows_are_those_of_the_definition(given_):
    tables, ids = given_
    # Its own place in each number: an address that differs shows.
    memory = ops.arange(tables.memory_size, dtype="float32")
    ids = ops.convert_to_tensor(ids)
    found, wanted = both_ways(
        lambda: ops.convert_to_numpy(looked_up(tables, memory, ids))
    )
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_memories_of_16_bits(dtype):
    tables = robe.Tables(memory_size=90, output_dim=6, block_size=3, sign=True)
    ids = ops.convert_to_tensor(np.arange(50, dtype="int32"))
    memory = ops.cast(numbers(90), dtype)
    found, wanted = both_ways(lambda: looked_up(tables, memory, ids))
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    np.testing.assert_array_equal(
        ops.convert_to_numpy(ops.cast(found, "float32")),
        ops.convert_to_numpy(ops.cast(wanted, "float32")),
    )


def test_any_other_type_takes_the_other_way(calls):
    tables = robe.Tables(memory_size=90, output_dim=6, block_size=3)
    ids = ops.convert_to_tensor(np.arange(50, dtype="int32"))
    if BACKEND == "tensorflow":
        memory = ops.cast(numbers(90), "float64")
        assert looked_up(tables, memory, ids).dtype == memory.dtype
    universal = robe.Tables(90, 6, 3, family="universal")
    assert looked_up(
        universal, ops.cast(numbers(90), "float32"), ids
    ).shape == (
        50,
        6,
    )
    assert not calls


def test_layers_use_the_kernels(calls):
    layer = keras_pss.ROBEEmbedding(1000, 8, memory_size=100)
    collection = keras_pss.EmbeddingCollection([1000, 10], 8, budget="10x")
    ids = np.array([[3, 7], [999, 0]])
    layer(ids)
    collection(ids)
    assert calls["robe_lookup"] == 2
    with native.disabled():
        layer(ids)
    assert calls["robe_lookup"] == 2


def test_keys_are_those_of_the_hash():
    tables = robe.Tables(100, 40, 16, table=(7, 2), seed=5, sign=True)
    keys = tables.keys.view(np.uint32)
    assert keys.shape == (2, 3 + 2, 3)
    assert tuple(keys[1, 2]) == pss1.key(5, 2, 2)
    assert tuple(keys[0, 4]) == pss1.key(5, 7, 0, 2)


BAGS = {
    "padded": lambda: {"inputs": np.arange(24).reshape(4, 6) % 50},
    "cut": lambda: {
        "inputs": np.arange(24) % 50,
        "row_splits": np.array([0, 3, 3, 11, 24]),
    },
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("combiner", ["sum", "mean", "sqrtn"])
@pytest.mark.parametrize("bags", BAGS)
def test_bags(bags, combiner, weighted, calls):
    layer = keras_pss.ROBEEmbedding(50, 8, memory_size=90, sign=True)
    bag = keras_pss.EmbeddingBag(layer, combiner)
    call = BAGS[bags]()
    if weighted:
        call["weights"] = numbers(*call["inputs"].shape) ** 2 + 0.1
    layer.build()
    found, wanted = both_ways(lambda: ops.convert_to_numpy(bag(**call)))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert calls["robe_lookup"] == 1


@pytest.mark.skipif(BACKEND != "jax", reason="jax.export")
def test_what_jax_exports_has_no_kernels():
    import jax

    layer = keras_pss.ROBEEmbedding(1000, 8, memory_size=100)
    ids = np.array([3, 999], "int32")
    wanted = layer(ids)
    exported = jax.export.export(jax.jit(layer))(ids)
    assert "@keras_pss_robe_lookup" not in exported.mlir_module()
    np.testing.assert_array_equal(exported.call(ids), wanted)
    text = jax.jit(lambda x: layer(x)).lower(ids).as_text()
    assert "@keras_pss_robe_lookup" in text


def test_the_switch_is_for_what_is_traced_within(monkeypatch):
    assert native.available()
    with native.disabled():
        assert not native.available()
        with native.disabled():
            pass
        assert not native.available()
    assert native.available()
    with contextlib.suppress(ValueError), native.disabled():
        raise ValueError
    assert native.available()
    monkeypatch.setenv("KERAS_PSS_NATIVE", "0")
    assert not native.available()
