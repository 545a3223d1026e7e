"""The rows of all models of a comparison, and statistics over them."""

import statistics
from dataclasses import dataclass

from keras_pss.comparison.method_rows import FULL, ONE_SIZE
from keras_pss.comparison.summaries.convergence import Convergence
from keras_pss.comparison.summaries.ranking import Best
from keras_pss.comparison.summaries.row import Row
from keras_pss.metrics.significance import Difference


@dataclass(frozen=True)
class Average:
    """A method and budget over all models that have finished it.

    Attributes:
        method, budget: As in a `Row`.
        models: The models averaged.
        difference: Mean of the models' differences from their full tables.
        p_value: p-value of no difference, after Holm's correction over the
            averages.
    """

    method: str
    budget: str
    models: list[str]
    difference: Difference
    p_value: float


@dataclass(frozen=True)
class Summary:
    """The rows of all models in the grid's order, and statistics over them.

    Attributes:
        rows: One for each model, method and budget.
        averages: One for each method and budget.
        convergences: Convergence until the AUC that all sizes of the method
            and full tables reach.
        common: Convergence until one AUC for all methods of a model, so that
            methods can be compared.
        order: All methods and budgets, in the grid's order.
        infeasible: Model, method and budget of the cells that have no size
            within their budget.
        best: The best method at each budget, in the grid's order.
    """

    rows: list[Row]
    averages: list[Average]
    convergences: list[Convergence]
    common: list[Convergence]
    order: list[tuple[str, str]]
    infeasible: list[tuple[str, str, str]]
    best: list[Best]

    def of(self, model: str) -> list[Row]:
        return [row for row in self.rows if row.model == model]

    def has(self, key: str, everywhere: bool = True) -> bool:
        """Whether all results have a value of this name, or any of them."""
        found = (
            line.get(key) is not None for row in self.rows for line in row.lines
        )
        return all(found) if everywhere else any(found)

    def sizes(self, model: str | None = None) -> list[tuple[str, str]]:
        """Methods and budgets with a result, or with none that is possible.

        They are in the grid's order.

        Args:
            model: The model. Default: all models, without full tables and
                without what has no difference from them.
        """
        if model is None:
            found = {(a.method, a.budget) for a in self.averages}
        else:
            found = {(row.method, row.budget) for row in self.of(model)}
        rest = {
            (method, budget)
            for name, method, budget in self.infeasible
            if model in (None, name) and (method, budget) not in found
        }
        if model is None:
            rest -= {(row.method, row.budget) for row in self.rows}
        return [pair for pair in self.order if pair in found | rest]

    def factor(
        self, method: str, budget: str, model: str | None = None
    ) -> float | None:
        """How many times fewer bytes than full tables; mean over models.

        None for open vocabularies.
        """
        rows = self.rows if model is None else self.of(model)
        found = [
            row.factor
            for row in rows
            if (row.method, row.budget) == (method, budget)
        ]
        known = [value for value in found if value is not None]
        return statistics.mean(known) if known else None

    def size(self, method: str, budget: str) -> str:
        """The budget, or in brackets the size of a method that has only one."""
        if method == FULL:
            return ""
        if method not in ONE_SIZE:
            return budget
        factor = self.factor(method, budget)
        return "–" if factor is None else f"({factor:.3g}x)"
