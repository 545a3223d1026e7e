"""Every model with named tables: any features, widths and methods."""

import inspect

import keras
import named_tables
import numpy as np
import pytest
from compiling import WITHOUT_XLA
from keras import ops
from small_models import MODELS, SMALL, WIDE, model_of
from small_models import batch as positional_batch

import keras_pss

SIZE = named_tables.SIZE


def tables(widths=(8, 8, 8), method="robe", **kwargs):
    return named_tables.make(method, "20x", widths, name="embeddings", **kwargs)


def named_model(name, embeddings=None, **arguments):
    small = {"dropout": 0.0, "l2": 0.0} | SMALL.get(name, {})
    if name != "DLRM":
        small["hidden_units"] = (6, 5)
    if embeddings is None:
        embeddings = tables()
    return getattr(keras_pss.models, name)(embeddings, **small | arguments)


def batch():
    dense = np.random.RandomState(3).normal(size=(SIZE, 4)).astype("float32")
    packed = named_tables.batch()
    # Padding has any weight, but Keras' own metrics of inputs dislike NaN.
    packed = {name: np.nan_to_num(x) for name, x in packed.items()}
    return {"dense": dense, **packed}


# The models whose training and saving the quick tests cover.
QUICK = ("DLRM", "DeepFM")


def labels():
    return (np.arange(SIZE) % 2).astype("float32")


def marks(name, widths):
    if name in QUICK:
        return []
    # Tables of one width need no projections, on each backend alike.
    alike = [pytest.mark.tf_only] if widths == (8, 8, 8) else []
    return [pytest.mark.slow, *alike]


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        pytest.param(name, widths, marks=marks(name, widths))
        for name in MODELS
        for widths in ((None, 4, 6), (8, 8, 8))
    ],
)
def test_models_train_and_are_saved(name, widths, tmp_path):
    model = named_model(name, tables(widths))
    assert list(model.input) == ["dense", *tables().inputs()]
    # Once for each model.
    jit = "auto" if widths[0] else WITHOUT_XLA
    model.compile("adam", "binary_crossentropy", jit_compile=jit)
    before = ops.convert_to_numpy(model(batch()))
    assert before.shape == (SIZE, 1)
    assert np.isfinite(before).all()
    model.fit(batch(), labels(), verbose=0)
    after = ops.convert_to_numpy(model(batch()))
    assert not np.array_equal(before, after)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(twin(batch())), after)


@pytest.mark.parametrize("name", MODELS)
def test_a_named_model_is_the_positional_one_on_the_same_rows(name):
    """With one id a feature and a table each, names change nothing."""
    positional = model_of(name)
    rows = dict(zip("abcd", (5, 6, 7, 8), strict=True))

    def named(width, label):
        return keras_pss.EmbeddingCollection(
            rows, width, "full", dense=["x", "y", "z"], name=label
        )

    parts = {}
    if name in WIDE:
        parts["wide"] = named(1, "wide")
    if name == "NeuralCF":
        parts["mlp_embeddings"] = named(4, "mlp_embeddings")
    model = named_model(name, named(4, "embeddings"), **parts)
    assert len(model.weights) == len(positional.weights)
    for own, given in zip(model.weights, positional.weights, strict=True):
        own.assign(given)
    x = positional_batch()
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(x)),
        ops.convert_to_numpy(positional(x)),
        atol=1e-6,
    )


def test_widths_are_projected_once_for_each_table():
    embeddings = tables((None, 4, 6))
    model = named_model("DCN", embeddings)
    kernels = {
        layer.name: layer.kernel.shape
        for layer in model.layers
        if "projection" in layer.name
    }
    # Tables in the order of their first features: item, user, genre.
    assert kernels == {
        "embeddings_projection_0": (4, 8),
        "embeddings_projection_2": (6, 8),
    }
    vectors = {
        name: ops.convert_to_numpy(x)
        for name, x in embeddings(named_tables.batch()).items()
    }
    matrices = {
        table: np.eye(8)
        if table == "user"
        else ops.convert_to_numpy(
            model.get_layer(f"embeddings_projection_{index}").kernel
        )
        for index, table in enumerate(["item", "user", "genre"])
    }
    wanted = np.stack(
        [
            vectors[name] @ matrices[feature.table]
            for name, feature in embeddings.features.items()
        ],
        axis=1,
    )
    inner = keras.Model(
        {k: x for k, x in model.input.items() if k != "dense"},
        model.get_layer("flatten").input
        if "flatten" in [x.name for x in model.layers]
        else next(
            x for x in model.layers if isinstance(x, keras.layers.Flatten)
        ).input,
    )
    found = inner.predict(named_tables.batch(), verbose=0)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_no_dense_features(name):
    model = named_model(name, tables(dense=None))
    assert "dense" not in model.input
    x = {k: v for k, v in batch().items() if k != "dense"}
    assert model.predict(x, verbose=0).shape == (SIZE, 1)
    if name == "DLRM":
        assert not [x for x in model.layers if x.name.startswith("bottom")]


