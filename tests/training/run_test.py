"""Whole runs on generated rows: what they leave behind, and what they know."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.data import criteo, synthetic
from keras_pss.data.locate import as_click_log, open_click_log
from keras_pss.layers.base.walk import every
from keras_pss.layers.embedding.methods import METHODS
from keras_pss.metrics.click_metrics import Metrics
from keras_pss.optimizers.warmup_decay import DECAYS
from keras_pss.training import checkpoint
from keras_pss.training.build_model import (
    OPTIMIZERS,
    build_model,
    embedding_parts,
    methods_of,
)
from keras_pss.training.config import LEARNING_RATES, MODELS, RunConfig
from keras_pss.training.fit import Fitted, fit, model_for
from keras_pss.training.run import evaluate, load_model, train
from keras_pss.training.run_callbacks import BestModel, RoundProgress, StopOnNaN
from keras_pss.training.settings import Settings

pytestmark = pytest.mark.tf_only

# Real click logs lie beside the project where there are any.
REAL_DATA = Path(__file__).parents[2].parent / "shared" / "data"

# What tools that read a report rely on.
REPORT_KEYS = [
    "model",
    "method",
    "budget",
    "auc",
    "logloss",
    "normalized_entropy",
    "embedding_params",
    "full_params",
    "compression",
    "embedding_bytes",
    "step_ms_median",
    "samples_per_second",
    "epochs",
    "best_epoch",
    "seed",
    "versions",
]


def changed(config, **settings):
    return RunConfig.of({**config.as_dict(), **settings})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    synthetic.generate(folder / "log.tsv", rows=12_000, scale=0.002)
    synthetic.generate(folder / "later.tsv", rows=3_000, scale=0.002, seed=1)
    criteo.prepare(folder / "log.tsv", folder / "prepared")
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "robe"
    prepared = criteo.load(data / "prepared")
    config = RunConfig(budget="20x", epochs=3, batch_size=256, patience=1)
    report = train(prepared, config, out, verbose=0)
    return out, report


def test_report_is_complete_and_true(run, data):
    out, report = run
    assert json.loads((out / "report.json").read_text()) == report
    assert set(REPORT_KEYS) <= set(report)
    assert 0.5 < report["auc"] < 0.9
    model = load_model(out)
    held = model.get_layer("embeddings").count_params()
    assert report["embedding_params"] == held
    assert report["full_params"] / held == report["compression"] >= 20
    assert report["embedding_bytes"] == 4 * held
    assert 1 <= report["best_epoch"] <= report["epochs"] <= 3
    curve = report["history"]["val_auc"]
    assert report["best_epoch"] == 1 + int(np.argmax(curve))
    assert report["validation_auc"] == max(curve)
    assert report["step_ms_median"] > 0


def test_the_kept_model_is_the_best_epochs(run, data):
    out, report = run
    prepared = criteo.load(data / "prepared")
    validation = criteo.dataset(
        prepared, "validation", batch_size=512, shuffle=False
    )
    from keras_pss.metrics.click_metrics import Metrics

    labels = np.concatenate([y.numpy() for _, y in validation])
    scores = load_model(out).predict(validation, verbose=0)
    assert Metrics.of(labels, scores).auc == report["validation_auc"]


def test_everything_is_left_behind(run):
    out, _ = run
    for name in ("learning_curves", "roc", "calibration"):
        png = (out / "plots" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
    assert list((out / "tensorboard").rglob("events*"))
    assert (out / "saved_model" / "saved_model.pb").is_file()
    assert not list(out.glob("part-*"))


def test_the_saved_model_gives_equal_bits(run, data):
    import tensorflow as tf

    out, _ = run
    test = criteo.dataset(
        criteo.load(data / "prepared"), "test", batch_size=512, shuffle=False
    )
    features, _ = next(iter(test))
    served = tf.saved_model.load(str(out / "saved_model"))
    model = load_model(out)
    expected = tf.function(model)(features).numpy()
    assert served.serve(features).numpy().tobytes() == expected.tobytes()
    bad = {**features, "categorical": features["categorical"] - 10**6}
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="must be integers"
    ):
        served.serve(bad)


def test_evaluate_uses_the_runs_own_ids(run, data):
    out, report = run
    later = evaluate(out, [data / "later.tsv"])
    assert later.rows == 3_000
    assert abs(later.auc - report["auc"]) < 0.1
    assert evaluate(out, [data / "later.tsv"], batch_size=77).auc == later.auc


def test_evaluate_warns_of_rows_that_were_trained_on(run, data, caplog):
    out, report = run
    (source,) = report["sources"]
    assert source["name"] == "log.tsv"
    evaluate(out, [data / "later.tsv"])
    assert caplog.messages == []
    # Under another name, and beside a file of other rows.
    (data / "copy.tsv").write_bytes((data / "log.tsv").read_bytes())
    evaluate(out, [data / "later.tsv", data / "copy.tsv"])
    (message,) = caplog.messages
    assert f"{data / 'copy.tsv'} is the file log.tsv that the run" in message
    assert "do not hold for new rows" in message


def test_an_older_run_knows_no_sources(run, data, tmp_path, caplog):
    out, report = run
    old = tmp_path / "old"
    shutil.copytree(out, old)
    kept = {k: v for k, v in report.items() if k != "sources"}
    (old / "report.json").write_text(json.dumps(kept))
    assert evaluate(old, [data / "log.tsv"]).rows == 12_000
    assert caplog.messages == []


def test_the_same_seed_gives_the_same_run(data, tmp_path):
    prepared = criteo.load(data / "prepared")
    config = RunConfig(budget="20x", epochs=1, batch_size=512, seed=3)
    first, second = (
        train(prepared, config, tmp_path / name, verbose=0) for name in "ab"
    )
    assert first["auc"] == second["auc"]
    other = RunConfig(budget="20x", epochs=1, batch_size=512, seed=4)
    third = train(prepared, other, tmp_path / "c", verbose=0)
    assert third["auc"] != first["auc"]


@pytest.mark.parametrize("method", ["full", "tt", "qr", "hash"])
def test_every_method_trains(method, data, tmp_path):
    prepared = criteo.load(data / "prepared")
    config = RunConfig(
        method=method,
        budget="3x",
        epochs=1,
        batch_size=512,
        optimizer="adagrad" if method == "tt" else "adam",
    )
    report = train(prepared, config, tmp_path / "run", verbose=0)
    assert np.isfinite(report["logloss"])
    assert method == "full" or report["compression"] >= 3


def test_clustered_tables_are_reclustered(data, tmp_path):
    prepared = criteo.load(data / "prepared")
    config = RunConfig(
        method="clustered", budget="20x", epochs=2, batch_size=512, patience=5
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


def test_hot_rows_are_refreshed_by_themselves(data, tmp_path):
    prepared = criteo.load(data / "prepared")
    config = RunConfig(
        model="deepfm",
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


def test_open_ids_train_too(data, tmp_path):
    prepared = criteo.prepare(data / "log.tsv", tmp_path / "hashed", ids="hash")
    config = RunConfig(budget="64KB", epochs=1, batch_size=512)
    report = train(prepared, config, tmp_path / "run", verbose=0)
    assert report["compression"] is None
    assert report["embedding_bytes"] <= 64_000
    assert evaluate(tmp_path / "run", [data / "later.tsv"]).rows == 3000


def test_a_run_is_never_overwritten(run, data):
    out, _ = run
    prepared = criteo.load(data / "prepared")
    with pytest.raises(ValueError, match="already holds a run"):
        train(prepared, RunConfig(), out)


def test_training_needs_rows_to_choose_and_to_test_on(data, tmp_path):
    prepared = criteo.prepare(data / "log.tsv", tmp_path / "all", split="none")
    with pytest.raises(ValueError, match="no validation rows"):
        train(prepared, RunConfig(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="`run` must be a folder"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "dlmr"}, "`model` must be 'dlrm', 'dcn', 'dcnv2'"),
        ({"model_options": {"units": 3}}, "`model_options` of model='dlrm'"),
        ({"decay": "cosinus"}, "`decay` must be 'constant', 'cosine'"),
        ({"precision": "half"}, "`precision` must be 'float32'"),
        ({"clip_norm": 0.0}, "`clip_norm` must be greater than 0. Rec"),
        (
            {"warmup_steps": -1},
            "`warmup_steps` must be greater than or",
        ),
        (
            {"evaluations": 0},
            "`evaluations` must be greater than or",
        ),
        ({"decay_steps": 9}, "`decay_steps` needs a `decay`"),
        ({"decay": "exponential"}, "end_learning_rate"),
        ({"min_rows": 9, "compress_largest": 3}, "replaces `min_rows`: give"),
        ({"budget": None}, "must give the size of a table: `memory_size`"),
        (
            {"optimizer": "sdg"},
            "must be 'adam', 'adagrad' or 'sgd'. Rec",
        ),
        ({"method": "rob"}, "`method` must be one of 'full', 'robe'"),
        ({"budget": "0x"}, "`budget` must be a ratio"),
        ({"epochs": 0}, "`epochs` must be greater than or equal to 1"),
        ({"batch_size": -2}, "`batch_size` must be greater than or"),
        ({"learning_rate": 0.0}, "`learning_rate` must be greater than 0"),
        ({"embedding_scale": -1.0}, "must be greater than 0 or 'rows'"),
        ({"embedding_scale": "row"}, "must be a valid number or 'rows'. Rec"),
        ({"monitor": "loss"}, "`monitor` must be 'auc' or 'logloss'"),
        ({"jit_compile": 1}, "`jit_compile` must be a valid boolean or 'auto'"),
        ({"speed": 1}, "A run's settings are: model, model_options"),
        ({"min_rows": 2.0}, "`min_rows` must be a valid integer"),
        (
            {"epochs": "3"},
            "must be a valid integer. Received: epochs=",
        ),
        ({"epochs": 2.5}, "`epochs` must be a valid integer"),
        ({"dim": True}, "`dim` must be a valid integer"),
        ({"seed": None}, "`seed` must be a valid integer"),
        ({"learning_rate": "1"}, "`learning_rate` must be a valid number"),
        (
            {"learning_rate": float("nan")},
            "`learning_rate` must be a finite num",
        ),
        ({"options": 3}, "`options` must be a valid dictionary"),
        ({"model": None}, "`model` must be 'dlrm', 'dcn'"),
    ],
)
def test_config_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        RunConfig(**arguments)


def test_a_split_of_one_class_is_refused_before_training(tmp_path):
    synthetic.generate(tmp_path / "log.tsv", rows=700, scale=0.001)
    rows = (tmp_path / "log.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "log.tsv").write_text(
        "".join(rows[:600]) + "".join("0" + row[1:] for row in rows[600:])
    )
    prepared = criteo.prepare(tmp_path / "log.tsv", tmp_path / "data")
    with pytest.raises(ValueError, match="0 clicks in 100 test rows"):
        train(prepared, RunConfig(), tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


def test_the_best_epoch_outlives_a_divergence(data, tmp_path, monkeypatch):
    from keras_pss.training import fit as module

    class Diverges(module.BestModel):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                weight = self.model.get_layer("probability").bias
                weight.assign([float("nan")])
            super().on_epoch_end(epoch, logs)

    monkeypatch.setattr(module, "BestModel", Diverges)
    prepared = criteo.load(data / "prepared")
    config = RunConfig(budget="20x", epochs=3, batch_size=512)
    report = train(prepared, config, tmp_path / "run", verbose=0)
    assert report["diverged"]
    # The second epoch, which diverged, is not recorded.
    assert (report["best_epoch"], report["epochs"]) == (1, 1)
    assert 0.5 < report["auc"] < 1


def broken_at(rows, step, batch_size):
    """Rows whose batch after so many steps holds a NaN."""
    stream = rows.stream

    def broken(size, seed, skip):
        def spoil(index, batch):
            features, labels = batch
            return features, tf.where(index == step, np.nan, labels)

        return stream(size, seed, skip).enumerate(skip).map(spoil)

    import tensorflow as tf

    rows.stream = broken
    return rows


def test_nan_stops_a_run_and_keeps_its_batch(data, tmp_path):
    rows = as_click_log(criteo.load(data / "prepared"))
    config = RunConfig(budget="20x", epochs=3, batch_size=512)
    steps = config.rounds(rows.rows("train")).epoch
    with pytest.raises(ValueError, match=r"NaN after 3 steps.*nan_batch\.npz"):
        train(broken_at(rows, 3, 512), config, tmp_path / "early", verbose=0)
    kept = np.load(tmp_path / "early" / "nan_batch.npz")
    assert kept["step"] == 3
    assert np.isnan(kept["label"]).all()
    sound = as_click_log(criteo.load(data / "prepared"))
    features, _ = next(iter(sound.stream(512, 0, 3)))
    for name, value in features.items():
        np.testing.assert_array_equal(kept[name], value)
    # After an evaluation, the best checkpoint is kept.
    rows = broken_at(sound, steps + 2, 512)
    report = train(rows, config, tmp_path / "late", verbose=0)
    assert report["diverged"]
    assert report["epochs"] == 1
    assert np.load(tmp_path / "late" / "nan_batch.npz")["step"] == steps + 2


class BreakWeights(keras.callbacks.Callback):
    """After so many steps the weights are no numbers; no loss is NaN yet."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            bias = self.model.layers[-1].bias
            bias.assign(np.full(bias.shape, np.nan))


