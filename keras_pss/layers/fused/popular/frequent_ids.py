"""Which ids of a table are frequent, by their counts."""

from typing import Any

import numpy as np
import numpy.typing as npt


def frequent_rows(place: Any, counts: npt.ArrayLike, min_count: int) -> int:
    """Number of rows of a table if rare ids share id 0.

    Args:
        place: Index or name of the table, for error messages.
        counts: Number of occurrences of each id, in descending order from id 1
            on. Id 0 always has a row.
        min_count: Integer; ids with fewer occurrences are rare.

    Raises:
        ValueError: If `counts` are no numbers from 0 on, or the ids are not
            sorted by frequency.
    """
    seen = np.asarray(counts)
    if seen.ndim != 1 or not len(seen) or seen.dtype.kind not in "iuf":
        raise ValueError(
            "`counts` must have a number for each id of a column. "
            f"Received: counts[{place!r}] of shape {seen.shape} and dtype "
            f"{seen.dtype}"
        )
    if not (seen >= 0).all():
        raise ValueError(
            "`counts` must be numbers from 0 on. Count the ids again. "
            f"Received: counts[{place!r}] with {seen[~(seen >= 0)][0]}"
        )
    rising = np.flatnonzero(seen[2:] > seen[1:-1])
    if len(rising):
        after = rising[0] + 2
        raise ValueError(
            "`counts` must descend from id 1 on. Sort the ids by frequency, or "
            "create the tables by EmbeddingCollection.from_counts, which takes "
            "any order. "
            f"Received: counts[{place!r}][{after}]={seen[after]} after "
            f"{seen[after - 1]}"
        )
    return 1 + int((seen[1:] >= min_count).sum())
