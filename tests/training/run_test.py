"""Whole runs on generated rows: what they leave behind, and what they know."""

import json
import shutil

import numpy as np
import pytest
from runs import NARROW, changed

from keras_pss.data import criteo, synthetic
from keras_pss.training.config import RunConfig
from keras_pss.training.finished.evaluation import evaluate
from keras_pss.training.finished.finished_run import load_model
from keras_pss.training.run import train

pytestmark = pytest.mark.tf_only


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
    "served_bytes",
    "step_ms_median",
    "samples_per_second",
    "epochs",
    "best_epoch",
    "seed",
    "versions",
]


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "robe"
    prepared = criteo.load(data / "prepared")
    config = RunConfig(
        model_options=NARROW,
        budget="20x",
        epochs=3,
        batch_size=256,
        patience=1,
    )
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
    assert report["served_bytes"] == report["embedding_bytes"] == 4 * held
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


def told(caplog):
    """What the package has logged, and not TensorFlow."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("keras_pss")
    ]


def test_evaluate_warns_of_rows_that_were_trained_on(run, data, caplog):
    out, report = run
    (source,) = report["sources"]
    assert source["name"] == "log.tsv"
    evaluate(out, [data / "later.tsv"])
    assert told(caplog) == []
    # Under another name, and beside a file of other rows.
    (data / "copy.tsv").write_bytes((data / "log.tsv").read_bytes())
    evaluate(out, [data / "later.tsv", data / "copy.tsv"])
    (message,) = told(caplog)
    assert f"{data / 'copy.tsv'} is the file log.tsv that the run" in message
    assert "do not hold for new rows" in message


def test_evaluate_takes_a_split_of_a_folder(run, data, caplog):
    out, report = run
    folder = data / "prepared"
    tested = evaluate(out, folder)
    assert tested.as_dict() == {name: report[name] for name in tested.as_dict()}
    validated = evaluate(out, str(folder), split="validation")
    assert validated.auc == report["validation_auc"]
    assert told(caplog) == []
    evaluate(out, folder, split="train")
    (message,) = told(caplog)
    assert f"The train rows of {folder} are those that the run was" in message


def test_evaluate_warns_of_a_folder_of_the_same_files(
    run, data, tmp_path, caplog
):
    """It may hold training rows in any split."""
    out, _ = run
    again = criteo.prepare(
        data / "log.tsv", tmp_path / "again", rows_per_shard=900
    )
    assert evaluate(out, again.directory).rows == again.rows("test")
    (message,) = told(caplog)
    assert "has rows of the file log.tsv that the run was trained" in message


def test_evaluate_refuses_other_ids(run, data, tmp_path):
    out, _ = run
    for name, options in (
        ("counted", {"min_count": 2}),
        ("hashed", {"ids": "hash"}),
        ("later", {}),
    ):
        log = data / ("later.tsv" if name == "later" else "log.tsv")
        other = criteo.prepare(log, tmp_path / name, **options)
        with pytest.raises(ValueError, match=r"ids of the run.*Give the files"):
            evaluate(out, other.directory)
    with pytest.raises(ValueError, match=r"`split` needs a folder.*'test'"):
        evaluate(out, [data / "log.tsv"], split="test")
    with pytest.raises(ValueError, match=r"one folder or files.*2 paths"):
        evaluate(out, [data / "prepared", data / "log.tsv"])
    with pytest.raises(ValueError, match=r"one of train, .*split='dev'"):
        evaluate(out, data / "prepared", split="dev")


def test_an_older_run_knows_no_sources(run, data, tmp_path, caplog):
    out, report = run
    old = tmp_path / "old"
    shutil.copytree(out, old)
    kept = {k: v for k, v in report.items() if k != "sources"}
    (old / "report.json").write_text(json.dumps(kept))
    assert evaluate(old, [data / "log.tsv"]).rows == 12_000
    assert told(caplog) == []


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run(data, tmp_path, plain_exports):
    prepared = criteo.load(data / "prepared")
    config = RunConfig(
        model_options=NARROW, budget="20x", epochs=1, batch_size=512, seed=3
    )
    first, second = (
        train(prepared, config, tmp_path / name, verbose=0) for name in "ab"
    )
    assert first["auc"] == second["auc"]
    other = changed(config, seed=4)
    third = train(prepared, other, tmp_path / "c", verbose=0)
    assert third["auc"] != first["auc"]


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
    with pytest.raises(ValueError, match="`run` must be the folder"):
        load_model(tmp_path)


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