@pytest.mark.parametrize("rounds", [1, 2])
def test_nan_that_validation_finds_keeps_the_last_batch(data, tmp_path, rounds):
    rows = as_click_log(criteo.load(data / "prepared"))
    config = RunConfig(budget="20x", epochs=3, batch_size=512)
    steps = config.rounds(rows.rows("train")).steps

    def run():
        model = model_for(rows, config)
        breaks = [BreakWeights(rounds * steps)]
        return fit(model, rows, config, tmp_path, breaks, verbose=0)

    if rounds == 1:
        with pytest.raises(ValueError, match=f"NaN after {steps - 1} steps"):
            run()
    else:
        fitted = run()
        assert fitted.diverged
        assert len(fitted.history["val_auc"]) == 1
    kept = np.load(tmp_path / "nan_batch.npz")
    assert kept["step"] == rounds * steps - 1
    _, labels = next(iter(rows.stream(512, 0, rounds * steps - 1)))
    np.testing.assert_array_equal(kept["label"], labels)


def test_tables_start_by_their_rows():
    config = RunConfig(method="full", embedding_scale="rows")
    (layer,) = embedding_parts(config, (3, 12, 30_000)).values()
    layer.build()
    table = np.asarray(layer.full.weights[0])
    for rows, part in zip(
        (3, 12, 30_000), np.split(table, [3, 15]), strict=True
    ):
        assert 0.8 * rows**-0.5 < np.abs(part).max() <= rows**-0.5
    with pytest.raises(ValueError, match="a valid number or 'rows'"):
        RunConfig(embedding_scale="row")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that nothing stopped, with all that has a state of its own."""
    config = RunConfig(
        model_options={"dropout": 0.2, "l2": 1e-5},
        budget="20x",
        epochs=2,
        evaluations=2,
        batch_size=256,
        warmup_steps=5,
        decay="cosine",
        clip_norm=1.0,
    )
    out = tmp_path_factory.mktemp("whole") / "run"
    report = train(criteo.load(data / "prepared"), config, out, verbose=0)
    return config, out, report


def test_a_run_ends_with_its_last_epoch(whole):
    """37 steps an epoch, evaluated each 19: the last round has 17."""
    config, _, report = whole
    assert report["epochs"] == config.epochs
    expected = [19 / 37, 38 / 37, 57 / 37, 2.0]
    assert report["history"]["epoch"] == pytest.approx(expected)


def test_the_bars_title_is_true(capsys):
    bar = RoundProgress(epochs=2, steps_per_epoch=5, steps=3)
    x = np.zeros((4, 1), "float32")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    rows = ((x, x) for _ in range(12))
    model.fit(
        rows,
        epochs=4,
        steps_per_epoch=3,
        verbose=2,
        callbacks=[bar],
        shuffle=False,
    )
    shown = capsys.readouterr().out
    for title in (
        "To epoch 0.6 of 2: evaluation 1 of at most 4\n",
        "To epoch 1.2 of 2: evaluation 2 of at most 4\n",
        "To epoch 2 of 2: evaluation 4 of at most 4\n1/1",
    ):
        assert title in shown
    assert "Epoch" not in shown
    assert RoundProgress(5, 10, 10).title(1) == "Epoch 2 of 5"


def same_result(out, report, whole):
    _, whole_out, whole_report = whole
    for key in ("auc", "logloss", "validation_auc", "best_epoch", "epochs"):
        assert report[key] == whole_report[key]
    for key in ("loss", "val_auc", "val_logloss"):
        assert report["history"][key] == whole_report["history"][key]
    for one, other in zip(
        load_model(out).weights, load_model(whole_out).weights, strict=True
    ):
        np.testing.assert_array_equal(one, other)


class Stop(keras.callbacks.Callback):
    """Stops a run as Ctrl-C does, in the middle of a round."""

    def __init__(self, round):
        super().__init__()
        self.round = round

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.round and batch == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("where", [0, 2, "plots"])
def test_a_resumed_run_is_bit_equal(where, data, whole, tmp_path, monkeypatch):
    from keras_pss.training import run as module

    config, _, _ = whole
    prepared = criteo.load(data / "prepared")
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop = Stop(where)
        if where == "plots":
            patch.setattr(module.plots, "roc", lambda *a: 1 / 0)
        else:
            patch.setattr(keras.callbacks, "TensorBoard", lambda *a, **k: stop)
        with pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
            train(prepared, config, out, verbose=0)
    assert not (out / "report.json").exists()
    with pytest.raises(ValueError, match="already holds a run"):
        train(prepared, config, out, verbose=0)
    report = train(prepared, config, out, verbose=0, resume=True)
    same_result(out, report, whole)
    assert not list(out.glob("*.npz"))
    # A finished one is as it was.
    assert train(prepared, config, out, resume=True) == report


@pytest.mark.slow
def test_a_killed_run_goes_on(data, whole, tmp_path):
    """kill -9 as soon as a state is there, by the command line."""
    config, _, _ = whole
    command = [sys.executable, "-m", "keras_pss_cli", "train", "--resume"]
    command += ["--data", str(data / "prepared"), "--out", str(tmp_path / "r")]
    command += ["--model-option=dropout=0.2", "--model-option=l2=1e-5"]
    for name in (
        *["budget", "epochs", "evaluations", "batch_size", "warmup_steps"],
        *["decay", "clip_norm"],
    ):
        value = getattr(config, name)
        command.append(f"--{name.replace('_', '-')}={value}")
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    process = subprocess.Popen(command, env=environment)
    while not (tmp_path / "r" / "state.npz").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "r" / "report.json").exists()
    subprocess.run(command, env=environment, check=True)
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    same_result(tmp_path / "r", report, whole)


def test_a_run_goes_on_with_its_own_settings_and_rows(data, whole, tmp_path):
    config, out, _ = whole
    prepared = criteo.load(data / "prepared")
    other = changed(config, epochs=3, decay="linear")
    message = "epochs=3 instead of 2, decay='linear' instead of 'cosine'"
    with pytest.raises(ValueError, match=message):
        train(prepared, other, out, resume=True)
    again = criteo.prepare(data / "later.tsv", tmp_path / "other")
    with pytest.raises(ValueError, match="Received: other rows or ids"):
        train(again, config, out, resume=True)


def test_a_run_goes_on_where_its_saved_model_was_cut(data, whole, tmp_path):
    """As a kill between a removal and a rename left it."""
    config, out, expected = whole
    again = shutil.copytree(out, tmp_path / "again")
    (again / "report.json").unlink()
    (again / "saved_model" / "saved_model.pb").unlink()
    prepared = criteo.load(data / "prepared")
    report = train(prepared, config, again, verbose=0, resume=True)
    assert (again / "saved_model" / "saved_model.pb").is_file()
    assert report["auc"] == expected["auc"]


@pytest.mark.parametrize("resume", [False, True])
def test_a_flipped_bit_is_found_before_anything_is_trained(
    data, tmp_path, resume
):
    folder = shutil.copytree(data / "prepared", tmp_path / "prepared")
    shard = folder / "train-00000-of-00001.bin"
    content = bytearray(shard.read_bytes())
    content[1234] ^= 1
    shard.write_bytes(content)
    out = tmp_path / "run"
    config = RunConfig(budget="20x", epochs=1, batch_size=256)
    with pytest.raises(ValueError, match=r"must have sha256.*again"):
        train(criteo.load(folder), config, out, verbose=0, resume=resume)
    assert not out.exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 100_000], ids=["empty", "cut", "list", "deep"]
)
def test_a_damaged_run_says_what_to_do(data, tmp_path, text):
    config = RunConfig(budget="20x", epochs=1, batch_size=256)
    prepared = criteo.load(data / "prepared")
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=r"report\.json .*again in another"):
        load_model(tmp_path)
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json .*again in another"):
        train(prepared, config, tmp_path, resume=True)


def test_the_frequency_filter_shares_an_id(data, tmp_path):
    prepared = criteo.load(data / "prepared")
    config = RunConfig(method="full", min_count=3, epochs=1, batch_size=512)
    report = train(prepared, config, tmp_path / "run", verbose=0)
    counts = [prepared.counts(column) for column in range(26)]
    kept = sum(1 + int((c[1:] >= 3).sum()) for c in counts)
    assert report["embedding_params"] == 16 * kept
    assert report["full_params"] == 16 * sum(prepared.cardinalities)
    assert evaluate(tmp_path / "run", [data / "later.tsv"]).rows == 3000


@pytest.mark.parametrize("model", ["deepfm", "neuralcf"])
def test_other_models_have_tables_of_their_own(model, data):
    rows = as_click_log(criteo.load(data / "prepared"))
    config = RunConfig(model=model, budget="20x", dim=8)
    built = build_model(config, rows.cardinalities)
    full = sum(rows.cardinalities)
    second, width = {"deepfm": ("wide", 1), "neuralcf": ("mlp_embeddings", 8)}[
        model
    ]
    first = built.get_layer("embeddings").count_params()
    assert 0.9 * full * 8 / 20 < first <= full * 8 / 20
    assert built.get_layer(second).count_params() <= full * width / 20
    # An absolute budget is one of both.
    config = RunConfig(model=model, budget=9000, dim=8)
    built = build_model(config, rows.cardinalities)
    sizes = [
        built.get_layer(name).count_params() for name in ("embeddings", second)
    ]
    assert 8500 < sum(sizes) <= 9000


def test_a_wide_part_that_a_method_cannot_compress_is_hashed(data, caplog):
    rows = as_click_log(criteo.load(data / "prepared"))
    config = RunConfig(
        model="deepfm", method="mixed_dimension", budget="10x", dim=16
    )
    built = build_model(config, rows.cardinalities)
    parts = methods_of(built)
    assert parts["embeddings"] == {"method": "mixed_dimension"}
    assert parts["wide"]["method"] == built.get_layer("wide").method == "hash"
    reason = "method='mixed_dimension' needs a budget of at least"
    assert parts["wide"]["why"].startswith(reason)
    assert "'wide' are hashed instead of method='mixed_dim" in caplog.text
    # Another mistake is no reason to hash.
    with pytest.raises(ValueError, match="`column_shape` must be output_dim=1"):
        build_model(
            changed(config, method="tt", options={"column_shape": [2, 2, 4]}),
            rows.cardinalities,
        )


def test_parts_that_do_not_fit_are_named(data):
    dims = [50, 40, 40, 30]

    def built(**settings):
        return build_model(RunConfig(**settings), dims)

    with pytest.raises(ValueError, match="cannot choose among tables of 40"):
        built(budget="2x", compress_largest=2)
    with pytest.raises(ValueError, match="at most the number of tables with"):
        built(budget="2x", compress_largest=5)
    with pytest.raises(ValueError, match="has first-order tables of one col"):
        built(model="deepfm", budget=None, options={"memory_size": 99})
    with pytest.raises(ValueError, match="`hidden_units` must be a list"):
        built(model="dcn", budget="2x", model_options={"hidden_units": 400})
    model = built(method="tt", budget=None, options={"rank": 2}, min_rows=40)
    singles = model.get_layer("embeddings").single
    assert [layer.input_dim for layer in singles] == [50, 40, 40]
    assert {layer.rank for layer in singles} == {2}


def test_precision_is_the_runs_alone(data):
    config = RunConfig(budget="20x", precision="mixed_bfloat16", clip_norm=2.0)
    built = build_model(config, [100] * 26)
    assert built.get_layer("embeddings").compute_dtype == "bfloat16"
    assert built.get_layer("probability").compute_dtype == "float32"
    assert built.optimizer.global_clipnorm == 2.0
    assert keras.config.dtype_policy().name == "float32"


def test_likes_of_movies_train_too(likes, tmp_path):
    rows = likes
    config = RunConfig(
        model="neuralcf", method="full", epochs=2, batch_size=64, dim=4
    )
    report = train(rows, config, tmp_path / "run", verbose=0)
    assert report["embedding_params"] == 2 * 4 * (60 + 40)
    assert report["rows"] == 60 * 3
    content = (tmp_path / "likes.csv").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert report["sources"] == [{"name": "likes.csv", "sha256": digest}]
    with pytest.raises(ValueError, match="click logs in Criteo's format"):
        evaluate(tmp_path / "run", [])
    with pytest.raises(ValueError, match="`min_count` needs ids that are"):
        train(
            rows,
            changed(config, min_count=2),
            tmp_path / "filtered",
        )


@pytest.fixture
def likes(tmp_path):
    """A file of likes that movies and users agree on."""
    random = np.random.RandomState(0)
    lines = ["user_id,movie_id,like"]
    for user in range(60):
        for movie in random.permutation(40)[:30]:
            lines.append(f"{user},{movie},{(user + movie) % 3 // 2}")
    (tmp_path / "likes.csv").write_text("\n".join(lines) + "\n")
    return open_click_log(tmp_path / "likes.csv")


def test_streams_go_on_where_they_were_stopped(data, likes):
    for rows in (as_click_log(criteo.load(data / "prepared")), likes):
        size = rows.rows("train") // 13
        epoch = -(-rows.rows("train") // size)
        whole = list(rows.stream(size, 5, 0).take(3 * epoch))
        for batches in (rows.stream(size, 5, 0), rows.in_order("test", size)):
            assert batches.options().autotune.enabled is False
        for skip in (1, epoch, epoch + 2):
            features, labels = next(iter(rows.stream(size, 5, skip)))
            np.testing.assert_array_equal(labels, whole[skip][1])
            for name, value in features.items():
                np.testing.assert_array_equal(value, whole[skip][0][name])
        # Each epoch has all rows, in an order of its own.
        epochs = [
            np.concatenate(
                [
                    x["categorical"]
                    for x, _ in whole[k * epoch : (k + 1) * epoch]
                ]
            )
            for k in range(3)
        ]
        assert not np.array_equal(epochs[0], epochs[1])
        sort = [e[np.lexsort(e.T)] for e in epochs]
        np.testing.assert_array_equal(sort[0], sort[1])
        np.testing.assert_array_equal(sort[0], sort[2])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("clustered", {}),
        ("hot_rows", {"method": "hash", "counts": "sketch"}),
    ],
)
def test_a_resumed_run_is_bit_equal_with_updates_and_scaled_losses(
    method, options, data, tmp_path, monkeypatch
):
    """Tables that change; a loss scale and half-precision sums."""
    config = RunConfig(
        model_options={"bottom_units": [8], "top_units": [8]},
        method=method,
        options=options,
        budget="20x",
        dim=4,
        epochs=2,
        evaluations=2,
        batch_size=512,
        precision="mixed_float16",
        patience=9,
    )
    prepared = criteo.load(data / "prepared")
    report = train(prepared, config, tmp_path / "whole", verbose=0)
    with monkeypatch.context() as patch:
        stop = Stop(2)
        patch.setattr(keras.callbacks, "TensorBoard", lambda *a, **k: stop)
        with pytest.raises(KeyboardInterrupt):
            train(prepared, config, tmp_path / "run", verbose=0)
    again = train(prepared, config, tmp_path / "run", verbose=0, resume=True)
    same_result(tmp_path / "run", again, (config, tmp_path / "whole", report))


def trained_on(curve, folder, monitor):
    """A callback that has seen (auc, logloss, calibration) a round."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    told = iter(Metrics(a, b, 1.0, c, 10_000, 900) for a, b, c in curve)
    callback = BestModel(
        lambda: next(told), folder / "best.npz", 9, StopOnNaN(1), monitor
    )
    callback.set_model(model)
    for epoch in range(len(curve)):
        callback.on_epoch_end(epoch, {})
    return callback


