"""Runs that were stopped, killed or damaged, and how they go on."""

import json
import os
import shutil
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from command_line import call
from runs import NARROW, changed, without_raw_rows

from keras_pss.data import criteo
from keras_pss.training.config import RunConfig
from keras_pss.training.finished.finished_run import load_model
from keras_pss.training.run import train

pytestmark = [
    pytest.mark.tf_only,
    pytest.mark.usefixtures("plain_exports"),
]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that nothing stopped, with all that has a state of its own."""
    config = RunConfig(
        model_options={**NARROW, "dropout": 0.2, "l2": 1e-5},
        budget="20x",
        epochs=2,
        evaluations=2,
        batch_size=256,
        warmup_steps=5,
        decay="cosine",
        clip_norm=1.0,
        optimizer="lazy_adam",
    )
    out = tmp_path_factory.mktemp("whole") / "run"
    with without_raw_rows():
        report = train(criteo.load(data / "prepared"), config, out, verbose=0)
    return config, out, report


@pytest.mark.slow
def test_a_run_ends_with_its_last_epoch(whole):
    """37 steps an epoch, evaluated each 19: the last round has 17."""
    config, _, report = whole
    assert report["epochs"] == config.epochs
    expected = [19 / 37, 38 / 37, 57 / 37, 2.0]
    assert report["history"]["epoch"] == pytest.approx(expected)


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


@pytest.mark.parametrize(
    "where",
    # Before the first state, a run begins again.
    [
        pytest.param(0, marks=pytest.mark.slow),
        2,
        pytest.param("plots", marks=pytest.mark.slow),
    ],
)
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
    command = ["train", "--resume"]
    command += ["--data", str(data / "prepared"), "--out", str(tmp_path / "r")]
    for name, value in config.model_options.items():
        command.append(f"--model-option={name}={value}")
    for name in (
        *["budget", "epochs", "evaluations", "batch_size", "warmup_steps"],
        *["decay", "clip_norm", "optimizer"],
    ):
        value = getattr(config, name)
        command.append(f"--{name.replace('_', '-')}={value}")
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_pss_cli", *command], env=environment
    )
    while not (tmp_path / "r" / "state.npz").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "r" / "report.json").exists()
    done = call(*command)
    assert done.returncode == 0, done.stderr
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "budget", "largest", "options"),
    [
        # Each table is a layer of its own, and is clustered by itself.
        ("clustered", "1.1x", 3, {}),
        ("hot_rows", "20x", None, {"method": "hash", "counts": "sketch"}),
    ],
)
def test_a_resumed_run_is_bit_equal_with_updates_and_scaled_losses(
    method, budget, largest, options, data, tmp_path, monkeypatch
):
    """Tables that change; a loss scale and half-precision sums."""
    config = RunConfig(
        model_options=NARROW,
        method=method,
        options=options,
        budget=budget,
        compress_largest=largest,
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
