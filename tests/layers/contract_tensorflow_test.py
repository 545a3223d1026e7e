"""The contract's parts that only TensorFlow has: graphs, export, ragged."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from methods import CLASSES, DIM, METHODS, WIDTH, every_class, every_method

import keras_pss

pytestmark = pytest.mark.tf_only

IDS = np.random.RandomState(0).randint(0, DIM, (5, 3)).astype("int32")


def assert_compiled_lookups_equal_the_table(layer, jit):
    """And an id without a row stops a graph, and is NaN under XLA."""
    import tensorflow as tf

    table = layer.materialize()
    signature = tf.TensorSpec((None, 3), "int32")
    function = tf.function(layer, jit_compile=jit, input_signature=[signature])
    # XLA compiles each shape; what it compiles was traced for all of them.
    for ids in (IDS,) if jit else (IDS, IDS[:1]):
        np.testing.assert_allclose(
            function(ids).numpy(), table[ids], rtol=1e-6, atol=1e-7
        )
    wrong = IDS.copy()
    wrong[2] = DIM, -1, 2
    if jit:
        expected = table[np.clip(wrong, 0, DIM - 1)]
        expected[2, :2] = np.nan
        np.testing.assert_allclose(
            function(wrong).numpy(), expected, rtol=1e-6, atol=1e-7
        )
        return
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"integers in \[0, input_dim\)"
    ):
        function(wrong)


@every_method
def test_lookups_in_graphs_equal_the_table(method):
    assert_compiled_lookups_equal_the_table(method.make(), jit=False)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(
            method,
            id=method.id,
            marks=[pytest.mark.slow] if method.variant else [],
        )
        for method in METHODS
    ],
)
def test_lookups_under_xla_equal_the_table(method):
    assert_compiled_lookups_equal_the_table(method.make(), jit=True)


@every_class
@pytest.mark.parametrize(
    ("mode", "jit"),
    [
        ("int8", False),
        ("int4", True),
        pytest.param("int8", True, marks=pytest.mark.slow),
        pytest.param("int4", False, marks=pytest.mark.slow),
    ],
)
def test_compiled_lookups_of_packed_tables(method, mode, jit):
    layer = method.make()
    layer.build()
    layer.quantize(mode)
    assert_compiled_lookups_equal_the_table(layer, jit)


@every_class
def test_ragged_and_sparse_ids(method):
    import tensorflow as tf

    layer = method.make()
    table = layer.materialize()
    ragged = tf.ragged.constant([[1, 2, 3], [], [DIM - 1]], dtype="int32")
    rows = layer(ragged)
    assert [len(row) for row in rows] == [3, 0, 1]
    np.testing.assert_allclose(
        rows.flat_values.numpy(), table[[1, 2, 3, DIM - 1]], 1e-6, 2e-8
    )
    sparse = tf.sparse.from_dense(tf.constant([[1, 0], [0, 7]]))
    dense = layer(sparse).numpy()
    np.testing.assert_allclose(dense, table[[[1, 0], [0, 7]]], 1e-6, 2e-8)
    symbolic = layer(keras.Input((None,), dtype="int32", ragged=True))
    assert symbolic.ragged
    assert symbolic.shape == (None, None, WIDTH)


@every_class
@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_packed_lookup_unpacks_only_what_it_needs(method, mode):
    """No float and no code in the graph is of the size of a table."""
    import tensorflow as tf

    layer = method.make(input_dim=100_000, **method.arguments_large)
    layer.build()
    sizes = {
        table.size
        for owner in [layer, *layer.parts()]
        for table in owner.float_tables().values()
        if not table.whole
    }
    if not sizes:  # a network: each lookup multiplies with all of it
        assert all(table.whole for table in layer.float_tables().values())
        return
    layer.quantize(mode)
    graph = tf.function(layer).get_concrete_function(
        tf.TensorSpec((1,), "int32")
    )
    numbers = [
        output.shape.num_elements()
        for operation in graph.graph.get_operations()
        for output in operation.outputs
        if (output.dtype.is_floating or output.dtype == "int32")
        and output.shape.is_fully_defined()
        and operation.type != "ReadVariableOp"  # hands on what is there
    ]
    assert numbers
    assert not sizes & set(numbers)
    assert max(numbers) < max(sizes) / 3


@pytest.mark.slow
def test_saved_models_load_without_the_package(tmp_path):
    """Every class and its quantised twin, in one fresh process."""
    import tensorflow as tf

    # As the export traces it: for any number of rows, without kernels.
    signature = tf.TensorSpec((None, 3), "int32")
    for name in ("float", "int8", "int4"):
        layers = {method.id: method.make() for method in CLASSES}
        inputs = keras.Input((3,), dtype="int32")
        model = keras.Model(inputs, {k: f(inputs) for k, f in layers.items()})
        if name != "float":
            for layer in layers.values():
                layer.quantize(name)
        model.export(tmp_path / name, verbose=False)
        with keras_pss.native.disabled():
            expected = tf.function(model, input_signature=[signature])(IDS)
        np.savez(tmp_path / f"{name}.npz", **expected)
    np.save(tmp_path / "ids.npy", IDS)
    script = """
import sys, numpy as np, tensorflow as tf
folder = sys.argv[1]
ids, count = tf.constant(np.load(folder + "/ids.npy")), 0
for name in "float", "int8", "int4":
    loaded = tf.saved_model.load(f"{folder}/{name}")
    found = loaded.serve(ids)
    for method, rows in np.load(f"{folder}/{name}.npz").items():
        row = found[method].numpy()
        if name != "float":
            # Up to the order in which the graph's optimiser multiplies.
            np.testing.assert_allclose(row, rows, rtol=3e-7, err_msg=method)
        else:
            assert row.tobytes() == rows.tobytes(), method
        count += 1
assert "keras_pss" not in sys.modules
print(count, "equal")
"""
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert f"{3 * len(CLASSES)} equal" in result.stdout