@pytest.mark.parametrize(
    ("monitor", "best", "calibration"), [("auc", 2, 0.75), ("logloss", 3, 1.05)]
)
def test_the_best_checkpoint_is_the_monitors(
    monitor, best, calibration, tmp_path
):
    curve = [(0.6, 0.6, 1.0), (0.75, 0.5225, 0.75), (0.74, 0.5186, 1.05)]
    callback = trained_on(curve, tmp_path, monitor)
    assert callback.best_round == best
    assert callback.calibration == calibration
    assert callback.calibration_bound == 0.1
    # What a resumed run reads.
    kept = checkpoint.restore(callback.model, tmp_path / "best.npz")
    again = BestModel(None, tmp_path, 9, StopOnNaN(1), monitor)
    again.restore(kept)
    assert again.state() == callback.state()


def test_a_state_of_before_there_was_a_choice_goes_on_by_auc():
    callback = BestModel(None, Path("best.npz"), 9, StopOnNaN(1))
    callback.restore({"best_auc": 0.7, "best_round": 2})
    assert (callback.best, callback.best_round) == (0.7, 2)
    assert callback.calibration is None
    assert "monitor" not in RunConfig().as_dict()
    assert RunConfig(monitor="logloss").as_dict()["monitor"] == "logloss"


def fitted(calibration, bound):
    return Fitted(None, None, {}, [], [], 0, 0, 0, False, calibration, bound)


