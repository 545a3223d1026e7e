"""`keras-pss serve`: a process that answers, and what it refuses to serve."""

import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import served_shop
from command_line import call

pytestmark = pytest.mark.tf_only
ROOT = served_shop.EXAMPLES.parents[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What `serve --run` reads of a run, with the model of the other tests."""
    folder = tmp_path_factory.mktemp("run")
    shop = served_shop.served_shop(folder)
    shop.saved_model.rename(folder / "saved_model")
    (folder / "report.json").write_text("{}")
    return folder, shop


def test_a_process_answers_until_it_is_stopped(run, tmp_path):
    folder, shop = run
    command = ["-m", "keras_pss_cli", "serve", "--run", folder, "--name", "m"]
    with served_shop.process([*command, "--port", 0], ":predict") as (
        process,
        line,
    ):
        url = line.split(":predict")[0]
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("/v1/models/m")
        rows = tmp_path / "rows.json"
        rows.write_text(served_shop.json.dumps(shop.rows))
        address = url.removesuffix("/v1/models/m")
        asked = subprocess.run(
            [
                *(sys.executable, ROOT / "examples/serving/client.py"),
                *("--rest", address, "--model", "m", "--rows", rows),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        found = [float(line) for line in asked.stdout.split()]
        np.testing.assert_allclose(found, shop.wanted, atol=1e-6)
        rows.write_text('[{"user": "u"}]')
        asked = subprocess.run(
            [
                *(sys.executable, ROOT / "examples/serving/client.py"),
                *("--rest", address, "--model", "m", "--rows", rows),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.returncode == 1
        assert "must have all inputs, but has no" in asked.stderr
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(30) in (0, 130, -signal.SIGINT)


def test_what_cannot_be_served_is_one_line(run, tmp_path):
    folder, _ = run
    model = folder / "saved_model"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for words, message in (
            ("", "Give --run or --model, one of the two"),
            (f"--run {folder} --model {model}", "Give --run or --model"),
            (f"--run {tmp_path}", "--run must be the folder of a finished"),
            (f"--model {tmp_path}", "--model must be a SavedModel, or a"),
            (f"--model {model} --version 2", "--version must be one of 1"),
            (f"--model {model} --name a/b", "--name must have letters"),
            (f"--model {model} --max-rows 0", "--max-rows must be 1 or more"),
            (f"--model {model} --port 99999", "--port must be 0 to 65535"),
            (f"--model {model} --port {port}", "Choose another --port"),
            (f"--model {model} --host 1.2.3.4", "cannot listen on 1.2.3.4"),
        ):
            done = call("serve", *words.split())
            assert done.returncode == 2
            assert message in done.stderr, done.stderr
            assert len(done.stderr.splitlines()) == 1
