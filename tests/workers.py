"""Runs of several workers, each in a process of its own, on free ports."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

# XLA compiles sooner without optimizations.
JAX = {"KERAS_BACKEND": "jax", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
TIMEOUT = 300  # seconds, for a job that hangs on a busy machine


def addresses(count):
    """As many addresses with ports that nobody uses."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def configs(count):
    """A TF_CONFIG for each worker, with ports that nobody uses."""
    names = addresses(count)
    return [
        json.dumps(
            {
                "cluster": {"worker": names},
                "task": {"type": "worker", "index": index},
            }
        )
        for index in range(count)
    ]


def of_tensorflow(count):
    """The variables of each worker."""
    return [
        {"KERAS_BACKEND": "tensorflow", "TF_CONFIG": config}
        for config in configs(count)
    ]


def of_jax(count):
    """The variables of each process."""
    (address,) = addresses(1)
    return [
        {
            **JAX,
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(count),
            "JAX_PROCESS_ID": str(index),
        }
        for index in range(count)
    ]


def run(*arguments, count=2, environments=None):
    """Runs `python ...` in each worker; returns the finished processes."""
    processes = []
    for variables in environments or of_tensorflow(count):
        environment = {
            **os.environ,
            **variables,
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "COLUMNS": "80",
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    done = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=TIMEOUT)
            code = process.returncode
            done.append(
                subprocess.CompletedProcess(process.args, code, out, err)
            )
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return done
