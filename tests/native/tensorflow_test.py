"""What the kernels do in TensorFlow's graphs, exports and errors."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from graphs import ids_of, operations
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_pss
from keras_pss import native

pytestmark = pytest.mark.tf_only

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    from keras_pss.native import tensorflow_kernels


def test_graphs_use_the_kernels_until_they_are_turned_off():
    layer = keras_pss.ROBEEmbedding(1000, 8, memory_size=100)
    layer.build()
    own = {"KerasPss>RobeLookup", "KerasPss>CheckIds"}
    assert own <= operations(layer, ids_of(4))
    with native.disabled():
        assert not own & operations(layer, ids_of(4))


def test_no_method_needs_kernels_when_it_is_exported(tmp_path):
    """Every way out of Keras gives a graph of TensorFlow's own operations."""
    inputs = keras.Input((2,), dtype="int32")
    layer = keras_pss.EmbeddingCollection([500, 9], 8, budget="5x")
    outputs = keras.layers.Dense(1)(keras.layers.Flatten()(layer(inputs)))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse")
    x = np.array([[3, 7], [499, 0]], "int32")
    model.fit(x, np.ones((2, 1)), verbose=0)
    wanted = model.predict(x, verbose=0)
    keras_pss.serving.export_saved_model(model, tmp_path / "serving")
    model.export(tmp_path / "export", verbose=False)
    tf.saved_model.save(model, str(tmp_path / "saved"))
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve", model.call, [tf.TensorSpec((None, 2), "int32")]
    )
    archive.write_out(tmp_path / "archive", verbose=False)
    code = """
import sys, numpy as np, tensorflow as tf
for path in sys.argv[1:]:
    served = tf.saved_model.load(path).signatures
    name = "serve" if "serve" in served else "serving_default"
    rows = served[name](tf.constant([[3, 7], [499, 0]]))
    print(*np.ravel(list(rows.values())[0]))
assert "keras_pss" not in sys.modules
"""
    names = ["serving", "export", "saved", "archive"]
    run = subprocess.run(
        [sys.executable, "-c", code, *(str(tmp_path / n) for n in names)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = np.array(
        [line.split() for line in run.stdout.splitlines()], "float32"
    )
    assert found.shape == (4, 2)
    np.testing.assert_allclose(found, np.tile(wanted[:, 0], (4, 1)), rtol=1e-6)


def test_xla_keeps_the_kernels():
    layer = keras_pss.ROBEEmbedding(1000, 8, memory_size=100)
    ids = tf.constant([0, 5, 999])
    compiled = tf.function(layer, jit_compile=True)
    np.testing.assert_array_equal(compiled(ids), layer(ids))
    text = compiled.experimental_get_compiler_ir(ids)(stage="hlo")
    assert "keras_pss_robe_lookup" in text
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layer])
    model.compile("adam", "mse", jit_compile=True)
    assert model.jit_compile
    model.fit(np.ones((4, 3), "int32"), np.ones((4, 3, 8)), verbose=0)
    assert model.jit_compile


@pytest.mark.parametrize("jit", [False, True])
def test_an_id_without_a_row(jit):
    layer = keras_pss.ROBEEmbedding(10, 4, memory_size=20, name="users")
    function = tf.function(layer, jit_compile=jit)
    wrong = tf.constant([[1, 2], [12, 3]])
    with pytest.raises(
        ValueError, match=r"'users' must be .* \[0, 10\).*Received: 1 of 4.* 12"
    ):
        layer(wrong)
    if jit:
        rows = function(wrong).numpy()
        assert np.isnan(rows[1, 0]).all()
        assert np.isfinite(rows[0]).all()
        assert np.isfinite(rows[1, 1]).all()
        return
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"'users' must be .* \[0, 10\).*hash them.*id 12, the first of 4",
    ):
        function(wrong)


def test_an_id_without_a_row_names_its_table():
    layer = keras_pss.EmbeddingCollection([1000, 10], 4, budget="10x")
    layer.build()
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"id 10 \(table 1, input_dim=10\)"
    ):
        tf.function(layer)(tf.constant([[10, 9], [1, 10]]))


def lookup(**changes):
    call = {
        "memory": np.ones(20, "float32"),
        "ids": np.arange(6),
        "keys": np.ones((2, 2, 3), "int32"),
        "scales": (),
        "splits": None,
        "weights": None,
        "output_dim": 4,
        "block_size": 2,
    }
    call.update(changes)
    return tensorflow_kernels.robe_lookup(**call)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_dim": 21}, "output_dim must be in"),
        ({"block_size": 21}, "block_size must be in"),
        ({"block_size": 6}, "multiple of output_dim"),
        ({"memory": np.ones(0, "float32")}, "memory must have 1"),
        ({"keys": np.ones((0, 2, 3), "int32")}, "at least one table"),
        ({"keys": np.ones((2, 2, 2), "int32")}, "three numbers"),
        ({"keys": np.ones((2, 1, 3), "int32")}, "signs must be"),
        ({"keys": np.ones((2, 9, 3), "int32")}, "signs must be"),
        ({"keys": np.ones((2, 3), "int32")}, "Input 2 must have 3 axes"),
        ({"scales": (1.0,)}, "a scale for each table"),
        ({"weights": np.ones(5, "float32")}, "a weight for each id"),
        ({"ids": np.ones((2, 3), "int64")}, "rank 1|1 axes"),
        ({"splits": np.ones((1, 2), "int32")}, "rank 1|1 axes"),
    ],
)
def test_nonsense_is_an_error(changes, message):
    with pytest.raises(
        (tf.errors.InvalidArgumentError, ValueError), match=message
    ):
        lookup(**changes)


def test_what_is_not_nonsense_is_not():
    assert lookup().shape == (6, 4)
    assert lookup(splits=np.array([0, 2, 6])).shape == (2, 4)


@settings(max_examples=60, deadline=None)
@given(
    ids=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20),
    splits=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6),
    weights=st.lists(st.floats(width=32), max_size=20),
)
def test_any_ids_splits_and_weights(ids, splits, weights):
    """Numbers or an error, and never a crash."""
    try:
        rows = lookup(
            ids=np.array(ids, "int64"),
            splits=np.array(splits, "int32"),
            weights=np.array(weights, "float32"),
        )
    except tf.errors.InvalidArgumentError:
        assert len(weights) != len(ids)
    else:
        assert rows.shape[0] == (len(splits) - 1 if splits else len(ids))
