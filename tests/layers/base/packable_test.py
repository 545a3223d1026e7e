"""Packing of layers whose parts hold the tables, and of policy maps."""

import keras
import numpy as np
import pytest
from keras import ops
from keras.dtype_policies import DTypePolicyMap

import keras_pss
from keras_pss.layers.base.packable import Packable

IDS = np.array([[1, 2, 3], [9, 0, 9]], "int32")


class Pair(Packable, keras.layers.Layer):
    """Two tables and no weights of its own."""

    def __init__(self, second=keras_pss.FullEmbedding, **kwargs):
        super().__init__(**kwargs)
        self.first = keras_pss.FullEmbedding(10, 4)
        self.second = second(10, 4)

    def build(self, input_shape=None):
        self.first.build()
        self.second.build()
        self.built = True

    def call(self, inputs):
        return self.first(inputs) + self.second(inputs)

    def quantize(self, mode=None, type_check=True, config=None):
        for part in (self.first, self.second):
            part.check_quantization(mode, config)
        for part in (self.first, self.second):
            part.quantize(mode, config=config)


@pytest.mark.parametrize("policy", ["int8", "int4", "int4/2"])
def test_a_policy_packs_the_parts_of_a_layer(policy):
    layer = Pair()
    before = ops.convert_to_numpy(layer(IDS))
    layer.dtype_policy = f"{policy}_from_float32"
    after = ops.convert_to_numpy(layer(IDS))
    assert 0 < np.abs(after - before).max() < 0.02
    assert layer.quantization_mode == policy[:4]
    for part in (layer.first, layer.second):
        assert part.quantization_mode == policy[:4]
        assert part.embeddings_table.dtype == "int8"
        if policy == "int4/2":  # two blocks a row
            assert part.embeddings_scale.shape == (10, 2)
    with pytest.raises(ValueError, match="already quantized"):
        layer.quantize("int8")


def test_a_failure_leaves_all_parts_as_they_were():
    layer = Pair(keras_pss.QuantizedEmbedding)  # it takes no block size
    before = ops.convert_to_numpy(layer(IDS))
    for policy in ("int4/2_from_float32", "float8_from_float32"):
        with pytest.raises(NotImplementedError, match="Received: "):
            layer.dtype_policy = policy
        assert layer.dtype_policy.name == "float32"
        assert len(layer.trainable_weights) == 2
        np.testing.assert_array_equal(ops.convert_to_numpy(layer(IDS)), before)
    layer.dtype_policy = "int4_from_float32"
    assert not layer.trainable_weights


def test_a_map_of_policies_keeps_the_packed_one():
    for policy in ("int8_from_float32", "int4/128_from_float32"):
        policies = DTypePolicyMap()
        layer = keras_pss.FullEmbedding(10, 4, dtype=policies, name="table")
        layer.build()
        layer.dtype_policy = policy
        assert policies["table"].name == policy
        assert layer.quantization_mode == policy[:4]
        assert layer(IDS).shape == (2, 3, 4)


def test_half_precision_is_packed_where_keras_allows_it():
    layer = keras_pss.TTEmbedding(10, 4, rank=2, dtype="mixed_float16")
    layer.build()
    exact = layer.materialize()
    with pytest.raises(ValueError, match="doesn't work well"):
        layer.dtype_policy = "int8_from_mixed_float16"
    with pytest.raises(ValueError, match="doesn't work well"):
        layer.quantize("int8")
    np.testing.assert_array_equal(layer.materialize(), exact)
    layer.dtype_policy = "int4_from_mixed_float16"
    assert layer.dtype_policy.name == "int4/128_from_mixed_float16"
    assert layer(IDS).dtype == ops.convert_to_tensor(0, "float16").dtype


def test_an_unknown_mode_is_refused_before_there_are_weights():
    for policy in ("float8_from_float32", "gptq/4/128_from_float32"):
        with pytest.raises(NotImplementedError, match="'int8' and 'int4'"):
            keras_pss.FullEmbedding(10, 4, dtype=policy)
        layer = keras_pss.FullEmbedding(10, 4)
        with pytest.raises(NotImplementedError, match="'int8' and 'int4'"):
            layer.dtype_policy = policy
        assert layer(IDS).shape == (2, 3, 4)


@pytest.mark.parametrize("stock", [True, False], ids=["keras", "keras_pss"])
def test_a_new_layer_is_built_packed_as_in_keras(stock):
    cls = keras.layers.Embedding if stock else keras_pss.FullEmbedding
    for mode in ("int8", "int4"):
        layer = cls(10, 4, dtype=f"{mode}_from_float32")
        layer.build()
        assert not layer.trainable_weights
        width = {"int8": 4, "int4": 2}[mode]
        assert ((10, width), "int8") in [
            (w.shape, w.dtype) for w in layer.weights
        ]
        assert not ops.convert_to_numpy(layer(IDS)).any()


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_a_models_config_reaches_every_table():
    layer = keras_pss.FullEmbedding(10, 6)
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layer])
    config = keras.quantizers.Int4QuantizationConfig(block_size=3)
    model.quantize(config=config)
    assert layer.dtype_policy.name == "int4/3_from_float32"
    assert layer.embeddings_scale.shape == (10, 2)
    own = keras.quantizers.Int8QuantizationConfig(
        keras.quantizers.AbsMaxQuantizer(axis=-1)
    )
    layer = keras_pss.FullEmbedding(10, 6)
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layer])
    with pytest.warns(UserWarning, match="Remove `weight_quantizer`"):
        model.quantize(config=own)
    assert layer.quantization_mode is None
    with pytest.raises(ValueError, match="Contradictory"):
        layer.quantize("int8", config=config)
