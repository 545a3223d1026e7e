"""What a table starts with: scales, means, given values, dtypes, cores."""

import math

import keras
import numpy as np
import pytest
from keras import initializers, ops
from methods import CLASSES, DIM, WIDTH, every_class, every_row

import keras_pss
from keras_pss.layers.initial_values import draws
from keras_pss.layers.initial_values.table_moments import moments

LARGE = 100_000
MEANLESS = (
    keras_pss.TTEmbedding,
    keras_pss.TensorRingEmbedding,
    keras_pss.FPDEmbedding,
    keras_pss.SketchEmbedding,
    keras_pss.HotRows,  # of a tensor train
)


@keras.saving.register_keras_serializable("keras_pss_test")
class RowUniform(initializers.Initializer):
    """DLRM's own: uniform in ±1/sqrt(rows)."""

    def __call__(self, shape, dtype=None):
        bound = 1 / math.sqrt(shape[0])
        return keras.random.uniform(shape, -bound, bound, dtype=dtype, seed=3)


def normal(std, mean=0.0):
    """A function whose deviation depends on the shape."""

    def draw(shape, dtype=None):
        return keras.random.normal(
            shape, mean, std(*shape), dtype=dtype, seed=5
        )

    return draw


def make_large(method, initializer, **changes):
    arguments = {**method.arguments_large, **changes}
    block = method.arguments.get("block_size")
    if block is not None and block >= WIDTH:
        arguments["block_size"] = block // WIDTH * 16
    return method.make(
        input_dim=LARGE,
        output_dim=16,
        embeddings_initializer=initializer,
        **arguments,
    )


def sample(layer):
    ids = np.random.RandomState(4).randint(0, LARGE, 20_000)
    return layer.materialize(ids.astype("int32"))


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
    assert (found.by_rows, found.alike) == (by_rows, True)
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


def refuses_a_mean(layer):
    signs = getattr(layer, "sign", False)
    projects = getattr(layer, "_projects", False)
    return isinstance(layer, MEANLESS) or signs or projects


@every_row
def test_a_mean_is_kept_or_refused(method):
    layer = make_large(method, initializers.RandomNormal(1.0, 0.1, seed=2))
    if refuses_a_mean(layer):
        with pytest.raises(
            ValueError, match=r"other than zero.*RandomUniform.*of mean 1"
        ):
            layer.build()
        return
    rows, scale = sample(layer), method.arguments.get("output_scale", 1.0)
    rounding = method.grid  # of an int4 table
    assert rows.mean() == pytest.approx(scale, rel=0.01 + rounding / 7)
    assert rows.std() == pytest.approx(0.1 * scale, rel=0.05 + rounding)


@every_row
@pytest.mark.parametrize("mean", [-3.0, 0.02])
def test_a_mean_of_either_sign_and_size_is_kept(method, mean):
    if method.cls not in (
        keras_pss.QREmbedding,
        keras_pss.DeepHashEmbedding,
        keras_pss.ClusteredEmbedding,
        keras_pss.HashedEmbedding,
    ):
        assert refuses_a_mean(method.make()) or method.cls in (
            keras_pss.FullEmbedding,
            keras_pss.QuantizedEmbedding,
            keras_pss.MEMComEmbedding,
            keras_pss.MixedDimensionEmbedding,
            keras_pss.ROBEEmbedding,
        )
        return
    given = initializers.RandomUniform(mean - 0.5, mean + 0.5, seed=2)
    rows, std = sample(make_large(method, given)), 1 / math.sqrt(12)
    assert rows.mean() == pytest.approx(mean, abs=0.08 * std)
    assert rows.std() == pytest.approx(std, rel=0.08)


@every_row
def test_a_constant_is_kept_or_refused(method):
    layer = method.make(embeddings_initializer="ones", input_dim=61)
    products = (
        layer.__class__
        in (
            keras_pss.DeepHashEmbedding,
            keras_pss.QREmbedding,
        )
        and getattr(layer, "operation", "mult") == "mult"
    )
    if refuses_a_mean(layer) or products:
        with pytest.raises(ValueError, match="multiplies"):
            layer.build()
        return
    scale = method.arguments.get("output_scale", 1.0)
    tolerance = 1e-6 + method.grid / 2
    np.testing.assert_allclose(layer.materialize(), scale, rtol=tolerance)


