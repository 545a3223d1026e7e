"""Commands and pipelines take datasets of TFDS where they take files."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import keras_pss_cli
from keras_pss import data
from keras_pss.data.locate import locate, open_click_log
from keras_pss.data.pipelines.file_batches import file_dataset
from keras_pss.data.readers.tfds.names import schema_of
from keras_pss.features import Schema
from keras_pss.training.config import RunConfig
from keras_pss.training.finished.evaluation import evaluate
from keras_pss.training.run import train

pytestmark = [pytest.mark.tf_only, pytest.mark.usefixtures("tfds_dir")]


def call(*arguments):
    done = CliRunner().invoke(
        keras_pss_cli.app, [*map(str, arguments)], env={"COLUMNS": "100"}
    )
    assert done.exit_code == 0, done.output
    return done


def test_a_draft_is_printed_alone(tmp_path):
    printed = call("schema", "infer", "tfds:avazu/tiny")
    path = tmp_path / "avazu.toml"
    path.write_text(printed.stdout)
    schema = Schema.load(path)
    assert schema.label.column == "click"
    assert schema.timestamp.format == "%y%m%d%H"
    assert schema.keys == ("id",)
    assert "rows read, a dataset of TensorFlow Datasets" in printed.stderr
    assert "the preset 'avazu' and the dataset's splits" in printed.stderr
    checked = call("schema", "check", path, "tfds:avazu/tiny[test]")
    assert "0 of the first 240 lines are refused" in checked.stdout


def test_a_dataset_with_a_preset_needs_no_schema(tmp_path):
    out = tmp_path / "data"
    call("prepare", "tfds:criteo_terabyte/tiny", "--out", out)
    log = data.load(out)
    counts = {split: log.rows(split) for split in log.splits}
    assert counts == {"train": 2300, "validation": 50, "test": 50}
    content = json.loads((out / "metadata.json").read_text())
    names = [source["name"] for source in content["sources"]]
    assert names[0] == "criteo_terabyte/tiny:1.0.0[train]"
    call(
        "prepare",
        "tfds:avazu/tiny",
        "--schema",
        "avazu",
        "--out",
        out,
        "--overwrite",
    )
    assert data.load(out).rows("test") == 240


def test_files_beside_datasets_must_be_there():
    done = CliRunner().invoke(
        keras_pss_cli.app,
        ["prepare", "tfds:avazu/tiny", "nothing.csv", "--out", "x"],
    )
    assert done.exit_code == 2
    assert "File 'nothing.csv' does not exist." in done.output


def test_new_rows_of_a_run_come_from_a_dataset(tmp_path):
    name = "tfds:avazu/tiny"
    log = data.prepare(name, tmp_path / "out", schema_of(name))
    rejects = []
    batches = file_dataset(
        f"{name}[test]", log, batch_size=240, on_rejects=rejects.extend
    )
    (found,) = batches
    (wanted,) = data.dataset(log, "test", batch_size=240)
    for name in wanted[0]:
        assert (found[0][name].numpy() == wanted[0][name].numpy()).all()
    assert (found[1].numpy() == wanted[1].numpy()).all()
    assert not rejects


def test_a_run_is_scored_on_splits_that_it_has_not_seen(tmp_path, caplog):
    name, run = "tfds:avazu/tiny", tmp_path / "run"
    log = locate(name, run)
    config = RunConfig(
        model="deepfm",
        model_options={"hidden_units": [8]},
        method="robe",
        budget="2x",
        dim=4,
        epochs=1,
        batch_size=480,
        jit_compile=False,  # other runs are compiled
    )
    report = train(open_click_log(log.path), config, run, verbose=0)
    caplog.clear()
    found = evaluate(run, [Path(f"{name}[test]")])
    assert found.auc == pytest.approx(report["auc"], abs=1e-6)
    # TensorFlow may warn that it traces a function again.
    assert not [r for r in caplog.records if r.name.startswith("keras_pss")]
    evaluate(run, [Path(f"{name}[train[:10]]")])
    assert "avazu/tiny:1.0.0[train] that the run was trained" in caplog.text
