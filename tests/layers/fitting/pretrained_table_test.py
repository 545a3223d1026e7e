"""A trained table as initializer."""

import keras
import numpy as np
import pytest
from fitting import trained_table

import keras_pss

N, D = 60, 12
TABLE, COUNTS = trained_table(N, D)
GIVEN = keras_pss.PretrainedTable(TABLE, COUNTS)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (keras_pss.FullEmbedding, {}),
        (keras_pss.ROBEEmbedding, {"memory_size": 61}),
        (keras_pss.TTEmbedding, {"rank": 3}),
        (
            keras_pss.PopularityEmbedding,
            {"num_rows": 9, "inner_dim": 3, "tail": "robe", "memory_size": 31},
        ),
    ],
)
def test_the_layer_starts_as_fitted(cls, arguments):
    layer = cls(N, D, GIVEN, **arguments)
    fitted = cls(N, D, **arguments)
    fitted.fit_table(TABLE, COUNTS)
    np.testing.assert_array_equal(layer.materialize(), fitted.materialize())


def test_a_model_is_saved_without_the_table(tmp_path):
    inputs = keras.Input((2,), dtype="int32")
    layer = keras_pss.MixedDimensionEmbedding(
        N, D, GIVEN, inner_dim=3, trainable=False
    )
    model = keras.Model(inputs, layer(inputs))
    assert not layer.trainable
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    ids = np.array([[3, 59]])
    np.testing.assert_array_equal(loaded(ids), model(ids))
    assert (tmp_path / "model.keras").stat().st_size < 60_000
    with pytest.warns(UserWarning, match="starts with zeros until"):
        zeros = keras.models.clone_model(model)(ids)
    assert not keras.ops.convert_to_numpy(zeros).any()


def test_where_a_table_is_refused():
    wrong = keras_pss.PretrainedTable(TABLE[:-1])
    with pytest.raises(ValueError, match=r"of shape \(60, 12\)"):
        keras_pss.FullEmbedding(N, D, wrong).build()
    with pytest.raises(ValueError, match="use `fit_tables` of a layer of"):
        keras_pss.EmbeddingCollection(
            [N, 9], D, "full", None, None, None, GIVEN
        ).build()
    with pytest.raises(ValueError, match="determines no hidden layers"):
        keras_pss.DeepHashEmbedding(N, D, GIVEN, hidden_units=(4,)).build()
    packed = keras_pss.FullEmbedding(N, D, GIVEN, dtype="int8_from_float32")
    with pytest.raises(ValueError, match="is packed"):
        packed.build()
