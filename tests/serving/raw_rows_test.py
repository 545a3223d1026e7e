"""Raw rows of a whole log, through every form in which a model is kept."""

import importlib
import os
import subprocess
import sys

import keras
import numpy as np
import polars as pl
import pytest
import raw_logs
import tensorflow as tf

import keras_pss
from keras_pss.features import Categorical, Dense, Label, Schema, Timestamp
from keras_pss.serving import export_saved_model
from keras_pss.serving.raw_rows import RawModel, preprocessing, raw_inputs
from keras_pss.serving.raw_rows.layers.times import Seconds

pytestmark = pytest.mark.tf_only


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    frame = raw_logs.as_frame(raw_logs.made_rows(600))
    return raw_logs.prepared(frame, tmp_path_factory.mktemp("log") / "out")


@pytest.fixture(scope="module")
def frame():
    return raw_logs.as_frame(raw_logs.made_rows(300, seed=1))


@pytest.fixture(scope="module")
def features(log, frame):
    """What the host makes of the rows."""
    found = raw_logs.values(frame)
    assert not found.rejects
    return raw_logs.host(log, found.rows)


@pytest.fixture(scope="module")
def raw(log):
    return preprocessing(log)


@pytest.fixture(scope="module")
def model(log):
    tables = keras_pss.EmbeddingCollection.for_log(log, 4, "robe", budget=4000)
    return keras_pss.models.DCN(tables, hidden_units=(4,))


@pytest.fixture(scope="module")
def exported(model, log, tmp_path_factory):
    return export_saved_model(
        model, tmp_path_factory.mktemp("m") / "1", raw=log
    )


def numpy(outputs):
    return {name: x.numpy() for name, x in outputs.items()}


def test_features_equal_the_hosts(raw, frame, features):
    raw_logs.same(numpy(raw(raw_logs.sent(frame))), features)
    assert {name: x.shape[1:] for name, x in raw.output.items()} == {
        name: x.shape[1:] for name, x in features.items()
    }
    assert {name: x.dtype for name, x in raw.output.items()} == {
        name: x.dtype.name for name, x in features.items()
    }


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_saved_preprocessing_is_the_same(
    raw, frame, features, tmp_path, policy
):
    raw.save(tmp_path / "raw.keras")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        loaded = keras.saving.load_model(tmp_path / "raw.keras")
    finally:
        keras.config.set_dtype_policy(before)
    raw_logs.same(numpy(loaded(raw_logs.sent(frame))), features)
    clone = keras.models.clone_model(raw)
    raw_logs.same(numpy(clone(raw_logs.sent(frame))), features)


def test_it_runs_within_pipelines(raw, frame, features):
    rows = tf.data.Dataset.from_tensor_slices(raw_logs.sent(frame))
    batches = list(rows.batch(100).map(raw))
    found = {k: np.concatenate([b[k] for b in batches]) for k in features}
    raw_logs.same(found, features)


SCRIPT = """
import sys
sys.modules["keras"] = sys.modules["keras_pss"] = None
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
sent = np.load(sys.argv[2], allow_pickle=True)
serve = loaded.signatures["serve_raw"]
specs = serve.structured_input_signature[1]
given = {k: tf.constant(v, specs[k].dtype) for k, v in sent.items()}
(found,) = serve(**given).values()
np.save(sys.argv[3], found.numpy())
given["number"] = tf.constant(["1", "x7"] * (len(found) // 2))
given = {k: v if k != "a_number" else given["number"] for k, v in given.items()}
del given["number"]
try:
    serve(**given)
except tf.errors.InvalidArgumentError as error:
    assert "Column `a number` must hold integers of 64 bits" in str(error)
    assert "x7" in str(error), error
else:
    raise AssertionError
"""


def test_tensorflow_alone_scores_raw_rows(
    model, exported, frame, features, tmp_path
):
    sent = {k: x.numpy() for k, x in raw_logs.sent(frame).items()}
    np.savez(tmp_path / "sent.npz", **sent)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            SCRIPT,
            exported,
            tmp_path / "sent.npz",
            tmp_path / "found.npy",
        ],
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    wanted = model.predict(features, verbose=0)[:, 0]
    found = np.load(tmp_path / "found.npy")
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_all_signatures(model, exported, frame, features):
    loaded = tf.saved_model.load(str(exported))
    assert set(loaded.signatures) == {
        "serve",
        "serving_default",
        "serve_raw",
        "serve_examples",
    }
    given = {name: tf.constant(x) for name, x in features.items()}
    found = loaded.signatures["serving_default"](**given)
    wanted = model.predict(features, verbose=0)
    assert found["probability"].dtype == tf.float32
    np.testing.assert_allclose(found["probability"], wanted[:, 0], atol=1e-6)
    np.testing.assert_allclose(loaded.serve(given), wanted, atol=1e-6)
    raw = loaded.signatures["serve_raw"](**raw_logs.sent(frame))
    np.testing.assert_allclose(raw["probability"], wanted[:, 0], atol=1e-6)
    specs = loaded.signatures["serve_raw"].structured_input_signature[1]
    assert {
        name: (spec.dtype.name, spec.shape.as_list())
        for name, spec in specs.items()
    } == {
        raw.name: (raw.dtype, [None, *raw.shape])
        for raw in raw_inputs(raw_logs.SCHEMA)
    }


