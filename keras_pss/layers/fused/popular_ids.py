"""Which ids of all tables get rows of their own, by their counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.budget import Budget, InfeasibleBudget, feasible
from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.fused.frequent_ids import frequent_rows

# Ids seen fewer times overfit: their rows make click models worse.
MIN_COUNT = 10


def popular_ids(
    counts: Sequence[npt.ArrayLike],
    output_dim: int,
    budget: Budget | str | int,
    min_count: int = MIN_COUNT,
    inner_dim: int | None = None,
) -> dict[str, Any]:
    """Options of `method="popularity"` for tables whose counts are known.

    The budget buys first a row for each id that occurs `min_count` times,
    then the widest rows. If rows of one number are too many, the most
    frequent ids of all tables get them.

    Args:
        counts: For each table the number of occurrences of each id, in
            descending order from id 1 on, such as `prepared.counts(name)`.
            Id 0 of each table always has a row.
        output_dim: Integer d, the length of a row.
        budget: Upper bound on the parameters of all tables together.
        min_count: Integer; rarer ids share the row of id 0. Defaults to 10.
        inner_dim: Integer k, the length of the rows in memory. Defaults to
            the largest one within the budget.

    Returns:
        `num_rows`, a tuple of one integer for each table, and `inner_dim`.

    Raises:
        ValueError: If the ids of a table are not sorted by frequency; and
            `InfeasibleBudget`, a subclass, if the budget is too small for a
            row of each table.
    """
    arrays = [np.asarray(each) for each in counts]
    positive_int("min_count", min_count)
    limits = [
        frequent_rows(place, each, min_count)
        for place, each in enumerate(arrays)
    ]
    whole = sum(len(each) for each in arrays) * output_dim
    allowed = Budget.parse(budget).parameters(whole)

    def size(rows: int, width: int) -> int:
        return rows * width + (width < output_dim) * width * output_dim

    if inner_dim is None:
        inner_dim = next(
            (
                width
                for width in range(output_dim, 1, -1)
                if size(sum(limits), width) <= allowed
            ),
            1,
        )
    positive_int("inner_dim", inner_dim, output_dim)
    fewest = size(len(arrays), inner_dim)
    if allowed < fewest:
        raise InfeasibleBudget(
            "method='popularity' needs a budget of at least "
            f"{feasible(fewest, whole)} for a row of each of {len(arrays)} "
            "tables. Give a larger budget or choose another method. "
            f"Received: budget={budget}, which allows {allowed}"
        )
    rows = (allowed - size(0, inner_dim)) // inner_dim
    return {
        "num_rows": _most_frequent(arrays, limits, rows),
        "inner_dim": inner_dim,
    }


def _most_frequent(
    counts: Sequence[np.ndarray], limits: Sequence[int], total: int
) -> tuple[int, ...]:
    """Rows of each table if `total` of all go to the most frequent ids.

    Ties go to the first tables, and within a table to the first ids.
    """
    if total >= sum(limits):
        return tuple(limits)
    pairs = list(zip(counts, limits, strict=True))
    frequent = np.concatenate([each[1:limit] for each, limit in pairs])
    tables = np.repeat(np.arange(len(counts)), [n - 1 for n in limits])
    order = np.argsort(-frequent.astype(np.int64), kind="stable")
    chosen = tables[order[: total - len(counts)]]
    more = np.bincount(chosen, minlength=len(counts))
    return tuple(1 + int(rows) for rows in more)
