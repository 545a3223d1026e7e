"""Runs on two replicas and on two workers equal those of one device."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import workers
from runs import NARROW, without_raw_rows

from keras_pss.data import criteo
from keras_pss.training.config import RunConfig
from keras_pss.training.finished.finished_run import load_model
from keras_pss.training.run import train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.tf_only,
    pytest.mark.usefixtures("plain_exports"),
]
SCRIPT = Path(__file__).parents[1] / "distributed_run.py"
# 37 steps an epoch, of which the last has fewer rows; the second round starts
# in the middle of an epoch.
SETTINGS = {
    "model_options": {**NARROW, "l2": 1e-5},
    "budget": "20x",
    "method": "hot_rows",
    "options": {"inner": "hash", "counts": "slots"},
    "dim": 4,
    "epochs": 2,
    "evaluations": 2,
    "batch_size": 256,
    "clip_norm": 0.05,
}


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run on one device."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with without_raw_rows():
        report = train(
            criteo.load(data / "prepared"),
            RunConfig(**SETTINGS),
            out,
            verbose=0,
        )
    return out, report


def task(kind, data, out, **more):
    return json.dumps(
        {
            "kind": kind,
            "data": str(data / "prepared"),
            "out": str(out),
            "config": SETTINGS,
            **more,
        }
    )


def same_result(out, whole, replicas=2):
    whole_out, expected = whole
    report = json.loads((out / "report.json").read_text())
    for key in ("auc", "logloss", "validation_auc"):
        assert report[key] == pytest.approx(expected[key], abs=1e-5)
    for key in ("loss", "val_auc", "val_logloss", "epoch"):
        wanted = pytest.approx(expected["history"][key], abs=1e-5)
        assert report["history"][key] == wanted
    for one, other in zip(
        load_model(out).weights, load_model(whole_out).weights, strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert report.get("replicas", 1) == replicas
    assert not list(out.glob("*.npz"))


def test_two_devices_train_as_one(data, whole, tmp_path):
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, SCRIPT, task("mirrored", data, out)],
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    same_result(out, whole)


def test_a_killed_worker_stops_all_and_a_restart_ends_alike(
    data, whole, tmp_path
):
    out = tmp_path / "run"
    lost = workers.run(SCRIPT, task("multi-worker", data, out, die=[1, 2, 5]))
    assert lost[1].returncode == -9
    assert lost[0].returncode == 1
    assert (
        "WorkerLost: Worker 0 of 2 stopped, because another" in lost[0].stderr
    )
    assert (out / "state.npz").is_file()
    assert not (out / "report.json").exists()
    # The newest state was broken as well: the previous one is used.
    state = out / "state.npz"
    state.write_bytes(state.read_bytes()[:-100])
    alone = shutil.copytree(out, tmp_path / "alone")
    done = workers.run(SCRIPT, task("multi-worker", data, out, resume=True))
    for each in done:
        assert each.returncode == 0, each.stderr
    assert "The previous state is used" in done[0].stderr
    assert "Epoch" in done[0].stdout or "To epoch" in done[0].stdout
    assert done[1].stdout.startswith("auc"), "only the chief has progress"
    same_result(out, whole)
    # One device goes on as well.
    train(
        criteo.load(data / "prepared"),
        RunConfig(**SETTINGS),
        alone,
        verbose=0,
        resume=True,
    )
    same_result(alone, whole, replicas=1)


def test_processes_of_jax_train_as_one_after_a_kill(data, tmp_path):
    whole_out, out = tmp_path / "whole", tmp_path / "run"
    # Counters have tests of their own; a fused lookup compiles soon.
    config = {**SETTINGS, "method": "robe", "options": {}}
    (one,) = workers.run(
        SCRIPT,
        task(None, data, whole_out, config=config),
        environments=[workers.JAX],
    )
    assert one.returncode == 0, one.stderr
    lost = workers.run(
        SCRIPT,
        task("jax", data, out, config=config, die=[1, 2, 5]),
        environments=workers.of_jax(2),
    )
    assert lost[1].returncode == -9
    assert lost[0].returncode == 1, lost[0].stderr
    assert "Worker 0 of 2 stopped, because another" in lost[0].stderr
    done = workers.run(
        SCRIPT,
        task("jax", data, out, config=config, resume=True),
        environments=workers.of_jax(2),
    )
    for each in done:
        assert each.returncode == 0, each.stderr
    assert done[1].stdout.splitlines()[-1].startswith("auc")
    expected = json.loads((whole_out / "report.json").read_text())
    same_result(out, (whole_out, expected))
