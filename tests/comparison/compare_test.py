"""A comparison from the first cell to the report."""

import dataclasses
import shlex
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from small_grid import grid

from keras_pss.comparison import compare, runner, write_report
from keras_pss.comparison.run_cell import run_cell
from keras_pss.comparison.runner import read
from keras_pss.comparison.summary import summarise
from keras_pss.data import criteo
from keras_pss.data.locate import open_click_log

pytestmark = [pytest.mark.tf_only, pytest.mark.slow]


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
        assert line["cell_seconds"] > line["history"]["seconds"][-1]
        assert line["served_bytes"] == line["embedding_bytes"]
        assert line["packed_auc"] is None
        probabilities = np.load(out / "probabilities" / line["probabilities"])
        assert line["auc"] == pytest.approx(
            roc_auc_score(labels, probabilities), abs=1e-12
        )
    full = outcome.results["dlrm-full-1x-1"]
    robe = outcome.results["dlrm-robe-10x-1"]
    assert robe["compression"] >= 10
    assert full["embedding_params"] == full["full_params"]
    log = criteo.load(data)
    counts = [log.counts(name) for name in criteo.CATEGORIES]
    kept = sum(1 + int((c[1:] >= 10).sum()) for c in counts)
    assert outcome.results["dlrm-filter-1x-1"]["embedding_params"] == 4 * kept


def test_what_is_left_is_told_before_and_after_each_cell(
    data, tmp_path, monkeypatch
):
    trained = []

    def run(cells, data, out, workers, finished):
        trained[:] = [cell["name"] for cell in cells]
        for number, name in enumerate(trained):
            end = {"error": "died"} if number == 1 else {"auc": 0.7}
            took = {"cell_seconds": 60.0, "history": {"seconds": [50.0]}}
            finished({"name": name, **took, **end})

    monkeypatch.setattr(runner, "run_all", run)
    seen = []
    outcome = compare(data, grid(), tmp_path, watch=seen.append)
    assert trained == [
        *("dlrm-full-1x-1", "dlrm-hash-10x-1", "dlrm-robe-10x-1"),
        "dlrm-filter-1x-1",
    ]
    assert [each.left for each in seen] == [4, 3, 2, 1, 0]
    assert [len(each.errors) for each in seen] == [0, 0, 1, 1, 1]
    assert [len(each.results) for each in seen] == [0, 1, 1, 2, 3]
    assert seen[0].seconds_left > 0
    assert seen[3].seconds_left == pytest.approx(60, rel=0.1)  # as measured
    assert seen[4].seconds_left == 0
    assert (outcome.left, outcome.seconds_left) == (0, None)
    only = compare(data, grid(), tmp_path, only_report=True)
    assert (only.left, set(only.errors)) == (0, {"dlrm-hash-10x-1"})
    # The next call tries it again.
    seen.clear()
    compare(data, grid(), tmp_path, watch=seen.append)
    assert trained == ["dlrm-hash-10x-1"]
    assert [(each.left, each.errors) for each in seen] == [(1, {}), (0, {})]


def test_a_packed_model_is_tested_as_it_is_served(data, tmp_path):
    rows = open_click_log(data)
    small = dataclasses.replace(
        grid(), methods=["quantized[storage=int4]"], budgets=["2x"]
    )
    (cell,) = [c for c in small.cells() if c.row.startswith("quantized")]
    settings = {"name": cell.name, "config": cell.config.as_dict()}
    line = run_cell(rows, settings, tmp_path)
    assert line["served_bytes"] < line["embedding_training_bytes"] / 4
    # The trained rows are those of the grid, which packing keeps.
    assert line["packed_auc"] == pytest.approx(line["auc"], abs=1e-9)
    assert line["packed_logloss"] == pytest.approx(line["logloss"], abs=1e-6)


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
    assert page.count["table"] == 4
    assert page.count["img"] >= 2
    assert ("h1", "Quality against size: log.tsv") in page.text
    assert ("code", f"{shlex.join(['keras-pss', *sys.argv[1:]])}") in page.text
    assert not [text for _, text in page.text if "`" in text]
    assert path.read_text().count('<div class="wide"><table') == 4
    assert "http-equiv" not in path.read_text()  # nothing is trained
    assert "Best at each size" in path.read_text()
    assert "Unfinished" not in path.read_text()
    assert "0.0 hours" not in path.read_text()
    text = (out / "report.md").read_text()
    for line in outcome.results.values():
        assert f"| {line['embedding_params']:,} |" in text
    assert "low_rank-10x-1: method='mixed_dimension' needs" in text
    for plot in (out / "plots").iterdir():
        assert plot.read_bytes().startswith(b"\x89PNG")
        assert f"](plots/{plot.name})" in text
