"""Sizes of the tables that a decision describes, without creating them.

Importing the layers takes seconds and arithmetic does not, so a plan computes
what `memory_report()` of its collection would say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from keras_pss.layers.base.budget import BYTES_A_PARAMETER, Budget
from keras_pss.layers.composite.allocation import TableSpec, allocate
from keras_pss.layers.fused.popular.popular_sizes import Sizes
from keras_pss.layers.planned.decide import Decision


class PlanSizes(NamedTuple):
    """What all tables of a plan take.

    Attributes:
        full: Positions of the tables that stay uncompressed.
        parameters: Number of parameters of all tables together.
        bytes: Their bytes in a served model, in the plan's storage.
    """

    full: tuple[int, ...]
    parameters: int
    bytes: int


def plan_sizes(
    input_dims: Sequence[int | None], output_dim: int, decision: Decision
) -> PlanSizes:
    """The sizes of what `decide` chose, or of ROBE.

    Args:
        input_dims: Rows of each table; None for an open vocabulary.
        output_dim: Integer d, the columns of all tables.
        decision: A decision for `"full"`, `"robe"` or `"popularity"`.

    Raises:
        InfeasibleBudget: If ROBE needs a larger budget.
    """
    if decision.method == "popularity":
        return _of_popular(output_dim, decision.options)
    tables = [_RobeTable(n, output_dim, "robe", {}) for n in input_dims]
    divided = allocate(tables, Budget.parse(decision.budget), None)
    full = sum(tables[place].size for place in divided.full)
    parameters = full + sum(divided.sizes)
    return PlanSizes(divided.full, parameters, BYTES_A_PARAMETER * parameters)


def _of_popular(output_dim: int, options: dict[str, Any]) -> PlanSizes:
    sizes = Sizes(output_dim, options["storage"], options["tail"])
    given = options["inner_dim"]
    widths = (given,) if isinstance(given, int) else tuple(given)
    kept = np.asarray(options["num_rows"], np.int64)  # (tables,) or with bands
    rows = np.atleast_1d(kept.sum(axis=0))
    numbers = [int(n) * k for n, k in zip(rows, widths, strict=True)]
    numbers[-1] += widths[-1] * (options.get("buckets") or 0)
    numbers.append(options.get("memory_size") or 0)
    matrices = sum(k * output_dim for k in widths if sizes.projects(k))
    bits = sizes.fixed(widths) + sum(map(sizes.numbers, numbers))
    return PlanSizes((), sum(numbers) + matrices, bits // 8)


@dataclass(frozen=True)
class _RobeTable(TableSpec):
    """A table of ROBE's memory; a block is as long as a row."""

    @property
    def cls(self) -> Any:
        return _RobeSizes


class _RobeSizes:
    """What `ROBEEmbedding` says of its sizes."""

    compresses = True

    @staticmethod
    def shares_memory(options: Any) -> bool:
        return True

    @staticmethod
    def divides_size(options: Any) -> bool:
        return False

    @staticmethod
    def index_size(rows: Any, width: int, **options: Any) -> int:
        return 0

    @staticmethod
    def smallest_size(rows: Any, width: int, **options: Any) -> int:
        return width

    @staticmethod
    def smallest_together(rows: Any, width: int, **options: Any) -> int:
        return width
