"""A run takes raw rows: in its SavedModel, in an export, and in Python."""

import json

import numpy as np
import polars as pl
import pytest
import raw_logs
import shop_log
import tensorflow as tf

from keras_pss import data
from keras_pss.data.encoders.row_encoder import RowEncoder
from keras_pss.serving.formats import litert, onnx, openvino
from keras_pss.serving.raw_rows import raw_inputs
from keras_pss.serving.raw_rows.column_values import column_values
from keras_pss.serving.raw_rows.sample_columns import sample_columns
from keras_pss.training import raw_model
from keras_pss.training.config import RunConfig
from keras_pss.training.finished.finished_run import load_encoder
from keras_pss.training.finished.predict import predict
from keras_pss.training.finished.raw_rows import raw_rows
from keras_pss.training.run import train
from keras_pss_cli.finished_runs import ExportFormat, export

pytestmark = pytest.mark.tf_only

CONFIG = RunConfig(
    model="dcnv2",
    model_options={"hidden_units": [8]},
    method="robe",
    budget="2x",
    min_rows=25,
    dim=4,
    epochs=1,
    batch_size=128,
    jit_compile=False,  # other runs are compiled
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    path = shop_log.write(folder / "shop.csv", 800)
    log = data.prepare(path, folder / "prepared", shop_log.SCHEMA)
    train(log, CONFIG, folder / "run", verbose=0)
    return folder / "run"


@pytest.fixture(scope="module")
def rows(run):
    """New rows, and the probabilities that `predict` gives."""
    new = shop_log.write(run.parent / "new.csv", 200, seed=1)
    predict(run, new, run.parent / "found.parquet")
    found = pl.read_parquet(run.parent / "found.parquet")
    return pl.read_csv(new), found["probability"].to_numpy()


def served(path, frame):
    loaded = tf.saved_model.load(str(path))
    assert {"serving_default", "serve_raw"} <= set(loaded.signatures)
    schema = shop_log.SCHEMA
    given = {
        raw.name: tf.constant(
            column_values(raw, frame[raw.column], schema), raw.dtype
        )
        for raw in raw_inputs(schema)
    }
    return loaded.signatures["serve_raw"](**given)["probability"].numpy()


def test_the_saved_model_takes_raw_rows(run, rows):
    frame, wanted = rows
    found = served(run / "saved_model", frame)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_python_takes_raw_rows(run, rows):
    frame, wanted = rows
    score = raw_model(run)
    np.testing.assert_allclose(score(frame), wanted, atol=1e-6)
    np.testing.assert_allclose(
        score({name: frame[name].to_list() for name in score.columns}),
        wanted,
        atol=1e-6,
    )


def test_a_quantized_export_takes_raw_rows(run, rows, tmp_path):
    frame, wanted = rows
    export(run, tmp_path / "m", int8=True)
    found = served(tmp_path / "m", frame)
    assert 0 < np.abs(found - wanted).max() < 0.05


# Converters use what NumPy and Python deprecate.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("form", [litert, onnx, openvino])
def test_other_formats_take_ids_and_raw_numbers(run, rows, form, tmp_path):
    frame, wanted = rows
    name = form.__name__.rpartition(".")[2]
    export(run, tmp_path / "m", ExportFormat(name))
    schema = shop_log.SCHEMA
    encoded = RowEncoder(load_encoder(run))(raw_logs.values(frame, schema).rows)
    del encoded["dense"]
    numbers = frame.select("price", "rank").fill_null(np.nan).to_numpy()
    encoded["numbers"] = numbers.astype("float32")
    assert np.isnan(numbers).any()
    found = form.load(tmp_path / "m")(encoded)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    card = json.loads((tmp_path / "m" / "model_card.json").read_text())
    assert card["numbers_are_transformed_in_the_graph"]
    assert [x["name"] for x in card["numbers"]] == ["price", "rank"]
    assert card["numbers"][0]["transform"] == "log1p"
    columns = {x["name"]: x for x in card["inputs"]}["categorical"]["columns"]
    assert [c["name"] for c in columns] == [f.name for f in schema.single]
    text = (tmp_path / "m" / "README.md").read_text()
    assert "takes **raw** numbers, NaN where one is missing" in text


def test_an_exported_saved_model_has_warm_up_requests(run, rows, tmp_path):
    frame, wanted = rows
    out = tmp_path / "shop" / "1"
    export(run, out)
    np.testing.assert_allclose(served(out, frame), wanted, atol=1e-6)
    assert (out / "assets.extra" / "tf_serving_warmup_requests").is_file()
    text = (out / "README.md").read_text()
    assert "`dense` takes **transformed** numbers" in text
    columns = sample_columns(load_encoder(run), 100)
    assert {name: x.shape[0] for name, x in columns.items()} == {
        raw.name: 100 for raw in raw_inputs(shop_log.SCHEMA)
    }


def test_a_run_does_not_fail_for_raw_rows(run, caplog, tmp_path):
    text = (run / "encoder" / "encoder.json").read_text()
    content = json.loads(text)
    content["schema"]["timestamp"]["format"] = "%d %b %Y %H"
    for file in (run / "encoder").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "encoder.json").write_text(json.dumps(content))
    assert raw_rows(tmp_path) is None
    assert "takes no raw rows: `format` of the timestamp" in caplog.text
    assert raw_rows(run / "encoder.npz") is None
    with pytest.raises(ValueError, match="run on a prepared log"):
        raw_model(tmp_path)