def test_a_calibration_that_is_off_is_warned_about():
    assert fitted(1.09, 0.1).warnings() == []
    assert fitted(None, 0.1).warnings() == []
    assert fitted(0.8, 0.3).warnings() == []  # of few clicks
    (high,) = fitted(1.25, 0.1).warnings()
    assert "1.250, further from 1 than 0.100: probabilities are too hi" in high
    (low,) = fitted(0.75, 0.1).warnings()
    assert "too low" in low
    assert "--monitor logloss" in low


def test_a_settings_words_are_those_that_are_known():
    def words(name):
        return get_args(Settings.model_fields[name].annotation)

    assert words("model") == tuple(MODELS)
    assert words("method") == tuple(METHODS)
    assert words("decay") == DECAYS
    assert set(words("optimizer")) == set(OPTIMIZERS) == set(LEARNING_RATES)


def test_every_setting_has_a_text_and_a_default():
    for name, field in Settings.model_fields.items():
        assert field.description.endswith("."), name
        assert not field.is_required(), name


def test_settings_are_kept_as_they_are_given():
    config = RunConfig(learning_rate=1, options={"seed": 3}, min_rows=7)
    kept = config.as_dict()
    assert type(kept["learning_rate"]) is int  # as its JSON was and is
    assert RunConfig.of(json.loads(json.dumps(kept))) == config
    kept["options"]["seed"] = 4
    assert config.options == {"seed": 3}
    with pytest.raises(ValueError, match="frozen"):
        config.dim = 3


