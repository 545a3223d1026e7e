"""Comparisons with cells that fail, and after kill -9."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from command_line import call
from small_grid import grid

from keras_pss.comparison import compare
from keras_pss.comparison.run_cell import run_cell
from keras_pss.comparison.runner import _append, read
from keras_pss.data.locate import open_click_log

pytestmark = [pytest.mark.tf_only, pytest.mark.slow]


def numbers(line):
    """What two runs of a cell have in common."""
    keys = ("auc", "logloss", "validation_auc", "best_epoch", "config")
    return {key: line[key] for key in keys}


def test_a_cell_that_diverges_does_not_end_the_others(data, tmp_path):
    bad = grid(embedding_scale=1e30, embedding_l2=1.0)
    outcome = compare(data, bad, tmp_path)
    assert outcome.results == {}
    assert len(outcome.errors) == 4
    assert "NaN" in next(iter(outcome.errors.values()))
    # It is known later as well.
    again = compare(data, bad, tmp_path, only_report=True)
    assert again.errors == outcome.errors


def test_a_state_that_cannot_be_read_is_told_once(data, tmp_path):
    rows = open_click_log(data)
    (cell,) = [c for c in grid().cells() if c.row == "robe"]
    settings = {"name": cell.name, "config": cell.config.as_dict()}
    state = tmp_path / "running" / cell.name
    state.mkdir(parents=True)
    asked = json.dumps([settings["config"], rows.fingerprint()])
    (state / "asked.json").write_text(asked)
    for name in ("best.npz", "state.npz"):
        (state / name).write_text("no state")
    assert "cannot be read" in run_cell(rows, settings, tmp_path)["error"]
    assert not state.exists()
    assert run_cell(rows, settings, tmp_path)["auc"] > 0.5
    assert state.exists()  # until its result is kept


def test_cells_whose_process_dies_are_errors(data, tmp_path, monkeypatch):
    """The first dies, as without memory; three in a row end it all."""
    from keras_pss.comparison import worker_pool as workers

    script = tmp_path / "worker.py"
    script.write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    cell = json.loads(line)['name']\n"
        "    if cell in sys.argv[1:]: sys.exit(9)\n"
        "    print(json.dumps({'name': cell, 'auc': 1}), flush=True)\n"
    )

    def run(*dying):
        def start(data, out, threads, log):
            return subprocess.Popen(
                [sys.executable, str(script), *dying],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )

        monkeypatch.setattr(workers, "_start", start)
        found = []
        cells = [{"name": name} for name in "abcde"]
        workers.run_all(cells, data, tmp_path, 1, found.append)
        return {line["name"]: "error" in line for line in found}

    assert run("a", "c") == dict(zip("abcde", [1, 0, 1, 0, 0], strict=True))
    with pytest.raises(ValueError, match="b, c, d: consecutive processes died"):
        run("b", "c", "d")


def test_no_workers_are_a_mistake(data, tmp_path):
    with pytest.raises(ValueError, match=r"`workers` must be a positive"):
        compare(data, grid(), tmp_path, workers=0)


def test_two_at_once_are_refused(data, tmp_path):
    from keras_pss.comparison.runner import _locked

    with _locked(tmp_path):
        with pytest.raises(ValueError, match="Another comparison is running"):
            compare(data, grid(), tmp_path)
        # A report disturbs nobody.
        assert compare(data, grid(), tmp_path, only_report=True).results == {}


def test_a_cut_line_is_done_again(tmp_path):
    path = tmp_path / "results.jsonl"
    _append(path, {"name": "a", "auc": 1})
    _append(path, {"name": "b", "auc": 2})
    path.write_bytes(path.read_bytes()[:-5])
    assert set(read(path)) == {"a"}
    _append(path, {"name": "c", "auc": 3})
    _append(path, {"name": "a", "auc": 4})
    assert {k: v["auc"] for k, v in read(path).items()} == {"a": 4, "c": 3}
    assert read(tmp_path / "none") == {}


def workers_of(out):
    """Processes that train for a folder."""
    found = subprocess.run(
        ["pgrep", "-f", f"keras_pss.comparison.worker_process .* {out} "],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.split()


def test_a_killed_comparison_goes_on(done, data, tmp_path):
    _, whole, _ = done
    out = tmp_path / "out"
    file = tmp_path / "grid.toml"
    file.write_text(
        'models = ["dlrm"]\nmethods = ["robe"]\nbudgets = ["10x"]\nseeds = 1\n'
        "[run]\nepochs = 1\nevaluations = 2\nbatch_size = 512\ndim = 4\n"
        "[model_options.dlrm]\nbottom_units = [8]\ntop_units = [8]\n"
    )
    command = [
        "compare",
        "--data",
        str(data),
        "--out",
        str(out),
        "--grid",
        str(file),
    ]
    # As many as in `done`: the threads of a worker are its share of the cores,
    # and the last bits of a matrix product may depend on their number.
    command += ["--workers", "2"]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_pss_cli", *command], env=environment
    )
    # In the middle of a cell, as soon as one is finished and it has a state.
    while len(read(out / "results.jsonl")) < 1 or not list(
        (out / "running").glob("*/state.npz")
    ):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = (out / "results.jsonl").read_text()
    for _ in range(100):
        if not workers_of(out):
            break
        time.sleep(0.1)
    assert workers_of(out) == []
    again = call(*command)
    assert again.returncode == 0, again.stderr
    assert (out / "results.jsonl").read_text().startswith(kept)
    found = read(out / "results.jsonl")
    assert set(found) == set(whole.results)
    for name, line in found.items():
        assert numbers(line) == numbers(whole.results[name])
        np.testing.assert_array_equal(
            np.load(out / "probabilities" / line["probabilities"]),
            np.load(done[0] / "probabilities" / line["probabilities"]),
        )
    assert "report.html" in again.stdout
    last = re.search(r"4/4 (\S+): AUC 0\.", again.stderr)[1]
    assert last in whole.results
    assert last not in kept
    assert json.loads((out / "results.jsonl").read_text().split("\n")[0])
