"""A comparison from the first cell to the report, also after kill -9."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from keras_pss.comparison import Grid, compare, write_report
from keras_pss.comparison.run_cell import run_cell
from keras_pss.comparison.runner import _append, read
from keras_pss.comparison.summary import summarise
from keras_pss.data import criteo, synthetic
from keras_pss.data.locate import open_click_log

pytestmark = [pytest.mark.tf_only, pytest.mark.slow]

SETTINGS = {"epochs": 1, "evaluations": 2, "batch_size": 512, "dim": 4}
NARROW = {"dlrm": {"bottom_units": [8], "top_units": [8]}}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    synthetic.generate(folder / "log.tsv", rows=8_000, scale=0.002)
    criteo.prepare(folder / "log.tsv", folder / "prepared")
    return folder / "prepared"


def grid(**settings):
    return Grid(
        ["dlrm"], ["robe"], ["10x"], 1, {**SETTINGS, **settings}, NARROW
    )


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("compare")
    told = []
    outcome = compare(
        data, grid(), out, workers=2, progress=lambda *a: told.append(a)
    )
    return out, outcome, told


def numbers(line):
    """What two runs of a cell have in common."""
    keys = ("auc", "logloss", "validation_auc", "best_epoch", "config")
    return {key: line[key] for key in keys}


def test_every_cell_has_its_line(done, data):
    out, outcome, told = done
    names = {cell.name for cell in grid().cells()}
    # d = 4 cannot be 10 times narrower.
    assert set(outcome.infeasible) == {"dlrm-low_rank-10x-1"}
    assert set(outcome.results) == names - set(outcome.infeasible)
    assert outcome.errors == {}
    assert [(d, n) for d, n, _ in told] == [(k + 1, 4) for k in range(4)]
    assert read(out / "results.jsonl") == outcome.results
    assert {path.name for path in out.iterdir()} == {
        *(".lock", "labels.npy", "probabilities", "results.jsonl")
    }
    assert outcome.data == "log.tsv"
    labels = np.load(out / "labels.npy")
    for line in outcome.results.values():
        assert line["epochs"] == 1  # of 13 steps, in rounds of 7 and 6
        probabilities = np.load(out / "probabilities" / line["probabilities"])
        assert line["auc"] == pytest.approx(
            roc_auc_score(labels, probabilities), abs=1e-12
        )
    full = outcome.results["dlrm-full-1x-1"]
    robe = outcome.results["dlrm-robe-10x-1"]
    assert robe["compression"] >= 10
    assert full["embedding_params"] == full["full_params"]
    counts = [criteo.load(data).counts(column) for column in range(26)]
    kept = sum(1 + int((c[1:] >= 10).sum()) for c in counts)
    assert outcome.results["dlrm-filter-1x-1"]["embedding_params"] == 4 * kept


def test_finished_cells_are_kept(done, data):
    out, outcome, _ = done
    before = (out / "results.jsonl").read_text()
    told = []
    again = compare(data, grid(), out, progress=lambda *a: told.append(a))
    assert again.results == outcome.results
    assert told == []
    assert (out / "results.jsonl").read_text() == before
    # Of other settings none is finished.
    other = compare(data, grid(epochs=2), out, only_report=True)
    assert other.results == {}
    with pytest.raises(ValueError, match="needs at least one finished run"):
        write_report(other, out)


def test_the_summary_is_that_of_the_lines(done):
    """See summary_test.py for more seeds and models."""
    out, outcome, _ = done
    summary = summarise(outcome, out)
    rows = {(row.method, row.budget): row for row in summary.of("dlrm")}
    assert set(rows) == {
        ("full", "1x"),
        ("filter", "1x"),
        ("hash", "10x"),
        ("robe", "10x"),
    }
    robe = outcome.results["dlrm-robe-10x-1"]
    loss = robe["auc"] - outcome.results["dlrm-full-1x-1"]["auc"]
    row = rows["robe", "10x"]
    assert row.mean("auc") == robe["auc"]
    assert row.difference.difference == pytest.approx(loss, abs=1e-12)
    assert row.p_value >= row.difference.p_value


class Page(HTMLParser):
    """Checks that tags close; counts tables, images and rows."""

    VOID = ("meta", "img")

    def __init__(self):
        super().__init__()
        self.open, self.count, self.text = [], {}, []

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append((self.open[-1] if self.open else "", data))


def test_the_report(done):
    out, outcome, _ = done
    path = write_report(outcome, out)
    page = Page()
    page.feed(path.read_text())
    assert page.open == []
    assert page.count["table"] == 3
    assert page.count["img"] >= 2
    assert ("h1", "Quality against size: log.tsv") in page.text
    assert ("code", f"{shlex.join(['keras-pss', *sys.argv[1:]])}") in page.text
    assert not [text for _, text in page.text if "`" in text]
    assert path.read_text().count('<div class="wide"><table>') == 3
    assert "0.0 hours" not in path.read_text()
    text = (out / "report.md").read_text()
    for line in outcome.results.values():
        assert f"| {line['embedding_params']:,} |" in text
    assert "low_rank-10x-1: method='mixed_dimension' needs" in text
    for plot in (out / "plots").iterdir():
        assert plot.read_bytes().startswith(b"\x89PNG")
        assert f"](plots/{plot.name})" in text


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
    command = [sys.executable, "-m", "keras_pss_cli", "compare"]
    command += ["--data", str(data), "--out", str(out), "--grid", str(file)]
    # As many as in `done`: the threads of a worker are its share of the cores,
    # and the last bits of a matrix product may depend on their number.
    command += ["--workers", "2"]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    process = subprocess.Popen(command, env=environment)
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
    again = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    )
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
