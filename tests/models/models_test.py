"""What holds of every model."""

import inspect
import itertools

import keras
import numpy as np
import pytest
from keras import ops
from small_models import DIMS, MODELS, WIDE, batch, model_of, parts_of

import keras_pss


def mlp_size(*widths):
    return sum((a + 1) * b for a, b in itertools.pairwise(widths))


# 26 fields of d = 16, of which there are 325 pairs, and 13 dense features.
ALL = 26 * 16 + 13
SIZES = {
    "DLRM": mlp_size(13, 512, 256, 64, 16) + mlp_size(16 + 351, 512, 256, 1),
    "DCN": 2 * ALL + mlp_size(ALL, *[1024] * 4) + ALL + 1024 + 1,
    "DCNv2": 3 * (ALL * ALL + ALL) + mlp_size(ALL, 768, 768) + ALL + 768 + 1,
    "DeepFM": 13 + mlp_size(ALL, 400, 400, 400, 1),
    "AutoInt": 4 * (16 + 64 + 64) * 64
    + mlp_size(ALL, 400, 400, 400)
    + (26 * 64 + 400 + 1),
    "XDeepFM": 13
    + (26 + 100 + 100) * 26 * 200
    + mlp_size(ALL, 400, 400, 400)
    + (100 + 100 + 200 + 400 + 1),
    "FiBiNET": 13
    + 2 * 26 * 8
    + 325 * 16**2
    + mlp_size(2 * 325 * 16 + 13, 400, 400, 400, 1),
    "NeuralCF": mlp_size(26 * 16, 256, 128, 64) + 16 + 64 + 1,
}


@pytest.mark.tf_only
@pytest.mark.parametrize("name", MODELS)
def test_parameters_of_the_default_widths(name):
    parts = parts_of(name, [10] * 26, 16)
    model = getattr(keras_pss.models, name)(**parts)
    rows = sum(part.output_dim for part in parts.values()) * 260
    assert model.count_params() == SIZES[name] + rows


def test_defaults_are_table_8s():
    found = {
        name: {
            key: parameter.default
            for key, parameter in inspect.signature(
                getattr(keras_pss.models, name)
            ).parameters.items()
        }
        for name in MODELS
    }
    assert {n: (d["dropout"], d["l2"]) for n, d in found.items()} == {
        "DLRM": (0.0, 0.0),
        "DCN": (0.0, 0.0),
        "DCNv2": (0.0, 0.0),
        "DeepFM": (0.5, 0.0),
        "AutoInt": (0.0, 0.0),
        "XDeepFM": (0.5, 1e-4 / 2048),
        "FiBiNET": (0.5, 1e-4 / 2048),
        "NeuralCF": (0.0, 0.0),
    }


@pytest.mark.tf_only
@pytest.mark.parametrize("name", MODELS)
def test_a_file_holds_all_of_it(name, tmp_path):
    model = model_of(name, dropout=0.5, l2=0.1)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(twin(batch()), model(batch()))
    assert sum(twin.losses) == sum(model.losses)
    assert not np.array_equal(twin(batch(), training=True), twin(batch()))


@pytest.mark.tf_only
@pytest.mark.parametrize("name", MODELS)
def test_half_precision_trains_and_keeps_the_probability_in_float32(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = model_of(name, l2=1e-4)
    finally:
        keras.config.set_dtype_policy("float32")
    # One step is no proof of learning, so its gradient must do: a small step
    # of plain descent lowers the loss of the same rows.
    model.compile(
        keras.optimizers.SGD(0.05), "binary_crossentropy", run_eagerly=True
    )
    x, y = batch(64), np.tile([[0.0], [1.0]], (32, 1))
    before = model.train_on_batch(x, y)
    assert model.evaluate(x, y, batch_size=64, verbose=0) < before
    assert model(x).dtype == "float32"
    assert model.get_layer("probability").compute_dtype == "float32"
    if name in WIDE:
        # Rows of the wide tables are half precise, their sum is not.
        for layer in ("wide_sum", "logit"):
            assert model.get_layer(layer).compute_dtype == "float32"


@pytest.mark.tf_only
@pytest.mark.parametrize("name", MODELS)
def test_dropout_acts_in_training_alone(name):
    model, x = model_of(name, dropout=0.5), batch()
    np.testing.assert_array_equal(model(x), model(x, training=False))
    one, two = model(x, training=True), model(x, training=True)
    assert not np.array_equal(one, two)


@pytest.mark.tf_only
@pytest.mark.parametrize("name", MODELS)
def test_l2_is_of_the_hidden_kernels(name):
    assert not model_of(name).losses
    model = model_of(name, l2=0.1)
    kernels = [
        ops.convert_to_numpy(layer.kernel)
        for layer in model.layers
        if layer.name.startswith(("deep_", "bottom_", "top_"))
    ]
    assert len(kernels) == (3 if name == "DLRM" else 2)
    expected = 0.1 * sum((kernel**2).sum() for kernel in kernels)
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-5)


