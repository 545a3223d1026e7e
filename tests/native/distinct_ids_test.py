"""The kernel that finds distinct ids, and rows computed for them under XLA."""

import keras
import numpy as np
import pytest
from keras import ops
from kernels import BACKEND, both_ways, numbers
from slopes import assert_close, slopes

import keras_pss
from keras_pss.native import dispatch
from keras_pss.ops.methods import chain, distinct

random = np.random.default_rng(0)
CASES = {
    "repeated": np.arange(3_000) % 50,
    "scattered": random.integers(0, 700, 3_000),
    "distinct": random.permutation(5_000)[:3_000],
    "late": np.r_[np.arange(2_500), np.zeros(500)],
    "early": np.r_[np.zeros(2_048), np.arange(952)],
}


def kernel(ids, sample=2048, chunks=4, least=10):
    found = dispatch.kernels().distinct_ids(
        ops.convert_to_tensor(ids), sample, 0.8, chunks, least
    )
    return [ops.convert_to_numpy(x) for x in found]


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("case", CASES)
def test_ids_in_the_order_of_their_first_place(case, dtype):
    if dtype == "int64" and BACKEND == "jax":
        dtype = "int32"  # JAX has no other ids by default
    ids = CASES[case].astype(dtype)
    found, place, count = kernel(ids)
    assert found.shape == (4, 750)
    assert found.dtype == ids.dtype
    found = found.ravel()
    np.testing.assert_array_equal(found[place], ids)
    if len(np.unique(ids[:2048])) < 0.8 * 2048:
        first = np.sort(np.unique(ids, return_index=True)[1])
        np.testing.assert_array_equal(found[:count], ids[first])
    else:
        np.testing.assert_array_equal(found[:count], ids)
    np.testing.assert_array_equal(found[count:], ids[0])


@pytest.mark.parametrize(
    ("n", "shape"), [(1, (1, 1)), (19, (1, 19)), (39, (3, 13)), (41, (4, 11))]
)
def test_chunks(n, shape):
    found, place, count = kernel(np.zeros(n, "int32"), sample=5)
    assert found.shape == shape
    assert count == 1
    assert not found.any()
    assert not place.any()


def layer_of():
    keras.utils.set_random_seed(0)
    layer = keras_pss.DeepHashEmbedding(
        5_000, 4, hidden_units=(8, 6), num_hashes=16
    )
    layer.build()
    return layer


def compiled(function):
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(
        function,
        jit_compile=True,
        input_signature=[tf.TensorSpec((None,), "int32")],
    )


def of_weights(layer, weights, ids):
    """Rows, as a function of the layer's weights."""
    pairs = zip(layer.trainable_variables, weights, strict=True)
    with keras.StatelessScope(state_mapping=list(pairs)):
        return layer(ids)


def weights_of(layer):
    return [v.value + 0 for v in layer.trainable_variables]


def counted_rows(monkeypatch):
    """The numbers of ids of which rows are asked for under XLA."""
    asked = []
    own = chain.first_rows

    def first_rows(function, ids, count):
        asked.append(ids)
        return own(function, ids, count)

    monkeypatch.setattr(distinct, "first_rows", first_rows)
    return asked


@pytest.mark.parametrize("case", CASES)
def test_rows_and_gradients_are_those_of_all_ids(case, monkeypatch):
    if BACKEND == "jax" and case not in ("scattered", "late"):
        return
    layer, ids = layer_of(), CASES[case].astype("int32")
    upstream = numbers(len(ids), 4)
    asked = counted_rows(monkeypatch)

    def both(ids):
        def loss(weights):
            return ops.sum(of_weights(layer, weights, ids) * upstream)

        return layer(ids), slopes(loss, weights_of(layer))

    (rows, found), (wanted, whole) = both_ways(
        lambda: compiled(lambda ids: both(ids))(ids)
    )
    assert len(asked) == 2  # with the kernels alone
    np.testing.assert_allclose(rows, wanted, atol=1e-6)
    for x, y in zip(found, whole, strict=True):
        assert_close(x, y, 5e-6)


