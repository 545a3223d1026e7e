"""The grid of runs that a comparison consists of."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_pss.comparison.method_rows import (
    BASELINES,
    DEFAULT_METHODS,
    FIRST,
    ONE_SIZE,
    method_settings,
)
from keras_pss.data.pipelines.click_log import ClickLog
from keras_pss.named_toml import read_named
from keras_pss.training.build_model import embedding_parts
from keras_pss.training.config import RunConfig
from keras_pss.training.fit import limits
from keras_pss.training.settings import MODELS

DEFAULT_BUDGETS = ("10x", "100x", "1000x", "10000x")

# Settings that differ between the cells of a grid.
OF_CELLS = (
    "model",
    "model_options",
    "method",
    "options",
    "budget",
    "min_count",
    "seed",
)

_SETTINGS = ("models", "methods", "budgets", "seeds", "run", "model_options")


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Attributes:
        model: As in `RunConfig`.
        row: Name of the report's row, such as `"robe_fold"`.
        budget: Budget of the run; `"1x"` if the method has only one size.
        seed: Seed of the run.
        config: All settings of the run.
    """

    model: str
    row: str
    budget: str
    seed: int
    config: RunConfig

    @property
    def name(self) -> str:
        """Name of the cell and of its folder."""
        words = (self.model, self.row, self.budget, str(self.seed))
        return re.sub(r"[^\w.=-]+", "_", "-".join(words))


@dataclass(frozen=True)
class Grid:
    """Models, methods and sizes to compare, and the settings of all runs.

    Attributes:
        models: Model strings.
        methods: Rows of the report: a method string, `"filter"` (full tables of
            the ids seen ten times or more), `"low_rank"`, `"robe_fold"`, or a
            method with options, `"robe[block_size=4]"`. The baselines are
            always added.
        budgets: Budgets for all tables of a model together: ratios such as
            `"100x"`, bytes such as `"18kB"`, or both.
        seeds: Number of runs of each cell, with seeds 1, 2, ...
        run: Further settings of `RunConfig`, the same for all runs.
        model_options: Arguments of a model, by model string.
    """

    models: Sequence[str] = ("dlrm",)
    methods: Sequence[str] = DEFAULT_METHODS
    budgets: Sequence[str] = DEFAULT_BUDGETS
    seeds: int = 3
    run: dict[str, Any] = field(default_factory=dict)
    model_options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("models", "methods", "budgets"):
            values = getattr(self, name)
            if (
                not isinstance(values, list | tuple)
                or not values
                or not all(isinstance(value, str) for value in values)
            ):
                raise ValueError(
                    f"`{name}` must be a non-empty list of strings. "
                    f"Received: {name}={values!r}"
                )
        if type(self.seeds) is not int or self.seeds < 1:
            raise ValueError(
                "`seeds` must be an integer of at least 1. "
                f"Received: seeds={self.seeds!r}"
            )
        for name in ("run", "model_options"):
            if not isinstance(getattr(self, name), dict):
                raise ValueError(
                    f"`{name}` must be a dict of settings. "
                    f"Received: {name}={getattr(self, name)!r}"
                )
        for name in OF_CELLS:
            if name in self.run:
                raise ValueError(
                    f"`{name}` differs between cells and cannot be set for all "
                    "runs. Use models, methods, budgets, seeds or "
                    f"model_options. Received: run={self.run!r}"
                )
        for model in (*self.models, *self.model_options):
            if model not in MODELS:
                raise ValueError(
                    f"`models` must be among {', '.join(MODELS)}. "
                    f"Received: {model!r}"
                )
        cells = self.cells()  # validates each config
        names = [cell.name for cell in cells]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(
                "`methods` must differ by more than spaces and punctuation. "
                f"Received: methods={list(self.methods)!r}, two of which are "
                f"named {min(twice)}"
            )
        known: dict[str, Cell] = {}
        for cell in cells:
            settings = json.dumps(cell.config.as_dict(), sort_keys=True)
            other = known.setdefault(settings, cell)
            if other.name != cell.name:
                raise ValueError(
                    "`methods` must differ in their settings; remove one of "
                    "two that mean the same. "
                    f"Received: {other.row} and {cell.row}"
                )

    def rows(self) -> list[str]:
        """Names of the report's rows, the baselines first."""
        return list(dict.fromkeys((*BASELINES, *self.methods)))

    def cells(self) -> list[Cell]:
        """All runs in the report's order, for each seed."""
        return [
            Cell(
                model,
                row,
                budget,
                seed,
                self._config(model, row, budget, seed),
            )
            for seed in range(1, self.seeds + 1)
            for model in dict.fromkeys(self.models)
            for row in self.rows()
            for budget in self._budgets(row)
        ]

    def in_training_order(self) -> list[Cell]:
        """All runs, ordered by seed, with those of `FIRST` rows before others.

        Partial results then show first the curves that matter most, and later
        cover all rows.
        """
        return sorted(
            self.cells(), key=lambda cell: (cell.seed, cell.row not in FIRST)
        )

    def _budgets(self, row: str) -> list[str]:
        return ["1x"] if row in ONE_SIZE else list(dict.fromkeys(self.budgets))

    def _config(
        self, model: str, row: str, budget: str, seed: int
    ) -> RunConfig:
        settings = {
            **self.run,
            **method_settings(row),
            "model": model,
            "model_options": self.model_options.get(model, {}),
            "budget": int(budget) if budget.isdigit() else budget,
            "seed": seed,
        }
        return RunConfig.of(settings)


def infeasible(
    cell: Cell, rows: ClickLog, counts: Sequence[Any] | None = None
) -> str | None:
    """The reason why a cell cannot be built for these rows, or None.

    Args:
        cell: The cell.
        rows: The log.
        counts: Counts of the ids, as `training.fit.counts` returns them.
    """
    try:
        embedding_parts(
            cell.config,
            rows.cardinalities,
            limits(cell.config, rows),
            rows if rows.has_named_tables else None,
            counts,
        )
    except ValueError as error:
        return str(error)
    return None


def load_grid(name: str, **changes: Any) -> Grid:
    """Loads a grid of the package by name, or a TOML file by path.

    Args:
        name: `"small"`, `"paper"`, or the path of a TOML file with any of
            `models`, `methods`, `budgets`, `seeds`, `[run]` and
            `[model_options.MODEL]`.
        **changes: Values that replace those of the file; `run` and
            `model_options` are merged with them.

    Raises:
        ValueError: If there is no such grid or the file is not a valid one.
    """
    content = read_named(name, "recipes/grids", "grid")
    for key in content:
        if key not in _SETTINGS:
            raise ValueError(
                f"A grid's keys are {', '.join(_SETTINGS)}. Received: {key!r}"
            )
    run = _table(content.pop("run", {}), "run")
    options = _table(content.pop("model_options", {}), "model_options")
    run = {**run, **changes.pop("run", {})}
    options = {**options, **changes.pop("model_options", {})}
    return Grid(**{**content, **changes}, run=run, model_options=options)


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(
            f"[{name}] of a grid must be a table. Received: {value!r}"
        )
    return value