@pytest.mark.tf_only
@pytest.mark.parametrize("name", [*WIDE, "NeuralCF"])
def test_the_second_tables_are_no_part_of_the_embeddings(name):
    second = "wide" if name in WIDE else "mlp_embeddings"
    model = model_of(name)
    of_first, of_second = (
        model.get_layer(layer).trainable_variables
        for layer in ("embeddings", second)
    )
    assert of_first
    assert of_second
    assert not {id(v) for v in of_first} & {id(v) for v in of_second}


@pytest.mark.tf_only
@pytest.mark.parametrize("name", WIDE)
def test_the_wide_part_adds_its_own_rows_to_the_logit(name):
    model, x = model_of(name), batch()

    def logit():
        p = ops.convert_to_numpy(model(x)).astype("float64")
        return np.log(p / (1 - p))

    before = logit()
    rows = model.get_layer("wide").trainable_variables[0]
    rows.assign(ops.convert_to_numpy(rows) + 0.25)
    np.testing.assert_allclose(logit(), before + 0.25 * len(DIMS), atol=1e-5)


def collection(dims=DIMS, dim=4):
    return keras_pss.EmbeddingCollection(dims, dim, "full")


def same_twice():
    tables = collection()
    return keras_pss.models.NeuralCF(tables, tables)


MISTAKES = {
    r"`embeddings` must be a layer with `input_dims`.*Received: embeddings=<": (
        lambda: keras_pss.models.DCN(keras.layers.Embedding(10, 4))
    ),
    r"`wide` must be a layer with `input_dims`.*Received: wide=5": (
        lambda: keras_pss.models.DeepFM(collection(), 5)
    ),
    r"`wide` must have the `input_dims` of.*pass.*Received: .*=\(5, 6\)": (
        lambda: keras_pss.models.XDeepFM(collection(), collection(DIMS[:2], 1))
    ),
    r"`wide` holds first-order.*pass `output_dim=1`. Received: .*dim=4": (
        lambda: keras_pss.models.FiBiNET(collection(), collection())
    ),
    r"`mlp_embeddings` must have the `input_dims` of.*Received: .*=\(5, 6\)": (
        lambda: keras_pss.models.NeuralCF(collection(), collection(DIMS[:2]))
    ),
    r"`mlp_embeddings` must have separate tables.*pass.*Received: the same": (
        same_twice
    ),
    r"one table without dense.*`num_dense`.*`--model dcn`.*input_dims=\(5,\)": (
        lambda: keras_pss.models.DLRM(collection(DIMS[:1]), num_dense=0)
    ),
    r"`num_dense` must be 0 or a pos.* Received: num_dense=-1": (
        lambda: keras_pss.models.DCN(collection(), num_dense=-1)
    ),
    r"`num_cross` must be a positive integer.* Received: num_cross=0": (
        lambda: keras_pss.models.DCN(collection(), num_cross=0)
    ),
    r"`structure` must be one of 'parallel',.*Received: structure='both'": (
        lambda: keras_pss.models.DCNv2(collection(), structure="both")
    ),
    r"`num_attention` must be a positive.*Received: num_attention=0": (
        lambda: keras_pss.models.AutoInt(collection(), num_attention=0)
    ),
    r"`bilinear` must be one of 'interaction', .*Received: bilinear='some'": (
        lambda: keras_pss.models.FiBiNET(
            collection(), collection(dim=1), bilinear="some"
        )
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_errors_name_the_argument_and_the_fix(message):
    with pytest.raises(ValueError, match=message):
        MISTAKES[message]()
