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
    """A function of a name, its arguments and its folder, if it has one.

    It returns the variables of the example.
    """

    def run(name, arguments, out=None):
        path = EXAMPLES / f"{name}.py"
        folder = [] if out is None else ["--out", str(out)]
        argv = [str(path), *arguments.split(), *folder]
        monkeypatch.setattr(sys, "argv", argv)
        return runpy.run_path(str(path), run_name="__main__")

    return run


@pytest.fixture
def root():
    """The folder of the project."""
    return EXAMPLES.parent
