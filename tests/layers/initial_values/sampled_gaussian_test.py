"""Cores drawn from sampled Gaussians: moments, products, the option."""

import math

import numpy as np
import pytest
from keras import initializers, ops
from large_tables import LARGE, sample

import keras_pss
from keras_pss.layers.initial_values import draws


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
            ValueError, match=r"'uniform', 'sampled_gaussian'.*'gaussian'"
        ):
            cls(50, 8, rank=2, core_initializer="gaussian")