@pytest.mark.parametrize("name", ["DCN", "DLRM", "DeepFM"])
def test_multi_hot_features_alone(name):
    embeddings = keras_pss.EmbeddingCollection(
        {"a": 50, "b": 60},
        4,
        "full",
        features={
            "x": keras_pss.FeatureConfig("a", 3),
            "y": keras_pss.FeatureConfig("b", 2),
        },
    )
    model = named_model(name, embeddings)
    assert list(model.input) == ["x", "y"]
    x = {"x": np.array([[1, -1, 2]]), "y": np.array([[-1, -1]])}
    assert model.predict(x, verbose=0).shape == (1, 1)


@pytest.mark.parametrize("name", [*WIDE, "NeuralCF"])
def test_second_tables_are_made_where_none_are_given(name):
    model = named_model(name)
    label = "wide" if name in WIDE else "mlp_embeddings"
    first, second = model.get_layer("embeddings"), model.get_layer(label)
    assert second.features == first.features
    assert second.output_dim == (1 if name in WIDE else 8)
    assert not {id(w) for w in first.weights} & {id(w) for w in second.weights}
    positional = keras_pss.EmbeddingCollection([50, 60], 4, "hash", "2x")
    model = named_model(name, positional, num_dense=2)
    assert model.get_layer(label).input_dims == (50, 60)


def test_any_layer_of_tables_still_works_with_its_second_one():
    class Tables(keras.layers.Layer):
        input_dims = (5, 6)
        output_dim = 4

        def call(self, ids):
            ids = ops.cast(ids, "float32")
            return ops.expand_dims(ids, -1) * ops.ones((1, 1, 4))

    with pytest.raises(ValueError, match=r"`wide` can be left out only if"):
        keras_pss.models.DeepFM(Tables(), num_dense=0)
    wide = keras_pss.EmbeddingCollection([5, 6], 1, "full")
    model = keras_pss.models.DeepFM(Tables(), wide, num_dense=0)
    assert model({"categorical": np.array([[4, 5]])}).shape == (1, 1)


MISTAKES = {
    r"`num_dense` must be the number.* 4, or None.*num_dense=3": (
        lambda: named_model("DCN", num_dense=3)
    ),
    r"`wide` must have the features and tables": lambda: named_model(
        "DeepFM", wide=tables((1, 1, 1), features=None)
    ),
    r"`wide` must have the features and tables.*wide=<Emb": lambda: named_model(
        "DeepFM",
        wide=keras_pss.EmbeddingCollection([5, 6], 1, "full"),
    ),
    r"`wide` must have separate tables": (
        lambda: keras_pss.models.DeepFM(*[tables()] * 2)
    ),
    r"one table without dense.*input_dims=\('a',\)": lambda: named_model(
        "DLRM", keras_pss.EmbeddingCollection({"a": 5}, 4, "full")
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes(message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        MISTAKES[message]()


@pytest.mark.tf_only
@pytest.mark.parametrize("name", MODELS)
def test_half_precision(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = named_model(name, tables((None, 4, 6)))
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(keras.optimizers.SGD(0.05), "binary_crossentropy")
    before = model.train_on_batch(batch(), labels())
    assert np.isfinite(before)
    assert model(batch()).dtype == "float32"


def test_every_model_takes_its_number_of_dense_features_from_the_tables():
    for name in MODELS:
        arguments = inspect.signature(getattr(keras_pss.models, name))
        assert arguments.parameters["num_dense"].default is None
    assert model_of("DCN").input["dense"].shape == (None, 3)
    plain = keras_pss.EmbeddingCollection([5, 6], 4, "full")
    assert keras_pss.models.DCN(plain).input["dense"].shape == (None, 13)
    assert "dense" not in keras_pss.models.NeuralCF(plain).input
