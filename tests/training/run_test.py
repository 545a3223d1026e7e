"""Whole runs on generated rows: what they leave behind, and what they know."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.data import criteo, synthetic
from keras_pss.layers.walk import every
from keras_pss.training.config import RunConfig, build_model
from keras_pss.training.run import evaluate, load_model, train

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
    from keras_pss.training.metrics import Metrics

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
        ({"model": "dlmr"}, "`model` must be one of dlrm"),
        ({"optimizer": "sdg"}, "`optimizer` must be one of adam, adagrad, sgd"),
        ({"method": "rob"}, "`method` must be one of 'full', 'robe'"),
        ({"budget": "0x"}, "`budget` must be a ratio"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"batch_size": -2}, "`batch_size` must be at least 1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be positive"),
        ({"embedding_scale": -1.0}, "`embedding_scale` must be positive"),
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
    from keras_pss.training import run as module

    class Diverges(module.BestEpoch):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                weight = self.model.get_layer("probability").bias
                weight.assign([float("nan")])
            super().on_epoch_end(epoch, logs)

    monkeypatch.setattr(module, "BestEpoch", Diverges)
    prepared = criteo.load(data / "prepared")
    config = RunConfig(budget="20x", epochs=3, batch_size=512)
    report = train(prepared, config, tmp_path / "run", verbose=0)
    assert report["diverged"]
    assert (report["best_epoch"], report["epochs"]) == (1, 2)
    assert 0.5 < report["auc"] < 1


def test_a_run_that_was_stopped_can_be_run_again(data, tmp_path, monkeypatch):
    from keras_pss.training import run as module

    prepared = criteo.load(data / "prepared")
    config = RunConfig(budget="20x", epochs=1, batch_size=1024)

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.plots, "roc", stop)
        with pytest.raises(KeyboardInterrupt):
            train(prepared, config, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run" / "report.json").exists()
    train(prepared, config, str(tmp_path / "run"), verbose=0)
    assert (tmp_path / "run" / "report.json").exists()


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
