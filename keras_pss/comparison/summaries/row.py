"""The runs of one model, method and budget."""

import statistics
from dataclasses import dataclass
from typing import Any

from keras_pss.comparison.served import full_bytes, served_bytes
from keras_pss.metrics.significance import Difference


@dataclass(frozen=True)
class Row:
    """The runs of one model, method and budget.

    Attributes:
        model, budget: As in a `Cell`.
        method: The row's name, as in a `Cell`.
        lines: Results, one per seed.
        difference: AUC minus that of full tables, over the seeds that both
            have; None for full tables, or without such a seed.
        p_value: p-value of no difference, after Holm's correction over the
            rows of all models; None without a difference.
        target: Epochs until the AUC of full tables, one per seed; None if it
            was not reached.
        relative_time: Training time until that AUC, divided by that of full
            tables, over the seeds that both have; None if a run did not reach
            it.
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
    def served_bytes(self) -> int:
        """Bytes of the served tables, packed where they are served so."""
        return served_bytes(self.lines[0])

    @property
    def factor(self) -> float | None:
        """Bytes of full tables over `served_bytes`; None for open ids."""
        full = self.lines[0]["full_params"]
        return None if full is None else full_bytes(full) / self.served_bytes

    @property
    def epochs_to_target(self) -> float | None:
        """Mean of `target` over the seeds; None if a run did not reach it."""
        reached = [epochs for epochs in self.target if epochs is not None]
        if len(reached) < len(self.lines):
            return None
        return statistics.mean(reached)