class Curve:
    """Validation scores as they are told, one a round."""

    def __init__(self, *aucs):
        self.aucs = list(aucs)

    def __call__(self):
        auc = self.aucs.pop(0)
        if auc is None:
            raise ValueError("The model predicts NaN")
        return Metrics(auc, 0.5, 1.0, 1.0, 10, 5)


@pytest.mark.parametrize(
    ("aucs", "patience", "rounds", "best"),
    [
        ((0.6, 0.7, 0.65, 0.69), 2, 4, 2),
        ((0.6, 0.7, 0.65, 0.71, 0.7, 0.7), 2, 6, 4),
        ((0.7, 0.7), 1, 2, 1),
        ((0.6, 0.7, 0.8), 1, 3, 3),
        ((0.6, None), 5, 2, 1),
    ],
)
def test_patience(aucs, patience, rounds, best, tmp_path):
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    callback = BestModel(
        Curve(*aucs), tmp_path / "best.npz", patience, StopOnNaN(1)
    )
    callback.set_model(model)
    model.stop_training = False
    for epoch in range(len(aucs)):
        logs = {}
        callback.on_epoch_end(epoch, logs)
        assert logs["val_auc"] == pytest.approx(
            np.nan if aucs[epoch] is None else aucs[epoch], nan_ok=True
        )
        if model.stop_training:
            break
    assert epoch + 1 == rounds
    assert callback.best_round == best
    assert callback.diverged == (None in aucs)
    kept = checkpoint.restore(model, tmp_path / "best.npz")
    assert kept["best_auc"] == aucs[best - 1]
    assert kept["best_round"] == best