def as_examples(frame):
    """The rows as clients of `serve_examples` send them."""
    kinds = {
        raw.column: (raw.name, raw.kind) for raw in raw_inputs(raw_logs.SCHEMA)
    }

    def feature(name, kind, value):
        made = tf.train.Feature()
        values = value if isinstance(value, list) else [value]
        if kind in ("text", "texts"):
            made.bytes_list.value.extend(x.encode() for x in values)
        elif name == "count":
            made.int64_list.value.extend(map(int, values))
        else:
            nan = float("nan")
            values = [nan if x is None else x for x in values]
            made.float_list.value.extend(values)
        return made

    return [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    kinds[column][0]: feature(*kinds[column], value)
                    for column, value in row.items()
                    if column in kinds and value is not None
                }
            )
        )
        for row in frame.to_dicts()
    ]


def test_serialized_examples_are_raw_rows(model, exported, frame, features):
    serve = tf.saved_model.load(str(exported)).signatures["serve_examples"]
    assert list(serve.structured_input_signature[1]) == ["examples"]
    rows = as_examples(frame)
    found = serve(examples=[row.SerializeToString() for row in rows])
    wanted = model.predict(features, verbose=0)[:, 0]
    # Numbers of an example are float32, those of a log float64.
    np.testing.assert_allclose(found["probability"], wanted, atol=1e-5)

    def refused(match, name, **values):
        wrong = tf.train.Example.FromString(rows[0].SerializeToString())
        wrong.features.feature[name].Clear()
        for kind, value in values.items():
            getattr(wrong.features.feature[name], kind).value.extend(value)
        with pytest.raises(tf.errors.InvalidArgumentError, match=match):
            serve(examples=[wrong.SerializeToString()])

    refused("Data types don't match", "count", float_list=[1.5])
    refused("`count` must hold 1 values or none", "count", int64_list=[1, 2])
    refused("as many values as `seen`", "v", float_list=[0.5] * 9)
    refused("Column `a number` must hold integ", "a_number", bytes_list=[b"x"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="parse"):
        serve(examples=[b"no example"])


def test_python_scores_frames_and_dictionaries(model, log, frame, features):
    score = RawModel(model, log)
    wanted = model.predict(features, verbose=0)[:, 0]
    for rows in (
        frame,
        frame.to_dict(as_series=False),
        {name: list(column) for name, column in frame.to_dict().items()},
    ):
        np.testing.assert_allclose(score(rows), wanted, atol=1e-6)
    assert score(frame[:0]).shape == (0,)
    assert "click" not in score.columns
    with pytest.raises(ValueError, match=r"must hold the columns.*no 'text'"):
        score(frame.drop("text"))
    with pytest.raises(ValueError, match="columns of one length"):
        score({**frame.to_dict(as_series=False), "text": ["a"]})
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="Column `a number`"
    ):
        score(frame.with_columns(pl.lit("x").alias("a number")))


def test_raw_must_give_the_inputs_of_the_model(raw, tmp_path):
    x = keras.Input((3,), dtype="int32", name="ids")
    for model in (
        keras.Model({"ids": x}, x),
        keras.Model(x, x),
        keras.Sequential([x, keras.layers.Flatten()]),
    ):
        with pytest.raises(ValueError, match="`model` must take the features"):
            export_saved_model(model, tmp_path / "m", raw=raw)
    assert not list(tmp_path.iterdir())


def test_only_tensorflow_has_texts(log, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"which only TensorFlow has.*jax"):
        preprocessing(log)


def test_large_vocabularies(log, monkeypatch, caplog):
    limits = importlib.import_module(preprocessing.__module__)
    monkeypatch.setattr(limits, "MANY_TEXTS", 3)
    preprocessing(log)
    assert "The table text has " in caplog.text
    monkeypatch.setattr(limits, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match="must fit into one SavedModel"):
        preprocessing(log)


def test_inputs():
    columns = {x.column: x for x in raw_inputs(raw_logs.SCHEMA)}
    assert {name: (x.kind, x.shape) for name, x in columns.items()} == {
        "price": ("number", ()),
        "text": ("text", ()),
        "count": ("number", ()),
        "a number": ("text", ()),
        "numbers": ("texts", (None,)),
        "age": ("number", ()),
        "code": ("text", ()),
        "hashed": ("text", ()),
        "height": ("number", ()),
        "vector": ("numbers", (3,)),
        "tags": ("text", ()),
        "w": ("text", ()),
        "codes": ("text", ()),
        "seen": ("texts", (None,)),
        "v": ("numbers", (None,)),
        "few": ("texts", (None,)),
        "rare": ("text", ()),
        "at": ("text", ()),
    }
    assert columns["a number"].name == "a_number"
    time = Timestamp("t", "epoch_s", features=("hour",))
    (found,) = raw_inputs(Schema([], timestamp=time))
    assert (found.kind, found.dtype) == ("epoch", "int64")
    unread = Timestamp("t", "epoch_s")
    assert [
        x.column for x in raw_inputs(Schema([Dense("d")], timestamp=unread))
    ] == ["d"]


@pytest.mark.parametrize("form", ["%Y-%m", "%d %b %Y", "%Y %y %j", "%s", "%H%"])
def test_times_that_tensorflow_cannot_read(form, tmp_path):
    with pytest.raises(ValueError, match="`format` of the timestamp must hold"):
        Seconds("at", form)


def test_columns_may_have_the_names_of_layers(tmp_path):
    """Keras gives some of them by itself."""
    names = ["raw_rows", "numbers", "text_ids", "Text_ids", "present_text"]
    schema = Schema([Categorical(n) for n in names], label=Label("click"))
    frame = pl.DataFrame({n: ["a", "b"] * 9 for n in names})
    frame = frame.with_columns(click=pl.Series([0, 1] * 9))
    log = raw_logs.prepared(frame, tmp_path / "log", schema)
    found = preprocessing(log)(raw_logs.sent(frame, schema))["categorical"]
    assert found.shape == (18, 5)
    assert set(found.numpy().ravel()) <= {0, 1, 2}
