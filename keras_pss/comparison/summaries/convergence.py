"""How fast the runs of a comparison reach a validation AUC."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_pss.comparison.method_rows import FULL
from keras_pss.comparison.summaries.row import Row

# Below the AUC of full tables, for the target of all methods: a method that
# stays within it is about as good.
TOLERANCE = 0.005


@dataclass(frozen=True)
class Convergence:
    """How fast the sizes of a method reach a validation AUC.

    Attributes:
        model, method: As in a `Row`.
        target: Validation AUC to reach.
        epochs: Mean number of epochs until the target is reached, by budget;
            the key of full tables is `"full"`. A budget is missing if one of
            its runs does not reach the target.
        times: Mean training time until the target is reached, divided by that
            of full tables, by budget.

    References: Desai and Shrivastava, "The trade-offs of model size in large
    recommendation models" (2022), tables 3 and 4. The target of table 3
    excludes sizes beyond 1000x; that of table 4 is .8025.
    """

    model: str
    method: str
    target: float
    epochs: dict[str, float]
    times: dict[str, float]


def convergences(rows: Sequence[Row], common: bool) -> list[Convergence]:
    """The convergence of each method.

    Args:
        rows: Rows of the summary.
        common: Whether all methods of a model share one target, `TOLERANCE`
            below the lowest among the best validation AUCs of full tables;
            otherwise, the target of a method is the lowest among the best
            validation AUCs of its own runs and those of full tables, which
            all of them reach.
    """
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
        reach = [full[model]] if common else sizes
        target = min(x["validation_auc"] for row in reach for x in row.lines)
        target -= TOLERANCE if common else 0.0
        found.append(_convergence(model, method, sizes, target))
    return found


def _convergence(
    model: str, method: str, sizes: Sequence[Row], target: float
) -> Convergence:
    epochs, seconds = {}, {}
    for row in sizes:
        budget = FULL if row.method == FULL else row.budget
        reached = [reached_at(line, target) for line in row.lines]
        known = [(e, s) for e, s in reached if e is not None and s is not None]
        if len(known) == len(row.lines):
            epochs[budget] = statistics.mean(e for e, _ in known)
            seconds[budget] = statistics.mean(s for _, s in known)
    times = {name: s / seconds[FULL] for name, s in seconds.items()}
    return Convergence(model, method, target, epochs, times)


def reached_at(
    line: dict[str, Any], goal: float | None
) -> tuple[float | None, float | None]:
    """Epochs and seconds of training until a validation AUC is reached."""
    history = line["history"]
    if goal is not None:
        for index, auc in enumerate(history["val_auc"]):
            if auc >= goal:
                return history["epoch"][index], history["seconds"][index]
    return None, None
