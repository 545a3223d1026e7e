"""What the runs of a comparison come to: means, differences, times."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_pss.comparison.cell import PROBABILITIES
from keras_pss.comparison.runner import LABELS, Outcome
from keras_pss.training.significance import Components, Difference, holm

FULL = "full"


@dataclass(frozen=True)
class Row:
    """The runs of one model, method and budget.

    Attributes:
        model, method, budget: As in a `Cell`.
        lines: Results, one a seed.
        components: Of their AUCs on the test rows.
        difference: To the full tables with the same seeds; None of these.
        p_value: Of no difference, Holm's correction over all models' rows.
        target: Epochs to the AUC of the full tables, a seed each; None where
            it was not reached.
        relative_time: Of training to it, over that of the full tables with
            the same seeds; None where a seed did not reach it.
    """

    model: str
    method: str
    budget: str
    lines: list[dict[str, Any]]
    components: Components
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
        method, budget: As in a `Cell`.
        models: Those averaged.
        difference: Mean of the models' differences to their full tables.
        p_value: Of no difference, Holm's correction over the averages.
    """

    method: str
    budget: str
    models: list[str]
    difference: Difference
    p_value: float


@dataclass(frozen=True)
class Convergence:
    """How fast the sizes of a method reach an AUC that all of them reach.

    Attributes:
        model, method: As in a `Cell`.
        target: The lowest of the best validation AUCs of its runs and those
            of the full tables.
        epochs: Mean epochs to it, by budget; `"full"` are the full tables.
        times: Training time to it over that of the full tables, by budget.

    References: Desai and Shrivastava, "The trade-offs of model size in large
    recommendation models" (2022), tables 3 and 4, whose targets are those of
    the original models, so that some sizes miss them.
    """

    model: str
    method: str
    target: float
    epochs: dict[str, float]
    times: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """Rows by model in the grid's order, and what is made of them."""

    rows: list[Row]
    averages: list[Average]
    convergences: list[Convergence]

    def of(self, model: str) -> list[Row]:
        return [row for row in self.rows if row.model == model]


def summarise(outcome: Outcome, out: Path) -> Summary:
    """Sums up the finished cells; a row needs at least one seed.

    Args:
        outcome: What `compare` returned.
        out: Its folder, with the probabilities of the test rows.
    """
    labels = np.load(out / LABELS)
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for cell in outcome.grid.cells():
        line = outcome.results.get(cell.name)
        if line is not None:
            key = (cell.model, cell.method, cell.budget)
            groups.setdefault(key, []).append(line)

    def components(lines: Sequence[dict[str, Any]]) -> Components:
        folder = out / PROBABILITIES
        paths = [folder / line["probabilities"] for line in lines]
        return Components.of(labels, np.stack([np.load(p) for p in paths]))

    rows: list[Row] = []
    paired: dict[tuple[str, str], list[tuple[str, Components, Components]]] = {}
    for model in dict.fromkeys(model for model, _, _ in groups):
        full = groups.get((model, FULL, "1x"), [])
        reference = components(full) if full else None
        goal = min((x["validation_auc"] for x in full), default=None)
        for (owner, method, budget), lines in groups.items():
            if owner != model:
                continue
            own = components(lines)
            difference = None
            seeds = [line["seed"] for line in lines]
            same = [line for line in full if line["seed"] in seeds]
            seconds = [_reached(line, goal)[1] for line in same]
            paired_up = [line["seed"] for line in same] == seeds
            if method != FULL and reference is not None and paired_up:
                base = reference if same == full else components(same)
                difference = own.minus(base)
                paired.setdefault((method, budget), []).append(
                    (model, own, base)
                )
            reached = [_reached(line, goal) for line in lines]
            rows.append(
                Row(
                    model=model,
                    method=method,
                    budget=budget,
                    lines=lines,
                    components=own,
                    difference=difference,
                    p_value=None,
                    target=[epochs for epochs, _ in reached],
                    relative_time=_ratio([s for _, s in reached], seconds),
                )
            )
    return Summary(_corrected(rows), _averages(paired), _convergences(rows))


def _reached(
    line: dict[str, Any], goal: float | None
) -> tuple[float | None, float | None]:
    """Epochs and seconds of training until a validation AUC is reached."""
    history = line["history"]
    if goal is not None:
        for index, auc in enumerate(history["val_auc"]):
            if auc >= goal:
                return history["epoch"][index], history["seconds"][index]
    return None, None


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


def _convergences(rows: Sequence[Row]) -> list[Convergence]:
    found = []
    full = {row.model: row for row in rows if row.method == FULL}
    kinds = dict.fromkeys((row.model, row.method) for row in rows)
    for model, method in kinds:
        if model not in full or method == FULL:
            continue
        own = [
            row for row in rows if (row.model, row.method) == (model, method)
        ]
        sizes = [full[model], *own]
        target = min(x["validation_auc"] for row in sizes for x in row.lines)
        epochs, seconds = {}, {}
        for row in sizes:
            budget = FULL if row.method == FULL else row.budget
            reached = [_reached(line, target) for line in row.lines]
            epochs[budget] = statistics.mean(e or 0.0 for e, _ in reached)
            seconds[budget] = statistics.mean(s or 0.0 for _, s in reached)
        times = {name: s / seconds[FULL] for name, s in seconds.items()}
        found.append(Convergence(model, method, target, epochs, times))
    return found


def _corrected(rows: list[Row]) -> list[Row]:
    """The rows, with p-values by Holm's correction over all of them."""
    found = [row.difference for row in rows if row.difference is not None]
    values = iter(holm([difference.p_value for difference in found]))
    return [
        row if row.difference is None else replace(row, p_value=next(values))
        for row in rows
    ]


def _averages(
    paired: dict[tuple[str, str], list[tuple[str, Components, Components]]],
) -> list[Average]:
    """Means over models, of those with as many seeds as the most."""
    found = []
    for (method, budget), entries in paired.items():
        seeds = max(len(own.aucs) for _, own, _ in entries)
        entries = [entry for entry in entries if len(entry[1].aucs) == seeds]
        difference = Components.mean([own for _, own, _ in entries]).minus(
            Components.mean([base for _, _, base in entries])
        )
        found.append(
            (method, budget, [model for model, _, _ in entries], difference)
        )
    values = holm([difference.p_value for *_, difference in found])
    return [
        Average(*entry, p_value)
        for entry, p_value in zip(found, values, strict=True)
    ]