@every_row
@pytest.mark.parametrize("form", ["table", "row", "array"])
def test_given_values_are_kept_or_refused(method, form):
    values = np.random.RandomState(0).normal(size=(DIM, WIDTH))
    values = values.astype("float32")[0 if form == "row" else slice(None)]
    given = initializers.get(values) if form == "array" else None
    given = given or initializers.Constant(values)
    if method.arguments.get("share"):
        with pytest.raises(ValueError, match=r"(Use|Give) .*Received"):
            method.make(embeddings_initializer=given).build()
        return
    if method.cls is keras_pss.HotRows:
        with pytest.raises(ValueError, match="Use an initializer whose"):
            method.make(embeddings_initializer=given)
        return
    layer = method.make(embeddings_initializer=given)
    whole = (
        method.cls
        in (
            keras_pss.FullEmbedding,
            keras_pss.QuantizedEmbedding,
        )
        or method.id == "mixed_dimension_full"
    )
    rows = method.cls is keras_pss.MEMComEmbedding or (
        method.cls is keras_pss.HashedEmbedding and layer.num_hashes == 1
    )
    if whole or (rows and form == "row"):
        atol = method.grid * np.abs(values).max()
        wanted = np.broadcast_to(values, (DIM, WIDTH))
        np.testing.assert_allclose(layer.materialize(), wanted, atol=atol)
        return
    with pytest.raises(
        ValueError, match=r"FullEmbedding or QuantizedEmbedding.*Received"
    ):
        layer.build()


def test_given_values_of_a_collection_are_of_its_one_table():
    values = np.random.RandomState(0).normal(size=(9, 4)).astype("float32")
    given = initializers.Constant(values)
    arguments = {"method": "full", "embeddings_initializer": given}
    one = keras_pss.EmbeddingCollection([9], 4, **arguments)
    rows = ops.convert_to_numpy(one(np.arange(9)[:, None]))
    np.testing.assert_array_equal(rows[:, 0], values)
    two = keras_pss.EmbeddingCollection([9, 5], 4, **arguments)
    with pytest.raises(
        ValueError, match=r"whole table of shape \(5, 4\).*of shape \(9, 4\)"
    ):
        two.build()
    row = keras_pss.EmbeddingCollection(
        [9, 5],
        4,
        "full",
        embeddings_initializer=initializers.Constant(values[0]),
    )
    found = ops.convert_to_numpy(row(np.array([[8, 4]])))[0]
    np.testing.assert_array_equal(found, np.stack([values[0]] * 2))


def test_a_shared_memory_takes_its_own_values():
    values = np.random.RandomState(0).normal(size=(60, 1)).astype("float32")
    memory = keras_pss.SharedMemory(60, initializers.Constant(values))
    layer = keras_pss.ROBEEmbedding(20, 4, memory=memory, sign=True)
    layer.build()
    np.testing.assert_array_equal(
        ops.convert_to_numpy(memory.memory_table), values
    )
    memory = keras_pss.SharedMemory(60, "ones")
    layer = keras_pss.ROBEEmbedding(20, 4, memory=memory, sign=True)
    with pytest.raises(ValueError, match="a mean other than zero"):
        layer.build()


def test_parameters_as_the_table_are_those_of_the_initializer():
    """A layer that keeps the table starts as Keras' own does."""
    for given in (RowUniform(), initializers.RandomNormal(0.5, 0.2, seed=1)):
        layer = keras_pss.FullEmbedding(7, 4, given)
        np.testing.assert_array_equal(
            layer.materialize(), ops.convert_to_numpy(given((7, 4)))
        )


DTYPES = ["bfloat16", "float16", "mixed_bfloat16", "mixed_float16", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "method",
    [m for m in CLASSES if m.id != "quantized_int8"],
    ids=lambda m: m.id,
)
def test_every_dtype_starts_with_the_same_scale(method, dtype):
    if dtype == "float64" and keras.backend.backend() == "jax":
        dtype = "float32"  # JAX has no other without its x64 mode
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


