"""Runs on another backend than TensorFlow."""

import shutil
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
import shop_log
from command_line import call, keras_pss
from golden_files import FOLDER, read_json
from runs import NARROW

from keras_pss import data
from keras_pss.data import criteo, movielens
from keras_pss.data.locate import as_click_log
from keras_pss.data.movielens.likes_log import LikesLog
from keras_pss.training import RunConfig, evaluate, train
from keras_pss.training.backends import exporting
from keras_pss.training.finished.predict import predict
from keras_pss.training.fit import fit, model_for

BACKEND = keras.backend.backend()
on_jax = pytest.mark.skipif(BACKEND != "jax", reason="JAX trains")
# A state of TensorFlow after the first of four evaluations.
STOPPED = FOLDER / "stopped"
CONFIG = RunConfig(**read_json(STOPPED / "run.json")["config"])


class Stop(keras.callbacks.Callback):
    """Stops a run as Ctrl-C does, in its second round."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 1:
            raise KeyboardInterrupt


def golden_log():
    return as_click_log(criteo.load(FOLDER / "prepared" / "vocabulary"))


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch does not train")
def test_pytorch_trains_no_runs(tmp_path):
    message = "KERAS_BACKEND=tensorflow or KERAS_BACKEND=jax.*backend=torch"
    with pytest.raises(ValueError, match=message):
        train(criteo.load(FOLDER / "prepared" / "vocabulary"), CONFIG, tmp_path)
    assert not list(tmp_path.iterdir())


def likes():
    """Few columns, which compile soon: 24 users, 24 items, random likes."""
    users, items = np.divmod(np.arange(24 * 24, dtype=np.int32), 24)
    labels = np.random.RandomState(0).randint(0, 2, len(users))
    ids = np.arange(24)
    return LikesLog(
        movielens.Interactions(users, items, labels, ids, ids), last=4
    )


@on_jax
def test_a_resumed_run_is_bit_equal(tmp_path):
    """With dropout, slots of rows and batches of two sizes."""
    log, traced = likes(), []
    config = RunConfig(
        model="neuralcf",
        model_options={"hidden_units": [4], "dropout": 0.2},
        budget="2x",
        dim=4,
        epochs=1,
        evaluations=2,
        batch_size=100,
        optimizer="lazy_adam",
    )
    assert log.rows("train") % 100

    def fitted(folder, *callbacks):
        folder.mkdir(exist_ok=True)
        model = model_for(log, config)
        step = model.predict_step
        model.predict_step = lambda *a: (traced.append(model), step(*a))[1]
        return fit(model, log, config, folder, callbacks, verbose=0)

    whole = fitted(tmp_path / "whole")
    whole.scorer.whole("test")
    # All evaluations and the test share what was compiled.
    assert len(traced) == 1
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "stopped", Stop())
    resumed = fitted(tmp_path / "stopped")
    assert resumed.history == whole.history
    assert len(whole.history["loss"]) == 2
    assert len(set(whole.history["val_logloss"])) == 2
    assert whole.backends == resumed.backends == ["jax"]
    pairs = zip(resumed.model.weights, whole.model.weights, strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


@on_jax
@pytest.mark.slow
def test_a_state_of_tensorflow_goes_on(tmp_path, caplog):
    run = tmp_path / "run"
    shutil.copytree(STOPPED, run)
    log = golden_log()
    fitted = fit(model_for(log, CONFIG), log, CONFIG, run, verbose=0)
    assert fitted.backends == ["tensorflow", "jax"]
    (warning,) = fitted.warnings()
    assert "trained on tensorflow and then on jax" in warning
    assert caplog.messages.count(warning) == 1
    expected = read_json(STOPPED / "end.json")["history"]
    for name in ("loss", "val_logloss"):
        assert fitted.history[name][0] == expected[name][0]
        # Dropout masks other units.
        np.testing.assert_allclose(fitted.history[name], expected[name], 0.05)


@on_jax
@pytest.mark.slow
def test_tensorflow_ends_a_run_as_jax_does(tmp_path):
    log = FOLDER / "prepared" / "vocabulary"
    config = RunConfig(
        model_options=NARROW, budget="4x", dim=4, epochs=2, batch_size=64
    )
    ours, theirs = tmp_path / "jax", tmp_path / "tensorflow"
    with (
        mock.patch.object(keras.callbacks, "TensorBoard", Stop),
        pytest.raises(KeyboardInterrupt),
    ):
        train(criteo.load(log), config, ours, verbose=0)
    shutil.copytree(ours, theirs)
    report = train(criteo.load(log), config, ours, verbose=0, resume=True)
    options = ["--budget", "4x", "--dim", 4, "--epochs", 2, "--batch-size", 64]
    for name, value in NARROW.items():
        options.append(f"--model-option={name}={value}")
    done = keras_pss(
        "train", "--data", log, "--out", theirs, "--resume", *options
    )
    assert done.returncode == 0, done.stderr
    other = read_json(theirs / "report.json")
    assert report["backends"] == ["jax"]
    assert not any("trained on" in warning for warning in report["warnings"])
    assert other["backends"] == ["jax", "tensorflow"]
    assert "jax and then on tensorflow" in done.stderr
    assert report.keys() == other.keys()
    for name in ("loss", "val_logloss"):
        found, expected = report["history"][name], other["history"][name]
        assert found[0] == expected[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@on_jax
@pytest.mark.slow
def test_a_run_is_exported_and_used_as_one_of_tensorflow(tmp_path):
    """A log with lists and shared tables, whose tables are packed."""
    path = shop_log.write(tmp_path / "shop.csv", 800)
    log = data.prepare(path, tmp_path / "prepared", shop_log.SCHEMA)
    config = RunConfig(
        model="dcnv2",
        model_options={"hidden_units": [8]},
        budget="1kB",
        dim=4,
        epochs=1,
        batch_size=128,
    )
    run = tmp_path / "run"
    # A process that fails leaves no report, and the run is resumed.
    with (
        mock.patch.object(exporting, "_PROCESS", "keras_pss.nowhere"),
        pytest.raises(ChildProcessError, match=r"with `resume`.*nowhere"),
    ):
        train(log, config, run, verbose=0)
    assert not list(run.glob("saved_model*"))
    assert not (run / "report.json").exists()
    report = train(log, config, run, verbose=0, resume=True)
    assert report["versions"]["backend"] == "jax"
    assert report["served_bytes"] <= 1000
    for name in ("tensorboard", "plots"):
        assert list((run / name).rglob("*.*"))
    assert evaluate(run, log.directory).auc == report["auc"]
    new = shop_log.write(tmp_path / "new.csv", 200, seed=1)
    predict(run, new, tmp_path / "found.csv")
    wanted = np.loadtxt(
        tmp_path / "found.csv", delimiter=",", skiprows=1, usecols=1
    )
    np.testing.assert_allclose(
        served(run / "saved_model", new), wanted, atol=1e-5
    )
    again = tmp_path / "again"
    done = call("export", "--run", run, "--out", again, "--int8")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(served(again, new), wanted, atol=0.05)
    done = call("export", "--run", run, "--out", again)
    assert done.returncode == 2
    assert "--out must be a new or empty folder" in done.stderr


def served(folder, path: Path):
    """What plain TensorFlow predicts for the raw rows of a file."""
    import polars as pl
    import tensorflow as tf

    from keras_pss.serving.raw_rows import raw_inputs
    from keras_pss.serving.raw_rows.column_values import column_values

    frame, schema = pl.read_csv(path), shop_log.SCHEMA
    given = {
        raw.name: tf.constant(
            column_values(raw, frame[raw.column], schema), raw.dtype
        )
        for raw in raw_inputs(schema)
    }
    signature = tf.saved_model.load(str(folder)).signatures["serve_raw"]
    return signature(**given)["probability"].numpy()
