"""`fit_table`: what every method has in common."""

import numpy as np
import pytest
from fitting import relative, trained_table
from keras import ops

import keras_pss

N, D = 60, 12
TABLE, COUNTS = trained_table(N, D)


def test_the_report_is_that_of_the_rows_of_the_layer():
    layer = keras_pss.HashedEmbedding(N, D, num_buckets=17)
    report = layer.fit_table(TABLE, COUNTS)
    rows = layer.materialize()
    assert report.relative_error == pytest.approx(relative(TABLE, rows))
    assert report.weighted_relative_error == pytest.approx(
        relative(TABLE, rows, COUNTS)
    )
    assert report.parameters == 17 * D
    assert f"{report.relative_error:.4g}, {report.weighted_relative_error:.4g}"
    assert "weighted by counts, 204 parameters" in str(report)
    plain = layer.fit_table(TABLE)
    assert plain.weighted_relative_error is None
    assert plain.relative_error < report.relative_error


class Slice:
    """What safetensors' `get_slice` returns."""

    def __init__(self, rows):
        self.rows = rows

    def get_shape(self):
        return list(self.rows.shape)

    def __getitem__(self, part):
        assert isinstance(part, slice)
        return self.rows[part]


def test_any_sliceable_table_and_a_built_layer(tmp_path):
    np.save(tmp_path / "rows.npy", TABLE)
    variable = keras_pss.FullEmbedding(N, D, weights=TABLE).embeddings
    tables = [
        Slice(TABLE),
        TABLE.tolist(),
        TABLE.astype(np.float64),
        np.load(tmp_path / "rows.npy", mmap_mode="r"),
        ops.convert_to_tensor(TABLE),
        variable,
    ]
    for table in tables:
        layer = keras_pss.FullEmbedding(N, D)
        layer.build()
        weight = layer.embeddings
        report = layer.fit_table(table)
        assert report.relative_error == 0
        assert layer.embeddings is weight
        np.testing.assert_array_equal(layer.materialize(), TABLE)


def test_progress_counts_the_rows_of_each_pass():
    calls = []
    layer = keras_pss.FullEmbedding(N, D)
    layer.fit_table(TABLE, progress=lambda *given: calls.append(given))
    assert calls == [(N, N, f"pass {k}") for k in (1, 2, 3)]


@pytest.mark.parametrize(
    ("table", "counts", "message"),
    [
        (TABLE[:-1], None, r"of shape \(60, 12\). Received: table=of shape"),
        (TABLE[0], None, r"of shape \(60, 12\)"),
        ("rows", None, r"anything that slices into arrays.*table='rows'"),
        (TABLE * np.nan, None, r"finite numbers.*Received: row 0"),
        (
            TABLE * np.float64(1e200),
            None,
            r"of at most 3.4e\+38.*Received: row 0",
        ),
        (TABLE * 1j, None, "real numbers.*complex"),
        (TABLE, COUNTS[1:], r"of shape \(60,\). Received: counts of dtype"),
        (TABLE, -COUNTS, "finite numbers of at least 0"),
        (TABLE, 0 * COUNTS, "at least one of them positive"),
        (TABLE, COUNTS * np.inf, "must be finite numbers"),
    ],
)
def test_refused_input_changes_nothing(table, counts, message):
    layer = keras_pss.ROBEEmbedding(N, D, memory_size=101)
    layer.build()
    before = layer.get_weights()
    with pytest.raises(ValueError, match=message):
        layer.fit_table(table, counts)
    np.testing.assert_array_equal(layer.get_weights()[0], before[0])


def test_packed_and_frozen_layers_are_refused():
    layer = keras_pss.FullEmbedding(N, D)
    layer.trainable = False
    with pytest.raises(ValueError, match=r"is frozen.*trainable=False"):
        layer.fit_table(TABLE)
    layer.trainable = True
    layer.build()
    layer.quantize("int8")
    with pytest.raises(ValueError, match=r"is packed.*then call `quantize`"):
        layer.fit_table(TABLE)
    with pytest.raises(ValueError, match="`progress` must be True, False"):
        layer.fit_table(TABLE, progress=3)


def test_rows_beyond_float16_are_an_error():
    """A sum of rows may be out of range where each row is within it."""
    layer = keras_pss.embedding(N, D, "sketch", "1.5x", dtype="float16")
    rows = np.random.default_rng(0).uniform(-3e4, 3e4, (N, D))
    with pytest.raises(ValueError, match=r"not finite.*=float16"):
        layer.fit_table(rows.astype("float32"))