def test_the_loop_ends_after_the_distinct_ids():
    """Rows after them are zeros, since nothing computed them."""
    stages = (lambda weights, x: ops.cast(x, "float32")[:, None] + weights[0],)
    own = chain.Chain(stages, (ops.ones((1,)),))

    def rows(ids):
        found, _, count = dispatch.kernels().distinct_ids(ids, 2048, 0.8, 8, 10)
        return chain.first_rows(own, found, count)

    ids = CASES["repeated"].astype("int32") + 3  # chunks of 375
    found = ops.convert_to_numpy(compiled(rows)(ids))[:, 0]
    np.testing.assert_array_equal(found[:50], np.arange(4, 54))
    np.testing.assert_array_equal(found[50:375], 4)
    np.testing.assert_array_equal(found[375:], 0)


@pytest.mark.slow_on_jax
def test_second_derivatives(monkeypatch):
    layer, ids = layer_of(), CASES["scattered"][:600].astype("int32")
    asked = counted_rows(monkeypatch)

    def second(ids):
        def slope(weights):
            def cubes(weights):
                return ops.sum(of_weights(layer, weights, ids) ** 3)

            return sum(ops.sum(g**2) for g in slopes(cubes, weights))

        return slopes(slope, weights_of(layer))

    found, wanted = both_ways(lambda: compiled(lambda ids: second(ids))(ids))
    assert asked
    for x, y in zip(found, wanted, strict=True):
        assert_close(x, y, 1e-5)


def test_a_mapped_gradient_and_forward_mode_on_jax():
    if BACKEND != "jax":
        return
    import jax

    layer, ids = layer_of(), CASES["scattered"].astype("int32")
    weights = weights_of(layer)

    def slope(ids):
        return slopes(
            lambda weights: ops.sum(of_weights(layer, weights, ids) ** 2),
            weights,
        )

    found = jax.jit(jax.vmap(slope))(ids.reshape(3, 1_000))
    for k, own in enumerate(ids.reshape(3, 1_000)):
        for x, y in zip(found, slope(own), strict=True):
            np.testing.assert_allclose(x[k], y, rtol=1e-4, atol=1e-5)

    def push(ids):
        def rows(weights):
            return of_weights(layer, weights, ids)

        return jax.jvp(rows, (weights,), (weights,))[1]

    with pytest.raises(TypeError, match="forward-mode"):
        jax.jit(push)(ids)
    with keras_pss.native.disabled():
        assert np.isfinite(jax.jit(lambda ids: push(ids))(ids)).all()


@pytest.mark.tf_only
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("kind", ["fpd", "deep_hash"])
def test_vectorized_maps_and_jacobians(kind, jit):
    import tensorflow as tf

    layer = layer_of()
    if kind == "fpd":
        layer = keras_pss.FPDEmbedding(5_000, 4, rank=3, terms=2)
        layer.build()
    ids = tf.constant(CASES["scattered"].reshape(3, 1_000).astype("int32"))

    @tf.function(jit_compile=jit)
    def rows(ids):
        return tf.vectorized_map(layer, ids, fallback_to_while_loop=False)

    np.testing.assert_allclose(rows(ids), layer(ids), atol=1e-6)
    weights = [v.value for v in layer.trainable_variables]

    @tf.function(jit_compile=jit)
    def jacobian(ids):
        with tf.GradientTape() as tape:
            sums = tf.reduce_sum(layer(ids) ** 2, axis=(1, 2))
        return tape.jacobian(sums, weights)

    for found, weight in zip(jacobian(ids), weights, strict=True):
        for k in range(3):
            with tf.GradientTape() as tape:
                y = tf.reduce_sum(layer(ids[k]) ** 2)
            np.testing.assert_allclose(
                found[k], tape.gradient(y, weight), rtol=1e-3, atol=1e-5
            )
