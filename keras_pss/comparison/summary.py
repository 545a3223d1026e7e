"""What the runs of a comparison come to: means, differences, times."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from keras_pss.comparison.convergence import (
    Convergence,
    convergences,
    reached_at,
)
from keras_pss.comparison.grid import FULL, ONE_SIZE
from keras_pss.comparison.run_cell import PROBABILITIES
from keras_pss.comparison.runner import LABELS, Outcome
from keras_pss.metrics.significance import Components, Difference, holm


@dataclass(frozen=True)
class Row:
    """The runs of one model, method and budget.

    Attributes:
        model, budget: As in a `Cell`.
        method: The row's name, as in a `Cell`.
        lines: Results, one a seed.
        difference: To the full tables, over the seeds that both have; None
            of the full tables, or where there is no such seed.
        p_value: Of no difference, Holm's correction over all models' rows.
        target: Epochs to the AUC of the full tables, a seed each; None where
            it was not reached.
        relative_time: Of training to it, over that of the full tables, over
            the seeds that both have; None where one did not reach it.
    """

    model: str
    method: str
    budget: str
    lines: list[dict[str, Any]]
    difference: Difference | None
    p_value: float | None
    target: list[float | None]
    relative_time: float | None

    def mean(self, key: str) -> float:
        return statistics.mean(line[key] for line in self.lines)

    def deviation(self, key: str) -> float:
        values = [line[key] for line in self.lines]
        return statistics.stdev(values) if len(values) > 1 else 0.0

    @property
    def epochs_to_target(self) -> float | None:
        """Mean over the seeds; None where one did not reach it."""
        reached = [epochs for epochs in self.target if epochs is not None]
        if len(reached) < len(self.lines):
            return None
        return statistics.mean(reached)


@dataclass(frozen=True)
class Average:
    """A method and budget over all models that have finished it.

    Attributes:
        method, budget: As in a `Row`.
        models: Those averaged.
        difference: Mean of the models' differences to their full tables.
        p_value: Of no difference, Holm's correction over the averages.
    """

    method: str
    budget: str
    models: list[str]
    difference: Difference
    p_value: float


Found = TypeVar("Found", Row, Average)


@dataclass(frozen=True)
class Summary:
    """Rows by model in the grid's order, and what is made of them.

    Attributes:
        rows, averages: One a method and budget.
        convergences: Each to the AUC that all sizes of its own method reach,
            full tables included.
        common: Each to the AUC that all runs of its model reach, so that
            methods can be held against each other.
    """

    rows: list[Row]
    averages: list[Average]
    convergences: list[Convergence]
    common: list[Convergence]

    def of(self, model: str) -> list[Row]:
        return [row for row in self.rows if row.model == model]

    def compression(
        self, method: str, budget: str, model: str | None = None
    ) -> float | None:
        """Times fewer embedding parameters, mean over models; None if open."""
        rows = self.rows if model is None else self.of(model)
        found = [
            row.lines[0]["compression"]
            for row in rows
            if (row.method, row.budget) == (method, budget)
        ]
        known = [value for value in found if value is not None]
        return statistics.mean(known) if known else None

    def size(self, method: str, budget: str) -> str:
        """The budget; of a method with one size, that size in brackets."""
        if method == FULL:
            return ""
        if method not in ONE_SIZE:
            return budget
        factor = self.compression(method, budget)
        return "–" if factor is None else f"({factor:.3g}x)"


def summarise(outcome: Outcome, out: Path) -> Summary:
    """Sums up the finished cells; a row needs at least one seed.

    Args:
        outcome: What `compare` returned.
        out: Its folder, with the probabilities of the test rows.
    """
    labels = np.load(out / LABELS)
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for cell in outcome.grid.cells():
        # In the grid's order, whichever cells are finished.
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

    @cache
    def of_full(model: str, seeds: tuple[int, ...]) -> Components:
        return components([full[model][seed] for seed in seeds])

    rows: list[Row] = []
    averages: list[Average] = []
    # Method by method, since what the test rows add to all of them together
    # is more than fits into memory.
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
    )


def _row(
    key: tuple[str, str, str],
    lines: list[dict[str, Any]],
    full: dict[int, dict[str, Any]],
    pairs: dict[str, tuple[Components, Components]],
) -> Row:
    """Of one model, beside its full tables by seed."""
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
    """The mean over models, of those with as many seeds as the most."""
    seeds = max(len(own.aucs) for own, _ in pairs.values())
    whole = {k: v for k, v in pairs.items() if len(v[0].aucs) == seeds}
    own, base = zip(*whole.values(), strict=True)
    difference = Components.mean(own).minus(Components.mean(base))
    return Average(method, budget, list(whole), difference, difference.p_value)


def _ratio(
    first: Sequence[float | None], second: Sequence[float | None]
) -> float | None:
    """Ratio of the means; None where one is not known."""
    means = []
    for values in (first, second):
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return None
        means.append(statistics.mean(known))
    return means[0] / means[1]


def _corrected(items: list[Found]) -> list[Found]:
    """The same, with p-values by Holm's correction over all of them."""
    found = [item.difference for item in items if item.difference is not None]
    values = iter(holm([difference.p_value for difference in found]))
    return [
        item if item.difference is None else replace(item, p_value=next(values))
        for item in items
    ]
