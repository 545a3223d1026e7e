"""The command line as a process of its own."""

import os
import subprocess
import sys


def keras_pss(*arguments, folder=None):
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, "-m", "keras_pss_cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )
