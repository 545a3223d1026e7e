"""Prepared logs, runs and comparisons of an older version still serve.

The files are in tests/golden; make_golden.py there says how they were made.
"""

import gzip
import json
import shutil

import keras
import numpy as np
import pytest
from golden_files import EXACT, FOLDER, arrays, read_json

from keras_pss.comparison import Grid, compare, write_report
from keras_pss.data import criteo
from keras_pss.data.encoders.row_encoder import RowEncoder
from keras_pss.data.readers.log_reader import LogReader
from keras_pss.data.storage.open_folder import load_encoder
from keras_pss.serving.saved_model import export_saved_model
from keras_pss.training import RunConfig, evaluate, raw_model, train
from keras_pss.training.finished.finished_run import load_model
from keras_pss.training.finished.predict import predict
from keras_pss.training.finished.raw_rows import raw_rows

pytestmark = pytest.mark.tf_only

PREPARED = FOLDER / "prepared"
LOG = PREPARED / "log.tsv.gz"
POLICIES = ("vocabulary", "hash")
every_policy = pytest.mark.parametrize("policy", POLICIES)

# Steps of training carry the last bits of one machine's sums further than a
# single product does.
TRAINED = {"rtol": 0, "atol": 0} if EXACT else {"rtol": 1e-3, "atol": 1e-4}
METRICS = ("auc", "logloss", "normalized_entropy", "calibration")


def close(found, expected):
    np.testing.assert_allclose(found, expected, **TRAINED)


@every_policy
def test_a_prepared_folder_gives_the_same_batches(policy):
    data = criteo.load(PREPARED / policy)
    data.verify()
    assert data.splits == ["train", "validation", "test"]
    for split in data.splits:
        for shuffle in (False, True):
            batches = criteo.dataset(
                data, split, batch_size=32, shuffle=shuffle, seed=9
            )
            features, labels = next(iter(batches))
            expected = arrays(
                PREPARED / "batches.npz", f"{policy}/{split}/{shuffle:d}/"
            )
            np.testing.assert_array_equal(labels, expected.pop("labels"))
            assert set(features) == set(expected)
            for name in expected:
                np.testing.assert_array_equal(features[name], expected[name])


def records(folder):
    """The records of all rows, in the order of the splits."""
    shards = [path for split in folder.splits for path in folder.shards(split)]
    parts = [np.fromfile(path, "<i4").reshape(-1, 40) for path in shards]
    return np.concatenate(parts)


@every_policy
def test_an_encoder_file_gives_the_ids_of_the_shards(policy):
    encoder = load_encoder(PREPARED / f"{policy}.encoder")
    data = criteo.load(PREPARED / policy)
    assert encoder.cardinalities == data.cardinalities
    (block,) = LogReader(LOG, encoder.schema)
    ids = RowEncoder(encoder)(block.rows)["categorical"]
    np.testing.assert_array_equal(
        ids, RowEncoder(data)(block.rows)["categorical"]
    )
    expected = records(data)[:, 14:]
    if policy == "hash":  # whose rows were split at random
        ids, expected = (x[np.lexsort(x.T)] for x in (ids, expected))
    np.testing.assert_array_equal(ids, expected)


@every_policy
def test_the_same_log_gives_the_same_folder(policy, tmp_path):
    """Byte by byte, except for the ids of another hash."""
    settings = {"min_count": 2, "rows_per_shard": 200}
    if policy == "hash":
        settings = {"hash_buckets": 50, "split": "random"}
    old = criteo.load(PREPARED / policy)
    new = criteo.prepare(LOG, tmp_path / "new", ids=policy, **settings)
    assert new.schema == old.schema
    assert new.layout == old.layout
    assert new.tables == old.tables
    assert new.splits == old.splits
    words = 40 if policy == "vocabulary" else 14
    for split in old.splits:
        pairs = zip(old.shards(split), new.shards(split), strict=True)
        assert all(one.name == other.name for one, other in pairs)
    np.testing.assert_array_equal(
        records(new)[:, :words], records(old)[:, :words]
    )
    metadata = read_json(PREPARED / policy / "metadata.json")
    again = read_json(tmp_path / "new" / "metadata.json")
    for name in ("rows_per_shard", "sources", "rejects", "strict"):
        assert again[name] == metadata[name], name
    if policy == "vocabulary":
        assert again["splits"] == metadata["splits"]
        for name in criteo.CATEGORIES:
            assert new.vocabulary(name).equals(old.vocabulary(name))
            np.testing.assert_array_equal(new.counts(name), old.counts(name))


def test_a_finished_run_scores_a_log():
    metrics = evaluate(FOLDER / "run", [LOG]).as_dict()
    expected = read_json(FOLDER / "run" / "evaluated.json")
    assert metrics["rows"] == expected["rows"] == 600
    for name in METRICS:
        close(metrics[name], expected[name])


