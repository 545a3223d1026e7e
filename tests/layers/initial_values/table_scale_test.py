"""What a table starts with: scales by rows, by dtype, of a collection."""

import math

import keras
import numpy as np
import pytest
from keras import initializers, ops
from large_tables import LARGE, RowUniform, make_large, sample
from methods import CLASSES, DIM, WIDTH, every_class

import keras_pss
from keras_pss.layers.initial_values.table_moments import moments


def normal(std, mean=0.0):
    """A function whose deviation depends on the shape."""

    def draw(shape, dtype=None):
        return keras.random.normal(
            shape, mean, std(*shape), dtype=dtype, seed=5
        )

    return draw


@every_class
@pytest.mark.parametrize(
    ("initializer", "wanted"),
    [
        (RowUniform(), 1 / math.sqrt(3 * LARGE)),
        (initializers.Orthogonal(gain=2.0, seed=1), 2 / math.sqrt(LARGE)),
    ],
    ids=["rows", "orthogonal"],
)
def test_an_initializer_sees_the_shape_of_the_table(
    method, initializer, wanted
):
    layer = make_large(method, initializer)
    if method.arguments.get("share"):
        with pytest.raises(ValueError, match="needs `input_dim`"):
            layer.build()
        return
    rows = sample(layer)
    assert rows.std() == pytest.approx(wanted, rel=0.05)
    assert abs(rows.mean()) < 0.05 * wanted


@pytest.mark.parametrize(
    ("std", "wanted", "by_rows"),
    [
        (lambda n, d: 0.3, lambda n, d: 0.3, False),
        (lambda n, d: d**-0.5, lambda n, d: d**-0.5, False),
        (lambda n, d: n**-0.5, lambda n, d: n**-0.5, True),
        (lambda n, d: n ** (-1 / 3), lambda n, d: n ** (-1 / 3), True),
        (lambda n, d: 9 / n, lambda n, d: 9 / n, True),
        (
            lambda n, d: math.sqrt(2 / (n + d)),
            lambda n, d: math.sqrt(2 / (n + d)),
            True,
        ),
    ],
    ids=["constant", "fan_out", "fan_in", "cube_root", "inverse", "fan_avg"],
)
@pytest.mark.parametrize("rows", [40, 10**9])
def test_laws_in_the_number_of_rows_are_followed(std, wanted, by_rows, rows):
    found = moments(normal(std), rows, 32)
    assert found.std == pytest.approx(wanted(rows, 32), rel=0.05)
    assert found.mean == 0
    assert (found.by_rows, found.same_columns) == (by_rows, True)
    shifted = moments(normal(std, mean=4.0), rows, 32)
    assert shifted.mean == pytest.approx(4.0, rel=0.05)


def test_a_table_is_drawn_where_its_law_is_unknown():
    logarithmic = normal(lambda n, d: 1 / math.log(n + 1))
    found = moments(logarithmic, 3_000, 32)
    assert found.std == pytest.approx(1 / math.log(3_001), rel=0.02)
    with pytest.raises(ValueError, match=r"do not follow.*RandomUniform\("):
        moments(logarithmic, 10**7, 32)
    stepped = normal(lambda n, d: 0.1 if n > 100_000 else 0.2)
    with pytest.raises(ValueError, match="do not follow from those"):
        moments(stepped, 10**7, 32)


@pytest.mark.parametrize(
    ("initializer", "message"),
    [
        (initializers.Identity(), "depend on their position"),
        (
            lambda shape, dtype=None: ops.reshape(
                ops.arange(math.prod(shape), dtype=dtype), shape
            ),
            "depend on their position",
        ),
        (
            lambda shape, dtype=None: (
                ops.ones(shape, dtype) * ops.arange(shape[1], dtype=dtype)
            ),
            "columns of different means",
        ),
        (lambda shape, dtype=None: ops.ones((3, 2), dtype), "any number of"),
        (lambda shape, dtype=None: ops.full(shape, np.nan), "finite numbers"),
        (initializers.get(np.ones((DIM, WIDTH), "float32")), "any number of"),
    ],
    ids=["identity", "rows", "columns", "shape", "nan", "array"],
)
def test_what_is_not_drawn_alike_is_refused(initializer, message):
    for layer in (
        keras_pss.TTEmbedding(DIM, WIDTH, initializer, rank=2),
        keras_pss.ROBEEmbedding(DIM, WIDTH, initializer, memory_size=64),
        keras_pss.ClusteredEmbedding(DIM, WIDTH, initializer, num_clusters=3),
    ):
        with pytest.raises(ValueError, match=message):
            layer.build()


def test_columns_may_differ_where_rows_are_kept():
    def columns(shape, dtype=None):
        return ops.ones(shape, dtype) * ops.arange(shape[1], dtype=dtype)

    layer = keras_pss.HashedEmbedding(DIM, 4, columns, num_buckets=7)
    wanted = np.tile(np.arange(4.0), (DIM, 1))
    np.testing.assert_array_equal(layer.materialize(), wanted)


def test_an_open_vocabulary_needs_an_initializer_without_rows():
    arguments = {"input_dim": None, "output_dim": 8, "memory_size": 500}
    free = normal(lambda n, d: 0.3)
    layer = keras_pss.ROBEEmbedding(embeddings_initializer=free, **arguments)
    rows = layer.materialize(np.arange(50))
    assert rows.std() == pytest.approx(0.3, rel=0.2)
    for scales in (RowUniform(), initializers.Orthogonal()):
        layer = keras_pss.ROBEEmbedding(
            embeddings_initializer=scales, **arguments
        )
        with pytest.raises(ValueError, match="needs `input_dim`"):
            layer.build()


@pytest.mark.parametrize("method", ["full", "robe", "tt"])
def test_each_table_of_a_collection_has_its_own_scale(method):
    dims = [200_000, 3_000, 50]
    layer = keras_pss.EmbeddingCollection(
        dims,
        16,
        method,
        None if method == "full" else "20x",
        embeddings_initializer=RowUniform(),
    )
    random = np.random.RandomState(0)
    ids = np.stack([random.randint(0, n, 9_000) for n in dims], axis=1)
    rows = ops.convert_to_numpy(layer(ids.astype("int32")))
    wanted = 1 / np.sqrt(3 * np.array(dims))
    np.testing.assert_allclose(rows.std(axis=(0, 2)), wanted, rtol=0.07)


DTYPES = ["bfloat16", "float16", "mixed_bfloat16", "mixed_float16", "float64"]
if keras.backend.backend() == "jax":
    # It compiles all for each dtype, and has no float64 without its x64 mode.
    DTYPES = ["bfloat16", "mixed_float16"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "method",
    [m for m in CLASSES if m.id != "quantized_int8"],
    ids=lambda m: m.id,
)
def test_every_dtype_starts_with_the_same_scale(method, dtype):
    given = initializers.RandomUniform(-0.05, 0.05, seed=7)
    layer = make_large(method, given, dtype=dtype)
    rows = sample(layer)
    assert rows.std() == pytest.approx(0.05 / math.sqrt(3), rel=0.05)
    assert abs(rows.mean()) < 1e-3
    wanted = "float32" if "mixed" in dtype else dtype
    assert {w.dtype for w in layer.trainable_weights} in ({wanted}, set())


def test_orthogonal_rows_are_found_in_16_bits():
    given = initializers.Orthogonal(seed=1)
    layer = keras_pss.FullEmbedding(6, 4, given, dtype="bfloat16")
    rows = layer.materialize()
    np.testing.assert_allclose(rows.T @ rows, np.eye(4), atol=0.02)
