"""`benchmarks/gpu`: the script for machines with a GPU, where there is none."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# What it does does not depend on the backend of the tests.
pytestmark = pytest.mark.tf_only

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gpu"


def run(*arguments, **more):
    return subprocess.run(
        ["bash", FOLDER / "run.sh", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": sys.executable, **more},
    )


@pytest.mark.skipif(
    bool(shutil.which("nvidia-smi")), reason="there may be a GPU"
)
def test_it_refuses_to_measure_without_a_gpu(tmp_path):
    found = run("--out", str(tmp_path))
    assert found.returncode == 2
    assert "no GPU (nvidia-smi finds none). --dry-run" in found.stderr
    assert not (tmp_path / "results.jsonl").exists()
    wrong = run("--dry", "--out", str(tmp_path))
    assert wrong.returncode == 2
    assert "unknown option --dry; see --help" in wrong.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("g++") and shutil.which("cmake")),
    reason="needs g++ and cmake",
)
def test_each_stage_runs_dry(tmp_path):
    """About two minutes on two cores, most of them for compilation."""
    found = run("--dry-run", "--out", str(tmp_path))
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("DRY RUN:") == 2
    stages = [
        line.split()
        for line in (tmp_path / "stages.txt").read_text().split("\n")
    ][:-1]
    assert len(stages) == 14
    assert {result for _, result, _ in stages} <= {
        "ok",
        *(f"skipped:no-{name}" for name in ("jax", "torch", "tensorflow")),
    }
    results = (tmp_path / "results.jsonl").read_text()
    lines = [json.loads(text) for text in results.splitlines()]
    assert all(line["dry"] and not line["gpu"] for line in lines)
    assert "A dry run: nothing here was measured" in (
        (tmp_path / "summary.md").read_text()
    )
    # Nothing is done twice.
    again = run("--dry-run", "--out", str(tmp_path))
    assert again.returncode == 0
    assert again.stdout.count("ok before") == sum(
        result == "ok" for _, result, _ in stages
    )
    assert (tmp_path / "results.jsonl").read_text() == results


def test_the_summary_has_a_row_for_each_case(tmp_path):
    robe = {
        "rows": [4_000_000],
        "dim": 128,
        "block": 32,
        "batch": 10240,
        "compression": 1000,
    }
    train = {
        "rows": 5000,
        "row_shape": [10, 20, 25],
        "column_shape": [2, 2, 4],
        "rank": 3,
        "ids": 200,
        "stream": "zipf",
    }
    lines = [
        ("robe", "jax", robe, {"kernels": {"lookup": 0.0123, "both": 0.5}}),
        ("robe", "torch", robe, {"EmbeddingBag": {"lookup": 0.02}}),
        ("train", "jax", train, {"XLA": {"lookup": -0.001, "both": 0.25}}),
    ]
    file = tmp_path / "results.jsonl"
    file.write_text(
        "".join(
            json.dumps(
                {
                    "what": what,
                    "backend": backend,
                    "case": case,
                    "ms": ms,
                    "gpu": "A GPU",
                    "dry": False,
                }
            )
            + "\n"
            for what, backend, case, ms in lines
        )
    )
    printed = subprocess.run(
        [sys.executable, FOLDER / "summary.py", file],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed == (
        "GPU: A GPU. Microseconds.\n\n"
        "### ROBE\n\n"
        "| case | kernels, JAX | EmbeddingBag | kernels, JAX, both |\n"
        "| --- | --: | --: | --: |\n"
        "| 4,000,000 x 128 at 1000x, Z = 32, 10,240 ids | 12.3 | 20.0 | 500 |\n"
        "\n### Tensor trains\n\n"
        "| case | XLA, JAX | XLA, JAX, both |\n"
        "| --- | --: | --: |\n"
        "| 5,000 x 16, rank 3, 200 ids, zipf | < 0.1 | 250 |\n"
    )
