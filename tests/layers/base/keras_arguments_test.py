"""What a layer does with the further arguments of `keras.layers.Embedding`."""

import keras
import numpy as np
import pytest
from keras import ops
from methods import DIM, WIDTH, every_class

import keras_pss

FURTHER = ["weights", "lora_rank", "lora_alpha", "quantization_config"]
ROWS = np.random.RandomState(0).normal(size=(DIM, WIDTH)).astype("float32")


@every_class
def test_none_is_taken_for_all_of_them(method):
    given = dict.fromkeys([*FURTHER, "input_length"])
    layer = method.make(**given)
    assert not set(given) & set(layer.get_config())


@every_class
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lora_rank", 4, "low-rank.*Received: lora_rank=4"),
        ("lora_alpha", 2.5, "Received: lora_alpha=2.5"),
        (
            "quantization_config",
            keras.quantizers.Int8QuantizationConfig(),
            r"quantize\(mode, config=.*a Int8QuantizationConfig",
        ),
        ("weights", ROWS, r"FullEmbedding.*an array of shape \(60, 12\)$"),
        ("weights", [ROWS], r"FullEmbedding.*weights=a list of 1$"),
    ],
)
def test_others_are_errors_that_name_the_fix(method, name, value, message):
    if name == "weights" and hasattr(method.cls, "embeddings"):
        layer = method.make(weights=value)
        grid = method.grid / 2 * np.abs(ROWS).max(axis=1, keepdims=True)
        assert (np.abs(layer.materialize() - ROWS) <= grid * 1.01).all()
        return
    with pytest.raises(ValueError, match=message) as caught:
        method.make(**{name: value})
    assert len(str(caught.value)) < 300  # no matrix


def test_input_length_is_taken_with_keras_warning():
    with pytest.warns(UserWarning, match="Just remove it"):
        keras_pss.FullEmbedding(5, 3, input_length=4)


@pytest.mark.parametrize(
    "cls", [keras_pss.FullEmbedding, keras_pss.QuantizedEmbedding]
)
def test_rows_to_start_with(cls):
    for given in (ROWS, [ROWS], ROWS.tolist(), ops.convert_to_tensor(ROWS)):
        layer = cls(DIM, WIDTH, weights=given)
        assert layer.built
        assert layer.embeddings is layer.embeddings_table
        np.testing.assert_allclose(layer.materialize(), ROWS, atol=0.02)
    with pytest.raises(ValueError, match=r"\(60, 12\).*shape \(12, 60\)$"):
        cls(DIM, WIDTH, weights=ROWS.T)
    with pytest.raises(ValueError, match=r"call `quantize`.*int8_from_float32"):
        cls(DIM, WIDTH, weights=ROWS, dtype="int8_from_float32")
    # PyTorch's modules put their own words in place of a property's.
    torch = keras.backend.backend() == "torch"
    with pytest.raises(AttributeError, match=None if torch else r"`build\(\)`"):
        cls(DIM, WIDTH).embeddings  # noqa: B018
    layer.quantize("int8")
    with pytest.raises(AttributeError, match=None if torch else r"materialize"):
        layer.embeddings  # noqa: B018


def test_the_config_of_keras_own_layer_makes_ours():
    stock = keras.layers.Embedding(DIM, WIDTH, mask_zero=True)
    layer = keras_pss.FullEmbedding.from_config(stock.get_config())
    stock.build()
    layer.build()
    layer.set_weights(stock.get_weights())
    ids = np.arange(DIM)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer(ids)), ops.convert_to_numpy(stock(ids))
    )
    assert layer.mask_zero
    assert layer.input_dim == DIM
