"""Which ids of trained tables get rows of their own, and how wide ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.budget import Budget
from keras_pss.layers.fused.popular.popular_ids import popular_ids

# A row takes this share of the width up to a ratio of numbers: more rows lose
# less than wider ones the smaller the budget is (docs/convert.md).
_SHARES = ((32, 4), (200, 8))
_LEAST_SHARE = 16
_BITS = {"float32": 32, "int8": 8, "int4": 4}


def converted_rows(
    counts: Sequence[npt.ArrayLike],
    output_dim: int,
    budget: Budget,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Options of `method="popularity"` for tables that are trained already.

    Unlike in training, a row of an id that was seen once does no harm: it
    holds what the table held. So all ids that were seen get the widest rows
    that fit; or, where these would be narrower than a share of the width, the
    most frequent ids get rows of that share.

    Args:
        counts, output_dim, budget: As in `popular_ids`.
        options: Any of `inner_dim`, `storage` and `tail`; and `ids`, for each
            table whether an index finds its rows.

    Raises:
        ValueError: As in `popular_ids`.
    """
    given: dict[str, Any] = {
        name: options[name]
        for name in ("inner_dim", "storage", "tail")
        if name in options
    }
    if isinstance(options.get("ids"), tuple):
        given["indexed"] = options["ids"]
    found = popular_ids(counts, output_dim, budget, 1, **given)
    if "inner_dim" in given:
        return found
    whole = output_dim * sum(int(np.size(each)) for each in counts)
    numbers = budget.parameters(whole) * 32 / _BITS[found["storage"]]
    share = next((s for most, s in _SHARES if whole <= most * numbers), None)
    width = max(1, output_dim // (share or _LEAST_SHARE))
    if np.min(found["inner_dim"]) >= width:
        return found
    return popular_ids(counts, output_dim, budget, 1, width, **given)
