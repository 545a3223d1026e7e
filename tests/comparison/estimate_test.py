"""How long the rest takes, before and after cells are measured."""

from dataclasses import replace

import pytest

from keras_pss.comparison import Grid
from keras_pss.comparison.estimate import Estimate, guessed_seconds
from keras_pss.training.config import RunConfig

pytestmark = pytest.mark.tf_only


class Rows:
    cardinalities = (100_000, None)

    def __init__(self, train=100_000):
        self.train = train

    def rows(self, split):
        assert split == "train"
        return self.train


def parts(workers=1, rows=None):
    grid = Grid(["dlrm", "dcn"], ["robe"], ["10x", "100x"], 2)
    cells = {cell.name: cell for cell in grid.cells()}
    made = Estimate(rows or Rows(), list(cells.values()), workers)
    return cells, made


def line(name, seconds):
    history = {"seconds": [1.0, seconds / 2]}
    return {"name": name, "cell_seconds": seconds, "history": history}


def test_without_a_measured_cell_it_is_the_guess():
    cells, estimate = parts()
    whole = sum(guessed_seconds(c, 100_000, 100_000) for c in cells.values())
    assert estimate.seconds_left(cells, {}) == pytest.approx(whole)
    _, both = parts(workers=2)
    assert both.seconds_left(cells, {}) == pytest.approx(whole / 2)
    assert estimate.seconds_left([], {}) == 0


def test_the_guess_grows_with_rows_and_tables():
    cells, _ = parts()
    full, robe = cells["dlrm-full-1x-1"], cells["dlrm-robe-10x-1"]
    for cell in (full, robe):
        few, many = (guessed_seconds(cell, n, 10**6) for n in (10**4, 10**6))
        assert few < many
    assert guessed_seconds(full, 10**5, 10**7) > guessed_seconds(
        full, 10**5, 10**5
    )
    # An optimizer of the batch's rows takes no time for the others.
    lazy = replace(
        full,
        config=RunConfig.of({**full.config.as_dict(), "optimizer": "lazy_sgd"}),
    )
    for cell in (robe, lazy):
        few, many = (guessed_seconds(cell, 10**5, n) for n in (10**5, 10**7))
        assert few == many


def test_measured_cells_replace_the_guess_for_what_is_like_them():
    cells, estimate = parts()
    done = {"dlrm-robe-10x-1": line("dlrm-robe-10x-1", 70.0)}

    def left(*names):
        return estimate.seconds_left(names, done)

    # The same cell with another seed, and another size of the row.
    assert left("dlrm-robe-10x-2") == pytest.approx(70)
    assert left("dlrm-robe-100x-1") == pytest.approx(70)
    # Another row or model is as much slower than its guess.
    guess = {
        name: guessed_seconds(cell, 100_000, 100_000)
        for name, cell in cells.items()
    }
    slower = 70 / guess["dlrm-robe-10x-1"]
    for name in ("dlrm-hash-10x-1", "dlrm-full-1x-1", "dcn-robe-10x-1"):
        assert left(name) == pytest.approx(slower * guess[name])
    # The more similar cell counts.
    done["dlrm-robe-100x-1"] = line("dlrm-robe-100x-1", 30.0)
    assert left("dlrm-robe-100x-2") == pytest.approx(30)
    assert left("dlrm-robe-10x-2") == pytest.approx(70)
    done["dcn-hash-10x-1"] = line("dcn-hash-10x-1", guess["dcn-hash-10x-1"])
    assert left("dcn-robe-10x-1") == pytest.approx(guess["dcn-robe-10x-1"])


def test_the_last_cell_is_not_shared_by_workers():
    cells, estimate = parts(workers=8)
    assert estimate.seconds_left(["dlrm-full-1x-1"], {}) == pytest.approx(
        guessed_seconds(cells["dlrm-full-1x-1"], 100_000, 100_000)
    )


def test_a_resumed_cell_took_the_time_of_all_its_training():
    _, estimate = parts()
    resumed = {
        "name": "dlrm-robe-10x-1",
        "cell_seconds": 9.0,
        "history": {"seconds": [30.0, 60.0]},
    }
    found = estimate.seconds_left(
        ["dlrm-robe-10x-2"], {resumed["name"]: resumed}
    )
    assert found == pytest.approx(60)


def test_results_of_earlier_versions_have_the_time_of_training_alone():
    _, estimate = parts()
    old = {"name": "dlrm-robe-10x-1", "history": {"seconds": [5.0, 22.0]}}
    found = estimate.seconds_left(["dlrm-robe-10x-2"], {old["name"]: old})
    assert found == pytest.approx(30)
