"""The command line, in this process or as a process of its own."""

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from unittest import mock

import pytest

import keras_pss_cli

NARROW = (
    "--budget 20x --epochs 1 --batch-size 512 --model-option bottom_units=[8] "
    "--model-option top_units=[8]"
)


def keras_pss(*arguments, folder=None):
    """What a user's process answers, after the seconds of its imports."""
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-m", "keras_pss_cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )


def call(*arguments, folder="."):
    """The same answer from this process, which has its imports."""
    words = ["keras-pss", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with (
        chdir(folder),
        mock.patch.object(sys, "argv", words),
        mock.patch.dict(os.environ, COLUMNS="80"),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        keras_pss_cli.main()
    return subprocess.CompletedProcess(
        words, ended.value.code, out.getvalue(), err.getvalue()
    )
