"""Vocabularies by frequency: counting of values, and the encoder."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_pss.data.criteo import schema
from keras_pss.data.encoders.id_encoder import IdEncoder
from keras_pss.data.encoders.lookup import Lookup
from keras_pss.data.readers.block import Int32Array, UInt32Array

Int64Array = npt.NDArray[np.int64]
Counts = tuple[UInt32Array, Int64Array]


class VocabularyEncoder(IdEncoder):
    """Encodes values by their frequency rank, most frequent first.

    Id 0 is the out-of-vocabulary (OOV) id of values that were never counted
    or were dropped as too rare. The value with id i >= 1 is
    `values[column][i - 1]`.

    Args:
        values: Kept raw values of each column in the order of their ids,
            uint32 (kept,).
        counts: Count of each id of each column, int64 (kept + 1,);
            `counts[column][0]` is the number of rows whose value was dropped.
        min_count: Count below which values were dropped. Default: 1.
    """

    def __init__(
        self,
        values: Sequence[UInt32Array],
        counts: Sequence[Int64Array],
        min_count: int = 1,
    ):
        self.values = list(values)
        self.counts = list(counts)
        self.min_count = min_count
        self._lookup = Lookup(self.values)

    @property
    def cardinalities(self) -> list[int]:
        """Number of kept values of each column, plus one."""
        return [len(kept) + 1 for kept in self.values]

    def config(self) -> dict[str, Any]:
        """The policy and its parameters as JSON values."""
        return {"policy": "vocabulary", "min_count": self.min_count}

    def arrays(self) -> dict[str, Any]:
        """`values_C1` to `values_C26`, `counts_C1` to `counts_C26`."""
        state: dict[str, Any] = {}
        for name, kept, counts in zip(
            schema.CATEGORIES, self.values, self.counts, strict=True
        ):
            state[f"values_{name}"] = kept
            state[f"counts_{name}"] = counts
        return state

    def encode(self, categories: UInt32Array) -> Int32Array:
        """Encodes raw values uint32 (n, 26) as ids int32 (n, 26)."""
        return self._lookup(categories)


def count_values(blocks: Iterable[UInt32Array]) -> Counts:
    """Distinct values in ascending order and their counts.

    Memory grows with the distinct values only: partial counts of similar size
    are merged immediately, so that a value is merged log(blocks) times.
    """
    partial: list[Counts] = []
    for block in blocks:
        last: Counts = np.unique(block, return_counts=True)
        while partial and len(partial[-1][0]) < 2 * len(last[0]):
            last = _merge(partial.pop(), last)
        partial.append(last)
    total: Counts = np.zeros(0, np.uint32), np.zeros(0, np.int64)
    while partial:
        total = _merge(partial.pop(), total)
    return total


def by_frequency(counted: Counts, min_count: int) -> Counts:
    """Kept values in the order of their ids, and the counts of all ids.

    Args:
        counted: Distinct values in ascending order and their counts.
        min_count: Minimum count of a kept value.

    Returns:
        `values`, uint32 (kept,), by descending count, ties by ascending
        value; and `counts`, int64 (kept + 1,), whose first entry is the number
        of rows with dropped values.
    """
    values, counts = counted
    keep = counts >= min_count
    dropped = counts[~keep].sum(dtype=np.int64)
    values, counts = values[keep], counts[keep]
    order = np.argsort(-counts, kind="stable")
    return values[order], np.concatenate([[dropped], counts[order]])


def _merge(first: Counts, second: Counts) -> Counts:
    if not len(second[0]):
        return first
    values = np.concatenate([first[0], second[0]])
    counts = np.concatenate([first[1], second[1]])
    order = np.argsort(values, kind="stable")  # merges the two sorted runs
    values, counts = values[order], counts[order]
    starts = np.flatnonzero(np.diff(values, prepend=~values[:1]))
    return values[starts], np.add.reduceat(counts, starts)