def test_a_finished_run_scores_its_folder():
    metrics = evaluate(FOLDER / "run", PREPARED / "vocabulary").as_dict()
    report = read_json(FOLDER / "run" / "report.json")
    for name in METRICS:
        close(metrics[name], report[name])
    with pytest.raises(ValueError, match="the ids of the run"):
        evaluate(FOLDER / "run", PREPARED / "hash")


def test_a_finished_run_predicts_and_serves_raw_rows(tmp_path):
    import polars as pl
    import tensorflow as tf

    assert predict(FOLDER / "run", LOG, tmp_path / "found.parquet") == 600
    found = pl.read_parquet(tmp_path / "found.parquet")["probability"]
    text = gzip.decompress(LOG.read_bytes())
    rows = pl.read_csv(
        text,
        separator="\t",
        has_header=False,
        new_columns=list(criteo.COLUMNS),
        infer_schema=False,
    ).with_columns(pl.col(criteo.INTEGERS).cast(pl.Int64))
    np.testing.assert_allclose(raw_model(FOLDER / "run")(rows), found, 1e-5)
    raw = raw_rows(FOLDER / "run" / "encoder")
    export_saved_model(load_model(FOLDER / "run"), tmp_path / "out", raw=raw)
    served = tf.saved_model.load(str(tmp_path / "out"))
    assert "serve_raw" in served.signatures


def test_hashed_ids_of_version_1_take_no_raw_rows(caplog):
    assert raw_rows(PREPARED / "hash.encoder") is None
    assert "ids of the hash pss1, seed 3" in caplog.text


def test_the_model_and_the_saved_model_of_a_run_agree():
    import tensorflow as tf

    model = keras.saving.load_model(FOLDER / "run" / "model.keras")
    served = tf.saved_model.load(str(FOLDER / "run" / "saved_model"))
    data = criteo.load(PREPARED / "vocabulary")
    features, _ = next(iter(criteo.dataset(data, "test", batch_size=32)))
    np.testing.assert_allclose(
        served.serve(features), model(features), rtol=1e-6, atol=1e-7
    )


def config_of(folder):
    return RunConfig(**read_json(folder / "run.json")["config"])


def test_a_finished_run_is_not_trained_again(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(FOLDER / "run", run)
    data = criteo.load(PREPARED / "vocabulary")
    report = train(data, config_of(run), run, verbose=0, resume=True)
    assert report == read_json(FOLDER / "run" / "report.json")


@pytest.mark.slow
def test_a_stopped_run_ends_as_it_would_have(tmp_path):
    """Its state is that after the first of four evaluations."""
    run = tmp_path / "run"
    shutil.copytree(FOLDER / "stopped", run)
    assert (run / "state.npz").is_file()
    data = criteo.load(PREPARED / "vocabulary")
    report = train(data, config_of(run), run, verbose=0, resume=True)
    expected = read_json(FOLDER / "stopped" / "end.json")
    state = json.loads(str(np.load(FOLDER / "stopped" / "state.npz")["state"]))
    assert state["round"] == 1
    history = report["history"]
    assert history["epoch"] == expected["history"]["epoch"]
    # What was before the stop is in the state, bit by bit.
    for name in ("loss", "val_auc", "val_logloss"):
        assert history[name][0] == expected["history"][name][0]
    for name in ("loss", "val_logloss"):
        close(history[name], expected["history"][name])
    close(report["logloss"], expected["logloss"])
    assert report["epochs"] == expected["epochs"]
    if EXACT:
        assert report["auc"] == expected["auc"]
    model = keras.saving.load_model(run / "model.keras")
    weights = arrays(FOLDER / "stopped" / "end.npz", "")
    assert [weight.path for weight in model.weights] == list(weights)
    for weight in model.weights:
        close(weight.numpy(), weights[weight.path])


def grid():
    narrow = {"bottom_units": [6], "top_units": [5]}
    run = {"epochs": 1, "batch_size": 64, "dim": 4}
    return Grid(["dlrm"], ["robe"], ["4x"], 1, run, {"dlrm": narrow})


def test_a_comparison_keeps_its_finished_cells(tmp_path):
    out = tmp_path / "comparison"
    shutil.copytree(FOLDER / "comparison", out)
    data = PREPARED / "vocabulary"
    outcome = compare(data, grid(), out, only_report=True)
    text = (FOLDER / "comparison" / "results.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert outcome.results == {line["name"]: line for line in lines}
    assert set(outcome.results) == {
        "dlrm-full-1x-1",
        "dlrm-filter-1x-1",
        "dlrm-hash-4x-1",
        "dlrm-robe-4x-1",
    }
    # With nothing left to train, the same call trains nothing.
    told = []
    again = compare(data, grid(), out, progress=lambda *a: told.append(a))
    assert again.results == outcome.results
    assert told == []
    page = write_report(again, out).read_text()
    assert "robe" in page
    for line in lines:
        assert f"{line['auc']:.4f}"[1:] in page
