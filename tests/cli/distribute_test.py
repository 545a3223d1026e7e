"""`train --distribute`: what cannot be distributed is one line."""

import pytest
from command_line import call

pytestmark = pytest.mark.tf_only


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--distribute", "horovod"],
            "--distribute must be one of mirrored, multi-worker, jax. "
            "Received: --distribute horovod",
        ),
        (
            ["--distribute", "mirrored"],
            "needs several devices. Leave it out to train on one, or make "
            "more GPUs visible (CUDA_VISIBLE_DEVICES). Received: CPU:0",
        ),
        (
            ["--distribute", "multi-worker"],
            "--data of several workers must be a folder that `keras-pss "
            "prepare` wrote, which each worker can read. "
            "Received: --data synthetic",
        ),
        (
            ["--distribute", "jax"],
            "--distribute 'jax' needs JAX. Set KERAS_BACKEND=jax. "
            "Received: backend=tensorflow",
        ),
        (
            ["--model-parallel", "2"],
            "divides tables with --distribute jax only. "
            "Received: --model-parallel 2",
        ),
    ],
    ids=["unknown", "one device", "not prepared", "backend", "tables"],
)
def test_what_cannot_be_distributed(tmp_path, options, message):
    out = tmp_path / "run"
    done = call("train", "--data", "synthetic", "--out", out, *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()