def test_a_state_that_is_not_this_models_is_refused(tmp_path):
    def model(width):
        inputs = keras.Input((1,))
        made = keras.Model(inputs, keras.layers.Dense(width)(inputs))
        made.compile("sgd", "mse")
        return made

    path = tmp_path / "state.npz"
    checkpoint.save(model(2), path, {})
    with pytest.raises(ValueError, match=r"of shape \(1, 3\) and type float32"):
        checkpoint.restore(model(3), path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoint.restore(model(2), path)
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoint.restore(model(2), path)


def test_a_damaged_state_is_refused_or_as_it_was(tmp_path):
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    path = tmp_path / "state.npz"
    state = {"round": 3, "stopped": False}
    checkpoint.save(model, path, state)
    assert [p.name for p in tmp_path.iterdir()] == ["state.npz"]
    whole, weights = path.read_bytes(), model.get_weights()
    chosen, refused = random.Random(1), 0
    for turn in range(200):
        content = bytearray(whole)
        at = chosen.randrange(len(whole))
        if turn % 3:
            content[at] ^= 1 << chosen.randrange(8)
        else:
            del content[at:]
        path.write_bytes(content)
        try:
            again = checkpoint.restore(model, path)
        except checkpoint.ForeignState:
            refused += 1
            continue
        assert again == state
        for got, wanted in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert refused > 150


@pytest.mark.parametrize(
    "change",
    [
        {"state": np.array("[" * 100_000)},
        {"state": np.array("[]")},
        {"state": np.array([print], object)},
        {"00000": np.zeros((1, 2), "float64")},
        {"00000": np.zeros((1, 2), "<U3")},
    ],
    ids=range(5),
)
def test_states_that_no_run_has(tmp_path, change):
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", "mse")
    path = tmp_path / "state.npz"
    checkpoint.save(model, path, {})
    with np.load(path) as arrays:
        content = {**arrays, **change}
    np.savez(path, **content)
    with pytest.raises(checkpoint.ForeignState, match="estart the run"):
        checkpoint.restore(model, path)


def test_hash_seed_follows_the_run():
    config = RunConfig(budget="2x", seed=9)
    model = build_model(config, [100] * 26)
    assert model.get_layer("embeddings").options["seed"] == 9
    assert isinstance(model.optimizer, keras.optimizers.Adam)


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
