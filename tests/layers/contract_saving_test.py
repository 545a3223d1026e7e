"""The contract of saved, copied and packed layers."""

import copy
import subprocess
import sys

import keras
import numpy as np
import pytest
from contract import IDS, assert_rows, rows_of
from keras import ops
from methods import CLASSES, every_class

import keras_pss

# Largest errors of packed rows, relative to the largest number: half a step of
# 254 or of 14 in each weight, and a row is a sum of products of weights.
MODES = {"int8": 0.03, "int4": 0.3}
every_mode = pytest.mark.parametrize("mode", MODES)
mixed = pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")


@every_class
def test_saved_whole_gives_equal_bits(method, tmp_path):
    layer = method.make()
    model = keras.Sequential([keras.Input((None,), dtype="int32"), layer])
    # No graphs: a fresh process predicts with each class.
    before = rows_of(layer, IDS)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    (twin,) = after.layers
    np.testing.assert_array_equal(rows_of(twin, IDS), before)
    model.save_weights(tmp_path / "model.weights.h5")
    for weight in after.weights:
        weight.assign(ops.zeros(weight.shape))
    after.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(rows_of(twin, IDS), before)


@pytest.mark.slow
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
        weight.assign(ops.zeros(weight.shape, weight.dtype))
    np.testing.assert_array_equal(rows_of(layer, IDS), before)


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
    held -= sum(
        table.bytes
        for owner in owners
        for table in owner.tables().values()
        if table.training
    )
    assert held == promised == layer.memory_report().serving_bytes
    assert not model.trainable_weights
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    (twin,) = after.layers
    before = rows_of(layer, IDS)
    np.testing.assert_array_equal(rows_of(twin, IDS), before)
    model.save_weights(tmp_path / "model.weights.h5")
    for weight in after.weights:
        weight.assign(ops.zeros(weight.shape, weight.dtype))
    after.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(rows_of(twin, IDS), before)


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
        pytest.param(
            "int4/-1_from_float32",
            keras.quantizers.Int4QuantizationConfig(block_size=None),
            # Blocks are chosen in NumPy, on each backend alike.
            marks=[pytest.mark.slow, pytest.mark.tf_only],
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
