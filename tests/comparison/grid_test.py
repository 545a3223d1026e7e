"""Which cells a grid has, and what a mistake in it is told."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_pss.comparison.default_grid import grid_for
from keras_pss.comparison.grid import Grid, infeasible, load_grid
from keras_pss.comparison.method_rows import (
    BASELINES,
    DEFAULT_METHODS,
    METHOD_ROWS,
    method_settings,
)
from keras_pss.layers.embedding.methods import METHODS
from keras_pss.training.settings import MODELS

pytestmark = pytest.mark.tf_only


def test_baselines_are_always_there_and_seeds_go_first():
    grid = Grid(["dlrm", "dcn"], ["tt"], ["10x", "100x"], seeds=2)
    cells = grid.cells()
    of_a_model = [
        ("full", "1x"),
        ("filter", "1x"),
        ("low_rank", "10x"),
        ("low_rank", "100x"),
        ("hash", "10x"),
        ("hash", "100x"),
        ("tt", "10x"),
        ("tt", "100x"),
    ]
    assert [
        (cell.seed, cell.model, cell.row, cell.budget) for cell in cells
    ] == [
        (seed, model, *rest)
        for seed in (1, 2)
        for model in ("dlrm", "dcn")
        for rest in of_a_model
    ]
    assert grid.rows()[:4] == list(BASELINES)
    assert len({cell.name for cell in cells}) == len(cells)


def test_a_first_picture_is_trained_before_other_rows():
    grid = Grid(["dlrm", "dcn"], ["popularity", "tt", "robe"], ["10x"], 2)
    cells = grid.in_training_order()
    assert sorted(c.name for c in cells) == sorted(c.name for c in grid.cells())
    first = ("full", "hash", "popularity", "robe")
    rest = ("filter", "low_rank", "tt")
    assert [(c.seed, c.model, c.row) for c in cells] == [
        (seed, model, row)
        for seed in (1, 2)
        for rows in (first, rest)
        for model in ("dlrm", "dcn")
        for row in rows
    ]


def test_default_rows_and_sizes():
    grid = Grid()
    assert grid.rows() == list(METHOD_ROWS) == list(DEFAULT_METHODS)
    assert {"clustered", "popularity"} <= set(grid.rows())
    assert grid.rows()[: len(BASELINES)] == list(BASELINES)
    assert {c.budget for c in grid.cells() if c.row == "popularity"} == {
        *("10x", "100x", "1000x", "10000x")
    }
    bytes_too = Grid(["dlrm"], ["popularity"], ["10x", "18kB"], 1)
    cells = {c.name: c for c in bytes_too.cells()}
    assert cells["dlrm-popularity-18kB-1"].config.budget == "18kB"


def test_the_documentation_names_all_default_rows():
    text = (Path(__file__).parents[2] / "docs/comparison.md").read_text()
    listed = text.split("**Methods** by default")[1].split("- **Budgets**")[0]
    assert [row for row in METHOD_ROWS if f"`{row}`" not in listed] == []


def test_settings_of_a_cell():
    grid = Grid(
        ["deepfm"],
        ["robe_fold", "robe[block_size=4,sign=true]"],
        ["5000"],
        1,
        {"batch_size": 64},
        {"deepfm": {"dropout": 0.1}},
    )
    configs = {cell.row: cell.config for cell in grid.cells()}
    assert configs["filter"].min_count == 10
    assert configs["filter"].method == "full"
    assert configs["low_rank"].method == "mixed_dimension"
    assert configs["robe_fold"].options == {"mapping": "fold"}
    row = configs["robe[block_size=4,sign=true]"]
    assert row.options == {"block_size": 4, "sign": True}
    assert row.budget == 5000
    for config in configs.values():
        assert config.batch_size == 64
        assert config.model_options == {"dropout": 0.1}
        assert config.seed == 1


class Tables:
    """Rows as far as sizes go."""

    num_dense = 13
    train = 100_000
    cardinalities = (1000, 2000)
    schema = None
    has_named_tables = False

    def counts(self, column):
        return np.arange(self.cardinalities[column], 0, -1)

    def rows(self, split):
        return self.train


class Open(Tables):
    def counts(self, column):
        raise ValueError("`counts` needs a vocabulary")


def test_a_method_without_a_size_says_why():
    (cell,) = [
        cell
        for cell in Grid(["dlrm"], ["full"], ["100x"], 1).cells()
        if cell.row == "low_rank"
    ]
    assert "needs a budget of at least" in infeasible(cell, Tables())
    for cell in Grid(["dlrm"], ["robe"], ["4x"], 1).cells():
        assert infeasible(cell, Tables()) is None
        if cell.row == "filter":
            assert "needs a vocabulary" in infeasible(cell, Open())


def test_a_method_that_needs_counts_has_them():
    """Rows of the counted ids fit, where rows of all ids would not."""
    rows = Tables()
    counts = [rows.counts(column) for column in (0, 1)]
    (cell,) = [
        cell
        for cell in Grid(["dlrm"], ["popularity"], ["1000x"], 1).cells()
        if cell.row == "popularity"
    ]
    assert infeasible(cell, rows, counts) is None
    (cell,) = [
        cell
        for cell in Grid(["dlrm"], ["popularity"], ["24000x"], 1).cells()
        if cell.row == "popularity"
    ]
    assert "needs a budget of at least" in infeasible(cell, rows, counts)


@pytest.mark.parametrize(
    ("train", "seeds", "batch"),
    [
        (199_999, 3, 512),
        (200_000, 2, 512),
        (400_000, 1, 512),
        (999_999, 1, 512),
        (1_000_000, 3, 2048),
    ],
)
def test_the_default_grid_suits_the_number_of_rows(train, seeds, batch):
    rows = Tables()
    rows.train = train
    grid = grid_for(rows)
    assert (grid.seeds, list(grid.models)) == (seeds, ["dlrm"])
    assert grid.cells()[0].config.batch_size == batch
    # What the user asks for comes first.
    grid = grid_for(rows, seeds=5, models=["dcn"], run={"batch_size": 64})
    assert (grid.seeds, list(grid.models)) == (5, ["dcn"])
    assert grid.cells()[0].config.batch_size == 64
    rows.num_dense = 0
    assert grid_for(rows).models == ["neuralcf"]


@pytest.mark.parametrize("name", ["small", "paper"])
def test_grids_of_the_package(name):
    grid = load_grid(name, models=list(MODELS), run={"epochs": 1})
    assert {cell.config.epochs for cell in grid.cells()} == {1}
    # Full tables and the filter have one size, the other rows four.
    rows = 2 + (len(METHOD_ROWS) - 2) * 4
    assert len(grid.cells()) == len(MODELS) * rows * 3


def test_a_grid_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'models = ["dcn"]\nmethods = ["hash"]\nbudgets = ["7x"]\nseeds = 2\n'
        "[run]\nepochs = 3\n[model_options.dcn]\nnum_cross = 2\n"
    )
    grid = load_grid(str(path), seeds=1, run={"dim": 8})
    assert [cell.name for cell in grid.cells()] == [
        "dcn-full-1x-1",
        "dcn-filter-1x-1",
        "dcn-low_rank-7x-1",
        "dcn-hash-7x-1",
    ]
    (config, *_) = [cell.config for cell in grid.cells()]
    assert (config.epochs, config.dim) == (3, 8)
    assert config.model_options == {"num_cross": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": []}, "`models` must be a non-empty list"),
        ({"methods": "robe"}, "`methods` must be a non-empty list"),
        ({"budgets": [5000]}, "`budgets` must be a non-empty list"),
        ({"seeds": "3"}, "`seeds` must be an integer"),
        ({"run": 3}, "`run` must be a dict of settings"),
        ({"run": {"seed": 7}}, "`seed` differs between cells"),
        (
            {"methods": ["robe[sign=1,seed=2]", "robe[sign=1, seed=2]"]},
            "`methods` must differ by more than spaces",
        ),
        (
            {"methods": ["qr", "mixed_dimension"]},
            "the same. Received: low_rank and mixed_dimension",
        ),
        (
            {"methods": ["robe_fold", 'robe[mapping="fold"]']},
            r"`methods` must differ in their settings; remove one",
        ),
        ({"models": ["dlmr"]}, "`models` must be among dlrm, dcn"),
        ({"model_options": {"x": {}}}, "`models` must be among dlrm, dcn"),
        ({"seeds": 0}, "`seeds` must be an integer of at least 1"),
        ({"methods": ["rob"]}, "`methods` must be among full, filter"),
        ({"methods": ["robe[4]"]}, "An option of a method must be name=value"),
        ({"methods": ["robe[z=4]"]}, "`options` of method='robe' are"),
        ({"budgets": ["10"], "run": {"dim": 0}}, "`dim` must be greater"),
        ({"budgets": ["x"]}, "`budget` must be a ratio"),
        ({"run": {"epoch": 1}}, "A run's settings are: model,"),
        (
            {"model_options": {"dlrm": {"num_cross": 1}}},
            "`model_options` of model='dlrm'",
        ),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ValueError, match=message):
        Grid(**arguments)


def test_mistakes_in_files(tmp_path):
    with pytest.raises(ValueError, match="must be one of paper, small, or"):
        load_grid("tiny")
    path = tmp_path / "mine.toml"
    path.write_text("models = [")
    with pytest.raises(ValueError, match="must be TOML"):
        load_grid(str(path))
    path.write_text("run = 3")
    with pytest.raises(ValueError, match="of a grid must be a table"):
        load_grid(str(path))
    path.write_text('model = "dlrm"')
    with pytest.raises(ValueError, match="A grid's keys are models, methods"):
        load_grid(str(path))


def test_no_row_of_a_report_hides_a_method():
    for name in METHOD_ROWS.keys() & METHODS.keys():
        assert METHOD_ROWS[name] == {"method": name}


def test_options_keep_their_kind():
    found = method_settings("hash[num_hashes=2,weighted=true,hash=universal]")
    assert found == {
        "method": "hash",
        "options": {"num_hashes": 2, "weighted": True, "hash": "universal"},
    }


@settings(max_examples=200, deadline=None)
@given(st.text('robefqrhash[]=,._1-x"{} ', max_size=24))
def test_any_text_is_a_method_or_a_value_error(text):
    try:
        found = method_settings(text)
    except ValueError:
        return
    assert found["method"] in METHODS
