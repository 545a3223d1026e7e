"""Runs an example as its command does, in this process."""

import os
import runpy
import sys
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "agg")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    """A function of a name and arguments that returns the example's names."""

    def run(name, *arguments):
        path = EXAMPLES / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        return runpy.run_path(str(path), run_name="__main__")

    return run
