"""`keras-pss compress`: a file that works, its report, and its refusals."""

import json

import keras
import numpy as np
import pytest
from command_line import call

import keras_pss
from keras_pss.data.locate import open_click_log

pytestmark = pytest.mark.tf_only


@pytest.fixture(scope="module")
def model(folder):
    """A model of full tables for the log, saved; it is not trained."""
    log = open_click_log(folder / "data")
    tables = keras_pss.EmbeddingCollection(list(log.cardinalities), 4, "full")
    made = keras_pss.models.DLRM(
        tables, bottom_units=(8,), top_units=(8,), name="full"
    )
    made.compile("adam", "binary_crossentropy")
    made.optimizer.build(made.trainable_variables)
    made.save(folder / "full.keras")
    return made


def compress(folder, *words):
    return call(
        *["compress", "--model", "full.keras", "--data", "data", *words],
        folder=folder,
    )


def test_a_model_is_compressed_tuned_and_saved(folder, model):
    done = compress(
        *[folder, "--budget", "20x", "--out", "small.keras", "--tune"],
    )
    assert done.returncode == 0, done.stderr
    assert "popularity" in done.stdout  # the log's counts
    assert "auc: " in done.stdout
    assert "logloss: " in done.stdout
    assert "learning rate  epochs  validation score" in done.stdout
    small = keras.saving.load_model(folder / "small.keras")
    features, _ = next(
        iter(open_click_log(folder / "data").in_order("test", 64))
    )
    found, before = (
        np.array(made(features)).ravel() for made in (small, model)
    )
    assert np.isfinite(found).all()
    assert np.corrcoef(found, before)[0, 1] > 0.5
    tables = keras_pss.memory_report(small).total
    assert tables.compression >= 20
    done = compress(folder, "--budget", "20x", "--out", "small.keras")
    assert done.returncode == 2
    assert "must be a new file" in done.stderr


def test_rows_of_few_bits_are_packed_in_the_file(folder, model):
    done = compress(
        *[folder, "--method", "quantized", "--budget", "2x"],
        *["--out", "bits.keras", "--json"],
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["compression"] >= 2
    assert report["after"]["auc"] == pytest.approx(
        report["before"]["auc"], abs=0.02
    )
    full, bits = (folder / f"{n}.keras" for n in ("full", "bits"))
    assert bits.stat().st_size < full.stat().st_size / 1.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "small.h5"], "--out must end in .keras"),
        (["--out", "x.keras", "--budget", "ten"], "--budget must be a ratio"),
        (["--out", "x.keras", "--layer", "no"], "--layer must name embedding"),
        (["--out", "x.keras", "--counts", "no.npz"], "--counts must be an"),
        (["--out", "x.keras", "--method", "best"], "--method must be one"),
        (["--out", "x.keras", "--counts", "later.npz"], "--counts is damaged"),
        (["--out", "x.keras", "--model", "later.keras"], "--model is damaged"),
    ],
)
def test_mistakes_are_one_line(folder, model, words, message):
    for name in ("later.npz", "later.keras"):
        (folder / name).write_text("no archive")
    done = compress(folder, *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "x.keras").exists()


def test_counts_of_a_file_by_layer_and_table(folder, model):
    (tables,) = [
        layer
        for layer in model.layers
        if isinstance(layer, keras_pss.EmbeddingCollection)
    ]
    np.savez(
        folder / "own.npz",
        **{
            f"{tables.name}/{place}": np.arange(rows)
            for place, rows in enumerate(tables.input_dims)
        },
    )
    done = call(
        *["compress", "--model", "full.keras", "--counts", "own.npz"],
        *["--budget", "20x", "--out", "own.keras", "--json"],
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {row["method"] for row in report["tables"]} == {"popularity"}
    assert report["compression"] >= 20


def test_what_tuning_needs(folder):
    done = call(
        *["compress", "--model", "run", "--out", "x.keras", "--tune"],
        folder=folder,
    )
    assert done.returncode == 2
    assert "--tune needs the rows of --data" in done.stderr


def test_compressed_tables_are_left(folder):
    done = call("compress", "--model", "run", "--out", "x.keras", folder=folder)
    assert done.returncode == 2
    assert "its tables are compressed (--method popularity)" in done.stderr
