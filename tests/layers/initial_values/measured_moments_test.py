"""Moments of tables that a user's own initializer draws."""

import math

import numpy as np
import pytest
from keras import initializers, ops

import keras_pss
from keras_pss.layers.initial_values import measured_moments
from keras_pss.layers.initial_values.table_moments import moments, of_tables


def drawing(std, draw="normal", seed=0, calls=None):
    """An unseeded function whose deviation depends on the shape."""
    random = np.random.default_rng(seed)

    def fill(shape, dtype=None):
        if calls is not None:
            calls.append(math.prod(shape))
        size = std(*shape)
        if draw == "uniform":
            return random.uniform(-1, 1, shape) * size * math.sqrt(3)
        if draw == "sparse":
            return random.normal(0, size, shape) * (
                (random.random(shape) < 0.1) / math.sqrt(0.1)
            )
        return random.normal(0, size, shape)

    return fill


LAWS = {
    "constant": lambda n, d: 0.3,
    "fan_in": lambda n, d: n**-0.5,
    "fan_out": lambda n, d: d**-0.5,
    "fan_avg": lambda n, d: math.sqrt(2 / (n + d)),
    "inverse": lambda n, d: 3 / n,
    "logarithm": lambda n, d: 1 / math.log(n + 1),
}


@pytest.mark.tf_only  # NumPy alone
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("draw", ["normal", "uniform", "sparse"])
@pytest.mark.parametrize("shape", [(4, 8), (10, 4), (60, 16), (3_000, 16)])
def test_small_tables_have_the_moments_of_their_law(law, draw, shape):
    for seed in range(3):
        found = moments(drawing(LAWS[law], draw, seed), *shape)
        assert found.std == pytest.approx(LAWS[law](*shape), rel=0.05)
        assert found.mean == 0
        assert found.same_columns
    assert found.by_rows == (law not in ("constant", "fan_out"))


@pytest.mark.parametrize(
    ("kind", "large"),
    [
        # Drawn in millions of numbers for a table of billions.
        (initializers.GlorotNormal, [(4, 10**8, 16)]),
        (initializers.HeUniform, []),
        (initializers.RandomNormal, []),
        (initializers.TruncatedNormal, []),
    ],
)
def test_a_subclass_that_only_calls_its_super_has_the_same_scale(kind, large):
    class Own(kind):
        def __call__(self, shape, dtype=None):
            return super().__call__(shape, dtype)

    for seed, *shape in [(1, 4, 8), *large, (3, 10, 4)]:
        found = moments(Own(seed=seed), *shape)
        wanted = moments(kind(seed=seed), *shape)
        assert found.std == pytest.approx(wanted.std, rel=0.05)
        assert found.mean == wanted.mean == 0
    assert moments(Own(seed=3), 10, 4) == found
    rows = [
        keras_pss.TTEmbedding(
            10, 4, cls(seed=1), rank=2, num_cores=2
        ).materialize()
        for cls in (Own, kind)
    ]
    assert rows[0].std() == pytest.approx(rows[1].std(), rel=0.05)


@pytest.mark.parametrize("method", ["tt", "robe", "hash", "fpd"])
def test_a_collection_draws_for_one_table(method):
    dims = [1_000_000 + 1_000 * i for i in range(8)]
    for law in "constant", "fan_avg":
        calls = []
        layer = keras_pss.EmbeddingCollection(
            dims,
            16,
            method,
            "1000x",
            embeddings_initializer=drawing(LAWS[law], calls=calls),
        )
        layer.build()
        most = measured_moments.LARGEST_DRAW + 3 * measured_moments.SMALL
        drawn = sum(calls) - layer.count_params()
        assert drawn <= (2 if method == "robe" else 1) * most
        assert len(calls) < 300


def test_tables_of_a_collection_are_as_they_are_alone():
    dims = [5, 70, 70, 40_000, 10**7]
    found = of_tables(drawing(LAWS["fan_avg"]), dims, 16)
    for rows, each in zip(dims, found, strict=True):
        wanted = LAWS["fan_avg"](rows, 16)
        assert each.std == pytest.approx(wanted, rel=0.05)
        assert each.by_rows
    assert found[1] == found[2]


def test_rare_numbers_are_not_taken_for_none():
    """Most small tables of these numbers are zero."""
    random = np.random.default_rng(0)

    def rare(shape, dtype=None):
        return random.normal(0, 1, shape) * (random.random(shape) < 0.01)

    assert moments(rare, 10, 4).std == pytest.approx(0.1, rel=0.05)


def test_an_initializer_with_a_changed_scale_is_measured_again():
    scale = [0.1]
    given = drawing(lambda n, d: scale[0])
    for size in 0.1, 0.4:
        scale[0] = size
        layer = keras_pss.EmbeddingCollection(
            [5_000, 300], 8, "tt", "5x", embeddings_initializer=given
        )
        ids = np.stack([np.arange(300)] * 2, axis=1)
        rows = ops.convert_to_numpy(layer(ids))
        assert rows.std() == pytest.approx(size, rel=0.15)
