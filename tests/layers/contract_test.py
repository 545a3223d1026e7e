"""The contract that every exported embedding layer keeps (no skip list)."""

import copy
import inspect
import json
import subprocess
import sys

import gradients
import keras
import methods
import numpy as np
import pytest
from keras import ops
from methods import (
    CLASSES,
    DIM,
    METHODS,
    WIDTH,
    every_class,
    every_method,
    every_row,
)

import keras_pss
from keras_pss.layers.base.compressed_embedding import CompressedEmbedding
from keras_pss.layers.base.tensor_cores import CoreEmbedding

# Largest errors of packed rows, relative to the largest number: half a step of
# 254 or of 14 in each weight, and a row is a sum of products of weights.
MODES = {"int8": 0.03, "int4": 0.3}
every_mode = pytest.mark.parametrize("mode", MODES)
mixed = pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")

# Ids of a batch: duplicates, both ends, every row of a small table.
IDS = np.concatenate(
    [[0, DIM - 1, 3, 3, 3], np.random.RandomState(0).randint(0, DIM, 40)]
).astype("int32")


def rows_of(layer, ids):
    return ops.convert_to_numpy(layer(ids))


def assert_rows(layer, found, expected):
    """Equal bits, but where a matrix product's sums depend on the batch."""
    parts = [layer, *layer.parts()]
    if any(
        isinstance(part, CoreEmbedding) or table.whole
        for part in parts
        for table in part.float_tables().values()
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-8)
    else:
        np.testing.assert_array_equal(found, expected)


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


