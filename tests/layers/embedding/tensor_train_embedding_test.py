"""Tensor trains and rings: ranks, gauges, errors, an export."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss


@pytest.mark.parametrize(
    "make", [keras_pss.TTEmbedding, keras_pss.TensorRingEmbedding]
)
@pytest.mark.parametrize("shape", ["balanced", "min_params"])
def test_ranks_spend_the_budget_and_are_nearly_equal(make, shape):
    layer = make.from_budget(6040, 32, "16x", row_shape=shape)
    assert 0.97 < layer.budget_size() / (6040 * 32 // 16) <= 1
    ranks = [right for *_, right in layer._cores]
    ranks = ranks[:-1] if make is keras_pss.TTEmbedding else ranks
    assert max(ranks) - min(ranks) <= 2
    # Raising any of them would not fit.
    for k in range(len(ranks)):
        more = [rank + (j == k) for j, rank in enumerate(ranks)]
        larger = make(6040, 32, rank=more, row_shape=layer.row_shape)
        size = sum(table.size for table in larger.tables().values())
        assert size > 6040 * 32 // 16


@pytest.mark.parametrize(
    ("make", "rank"),
    [
        (keras_pss.TTEmbedding, (4, 3)),
        (keras_pss.TensorRingEmbedding, (3, 4, 2)),
    ],
)
def test_many_ids_and_few_read_the_same_rows(make, rank):
    """Many of them out of the whole table, which is built at once."""
    layer = make(90, 12, rank=rank, row_shape=(3, 6, 5))
    few = [layer.materialize(np.arange(k, k + 9)) for k in range(0, 90, 9)]
    np.testing.assert_allclose(
        layer.materialize(), np.concatenate(few), rtol=1e-5, atol=1e-8
    )
    four = make(81, 16, rank=2, num_cores=4)
    few = [four.materialize(np.arange(k, k + 9)) for k in range(0, 81, 9)]
    np.testing.assert_allclose(
        four.materialize(), np.concatenate(few), rtol=1e-5, atol=1e-8
    )


def test_tensor_ring_of_rank_one_is_the_train_of_rank_one():
    shape = {"row_shape": (3, 4, 5), "column_shape": (2, 2, 3)}
    ring = keras_pss.TensorRingEmbedding(60, 12, rank=1, **shape)
    train = keras_pss.TTEmbedding(60, 12, rank=1, **shape)
    ring.build()
    train.build()
    for mine, theirs in zip(ring.weights, train.weights, strict=True):
        theirs.assign(mine)
    np.testing.assert_allclose(
        ring.materialize(), train.materialize(), rtol=1e-6
    )
    with pytest.raises(ValueError, match=r"`rank` must be.*list of 3 integers"):
        keras_pss.TensorRingEmbedding(60, 12, rank=(2, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 0}, "`rank` must be a positive integer"),
        ({"rank": (2, 2, 2)}, "list of 2 integers, one for each boundary"),
        ({"rank": 2, "num_cores": 1}, "at least two cores"),
        ({"rank": 2, "row_shape": (2, 3, 4)}, r"at least input_dim=50, such"),
        ({"rank": 2, "row_shape": "square"}, "'min_params' or factors"),
        ({"rank": 2, "column_shape": (2, 2, 3)}, r"such as \(2, 2, 2\)"),
        ({"rank": 2, "column_shape": (2, 4), "num_cores": 3}, "one factor for"),
        ({"rank": 2, "gauge": "left"}, "'balanced', 'last_core'"),
    ],
)
def test_tensor_train_errors_name_the_fix(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_pss.TTEmbedding(50, 8, **arguments)


def test_last_core_gauge_moves_a_row_as_a_dense_table_does():
    """Squared partials of an entry sum to about 1; balanced, to far less."""
    sums = {}
    for gauge in ("balanced", "last_core"):
        layer = keras_pss.TTEmbedding(
            100_000,
            16,
            keras.initializers.RandomUniform(-0.003, 0.003),
            rank=8,
            gauge=gauge,
        )
        layer.build()
        rows, columns = layer.row_shape, layer.column_shape
        squares = [np.mean(ops.convert_to_numpy(w) ** 2) for w in layer.weights]
        variance = np.prod(squares) * 8 * 8
        # Leaving one core out of the product: one partial derivative each,
        # as many as paths run through it.
        sums[gauge] = sum(variance / s for s in squares)
        assert len(rows) == len(columns) == 3
    assert sums["last_core"] == pytest.approx(1, rel=0.1)
    assert sums["balanced"] < 0.01


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.export")
def test_jax_exports_a_train_for_any_number_of_ids():
    import jax

    layer = keras_pss.TTEmbedding(90, 12, rank=3)
    layer.build()
    ids = np.arange(90, dtype="int32").reshape(30, 3)
    exported = jax.export.export(jax.jit(lambda ids: layer(ids)))(
        jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 3"), "int32")
    )
    np.testing.assert_allclose(
        exported.call(ids), layer.materialize()[ids], rtol=1e-5, atol=1e-7
    )
