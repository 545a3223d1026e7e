"""The best method at each size, and those that are as good within noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keras_pss.comparison.method_rows import FULL, ONE_SIZE
from keras_pss.comparison.served import full_bytes
from keras_pss.comparison.summaries.row import Row
from keras_pss.layers.base.budget import Budget
from keras_pss.metrics.significance import Components, Difference

# A row is behind the best one if the p-value of their difference is below it.
NOISE = 0.05

Seeds = frozenset[int]
# AUCs of the rows of one method, averaged over their models.
Load = Callable[[Sequence[Row], Seeds], Components]


@dataclass(frozen=True)
class Best:
    """The method with the highest AUC at a budget, mean over models.

    Attributes:
        budget: The budget.
        method: Name of the row.
        models: Number of models in the mean.
        seeds: Number of seeds that all the methods have.
        auc: The mean AUC.
        full: Its difference from full tables; None without those.
        within: Differences from the best of the methods that are within noise
            of it, by name.
        behind: Those of the other methods.
    """

    budget: str
    method: str
    models: int
    seeds: int
    auc: float
    full: Difference | None
    within: dict[str, Difference]
    behind: dict[str, Difference]


def best_rows(
    budgets: Sequence[str], rows: Sequence[Row], load: Load
) -> list[Best]:
    """The best method at each budget that at least one method has finished.

    Methods are compared on the models and seeds that all of them have; one
    that has finished fewer models than others is left out. A method of one
    size takes part at the budgets that it fits into.

    Args:
        budgets: The grid's budgets.
        rows: Rows of the summary.
        load: Function that returns the AUCs of rows of one method.
    """
    found = (_best(budget, rows, load) for budget in dict.fromkeys(budgets))
    return [best for best in found if best is not None]


def _best(budget: str, rows: Sequence[Row], load: Load) -> Best | None:
    methods: dict[str, list[Row]] = {}
    for row in rows:
        if row.method != FULL and _fits(row, budget):
            methods.setdefault(row.method, []).append(row)
    most = max(map(len, methods.values()), default=0)
    methods = {k: each for k, each in methods.items() if len(each) == most}
    if not methods:
        return None
    models = {row.model for each in methods.values() for row in each}
    full = [row for row in rows if row.method == FULL and row.model in models]
    whole = [row for each in methods.values() for row in each] + full
    seeds = frozenset.intersection(
        *(frozenset(line["seed"] for line in row.lines) for row in whole)
    )
    if len(models) > most or not seeds:
        return None
    means = {name: _mean(each, seeds) for name, each in methods.items()}
    method = max(means, key=lambda name: means[name])
    best = load(methods[method], seeds)
    others = {
        name: load(each, seeds).minus(best)
        for name, each in methods.items()
        if name != method
    }
    others = dict(sorted(others.items(), key=lambda pair: -pair[1].difference))
    return Best(
        budget,
        method,
        len(models),
        len(seeds),
        means[method],
        best.minus(load(full, seeds)) if len(full) == len(models) else None,
        {k: d for k, d in others.items() if d.p_value >= NOISE},
        {k: d for k, d in others.items() if d.p_value < NOISE},
    )


def _fits(row: Row, budget: str) -> bool:
    """Whether a row has this budget, or its one size is within it."""
    if row.method not in ONE_SIZE:
        return row.budget == budget
    allowed = Budget.parse(int(budget) if budget.isdigit() else budget)
    full = row.lines[0]["full_params"]
    if allowed.ratio is None:
        return row.served_bytes <= full_bytes(allowed.parameters(full))
    return full is not None and (
        row.served_bytes * allowed.ratio <= full_bytes(full)
    )


def _mean(rows: Sequence[Row], seeds: Seeds) -> float:
    aucs = [
        line["auc"]
        for row in rows
        for line in row.lines
        if line["seed"] in seeds
    ]
    return sum(aucs) / len(aucs)
