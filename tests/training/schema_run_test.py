"""Runs on a log with a schema: lists, shared tables, new rows."""

import gzip
import json
import shutil

import keras
import numpy as np
import polars as pl
import pytest
import shop_log

from keras_pss import data
from keras_pss.data.encoders.row_encoder import RowEncoder
from keras_pss.data.pipelines.file_batches import file_dataset
from keras_pss.data.readers.block import BrokenRowError
from keras_pss.data.storage import encoder_folder
from keras_pss.training.config import RunConfig
from keras_pss.training.evaluation import evaluate
from keras_pss.training.predict import predict
from keras_pss.training.run import load_model, train

pytestmark = pytest.mark.tf_only

CONFIG = RunConfig(
    model="deepfm",
    model_options={"hidden_units": [8]},
    method="robe",
    budget="2x",
    min_rows=25,
    dim=4,
    epochs=1,
    batch_size=128,
)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    path = shop_log.write(folder / "shop.csv", 800)
    return data.prepare(path, folder / "prepared", shop_log.SCHEMA)


@pytest.fixture(scope="module")
def run(log):
    out = log.directory.parent / "run"
    train(log, CONFIG, out, verbose=0)
    return out


def features_of(batches):
    """The batches' features as whole arrays, and their labels."""
    features, labels = zip(*batches, strict=True)
    names = features[0]
    whole = {k: np.concatenate([f[k] for f in features]) for k in names}
    return whole, np.concatenate(labels)


def test_new_rows_are_encoded_as_prepared_ones(log):
    """Against the records, which another path has written."""
    parts = [
        features_of(data.dataset(log, split, shuffle=False))
        for split in log.splits
    ]
    source = log.directory.parent / "shop.csv"
    found, labels = features_of(
        file_dataset(source, log, batch_size=100, on_rejects=pytest.fail)
    )
    assert set(found) == {
        "dense",
        "categorical",
        "viewed",
        "tags",
        "tags_weights",
    }
    for name, values in found.items():
        wanted = np.concatenate([part[name] for part, _ in parts])
        np.testing.assert_array_equal(values, wanted, name)
    np.testing.assert_array_equal(labels, np.concatenate([y for _, y in parts]))


def test_an_encoder_is_saved_with_the_run(log, run):
    found = encoder_folder.load(run / "encoder")
    assert found.schema == shop_log.SCHEMA
    assert found.tables == log.tables
    texts = pl.DataFrame({"unseen": ["u1", "nobody", ""]})["unseen"]
    wanted = RowEncoder(log)._vocabularies["user"](texts)
    np.testing.assert_array_equal(
        RowEncoder(found)._vocabularies["user"](texts), wanted
    )
    assert wanted[0] > 0
    assert not wanted[1:].any()


def test_a_damaged_encoder_is_refused(run, tmp_path):
    encoding = encoder_folder.load(run / "encoder")
    encoder_folder.save(encoding, tmp_path / "encoder")
    text = tmp_path / "encoder" / "encoder.json"
    text.write_text(text.read_text().replace('"rows": 50', '"rows": 51'))
    with pytest.raises(ValueError, match="must be written by a run"):
        encoder_folder.load(tmp_path / "encoder")
    text.unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold an encoder\.json"):
        encoder_folder.load(tmp_path / "encoder")


def test_evaluate_gives_the_metrics_of_predicted_rows(run, tmp_path):
    new = shop_log.write(tmp_path / "new.csv", 300, seed=1)
    metrics = evaluate(run, [new])
    assert metrics.rows == 300
    for name in ("found.parquet", "found.csv"):
        assert predict(run, new, tmp_path / name) == 300
    found = pl.read_parquet(tmp_path / "found.parquet")
    assert found.columns == ["row", "probability"]
    assert found["row"].to_list() == [f"r{i}" for i in range(300)]
    text = pl.read_csv(tmp_path / "found.csv")
    np.testing.assert_allclose(
        text["probability"], found["probability"], rtol=1e-6
    )
    model, encoding = load_model(run), encoder_folder.load(run / "encoder")
    batches = file_dataset(new, encoding, on_rejects=pytest.fail)
    wanted = np.concatenate([model(x)[:, 0] for x, _ in batches])
    np.testing.assert_allclose(found["probability"], wanted, atol=1e-6)
    labels = np.concatenate([y for _, y in batches])
    loss = keras.losses.BinaryCrossentropy()(labels, wanted)
    assert metrics.logloss == pytest.approx(float(loss), abs=1e-5)


def test_rows_without_labels_are_predicted(run, tmp_path):
    new = shop_log.write(tmp_path / "new.csv", 50, seed=1)
    bare = tmp_path / "bare.csv"
    lines = new.read_text().splitlines()
    bare.write_text("\n".join(x.rpartition(",")[0] for x in lines))
    assert predict(run, new, tmp_path / "a.parquet") == 50
    assert predict(run, bare, tmp_path / "b.parquet") == 50
    first = pl.read_parquet(tmp_path / "a.parquet")
    assert first.equals(pl.read_parquet(tmp_path / "b.parquet"))


def test_a_broken_row_has_no_prediction(run, tmp_path):
    new = shop_log.write(tmp_path / "new.csv", 20)
    lines = new.read_text().splitlines()
    lines[4] = lines[4].replace("17000", "then ")
    new.write_text("\n".join(lines))
    broken = []
    out = tmp_path / "out.csv"
    assert predict(run, new, out, on_rejects=broken.extend) == 19
    assert [reject.line for reject in broken] == [5]
    assert "r3" not in out.read_text()


def test_mistakes_of_predict(run, log, tmp_path):
    source = log.directory.parent / "shop.csv"
    with pytest.raises(ValueError, match=r"end in \.parquet or \.csv"):
        predict(run, source, tmp_path / "out.txt")
    (tmp_path / "there.csv").touch()
    with pytest.raises(ValueError, match="exists"):
        predict(run, source, tmp_path / "there.csv")


def test_a_filter_of_single_ids_needs_tables_without_names(log, tmp_path):
    config = RunConfig.of({**CONFIG.as_dict(), "min_count": 3})
    with pytest.raises(ValueError, match="Set `min_count` of the features"):
        train(log, config, tmp_path / "run", verbose=0)


def test_a_row_without_a_key_must_not_be_broken(run, tmp_path):
    """Nothing would tell which row is missing."""
    keyless = shutil.copytree(run, tmp_path / "run")
    file = keyless / "encoder" / "encoder.json"
    content = json.loads(file.read_text())
    del content["schema"]["keys"]
    file.write_text(json.dumps(content))
    new = shop_log.write(tmp_path / "new.csv", 20)
    out = tmp_path / "out.csv"
    assert predict(keyless, new, out) == 20
    assert out.read_text().startswith("probability\n")
    with open(new, "a") as log:
        log.write("broken\n")
    with pytest.raises(BrokenRowError, match=r"new\.csv.*22"):
        predict(keyless, new, out, overwrite=True)
    assert len(out.read_text().splitlines()) == 21


def test_files_of_another_form_are_named_before_batches_are_made(log, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("user,thing\nu1,i2\n")
    source = log.directory.parent / "shop.csv"
    with pytest.raises(ValueError, match=r"other.csv has no .*the columns"):
        file_dataset([source, other], log, on_rejects=pytest.fail)
    other.write_bytes(gzip.compress(b"user\nu1\n"))
    with pytest.raises(ValueError, match=r"Rename it to other\.csv\.gz"):
        file_dataset([source, other], log, on_rejects=pytest.fail)
