"""Runs with input servers in processes of their own equal those without."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import keras
import pytest
import workers
from runs import NARROW, without_raw_rows

from keras_pss.data import InputService, criteo
from keras_pss.data.service.failures import InputLost
from keras_pss.training.config import RunConfig
from keras_pss.training.run import train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.tf_only,
    pytest.mark.usefixtures("plain_exports"),
]
SCRIPT = Path(__file__).parents[1] / "distributed_run.py"
SETTINGS = {
    "model_options": NARROW,
    "budget": "20x",
    "dim": 4,
    "epochs": 2,
    "evaluations": 2,
    "batch_size": 32,
}


class Started:
    """A process of `keras-pss data-service`."""

    def __init__(self):
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "keras_pss_cli", "data-service"),
                *("--port", "0", "--host", "localhost"),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        )
        line = self.process.stdout.readline()
        found = re.search(r"server ready at (grpc://localhost:\d+) \(", line)
        assert found, line
        self.address = found[1]

    def stop(self, how):
        self.process.send_signal(how)
        told, _ = self.process.communicate(timeout=60)
        return self.process.returncode, told


@pytest.fixture
def servers():
    made = [Started(), Started()]
    yield made
    for each in made:
        each.process.kill()
        each.process.wait()
        each.process.stdout.close()


def same(report, expected, tolerance=0.0):
    for key in ("auc", "logloss", "validation_auc", "best_epoch"):
        assert report[key] == pytest.approx(expected[key], abs=tolerance)
    for key in ("loss", "val_auc", "val_logloss", "epoch"):
        wanted = pytest.approx(expected["history"][key], abs=tolerance)
        assert report["history"][key] == wanted


@pytest.fixture(scope="module")
def expected(data, tmp_path_factory):
    """The report of a run without servers."""
    out = tmp_path_factory.mktemp("here") / "run"
    log, config = criteo.load(data / "prepared"), RunConfig(**SETTINGS)
    with without_raw_rows():
        return train(log, config, out, verbose=0)


def killing(server):
    class Kill(keras.callbacks.TensorBoard):
        """Kills a server in the middle of the second round."""

        rounds = 0

        def on_epoch_end(self, epoch, logs=None):
            self.rounds += 1

        def on_train_batch_end(self, batch, logs=None):
            if (self.rounds, batch) == (1, 20):
                server.stop(signal.SIGKILL)

    return Kill


def test_killed_servers_change_no_result(
    data, servers, expected, tmp_path, monkeypatch
):
    log, config = criteo.load(data / "prepared"), RunConfig(**SETTINGS)
    service = ",".join(each.address for each in servers)
    monkeypatch.setattr(keras.callbacks, "TensorBoard", killing(servers[0]))
    report = train(
        log, config, tmp_path / "served", verbose=0, data_service=service
    )
    same(report, expected)
    assert report["input_servers"] == 2
    (lost,) = report["lost_input_servers"]
    assert lost == f"{servers[0].address}: it cannot be reached"
    # Nobody is left: the run stops, and goes on without servers.
    alone = InputService(servers[1].address, timeout=10)
    monkeypatch.setattr(keras.callbacks, "TensorBoard", killing(servers[1]))
    out = tmp_path / "stopped"
    with pytest.raises(InputLost, match=r"No input server goes on.*`resume`"):
        train(log, config, out, verbose=0, data_service=alone)
    monkeypatch.undo()
    with without_raw_rows():
        same(train(log, config, out, verbose=0, resume=True), expected)


def test_workers_get_their_own_rows_from_servers(
    data, servers, expected, tmp_path
):
    task = {
        "kind": "multi-worker",
        "data": str(data / "prepared"),
        "out": str(tmp_path / "run"),
        "config": SETTINGS,
        "data_service": ",".join(each.address for each in servers),
    }
    for done in workers.run(SCRIPT, json.dumps(task)):
        assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    same(report, expected, 1e-5)
    assert servers[0].stop(signal.SIGTERM) == (
        0,
        "keras-pss: input server stopped\n",
    )