@every_row
@pytest.mark.parametrize(
    "initializer",
    [
        keras.initializers.RandomUniform(-0.01, 0.01, seed=7),
        keras.initializers.RandomNormal(stddev=0.3, seed=7),
        keras.initializers.VarianceScaling(0.5, mode="fan_in", seed=7),
    ],
    ids=["uniform", "normal", "fan_in"],
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


def large_arguments(method, width):
    """The method's arguments for a table with thousands of parameters."""
    large = dict(method.arguments_large)
    block = method.arguments.get("block_size")
    if block is not None and block >= WIDTH:
        large["block_size"] = block // WIDTH * width
    return large


@every_class
def test_saved_whole_gives_equal_bits(method, tmp_path):
    model = keras.Sequential(
        [keras.Input((None,), dtype="int32"), method.make()]
    )
    before = model.predict(IDS[None], verbose=0)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(after.predict(IDS[None], verbose=0), before)
    model.save_weights(tmp_path / "model.weights.h5")
    for weight in after.weights:
        weight.assign(ops.zeros(weight.shape))
    after.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(after.predict(IDS[None], verbose=0), before)


def test_a_fresh_process_loads_equal_bits(tmp_path):
    """Every class and its packed twins, after `import keras_pss` alone."""
    for name in ("float", *MODES):
        layers = {method.id: method.make() for method in CLASSES}
        inputs = keras.Input((None,), dtype="int32")
        model = keras.Model(inputs, {k: f(inputs) for k, f in layers.items()})
        if name != "float":
            for layer in layers.values():
                layer.quantize(name)
        model.save(tmp_path / f"{name}.keras")
        expected = model.predict(IDS[None], verbose=0)
        np.savez(tmp_path / f"{name}.npz", **expected)
    np.save(tmp_path / "ids.npy", IDS[None])
    script = """
import sys, numpy as np, keras, keras_pss
folder = sys.argv[1]
ids, count = np.load(folder + "/ids.npy"), 0
for name in "float", "int8", "int4":
    model = keras.saving.load_model(f"{folder}/{name}.keras")
    found = model.predict(ids, verbose=0)
    for method, rows in np.load(f"{folder}/{name}.npz").items():
        assert found[method].tobytes() == rows.tobytes(), (method, name)
        count += 1
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


@every_class
def test_a_deep_copy_gives_equal_bits_from_weights_of_its_own(method):
    layer = method.make()
    before = rows_of(layer, IDS)
    twin = copy.deepcopy(layer)
    np.testing.assert_array_equal(rows_of(twin, IDS), before)
    for weight in twin.weights:
        weight.assign(ops.zeros_like(weight))
    np.testing.assert_array_equal(rows_of(layer, IDS), before)


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


@every_class
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64"])
def test_integer_dtypes_give_the_same_rows(method, dtype):
    layer = method.make()
    rows = rows_of(layer, ops.convert_to_tensor(IDS.astype(dtype)))
    assert_rows(layer, rows, layer.materialize()[IDS])


@every_row
def test_gradient_is_the_dense_tables_pulled_back(method):
    """d loss / dw_k = <d loss / d table, d table / dw_k>.

    Where every row is linear in each single weight, the central difference of
    the NumPy formula is exact whatever its step.
    """
    step = 1 if method.linear else 1e-4
    layer = method.make()
    layer.build()
    upstream = np.random.RandomState(1).normal(size=(len(IDS), WIDTH))
    upstream = upstream.astype("float32")
    dense = np.zeros((DIM, WIDTH))
    np.add.at(dense, IDS, upstream.astype("float64"))
    found = gradients.weight_gradients(layer, IDS, upstream)
    tables = methods.weights(layer)
    trained = [
        (name, tables[name])
        for owner in [layer, *layer.parts()]
        for name in owner.float_tables()
    ]
    random = np.random.RandomState(2)
    for gradient, (name, table) in zip(found, trained, strict=True):
        for k in random.choice(table.size, min(table.size, 12), replace=False):
            up, down = table.copy(), table.copy()
            up.flat[k] += step
            down.flat[k] -= step
            slope = (
                method.formula(layer, tables | {name: up})
                - method.formula(layer, tables | {name: down})
            ) / (2 * step)
            assert gradient.flat[k] == pytest.approx(
                (slope * dense).sum(), rel=2e-5, abs=1e-6
            )


@every_class
def test_adam_sees_the_sum_over_colliding_ids(method):
    layer = method.make()
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    target = np.random.RandomState(1).normal(size=(len(IDS), WIDTH))
    target = target.astype("float32")
    # Of half the squared error, summed over columns, averaged over ids.
    upstream = (rows_of(layer, IDS) - target) / len(IDS)
    found = gradients.weight_gradients(layer, IDS, upstream)
    before = [ops.convert_to_numpy(w).copy() for w in layer.trainable_weights]
    model.compile(
        keras.optimizers.Adam(0.1, epsilon=1e-3),
        lambda y, rows: ops.sum((rows - y) ** 2, axis=-1) / 2,
    )
    model.train_on_batch(IDS, target)
    for weight, start, gradient in zip(
        layer.trainable_weights, before, found, strict=True
    ):
        # The first step of Adam, where Keras adds epsilon to sqrt(v) before
        # the bias correction.
        epsilon = 1e-3 / np.sqrt(1 - 0.999)
        expected = start - 0.1 * gradient / (np.abs(gradient) + epsilon)
        grid = method.grid * np.abs(expected).max()
        np.testing.assert_allclose(
            ops.convert_to_numpy(weight), expected, rtol=1e-4, atol=1e-5 + grid
        )


def test_fit_trains_every_weight_table():
    """Of every class, each an output of one model."""
    layers = {method.id: method.make() for method in CLASSES}
    inputs = keras.Input((3,), dtype="int32")
    model = keras.Model(inputs, {k: f(inputs) for k, f in layers.items()})
    before = {
        (name, weight.name): ops.convert_to_numpy(weight).copy()
        for name, layer in layers.items()
        for weight in layer.trainable_weights
    }
    model.compile(keras.optimizers.Adam(0.01), dict.fromkeys(layers, "mse"))
    target = np.random.RandomState(3).normal(size=(15, 3, WIDTH))
    targets = dict.fromkeys(layers, target)
    history = model.fit(IDS.reshape(15, 3), targets, epochs=20, verbose=0)
    for name, layer in layers.items():
        losses = history.history[f"{name}_loss"]
        assert losses[-1] < losses[0], name
        assert layer.trainable_weights
        for weight in layer.trainable_weights:
            moved = ops.convert_to_numpy(weight) - before[name, weight.name]
            assert np.abs(moved).max() > 0, (name, weight.name)


@every_class
@pytest.mark.parametrize("wrong", [-1, DIM, 2**31 - 1])
def test_an_id_without_a_row_is_an_error(method, wrong):
    layer = method.make()
    message = rf"integers in \[0, input_dim\) = \[0, {DIM}\).*{wrong}"
    with pytest.raises(ValueError, match=message):
        layer(np.array([[1, wrong]], "int32"))


@every_class
def test_predict_never_gives_another_ids_row(method):
    model = keras.Sequential([keras.Input((4,), dtype="int32"), method.make()])
    wrong = np.array([[0, DIM, -1, 1]], "int32")
    if keras.backend.backend() == "jax":  # compiled, so it cannot raise
        rows = model.predict(wrong, verbose=0)[0]
        missing = np.isnan(rows).all(axis=1)
        np.testing.assert_array_equal(missing, [False, True, True, False])
        assert np.isfinite(rows[[0, 3]]).all()
        return
    # ValueError where ids are known, InvalidArgumentError in a graph.
    with pytest.raises(Exception, match=r"integers in \[0, input_dim\)"):
        model.predict(wrong, verbose=0)


@every_class
def test_float_ids_are_exact_or_refused(method):
    layer = method.make()
    rows = rows_of(layer, ops.convert_to_tensor(IDS.astype("float32")))
    assert_rows(layer, rows, layer.materialize()[IDS])
    with pytest.raises(ValueError, match="Ids of layer"):
        layer(np.array([1.5], "float32"))
    with pytest.raises(ValueError, match="Ids of layer"):
        layer(np.array([np.nan], "float32"))
    large = method.make(
        input_dim=2**24 + 2, output_dim=16, **large_arguments(method, 16)
    )
    for dtype in "float32", "float16", "bfloat16":
        with pytest.raises(ValueError, match=r"rounded.*dtype=\"int32\""):
            large.compute_output_spec(keras.KerasTensor((3,), dtype))
    assert not large.built
    with pytest.raises(ValueError, match="looks up integer ids"):
        layer(keras.Input((3,), dtype="bool"))


@every_row
def test_reports_tell_the_truth(method):
    layer = method.make()
    layer.build()
    report = layer.memory_report("adam")
    size = sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
    kept = [
        table
        for owner in [layer, *layer.parts()]
        for table in owner.tables().values()
        if table.dtype is not None
    ]
    index = sum(t.size * np.dtype(t.dtype).itemsize for t in kept)
    assert report.parameters == size
    assert layer.count_params() == size + sum(table.size for table in kept)
    assert method.parameters in (0, size)
    assert report.index_bytes == index
    assert report.full_parameters == DIM * WIDTH
    assert report.compression == DIM * WIDTH / size
    assert report.optimizer_bytes == 2 * 4 * size
    assert report.training_bytes == 4 * 4 * size + index
    assert report.serving_bytes == 4 * size + index
    gathered = [
        table
        for owner in [layer, *layer.parts()]
        for table in owner.float_tables().values()
        if not table.whole
    ]
    assert (report.lookup_bytes > 0) == bool(gathered)
    assert report.lookup_flops >= 0
    model = keras.Sequential([keras.Input((2,), dtype="int32"), layer])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    slots = sum(
        int(np.prod(v.shape)) for v in model.optimizer.variables if len(v.shape)
    )
    assert 4 * slots == report.optimizer_bytes
    layer.memory_report("sgd")
    with pytest.raises(ValueError, match="`optimizer` must be one of"):
        layer.memory_report("sdg")


@every_class
@every_mode
@mixed
def test_a_packed_layer_is_close_and_survives_saving(method, mode, tmp_path):
    layer = method.make()
    model = keras.Sequential([keras.Input((None,), dtype="int32"), layer])
    exact = layer.materialize()
    report = layer.memory_report()
    promised = getattr(report, f"serving_bytes_{mode}")
    assert report.serving_bytes_int4 <= report.serving_bytes_int8
    model.quantize(mode)
    packed = layer.materialize()
    error = packed - exact
    assert np.abs(error).max() < MODES[mode] * np.abs(exact).max()
    assert np.square(error).mean() < 0.2**2 * np.square(exact).mean()
    # What trained on its grid is packed without loss.
    lossless = method.grid > 0 and mode == "int8"
    assert (np.abs(error).max() > 0) == (not lossless)
    assert_rows(layer, rows_of(layer, IDS), packed[IDS])
    owners = [layer, *layer.parts()]
    held = sum(
        int(np.prod(w.shape)) * np.dtype(w.dtype).itemsize
        for owner in owners
        for w in owner._non_trainable_variables
    )
    assert held == promised == layer.memory_report().serving_bytes
    assert not model.trainable_weights
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    before = model.predict(IDS[None], verbose=0)
    np.testing.assert_array_equal(after.predict(IDS[None], verbose=0), before)
    model.save_weights(tmp_path / "model.weights.h5")
    for weight in after.weights:
        weight.assign(ops.zeros(weight.shape, weight.dtype))
    after.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(after.predict(IDS[None], verbose=0), before)


@every_class
def test_quantize_refuses_what_it_cannot_do(method):
    layer = method.make()
    layer.build()
    exact = layer.materialize()
    own = keras.quantizers.Int4QuantizationConfig(
        keras.quantizers.AbsMaxQuantizer(
            axis=-1, value_range=(-8, 7), output_dtype="int8"
        ),
        block_size=None,
    )
    refused = [
        (
            NotImplementedError,
            r"'int8' and 'int4'.*`filters`.*Received: mode='float8'",
            lambda: layer.quantize("float8"),
        ),
        (
            NotImplementedError,
            "Remove `weight_quantizer`.*Received.*AbsMaxQuantizer",
            lambda: layer.quantize(config=own),
        ),
        (
            NotImplementedError,
            "'int8' and 'int4'.*mode='float8'",
            lambda: setattr(layer, "dtype_policy", "float8_from_float32"),
        ),
    ]
    for error, message, call in refused:
        with pytest.raises(error, match=message):
            call()
        # As it was: its floats, its policy, and what trains.
        assert layer.dtype_policy.name == "float32"
        assert layer.trainable_weights
        np.testing.assert_array_equal(layer.materialize(), exact)
    layer.quantize("int8")
    with pytest.raises(ValueError, match="already quantized"):
        layer.quantize("int8")
    packed = layer.materialize()
    for policy in ("float32", "int4_from_float32"):
        with pytest.raises(ValueError, match=r"packed.*after 'int8_from"):
            layer.dtype_policy = policy
        np.testing.assert_array_equal(layer.materialize(), packed)
    layer.dtype_policy = "int8_from_mixed_bfloat16"
    assert layer(IDS).dtype == ops.convert_to_tensor(0, "bfloat16").dtype


@every_class
@pytest.mark.parametrize(
    ("policy", "config"),
    [
        ("int8_from_float32", keras.quantizers.Int8QuantizationConfig()),
        ("int4_from_float32", keras.quantizers.Int4QuantizationConfig()),
        (
            "int4/16_from_float32",
            keras.quantizers.Int4QuantizationConfig(block_size=16),
        ),
        (
            "int4/-1_from_float32",
            keras.quantizers.Int4QuantizationConfig(block_size=None),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_dtype_policy_packs_as_quantize_does(method, policy, config):
    """Keras' own Embedding does so, and it is a test of Keras' own."""
    layer, twin = method.make(), method.make()
    layer.build()
    twin.build()
    for weight, other in zip(layer.weights, twin.weights, strict=True):
        weight.assign(other)
    if method.cls is keras_pss.QuantizedEmbedding and "16" in policy:
        with pytest.raises(NotImplementedError, match=r"one scale.*size=16"):
            layer.dtype_policy = policy
        assert layer.dtype_policy.name == "float32"
        return
    layer.dtype_policy = policy
    twin.quantize(config=config)
    assert layer.quantization_mode == twin.quantization_mode == policy[:4]
    assert layer.dtype_policy == twin.dtype_policy
    for weight, other in zip(layer.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(weight), ops.convert_to_numpy(other)
        )
    copy = method.cls.from_config(layer.get_config())
    copy.build()
    assert [w.shape for w in copy.weights] == [w.shape for w in layer.weights]
    assert copy.dtype_policy == layer.dtype_policy


@every_class
def test_mask_zero(method):
    layer = method.make(mask_zero=True)
    mask = layer.compute_mask(ops.convert_to_tensor([[0, 1, 2, 0]]))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(mask), [[False, True, True, False]]
    )
    assert layer.supports_masking
    assert method.make().compute_mask(np.array([0])) is None


@every_method
@pytest.mark.parametrize("budget", ["2x", "5x", 500, "1.5KB"])
def test_from_budget_is_never_above_it(method, budget):
    arguments = {
        k: v
        for k, v in method.arguments.items()
        if k
        in (
            "operation",
            "mapping",
            "hash",
            "sign",
            "num_cores",
            "num_partitions",
            "num_hashes",
            "weighted",
            "bias",
            "num_columns",
        )
    }
    allowed = {"2x": 1440, "5x": 576, 500: 500, "1.5KB": 375}[budget]
    smallest = method.cls.smallest_size(120, 24, **arguments)
    if allowed < smallest:
        with pytest.raises(ValueError, match=f"at least {smallest} param"):
            method.cls.from_budget(120, 24, budget, **arguments)
        return
    layer = method.cls.from_budget(120, 24, budget, **arguments)
    assert smallest <= layer.budget_size() <= allowed
    with pytest.raises(ValueError, match="`budget` must be a ratio"):
        method.cls.from_budget(120, 24, "huge")


@pytest.mark.parametrize(
    ("argument", "value"),
    [("input_dim", 0), ("input_dim", 2**31), ("output_dim", 2.0)],
)
@every_class
def test_sizes_must_be_positive_integers(method, argument, value):
    with pytest.raises(ValueError, match=rf"`{argument}` must be a positive"):
        method.make(**{argument: value})
