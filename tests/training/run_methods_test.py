"""Every method trains in a run, with what it needs in the course of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from runs import NARROW

import keras_pss
from keras_pss.data import criteo
from keras_pss.layers.base.walk import every
from keras_pss.training.config import RunConfig
from keras_pss.training.finished.evaluation import evaluate
from keras_pss.training.finished.finished_run import load_model
from keras_pss.training.run import train

pytestmark = [
    pytest.mark.tf_only,
    pytest.mark.usefixtures("plain_exports"),
]

# Real click logs lie beside the project where there are any.
REAL_DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "tt", "qr", "hash", "popularity"])
def test_every_method_trains(method, data, tmp_path):
    prepared = criteo.load(data / "prepared")
    config = RunConfig(
        model_options=NARROW,
        method=method,
        budget="3x",
        epochs=1,
        batch_size=512,
        optimizer="adagrad" if method == "tt" else "adam",
    )
    report = train(prepared, config, tmp_path / "run", verbose=0)
    assert np.isfinite(report["logloss"])
    assert method == "full" or report["compression"] >= 3


@pytest.mark.slow
def test_clustered_tables_are_reclustered(data, tmp_path):
    prepared = criteo.load(data / "prepared")
    config = RunConfig(
        model_options=NARROW,
        method="clustered",
        budget="1.1x",
        compress_largest=3,  # each table is a layer of its own
        epochs=2,
        batch_size=512,
        patience=5,
    )
    train(prepared, config, tmp_path / "run", verbose=0)
    model = load_model(tmp_path / "run")
    epochs = [
        int(layer.epoch_table[0, 0])
        for layer in every(model, keras_pss.ClusteredEmbedding)
    ]
    # The kept model is that of the first epoch, before the re-clustering, or
    # of the second one.
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert epochs
    assert set(epochs) == {report["best_epoch"] - 1}


@pytest.mark.slow
def test_hot_rows_are_refreshed_by_themselves(data, tmp_path):
    prepared = criteo.load(data / "prepared")
    config = RunConfig(
        model="deepfm",
        model_options={"hidden_units": [8]},
        method="hot_rows",
        options={"inner": "robe", "capacity": 6},
        budget="20x",
        epochs=1,
        batch_size=512,
    )
    report = train(prepared, config, tmp_path / "run", verbose=0)
    assert report["compression"] >= 20
    model = load_model(tmp_path / "run")
    layers = every(model, keras_pss.HotRows)
    assert layers
    for layer in layers:
        assert layer.embedding.seed in (config.seed, config.seed + 1)
        hits, lookups = layer.count_hits()
        assert 0 < hits < lookups
        assert 0 < len(layer.ids()) <= 6


@pytest.mark.slow
def test_open_ids_train_too(data, tmp_path):
    prepared = criteo.prepare(data / "log.tsv", tmp_path / "hashed", ids="hash")
    config = RunConfig(
        model_options=NARROW, budget="64KB", epochs=1, batch_size=512
    )
    report = train(prepared, config, tmp_path / "run", verbose=0)
    assert report["compression"] is None
    assert report["embedding_bytes"] <= 64_000
    assert evaluate(tmp_path / "run", [data / "later.tsv"]).rows == 3000


@pytest.mark.slow
def test_a_budget_in_bytes_is_that_of_the_served_model(data, tmp_path):
    prepared = criteo.load(data / "prepared")
    config = RunConfig(
        model_options=NARROW, budget="2kB", epochs=1, batch_size=512
    )
    run = tmp_path / "run"
    report = train(prepared, config, run, verbose=0)
    assert report["parts"]["embeddings"]["method"] == "popularity"
    assert report["served_bytes"] <= 2000 < report["embedding_bytes"]
    check_served(run / "saved_model", run)
    again = run / "again"
    assert call("export", "--run", run, "--out", again).returncode == 0
    check_served(again, run)


def check_served(path, run):
    """A SavedModel holds packed rows, and predicts what was trained."""
    import tensorflow as tf

    model = load_model(run)
    stored = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    shapes = stored.get_variable_to_shape_map()
    packed = [
        int(np.prod(shapes[name]))
        for name, dtype in stored.get_variable_to_dtype_map().items()
        if dtype == tf.int8
    ]
    assert sum(packed) > 100
    names = {v.path for v in model.weights if v.path.endswith("rows_table")}
    assert len(names) == 1
    batch = {
        x.name: np.ones((3, *x.shape[1:]), x.dtype.replace("int64", "int32"))
        for x in model.inputs
    }
    given = {name: tf.constant(x) for name, x in batch.items()}
    ask = tf.saved_model.load(path).signatures["serving_default"]
    found = ask(**given)["probability"]
    wanted = model.predict(batch, verbose=0)[:, 0]
    np.testing.assert_allclose(found, wanted, 1e-6)


@pytest.mark.slow
def test_the_frequency_filter_shares_an_id(data, tmp_path):
    prepared = criteo.load(data / "prepared")
    config = RunConfig(
        model_options=NARROW,
        method="full",
        min_count=3,
        epochs=1,
        batch_size=512,
    )
    report = train(prepared, config, tmp_path / "run", verbose=0)
    counts = [prepared.counts(name) for name in criteo.CATEGORIES]
    kept = sum(1 + int((c[1:] >= 3).sum()) for c in counts)
    assert report["embedding_params"] == 16 * kept
    assert report["full_params"] == 16 * sum(prepared.cardinalities)
    assert evaluate(tmp_path / "run", [data / "later.tsv"]).rows == 3000


@pytest.mark.real_data
def test_quality_on_real_clicks(tmp_path):
    """A floor far below what is measured: it falls when something breaks."""
    log = REAL_DATA / "criteo_week.train.tsv.xz"
    prepared = criteo.prepare(log, tmp_path / "data")
    config = RunConfig(budget="100x", epochs=1, batch_size=512, seed=1)
    report = train(prepared, config, tmp_path / "run", verbose=0)
    assert report["rows"] == 19_592
    assert report["auc"] > 0.745
    assert report["compression"] >= 100
