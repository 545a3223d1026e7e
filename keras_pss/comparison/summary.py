"""Summarizes the runs of a comparison: means, differences, times."""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from keras_pss.comparison.method_rows import FULL
from keras_pss.comparison.run_cell import PROBABILITIES
from keras_pss.comparison.runner import LABELS, Outcome
from keras_pss.comparison.summaries.convergence import (
    convergences,
    reached_at,
)
from keras_pss.comparison.summaries.ranking import Seeds, best_rows
from keras_pss.comparison.summaries.row import Row
from keras_pss.comparison.summaries.summary import Average, Summary
from keras_pss.metrics.holm import holm
from keras_pss.metrics.significance import Components

Found = TypeVar("Found", Row, Average)


def summarise(outcome: Outcome, out: Path) -> Summary:
    """Summarizes the finished cells; a row needs at least one seed.

    Args:
        outcome: The result of `compare`.
        out: Folder of the comparison, with the probabilities of the test rows.
    """
    labels = np.load(out / LABELS)
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for cell in outcome.grid.cells():
        # Rows keep the grid's order, whichever cells are finished.
        group = groups.setdefault((cell.model, cell.row, cell.budget), [])
        if cell.name in outcome.results:
            group.append(outcome.results[cell.name])
    models = list(dict.fromkeys(model for model, _, _ in groups))
    full = {
        model: {line["seed"]: line for line in groups[model, FULL, "1x"]}
        for model in models
    }

    def components(lines: Sequence[dict[str, Any]]) -> Components:
        folder = out / PROBABILITIES
        paths = [folder / line["probabilities"] for line in lines]
        return Components.of(labels, np.stack([np.load(p) for p in paths]))

    def of_models(found: Sequence[Row], seeds: Seeds) -> Components:
        """The mean over models of one method, for a `Best`."""
        return Components.mean(
            [
                components([x for x in row.lines if x["seed"] in seeds])
                for row in found
            ]
        )

    @cache
    def of_full(model: str, seeds: tuple[int, ...]) -> Components:
        return components([full[model][seed] for seed in seeds])

    rows: list[Row] = []
    averages: list[Average] = []
    # One method at a time: DeLong's components of all methods together would
    # not fit into memory.
    for method, budget in dict.fromkeys(key[1:] for key in groups):
        pairs: dict[str, tuple[Components, Components]] = {}
        for model in models:
            lines = groups[model, method, budget]
            if not lines:
                continue
            common = [line for line in lines if line["seed"] in full[model]]
            if common and method != FULL:
                seeds = tuple(line["seed"] for line in common)
                pairs[model] = components(common), of_full(model, seeds)
            rows.append(
                _row((model, method, budget), lines, full[model], pairs)
            )
        if pairs:
            averages.append(_average(method, budget, pairs))
    rows.sort(key=lambda row: models.index(row.model))
    return Summary(
        _corrected(rows),
        _corrected(averages),
        convergences(rows, common=False),
        convergences(rows, common=True),
        list(dict.fromkeys(key[1:] for key in groups)),
        [
            (cell.model, cell.row, cell.budget)
            for cell in outcome.grid.cells()
            if cell.name in outcome.infeasible and cell.seed == 1
        ],
        best_rows(outcome.grid.budgets, rows, of_models),
    )


def _row(
    key: tuple[str, str, str],
    lines: list[dict[str, Any]],
    full: dict[int, dict[str, Any]],
    pairs: dict[str, tuple[Components, Components]],
) -> Row:
    """A row of one model; `full` has its full tables' results by seed."""
    model, method, budget = key
    goal = min((x["validation_auc"] for x in full.values()), default=None)
    reached = {line["seed"]: reached_at(line, goal) for line in lines}
    common = [seed for seed in reached if seed in full]
    difference = None
    if model in pairs:
        own, base = pairs[model]
        difference = own.minus(base)
    return Row(
        model=model,
        method=method,
        budget=budget,
        lines=lines,
        difference=difference,
        p_value=None if difference is None else difference.p_value,
        target=[epochs for epochs, _ in reached.values()],
        relative_time=_ratio(
            [reached[seed][1] for seed in common],
            [reached_at(full[seed], goal)[1] for seed in common],
        ),
    )


def _average(
    method: str, budget: str, pairs: dict[str, tuple[Components, Components]]
) -> Average:
    """The mean over the models that have the largest number of seeds."""
    seeds = max(len(own.aucs) for own, _ in pairs.values())
    whole = {k: v for k, v in pairs.items() if len(v[0].aucs) == seeds}
    own, base = zip(*whole.values(), strict=True)
    difference = Components.mean(own).minus(Components.mean(base))
    return Average(method, budget, list(whole), difference, difference.p_value)


def _ratio(
    first: Sequence[float | None], second: Sequence[float | None]
) -> float | None:
    """Ratio of the means; None if a value is unknown."""
    means = []
    for values in (first, second):
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return None
        means.append(statistics.mean(known))
    return means[0] / means[1]


def _corrected(items: list[Found]) -> list[Found]:
    """The same items, with Holm's correction over their p-values."""
    found = [item.difference for item in items if item.difference is not None]
    values = iter(holm([difference.p_value for difference in found]))
    return [
        item if item.difference is None else replace(item, p_value=next(values))
        for item in items
    ]
