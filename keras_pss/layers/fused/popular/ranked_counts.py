"""Ids of tables by frequency, where their vocabularies have another order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.checks import shown


def ranked(
    counts: Sequence[npt.ArrayLike],
) -> tuple[list[np.ndarray], list[Any]]:
    """Counts in descending order from the second one on, and the ids there.

    Args:
        counts: For each table the number of occurrences of each id. Id 0
            stays first.

    Returns:
        `(counts, ids)`, two lists of one entry for each table. The ids from
        the second place on are an integer array, or None where their counts
        descend already. Ties keep their order.

    Raises:
        ValueError: If `counts` is no list of arrays, or empty.
    """
    if not isinstance(counts, list | tuple) or not counts:
        raise ValueError(
            "`counts` must be a list of arrays, one for each table, or a dict "
            f"of them by name. Received: counts={shown(counts)}"
        )
    sorted_counts, ids = [], []
    for each in counts:
        seen, order = np.asarray(each), None
        if seen.ndim == 1 and (seen[2:] > seen[1:-1]).any():
            order = 1 + np.argsort(-seen[1:].astype(np.float64), kind="stable")
            seen = np.concatenate([seen[:1], seen[order]])
        sorted_counts.append(seen)
        ids.append(order)
    return sorted_counts, ids