def test_sampled_gaussian_has_the_moments_of_a_normal_beyond_two():
    """TT-Rec's algorithm 3, against integrals of the normal's tail."""
    x = np.linspace(2, 12, 200_001)
    density = np.exp(-(x**2) / 2)
    second, fourth = (
        np.trapezoid(x**k * density, x) / np.trapezoid(density, x)
        for k in (2, 4)
    )
    found = draws.TAIL_SQUARE
    assert found == pytest.approx(second, rel=1e-6)
    assert found == pytest.approx(5.7464, abs=5e-5)
    seeded = initializers.RandomUniform(seed=3)
    fill = draws.sampled_gaussian(seeded, lambda: math.sqrt(second))
    drawn = ops.convert_to_numpy(fill((1000, 500))).astype("float64")
    assert np.abs(drawn).min() > 1.9999
    assert 4.5 < np.abs(drawn).max() < 6
    assert np.mean(drawn**2) == pytest.approx(second, rel=0.005)
    assert np.mean(drawn**4) == pytest.approx(fourth, rel=0.02)
    assert abs(np.mean(drawn)) < 0.02
    assert np.mean(drawn > 0) == pytest.approx(0.5, abs=0.005)


CORES = [
    (keras_pss.TTEmbedding, {"rank": 16}),
    (keras_pss.TTEmbedding, {"rank": 16, "gauge": "last_core"}),
    (keras_pss.TensorRingEmbedding, {"rank": 6}),
]


@pytest.mark.parametrize(("cls", "arguments"), CORES)
def test_sampled_gaussian_cores_make_the_tables_best_normal(cls, arguments):
    """Of table 1: N(0, 1/(3n)) is nearest to uniform in ±1/sqrt(n)."""
    bound = 1 / math.sqrt(LARGE)
    given = initializers.RandomUniform(-bound, bound, seed=3)
    layer = cls(
        LARGE, 16, given, core_initializer="sampled_gaussian", **arguments
    )
    rows = sample(layer)
    assert rows.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert abs(rows.mean()) < 0.05 * bound

    def divergence(variance):
        """Of the uniform distribution from N(0, variance)."""
        normal = math.log(2 * math.pi * variance) / 2
        return normal + bound**2 / (6 * variance) - math.log(2 * bound)

    found = divergence(rows.var())
    # log(pi / 6) / 2 + 1 / 2, which no other variance goes below.
    assert found == pytest.approx(math.log(math.pi / 6) / 2 + 0.5, abs=0.01)
    for variance in (1.0, 1 / 2, 1 / 8, 1 / (9 * LARGE**2)):
        assert found < divergence(variance)


@pytest.mark.parametrize(("cls", "arguments"), CORES)
def test_products_of_sampled_gaussians_are_not_near_zero(cls, arguments):
    near = {}
    for cores in ("uniform", "sampled_gaussian"):
        layer = cls(
            LARGE,
            16,
            initializers.RandomUniform(seed=3),
            core_initializer=cores,
            **{**arguments, "rank": 1},
        )
        rows = sample(layer)
        near[cores] = np.mean(np.abs(rows) < 0.4 * rows.std())
    # A product of three is at least (2 / 2.4)^3 = 0.58 of its deviation.
    assert near["sampled_gaussian"] == 0
    assert near["uniform"] > 0.2


def test_core_initializer_is_an_option_with_a_default():
    layer = keras_pss.TTEmbedding(50, 8, rank=2)
    assert layer.core_initializer == "uniform"
    config = layer.get_config()
    assert config.pop("core_initializer") == "uniform"
    assert keras_pss.TTEmbedding.from_config(config).built is False
    for cls in (keras_pss.TTEmbedding, keras_pss.TensorRingEmbedding):
        layer = keras_pss.embedding(
            5_000,
            8,
            {keras_pss.TTEmbedding: "tt"}.get(cls, "tensor_ring"),
            "20x",
            core_initializer="sampled_gaussian",
        )
        twin = cls.from_config(layer.get_config())
        assert twin.core_initializer == "sampled_gaussian"
        with pytest.raises(
            ValueError, match=r"'uniform' or 'sampled_gaussian'.*'gaussian'"
        ):
            cls(50, 8, rank=2, core_initializer="gaussian")
