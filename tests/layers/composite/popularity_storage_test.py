"""Rows by popularity that are trained on the grid on which they are served."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

import keras_pss
from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.fused.popular.popular_ids import popular_ids
from keras_pss.layers.fused.popular.popular_sizes import rows_within
from keras_pss.ops.methods.one_scale import OneScale

ROWS, WIDTH = 31, 6


def make(**changes):
    arguments = {"num_rows": ROWS, "inner_dim": 2, "storage": "int4"}
    return keras_pss.PopularityEmbedding(
        40,
        WIDTH,
        keras.initializers.RandomUniform(-0.4, 0.4, seed=3),
        **{**arguments, **changes},
    )


def grid(table, storage):
    """The rounded table in float64, and the codes."""
    largest = {"int8": 127, "int4": 7}[storage]
    peak = np.abs(table).max()
    if storage == "int4":
        peak = min(peak, 3 * np.sqrt(np.mean(table.astype(np.float64) ** 2)))
    codes = np.clip(np.round(table / (peak / largest)), -largest, largest)
    return codes * peak / largest, codes


@pytest.mark.parametrize("inner_dim", [1, 2, 3, 4, WIDTH, (4, 1)])
@pytest.mark.parametrize("storage", ["int8", "int4"])
def test_packing_changes_no_bit_and_takes_the_promised_bytes(
    storage, inner_dim
):
    num_rows = ROWS if isinstance(inner_dim, int) else (10, ROWS - 10)
    layer = make(storage=storage, inner_dim=inner_dim, num_rows=num_rows)
    before = layer.materialize()
    report = layer.memory_report()
    size = layer.budget_size()
    layer.quantize("int8")
    np.testing.assert_array_equal(layer.materialize(), before)
    held = sum(
        int(np.prod(w.shape)) * (1 if "int8" in str(w.dtype) else 4)
        for w in layer.weights
    )
    assert held == report.serving_bytes_int8
    assert layer.memory_report().serving_bytes == held
    assert size == layer.budget_size() == -(-held // 4)
    bands = zip(layer.num_rows, layer.inner_dim, strict=True)
    number = {"int8": 2, "int4": 1}[storage]
    assert held == sum(
        -(-n * k * number // 2) + 4 + 4 * k * WIDTH * (k < WIDTH)
        for n, k in bands
    )


@pytest.mark.parametrize("storage", ["int8", "int4"])
def test_rows_are_on_the_grid_of_their_definition(storage):
    layer = make(storage=storage, inner_dim=WIDTH)
    rounded = layer.materialize(np.arange(ROWS))
    table = ops.convert_to_numpy(layer.rows_table)
    expected, _ = grid(table, storage)
    # The scale has 8 significant bits.
    step = np.abs(expected).max() / {"int8": 127, "int4": 7}[storage]
    np.testing.assert_allclose(rounded, expected, rtol=2**-8, atol=1.01 * step)
    assert len(np.unique(rounded)) <= {"int8": 255, "int4": 15}[storage]
    assert np.abs(rounded - table).max() > 0.1 * step


def test_a_large_number_is_clipped_to_keep_the_grid_fine():
    table = np.full((400, 1), 0.1, np.float32)
    table[7] = 100.0
    found = OneScale("int4").pack(table)
    rms = np.sqrt(np.mean(table**2))
    np.testing.assert_allclose(found["scale"], 3 * rms / 7, rtol=2**-8)
    assert OneScale("int8").pack(table)["scale"] > 0.78


def test_an_all_zero_table_stays_zero():
    layer = make()
    layer.build()
    layer.rows_table.assign(np.zeros((ROWS, 2)))
    assert not layer.materialize().any()
    layer.quantize("int8")
    assert not layer.materialize().any()


@pytest.mark.parametrize("rows", [1, 4, 7])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("storage", ["int8", "int4"])
def test_packed_rows_and_elements_are_the_rounded_ones(rows, width, storage):
    table = np.random.RandomState(3).randn(rows, width).astype("float32")
    how = OneScale(storage)
    expected = ops.convert_to_numpy(
        how.rounded(ops.convert_to_tensor(table), how.scale(table))
    )
    held = {k: ops.convert_to_tensor(v) for k, v in how.pack(table).items()}
    found = how.rows(held, width, np.arange(rows, dtype="int32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(found), expected)
    places = np.arange(rows * width, dtype="int32")
    found = how.elements(held, width, places)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(found), expected.reshape(-1)
    )
    form = how.form(rows, width, "float32")
    assert {k: v.shape for k, v in held.items()} == {
        k: shape for k, (shape, _) in form.items()
    }
    size = sum(np.asarray(v).nbytes for v in held.values())
    assert size == how.bytes(rows, width)


def test_the_gradient_passes_the_rounding_unchanged():
    ids = np.array([[3, 3, 30, 39]])
    target = np.random.RandomState(0).randn(1, 4, WIDTH).astype("float32")

    def step(layer):
        """Changes of the weights after a step of gradient descent."""
        model = keras.Sequential([keras.Input((4,), dtype="int32"), layer])
        model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
        before = layer.get_weights()
        model.train_on_batch(ids, target)
        pairs = zip(layer.get_weights(), before, strict=True)
        return [after - start for after, start in pairs]

    layer, reference, how = make(), make(storage="float32"), OneScale("int4")
    for each in (layer, reference):
        each.build()
    table, matrix = layer.get_weights()
    rounded = how.rounded(ops.convert_to_tensor(table), how.scale(table))
    reference.set_weights([ops.convert_to_numpy(rounded), matrix])
    for found, expected in zip(step(layer), step(reference), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert np.abs(expected).max() > 1e-3


def test_int8_rows_may_be_packed_to_four_bits():
    layer = make(storage="int8", inner_dim=WIDTH)
    before = layer.materialize(np.arange(ROWS))
    table = ops.convert_to_numpy(layer.rows_table)
    layer.quantize("int4")
    expected, codes = grid(table, "int4")
    found = layer.materialize(np.arange(ROWS))
    step = np.abs(expected).max() / 7
    assert np.abs(found - before).max() <= 1.1 * step
    assert len(np.unique(found)) <= len(np.unique(codes))
    config = keras.quantizers.Int4QuantizationConfig(block_size=8)
    other = make()
    other.build()
    with pytest.raises(NotImplementedError, match="one scale for each band"):
        other.quantize("int4", config=config)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_rounds_float32_masters(policy):
    mixed, exact = make(dtype=policy), make()
    ids = np.arange(40)
    found = ops.convert_to_numpy(ops.cast(mixed(ids), "float32"))
    np.testing.assert_allclose(
        found, ops.convert_to_numpy(exact(ids)), rtol=0.01, atol=1e-3
    )
    np.testing.assert_array_equal(mixed.materialize(), exact.materialize())


def test_bags_pool_rounded_rows_and_a_file_keeps_packed_ones(tmp_path):
    layer = make()
    bag = keras_pss.EmbeddingBag(layer)
    ids = np.array([[1, 5, 39], [2, 2, 7]])
    expected = layer.materialize()[ids].sum(axis=1)
    np.testing.assert_allclose(
        ops.convert_to_numpy(bag(ids)), expected, rtol=1e-5, atol=1e-6
    )
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layer])
    layer.quantize("int8")
    before = ops.convert_to_numpy(model(ids))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(ids)), before)
    assert "int8" in str(loaded.layers[-1].rows_table.dtype)


@settings(deadline=None)
@given(
    counts=st.lists(
        st.lists(st.integers(0, 30), min_size=1, max_size=20),
        min_size=1,
        max_size=4,
    ),
    width=st.integers(1, 6),
    held=st.integers(1, 400),
    inner_dim=st.sampled_from([None, None, 1, 2, (3, 1), (4, 2, 1)]),
    storage=st.sampled_from([None, "float32", "int8", "int4"]),
    tail=st.sampled_from(["oov", "hash", "robe"]),
    known=st.booleans(),
    shared=st.sampled_from([0, 0, 7, 90]),
    spare=st.one_of(st.none(), st.integers(0, 9)),
)
def test_no_layer_exceeds_its_bytes(
    counts, width, held, inner_dim, storage, tail, known, shared, spare
):
    """`spare` parameters beyond the smallest layer are the tightest case."""
    counts = [[c[0], *sorted(c[1:], reverse=True)] for c in counts]
    dims = [len(c) for c in counts]
    if inner_dim is not None and np.max(inner_dim) > width:
        inner_dim = 1
    if spare is not None:
        sizes = {"storage": storage or "float32", "tail": tail}
        held = spare + keras_pss.PopularityEmbedding.smallest_together(
            dims, width, inner_dim=inner_dim, **sizes
        )
    budget = f"{4 * held}B"
    if known:
        try:
            options = popular_ids(
                counts, width, budget, 10, inner_dim, storage, tail
            )
        except InfeasibleBudget:
            return
    else:
        options = {"storage": storage or "float32", "tail": tail}
        if inner_dim is not None:
            options["inner_dim"] = inner_dim
        if shared and tail != "oov":
            name = "buckets" if tail == "hash" else "memory_size"
            options[name] = shared
        cls = keras_pss.PopularityEmbedding
        if cls.smallest_together(dims, width, **options) > held:
            return
        options |= rows_within(held, dims, width, **options)
    layer = keras_pss.EmbeddingCollection(
        dims, width, "popularity", None, options=options
    )
    assert layer.budget_size() <= Budget.parse(budget).absolute
    report = layer.memory_report()
    served = (
        report.serving_bytes
        if options["storage"] == "float32"
        else report.serving_bytes_int8
    )
    assert served <= 4 * held


def test_bytes_buy_four_bits_and_twice_the_width():
    counts = [[0, *[20] * 99]]
    d = 8
    assert popular_ids(counts, d, 400)["storage"] == "float32"
    assert popular_ids(counts, d, "2x")["storage"] == "float32"
    # 100 rows of 2 numbers: a scale, a matrix of 64 bytes and 100 bytes.
    found = popular_ids(counts, d, f"{4 + 64 + 100}B")
    assert (found["storage"], found["inner_dim"]) == ("int4", 2)
    assert found["num_rows"] == (100,)
    # Full rows in 4 bits, in 8 bits and in floats, without a matrix.
    for held, storage in [
        (404, "int4"),
        (804, "int8"),
        (3199, "int8"),
        (3200, "float32"),
    ]:
        found = popular_ids(counts, d, f"{held}B")
        assert (found["storage"], found["inner_dim"]) == (storage, d)
    # Below width 1 the most frequent ids are left.
    found = popular_ids(counts, d, f"{4 + 32 + 20}B")
    assert (found["num_rows"], found["inner_dim"]) == ((40,), 1)


@pytest.mark.parametrize("budget", ["300B", 75, "10x"])
def test_a_budget_in_bytes_buys_four_bits_without_counts(budget):
    expected = "int4" if budget == "300B" else "float32"
    layer = keras_pss.embedding(90, 8, "popularity", budget)
    assert layer.storage == expected
    assert layer.budget_size() <= 75
    for tables in ([90, 20], {"a": 90, "b": 20}):
        collection = keras_pss.EmbeddingCollection(
            tables, 8, "popularity", budget, min_rows=0
        )
        (part,) = collection.parts()
        assert part.storage == expected
        assert collection.budget_size() <= 88
        config = collection.get_config()
        copy = keras_pss.EmbeddingCollection.from_config(config)
        assert copy.parts()[0].storage == expected
    kept = keras_pss.embedding(
        90, 8, "popularity", "300B", storage="float32", inner_dim=2
    )
    assert kept.budget_size() <= 75
    assert kept.storage == "float32"


def test_a_given_memory_counts_in_the_smallest_size():
    with pytest.raises(InfeasibleBudget, match="at least 517 parameters"):
        keras_pss.embedding(
            900, 16, "popularity", 400, tail="robe", memory_size=500
        )


TENSORFLOW = keras.backend.backend() == "tensorflow"


@pytest.mark.skipif(not TENSORFLOW, reason="TensorFlow's gradients")
@pytest.mark.parametrize("change", [{"gradient": "sparse"}, {"jit": True}])
def test_steps_with_sparse_gradients_or_xla_are_the_same(change):
    ids = np.array([[3, 3, 30, 39], [1, 0, 5, 5]])
    target = np.random.RandomState(0).randn(2, 4, WIDTH).astype("float32")

    def trained(jit=False, **changes):
        layer = make(tail="robe", memory_size=24, **changes)
        model = keras.Sequential([keras.Input((4,), dtype="int32"), layer])
        model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=jit)
        for _ in range(3):
            model.train_on_batch(ids, target)
        return layer.get_weights(), model.predict_on_batch(ids)

    weights, rows = trained(gradient="dense")
    others, found = trained(**change)
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(rows, found, rtol=1e-4, atol=1e-6)
